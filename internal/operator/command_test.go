package operator

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// answering is a gateway that gives one answer to everything, and counts what it is asked.
func answering(t *testing.T, status int, answer any) (address string, asked *int) {
	t.Helper()
	asked = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		if r.Header.Get("Origin") != "http://"+r.Host { // as Caddy's admin endpoint
			http.Error(w, "{}", http.StatusForbidden)
			return
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

// runs runs a command and returns what it printed. Exit code 2 ends in a wrapper of Caddy's, and in no error.
func runs(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestARevocationOfNothingIsNotAsked(t *testing.T) {
	t.Parallel()
	address, _ := answering(t, http.StatusTeapot, nil)
	for _, args := range [][]string{nil, {"--user", "tove@uno.example"}} {
		if _, _, err := runs(t, revokeCommand(), append(args, "--address", address)...); err == nil || !strings.HasPrefix(err.Error(), "revoke: name an app (--app)") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestARevocationOfANameThatNobodyKnowsFailsAndSaysThatItIsWritten(t *testing.T) {
	t.Parallel()
	three := 3
	for name, c := range map[string]struct {
		answer    report.Revoked
		out, fail string
	}{
		"known":     {report.Revoked{Revoked: "app portal", Sessions: &three, Tickets: 1}, "revoked: app portal\n  3 sessions and 1 ticket of this gateway ended; kept answers are not given again\n", ""},
		"unknown":   {report.Revoked{Revoked: "app portla", Sessions: new(int), Unknown: "no app"}, "revoked: app portla\n  0 sessions and 0 tickets of this", "revoke: no app. It is revoked all the same"},
		"a slip":    {report.Revoked{Revoked: "app portla", Sessions: new(int), Unknown: "no app; did you mean portal?"}, "revoked: app portla\n", "revoke: no app; did you mean portal? It is revoked all the same"},
		"uncounted": {report.Revoked{Revoked: "app portal", Remark: "the store is down"}, "revoked: app portal\n  sessions, which the store did not count, and 0 tickets", ""},
	} {
		address, _ := answering(t, http.StatusOK, c.answer)
		out, errs, err := runs(t, revokeCommand(), "--app", "x", "--address", address)
		if !strings.HasPrefix(out, c.out) || !strings.Contains(errs, c.answer.Remark) {
			t.Errorf("%s: %s %s", name, out, errs)
		}
		if (err == nil) != (c.fail == "") || err != nil && !strings.HasPrefix(err.Error(), c.fail) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgettingNamesOnePersonAndSaysWhatStays(t *testing.T) {
	t.Parallel()
	one := 1
	address, asked := answering(t, http.StatusOK, report.Revoked{Revoked: "tove@uno.example in Cust12345", Sessions: &one})
	for _, args := range [][]string{nil, {"--tenant", "Cust12345"}, {"--user", "tove@uno.example"}} {
		if _, _, err := runs(t, forgetCommand(), append(args, "--address", address)...); err == nil || !strings.HasPrefix(err.Error(), "forget: name the person") {
			t.Errorf("%v: %v", args, err)
		}
	}
	out, errs, err := runs(t, forgetCommand(), "--tenant", "Cust12345", "--user", "tove@uno.example", "--address", address)
	if err != nil || !strings.Contains(out, "1 session and") || !strings.Contains(errs, "Audit lines and access logs are not touched") {
		t.Errorf("%v: %s %s", err, out, errs)
	}
	if *asked != 1 {
		t.Errorf("the gateway was asked %d times", *asked)
	}
}

func TestACheckRefusesWhatCannotBeMeantBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"erp office2":         `argument "office2": want a tenant of the form Cust12345`,
		"erp Cust1 verbose":   `argument "verbose": want a tenant`,
		"erp Cust1 cust1":     `argument "cust1": named twice`,
		"erp Cust1 --all":     `argument "Cust1": name tenants or write --all, not both`,
		"Cust1 erp":           `argument "Cust1": the app comes first`,
		"erp Cust1 --verbose": "unknown flag: --verbose",
		"erp --at-once 0":     "--at-once: want 1 to 32",
	} {
		address, asked := answering(t, http.StatusOK, report.Check{OK: true})
		if _, _, err := runs(t, checkCommand(), append(strings.Fields(args), "--address", address)...); err == nil || !strings.Contains(err.Error(), want) || *asked > 0 {
			t.Errorf("%s: %v, asked %d times", args, err, *asked)
		}
	}
}

func TestStatusSaysThatAllIsWellAndNamesTheSites(t *testing.T) {
	t.Parallel()
	address, _ := answering(t, http.StatusOK, report.Status{Apps: []report.AppStatus{
		{App: "erp", Environment: "online", CallAs: "system", Sites: []string{"https://a.example", "https://b.example"}, Tenants: []report.TenantStatus{
			{Tenant: "Cust1", Granted: true, Last: &report.CallStatus{At: time.Now(), Operation: "ForceResyncBatchTask", Outcome: "accepted", RequestID: "r"}},
		}},
	}})
	if out, _, err := runs(t, statusCommand(), "--attention", "--address", address); err != nil || out != "All is well: 1 tenant of 1 app, and none needs attention.\n" {
		t.Errorf("%q %v", out, err)
	}
	out, _, err := runs(t, statusCommand(), "--address", address)
	if err != nil || !strings.HasPrefix(out, "erp at https://a.example and https://b.example (online, call_as system): 1 tenant, all is well\n") || !strings.Contains(out, "\naccepted: SuperOffice does not report its outcome\n") {
		t.Errorf("%s %v", out, err)
	}
	out, _, err = runs(t, statusCommand(), "Cust1", "--address", address)
	if err != nil || !strings.Contains(out, "last call     accepted: SuperOffice does not report its outcome, ForceResyncBatchTask") || !strings.Contains(out, "last success  none since the gateway began") {
		t.Errorf("%s %v", out, err)
	}
}

func TestStatusSaysWhatIsWrongWithTheGatewayWhereEveryTenantIsWell(t *testing.T) {
	t.Parallel()
	since := time.Now().Add(-time.Hour)
	address, _ := answering(t, http.StatusOK, report.Status{
		Troubles: []report.Trouble{{What: "store_unavailable", Since: &since, Cause: "dial tcp: refused", Means: "people get 503", Remedy: "look at the store"}},
		Apps:     []report.AppStatus{{App: "erp", Environment: "online", CallAs: "system", Tenants: []report.TenantStatus{{Tenant: "Cust1", Granted: true}}}},
	})
	for _, args := range [][]string{{"--attention"}, {}, {"Cust1"}} {
		out, _, _ := runs(t, statusCommand(), append(args, "--address", address)...)
		if !strings.HasPrefix(out, "store_unavailable, since ") || !strings.Contains(out, "(1h ago)\n  dial tcp: refused\n  people get 503\n  What to do: look at the store\n") || strings.Contains(out, "All is well") {
			t.Errorf("%v: %s", args, out)
		}
		if attention := len(args) == 1 && args[0] == "--attention"; strings.Contains(out, "Cust1") == attention {
			t.Errorf("%v: %s", args, out)
		}
	}
}

func TestEveryTableFits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 30)
	now := time.Now()
	call := &report.CallStatus{At: now, RequestID: "ddbf1fe5-5983-48be-a5d0-f82ebdbd1ba0", Operation: "ForceResyncExternalNoBlankValues", Outcome: "contradictory", ErrorCode: "CONNECTOR_TIMEOUT"}
	tenant := report.TenantStatus{
		Tenant: "Cust12345", Name: long, Host: "online3.superoffice.example", State: "OnlineMaintenance", Granted: true, Token: "approval", ApprovedBy: "tove@uno.example",
		Consent: "consent_required", TicketSince: &now, Message: long, Attention: "consent_required", Remedy: long, Last: call, Failed: call,
	}
	status := report.Status{Apps: []report.AppStatus{{App: "erp", Environment: "online", CallAs: "system", Sites: []string{"https://gateway.example"}, Remark: long, Tenants: []report.TenantStatus{tenant}}}}
	steps := []report.Step{{Name: "connections", Found: long, Remedy: long}}
	checks := []report.Check{{App: "erp", Tenant: "Cust12345", Name: long, Steps: steps}, {App: "erp", Tenant: "Cust12345", Error: long}}
	for name, print := range map[string]func(out *bytes.Buffer) error{
		"status":  func(out *bytes.Buffer) error { return printTable(out, &status, now, false) },
		"details": func(out *bytes.Buffer) error { return printDetails(out, &status, now) },
		"check":   func(out *bytes.Buffer) error { _, err := printChecks(out, checks[:1], false, false, 0); return err },
		"checks":  func(out *bytes.Buffer) error { _, err := printChecks(out, checks, false, false, 0); return err },
		"calls": func(out *bytes.Buffer) error {
			connection, seconds := int32(2147483647), 1234.5
			list := callList{out: out, now: now, calls: []report.HistoryCall{{RequestID: "ddbf1fe5-5983-48be-a5d0-f82ebdbd1ba0", App: long, Tenant: "Cust12345", Operation: "ForceResyncExternalNoBlankValues", Everything: true, Connection: &connection, Outcome: "contradictory", ErrorCode: long, Ended: &now, Seconds: &seconds}}}
			return list.close()
		},
		"month": func(out *bytes.Buffer) error {
			usage := report.Usage{Calls: 12345678, Keys: 123456789, Succeeded: 12345678, Failed: 123456, Refused: 123456, Timed: 1, Median: 301, Percentile95: 601, Longest: 901}
			return printMonth(out, &report.Month{Month: "2026-11", Lines: []report.MonthLine{{Tenant: "Cust12345", App: long, Connection: 123456, Usage: usage, FailingKeys: 123456, FailingEverything: true}}}, false)
		},
		"import": func(out *bytes.Buffer) error {
			return printImport(out, report.Import{Lines: []report.ImportLine{{Line: 1, Tenant: long, Problem: long}}}, false, false)
		},
	} {
		var out bytes.Buffer
		if err := print(&out); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%s: %d characters: %s", name, n, line)
			}
		}
	}
	var wide bytes.Buffer
	if err := printTable(&wide, &status, now, true); err != nil || !strings.Contains(wide.String(), "online3.superoffice.example") || !strings.Contains(wide.String(), strings.TrimSpace(long)) {
		t.Errorf("%v %s", err, wide.String())
	}
}

func TestAGatewayIsAskedWhereItIsNamedMostExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		named, run, admin string
		there             bool
		want              string
	}{
		{"localhost:1", "/run/x", "localhost:2", true, "localhost:1"},
		{"", "/run/x", "localhost:2", true, "unix//run/x/erpsync.sock"},
		{"", "/run/x", "localhost:2", false, "localhost:2"},
		{"", "/run/x", "", false, "unix//run/x/erpsync.sock"},
		{"", "", "localhost:2", true, "localhost:2"},
		{"", "", "", true, "unix//run/caddy/erpsync.sock"},
		{"", "", "", false, "localhost:2019"},
	} {
		getenv := func(name string) string { return map[string]string{"ERPSYNC_RUN": c.run, "CADDY_ADMIN": c.admin}[name] }
		if got := addressOf(c.named, getenv, func(path string) bool { return c.there && strings.HasSuffix(path, "/erpsync.sock") }); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestASocketThatDoesNotAnswerIsNamedWithWhoMayOpenItAndHowToNameAnother(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "erpsync") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ended := filepath.Join(dir, "ended")
	listener, err := net.Listen("unix", ended)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	nobody := testport.Address(t)
	for address, want := range map[string]string{
		"unix/" + dir + "/none":      "there is no socket " + dir + "/none: start the gateway, or name another with --address, ERPSYNC_RUN or CADDY_ADMIN (the global options operators and admin say where it listens)",
		"unix/" + dir + "/none|0660": "there is no socket " + dir + "/none: ",
		"unix/" + ended:              "nothing listens at the socket " + ended + " any more: start the gateway, or name another with --address",
		nobody:                       "nothing listens at " + nobody + ": start the gateway, or name another",
		"localhost:1-9":              `address "localhost:1-9": want a unix socket such as unix//run/caddy/erpsync.sock, or host:port`,
	} {
		if _, _, err := runs(t, statusCommand(), "--address", address); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}

	// Root opens everything, so what others read is judged from the file alone.
	if err := os.Chmod(ended, 0o200); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(ended)
	if err != nil {
		t.Fatal(err)
	}
	owner, group, known := ownerOf(info)
	if !known {
		t.Skip("this system names no owners")
	}
	if got := whoMayOpen(ended, os.Stat); !strings.HasPrefix(got, "it is open to user "+owner+" (mode 0200), and you are ") {
		t.Error(got)
	}
	if err := os.Chmod(ended, 0o660); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	if got := whoMayOpen(ended, os.Stat); !strings.HasPrefix(got, "it is open to user "+owner+" and group "+group+" (mode 0660), and you are ") {
		t.Error(got)
	}
	closed := func(path string) (os.FileInfo, error) {
		if path == ended {
			return nil, os.ErrPermission
		}
		return os.Stat(path)
	}
	if got := whoMayOpen(ended, closed); !strings.HasPrefix(got, "its folder "+dir+" is open to user "+owner+" (mode 0700)") {
		t.Error(got)
	}
	denied := place{"unix", ended, ""}.unreachable(&net.OpError{Op: "dial", Err: os.ErrPermission})
	if want := "the socket " + ended + " does not let you in: it is open to user "; !strings.HasPrefix(denied.Error(), want) || !strings.HasSuffix(denied.Error(), "Run the command as that user, or name another with --address, ERPSYNC_RUN or CADDY_ADMIN (the global options operators and admin say where it listens)") {
		t.Error(denied)
	}
}

func TestWhatTheGatewaySaysIsPassedOnAndAnotherServerIsNot(t *testing.T) {
	t.Parallel()
	address, _ := answering(t, http.StatusNotFound, map[string]string{"error": "no app\x1b is configured"})
	if _, _, err := runs(t, statusCommand(), "--address", address); err == nil || err.Error() != "no app? is configured" {
		t.Error(err)
	}
	address, _ = answering(t, http.StatusNotFound, "not found")
	if _, _, err := runs(t, statusCommand(), "--address", address); err == nil || !strings.Contains(err.Error(), "does not answer as a gateway with erpsync (HTTP 404)") {
		t.Error(err)
	}
}
