package operator

import (
	"bytes"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestASampleIsPrintedWithWhatTheReceiverAnswered(t *testing.T) {
	t.Parallel()
	done := report.NotifyTest{ID: "msg_1", Type: "com.github.caddy-erpsync.test.v1", Event: "erpsync_notice_test"}
	received, refused := done, done
	received.Receiver, received.Received, received.Status, received.Milliseconds, received.Resumed = "https://hooks.example", true, 204, 12, true
	refused.Receiver, refused.Cause = "https://hooks.example", "DNS: there is no host of the name hooks.example"
	for want, test := range map[string]report.NotifyTest{
		"event: erpsync_notice_test\nNo webhook is configured: the sample is an event of the gateway's process alone.\n":                                                                                             done,
		"event: erpsync_notice_test\nreceived: https://hooks.example answered 204 after 12 ms\nid: msg_1\ntype: com.github.caddy-erpsync.test.v1\nMessages are sent again, which an earlier 410 Gone had stopped.\n": received,
		"event: erpsync_notice_test\nnot received by https://hooks.example: DNS: there is no host of the name hooks.example\nid: msg_1\ntype: com.github.caddy-erpsync.test.v1\n":                                    refused,
	} {
		var out bytes.Buffer
		if printNotifyTest(&out, test); out.String() != want {
			t.Errorf("%q", out.String())
		}
	}
}
