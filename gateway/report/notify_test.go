package report_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
)

func TestASampleSaysWhatTheReceiverAnsweredAndAStoppedOneNeedsAttention(t *testing.T) {
	t.Parallel()
	var answer atomic.Int32
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(answer.Load())) }))
	t.Cleanup(receiver.Close)
	var notifier *notify.Notifier
	d := newDesk(t, func(_ *gatewaytest.Fixture, c *gateway.Config, p *gateway.Platform, s **gateway.SharedState) {
		notifier = (*s).NewNotifier(c.EnvironmentLabel(), zap.NewNop())
		p.Notices = notifier
	})
	var own *report.Error
	if _, err := d.sites.TestNotices(t.Context(), report.NotifyTestRequest{}); !errors.As(err, &own) || own.Status != http.StatusConflict {
		t.Errorf("before notices were started: %v", err)
	}
	stop := notifier.Start(d.NoticeSettings(notify.Settings{Failures: 1, FailingFor: notify.DefaultFailingFor, Webhook: &notify.WebhookConfig{
		URL: receiver.URL + "/token", Transport: http.DefaultTransport, Secrets: []auth.SecretSource{gatewaytest.Secret("whsec_" + strings.Repeat("QUFB", 8))},
	}}))
	t.Cleanup(func() { stop(); notifier.Close() })
	for status, says := range map[int]string{http.StatusNoContent: "", http.StatusUnauthorized: "does not take the signature", http.StatusNotFound: "nothing takes messages", http.StatusInternalServerError: "the receiver failed"} {
		answer.Store(int32(status)) //nolint:gosec // small
		done, err := d.sites.TestNotices(t.Context(), report.NotifyTestRequest{Kind: "failing"})
		if err != nil || done.Status != status || done.Received != (says == "") || !strings.Contains(done.Cause, says) || done.Receiver != receiver.URL || done.Type != "com.github.caddy-erpsync.connection.failing.v1" || done.Event != "erpsync_notice_failing" {
			t.Errorf("%+v %v", done, err)
		}
	}
	if _, err := d.sites.TestNotices(t.Context(), report.NotifyTestRequest{Kind: "failling"}); err == nil || !strings.Contains(err.Error(), "did you mean failing?") {
		t.Errorf("%v", err)
	}
	if _, err := d.sites.TestNotices(t.Context(), report.NotifyTestRequest{Environment: "stage"}); !errors.As(err, &own) || own.Status != http.StatusConflict {
		t.Errorf("of another environment: %v", err)
	}
	answer.Store(http.StatusGone)
	d.SO.Revoke("erp", "Cust12345")
	d.Resync(d.Service())
	gatewaytest.WaitFor(t, func() bool { return !notifier.Health().Gone.IsZero() && notifier.Health().Lost > 0 })
	status, err := d.sites.Status(t.Context(), "node", "")
	if err != nil || len(status.Troubles) != 2 || status.Troubles[0].What != "notices_stopped" || status.Troubles[1].What != "notices_lost" || !strings.Contains(status.Troubles[0].Remedy, "notify test") {
		t.Errorf("%+v %v", status.Troubles, err)
	}
	answer.Store(http.StatusOK)
	if done, err := d.sites.TestNotices(t.Context(), report.NotifyTestRequest{}); err != nil || !done.Resumed || done.Type != "com.github.caddy-erpsync.test.v1" {
		t.Errorf("%+v %v", done, err)
	}
}
