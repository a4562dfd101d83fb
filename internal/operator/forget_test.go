package operator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestATenantIsForgottenWithItsSessionsAndItsHistory(t *testing.T) {
	t.Parallel()
	const summary = "5 calls, 1 group of failures with 3 keys, 0 closed groups, 2 days of counts"
	for name, c := range map[string]struct {
		args    string
		unknown bool // to everything but the history
		nothing bool // in the history
		down    bool // the store of the sessions

		asked, out, fail string
	}{
		"all":                {args: "Cust1", asked: "/erpsync/revoke /erpsync/forget", out: "tenant Cust1: removed from the history: " + summary},
		"a dry run":          {args: "Cust1 --dry-run", asked: "/erpsync/forget", out: "tenant Cust1: would be removed from the history: " + summary},
		"one environment":    {args: "Cust1 --environment stage", asked: "/erpsync/forget", out: "removed from the history"},
		"onsite":             {args: "--environment https://crm.example.com", asked: "/erpsync/forget", out: "removed from the history"},
		"gone":               {args: "Cust1", unknown: true, asked: "/erpsync/revoke /erpsync/forget", out: summary},
		"nobody knows":       {args: "Cust1", unknown: true, nothing: true, asked: "/erpsync/revoke /erpsync/forget", fail: "forget: no app is granted, and the history has nothing of it"},
		"sessions that stay": {args: "Cust1", down: true, asked: "/erpsync/revoke /erpsync/forget", out: summary, fail: "forget: down"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.Path)
				switch {
				case r.URL.Path == report.RevokePath && c.down:
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = w.Write([]byte(`{"error":"down"}`))
				case r.URL.Path == report.RevokePath:
					done := report.Revoked{Revoked: "tenant Cust1"}
					if c.unknown {
						done.Unknown = "no app is granted"
					}
					_ = json.NewEncoder(w).Encode(done)
				default:
					var q report.ForgetRequest
					if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.DryRun != strings.Contains(c.args, "dry") || (q.Environment != "") != strings.Contains(c.args, "environment") || (q.Tenant == "Cust1") != strings.Contains(c.args, "Cust1") {
						t.Errorf("%+v, %v", q, err)
					}
					done := report.Forgotten{Forgotten: "tenant Cust1", Removed: !q.DryRun}
					if !c.nothing {
						done.Calls, done.Failures, done.FailingKeys, done.Days = 5, 1, 3, 2
					}
					_ = json.NewEncoder(w).Encode(done)
				}
			}))
			t.Cleanup(server.Close)
			out, _, err := runs(t, forgetCommand(), append(strings.Fields(c.args), "--address", server.Listener.Addr().String())...)
			if !slices.Equal(asked, strings.Fields(c.asked)) || !strings.Contains(strings.Join(strings.Fields(out), " "), c.out) || (err != nil) != (c.fail != "") || err != nil && err.Error() != c.fail {
				t.Errorf("%v: %s%v", asked, out, err)
			}
		})
	}
	address, asked := answering(t, http.StatusOK, nil)
	for args, want := range map[string]string{
		"Cust1 --user tove@uno.example":                            "forget: a person is named by",
		"--tenant Cust1 --user tove@uno.example --dry-run":         "forget: a person is named by",
		"--tenant Cust1 --user tove@uno.example --environment sod": "forget: a person is named by",
		"--dry-run": "forget: name the person",
	} {
		if _, _, err := runs(t, forgetCommand(), append(strings.Fields(args), "--address", address)...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if *asked != 0 {
		t.Errorf("asked %d times", *asked)
	}
}
