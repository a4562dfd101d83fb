package outcome

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestAnAnswerHasOneClass(t *testing.T) {
	t.Parallel()
	const js = "application/json; charset=utf-8"
	for _, c := range []struct {
		name, media, body string
		status            int
		op                superoffice.Operation
		masked            bool
		end               error
		class             Class
		cause             string
	}{
		{name: "ok", body: `{"IsOk":true,"Status":"Ok"}`, class: OK},
		{name: "BOM", body: "\xef\xbb\xbf" + `{"IsOk":true,"Status":"Ok"}`, class: OK},
		{name: "info", body: `{"IsOk":true,"Status":"OkWithInfo"}`, class: Info},
		{name: "warning", body: `{"IsOk":true,"Status":"Warning"}`, class: Warning},
		{name: "the prose's warn", body: `{"IsOk":true,"Status":"Warn"}`, class: Warning},
		{name: "the seed's failure", body: `{"IsOk":false,"UserExplanation":"quo","TechExplanation":"quo","ErrorCode":"sunt","Changes":null,"Status":"Error","TableRight":null,"FieldProperties":{"fieldName":{"FieldRight":null,"FieldType":"System.Int32","FieldLength":171}}}`, class: Error},
		{name: "IsOk alone", body: `{"IsOk":true,"Status":null}`, class: OK},
		{name: "not IsOk alone", body: `{"IsOk":false}`, class: Error},
		{name: "Status alone", body: `{"Status":"Error"}`, class: Error},
		{name: "both disagree", body: `{"IsOk":true,"Status":"Error"}`, class: Contradictory, cause: "status_disagrees"},
		{name: "both disagree the other way", body: `{"IsOk":false,"Status":"Ok"}`, class: Contradictory, cause: "status_disagrees"},
		{name: "masked", body: `{"IsOk":null,"Status":null}`, masked: true, class: Masked, cause: "select"},
		{name: "nothing to tell from", body: `{"IsOk":null,"Status":null}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "null", body: `null`, class: Empty},
		{name: "a batch task", status: 204, op: superoffice.ForceResyncBatchTask, class: Accepted},
		{name: "204 of a plain call", status: 204, class: Unreadable, cause: "no_body"},
		{name: "engine status", body: `{"Anything":1}`, op: superoffice.GetEngineStatus, class: OK},
		{name: "login page", media: "text/html", body: `<html>`, class: Unreadable, cause: "html"},
		{name: "XML", media: "application/xml", body: `<x/>`, class: Unreadable, cause: "media_type"},
		{name: "cut short", body: `{"IsOk":tr`, class: Unreadable, cause: "cut_short"},
		{name: "malformed", body: `{"IsOk":xx}`, class: Unreadable, cause: "malformed"},
		{name: "broke off", body: `{"IsOk":true`, end: io.ErrUnexpectedEOF, class: Unknown, cause: "truncated"},
		{name: "trailing bytes", body: `{"IsOk":true,"Status":"Ok"}{}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "duplicate", body: `{"IsOk":false,"IsOk":true}`, class: Unreadable, cause: "duplicate_property"},
		{name: "other case", body: `{"isOk":true}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "wrong type", body: `{"IsOk":"yes"}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "unknown status", body: `{"Status":"Fine"}`, class: Unreadable, cause: "status_unknown"},
		{name: "fault one", status: 400, body: `{"Error":true,"ErrorType":"T","ErrorMessage":"M","ErrorSource":"S"}`, class: Fault},
		{name: "fault two", status: 400, body: `{"Error":true,"ErrorType":"T","Message":"M"}`, class: Fault},
		{name: "fault three", status: 404, body: `{"Message":"M","MessageDetail":"D"}`, class: Fault},
		{name: "fault without a body", status: 500, class: Fault, cause: "no_body"},
		{name: "error body under 200", body: `{"Message":"M"}`, class: Contradictory, cause: "error_body_under_success"},
		{name: "answer under 400", status: 400, body: `{"IsOk":false,"Status":"Error"}`, class: Contradictory, cause: "plugin_response_under_error_status"},
		{name: "too large", body: `{"X":"` + strings.Repeat("x", maxObserved) + `"}`, class: Unreadable, cause: "too_large"},
		{name: "deep", body: strings.Repeat("[", 20000), class: Unreadable, cause: "not_plugin_response"},
		{name: "deep inside", body: `{"X":` + strings.Repeat("[", 20000), class: Unreadable, cause: "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.status == 0 {
				c.status = 200
			}
			if c.op == superoffice.UnknownOperation {
				c.op = superoffice.ForceResync
			}
			if c.media == "" {
				c.media = js
			}
			tap := NewTap(c.op, c.status, http.Header{"Content-Type": {c.media}}, c.masked)
			for body := c.body; body != ""; {
				n := min(len(body), 700)
				_, _ = tap.Write([]byte(body[:n]))
				body = body[n:]
			}
			got := tap.Outcome(c.end)
			if got.Class != c.class || got.Cause != c.cause {
				t.Errorf("%s (%s), want %s (%s)", got.Class, got.Cause, c.class, c.cause)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"IsOk":false,"Status":"Error","Changes":{"AddedRecords":[{"Tablename":"contact","RecordId":1}]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		tap := NewTap(superoffice.ForceResync, 200, http.Header{"Content-Type": {"application/json"}}, false)
		_, _ = io.WriteString(tap, body)
		if tap.Outcome(nil).Class == "" {
			t.Fatal("no class")
		}
	})
}
