package operator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func samplePlan(now time.Time) report.RetryPlan {
	call := report.PlannedCall{RequestID: "0190c0de", Group: 17, App: "erp", Tenant: "Cust12345", Operation: "ForceResync", Connection: 612, Keys: 60, Failing: 58, Outcome: "error", ErrorCode: "E1", Failed: now.Add(-2 * time.Hour), Overwrites: "crm"}
	later, back, all := call, call, call
	later.Keys, later.Failed = 2, now.Add(-5*time.Minute)
	back.Group, back.Connection, back.Overwrites, back.Tenant = 18, 0, "erp", ""
	all.Group, all.Everything, all.Keys = 19, true, 0
	left := report.LeftOut{Group: 20, Tenant: "Cust54321", Calls: 2, Keys: 5, Oldest: now.Add(-72 * time.Hour), Newest: now.Add(-25 * time.Hour), Why: []report.Obstacle{
		{Code: "unknown", Says: "may have run: nobody knows its end", Flag: "--include-unknown"}, {Code: "older", Says: "failed longer ago than 24h", Flag: "--older-than"},
	}}
	lost := report.LeftOut{Group: 21, Tenant: "Cust54321", Keys: 1, Oldest: now.Add(-time.Hour), Newest: now.Add(-time.Hour), Why: []report.Obstacle{{Code: "lost", Says: "their calls are no longer in the history"}}}
	return report.RetryPlan{
		Digest: "5f1e", At: now, Calls: []report.PlannedCall{call, later, back, all}, Keys: 122, Failing: 120, Tenants: 2, Overwrites: []string{"crm", "erp"}, LeftOut: []report.LeftOut{left, lost}, Remark: "the history lost 3 rows",
	}
}

func TestAPlanSaysInWordsWhatIsDoneAndWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	if err := printPlan(&out, samplePlan(now), now, true); err != nil {
		t.Fatal(err)
	}
	const want = `4 calls, 122 keys, 2 tenants:

GROUP  TENANT     FROM  APP  OUTCOME  CODE  CALLS  KEYS        FAILED    OVERWRITES
17     Cust12345  612   erp  error    E1    2      62          5m to 2h  the CRM
18     onsite     crm   erp  error    E1    1      60          2h        the ERP
19     Cust12345  612   erp  error    E1    1      everything  2h        the CRM

Records in the CRM and in ERP systems are overwritten. A resync ignores timestamps: what was changed
there since is lost.
Calls are sent as they were: 2 keys that no longer fail, or fail for another cause, go with them.
1 resync of everything.

Left out:
  group 20, Cust54321, 2 calls, 5 keys, failed 25h to 3d ago: may have run: nobody knows its end
  (--include-unknown); failed longer ago than 24h (--older-than)
  group 21, Cust54321, 1 key, failed 1h ago: their calls are no longer in the history

the history lost 3 rows.
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	for what, plan := range map[string]report.RetryPlan{"Nothing fails.\n": {}, "There is no call to be made once more.\n": {LeftOut: samplePlan(now).LeftOut}} {
		out.Reset()
		if err := printPlan(&out, plan, now, false); err != nil || !strings.HasPrefix(out.String(), what) {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}

// streaming is a gateway that plans, and carries out with those events.
func streaming(t *testing.T, plan report.RetryPlan, events ...report.RetryEvent) (address string, asked *[]string) {
	t.Helper()
	asked = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		*asked = append(*asked, r.URL.Path+" "+string(raw))
		if r.URL.Path == report.RetryPlanPath {
			_ = json.NewEncoder(w).Encode(plan)
			return
		}
		for _, event := range events {
			_ = json.NewEncoder(w).Encode(event)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

// attention reports whether a command ended with 2.
func attention(err error) bool { return err != nil && err.Error() == "exiting with status 2" }

func TestARetryWithoutYesOnlyAsksForThePlan(t *testing.T) {
	t.Parallel()
	address, asked := streaming(t, samplePlan(time.Now()))
	out, _, err := runs(t, retryCommand(), "17", "--older-than", "3d", "--include-unknown", "--max-failures", "0", "--address", address)
	if !attention(err) || !strings.Contains(out, "Nothing was done. --yes makes these calls") || !strings.Contains(out, "--plan 5f1e") {
		t.Errorf("%s, %v", out, err)
	}
	if len(*asked) != 1 || (*asked)[0] != report.RetryPlanPath+` {"group":17,"older_than":"72h0m0s","include_unknown":true,"limit":500,"max_failures":0,"pause":"1s"}` {
		t.Errorf("%q", *asked)
	}
	if out, _, err := runs(t, retryCommand(), "--all", "--json", "--address", address); !attention(err) || !strings.HasPrefix(out, "{") || !json.Valid([]byte(out)) {
		t.Errorf("%s, %v", out, err)
	}
	for _, args := range [][]string{nil, {"17", "--all"}, {"17", "--tenant", "Cust12345"}, {"--all", "--app", "erp"}, {"x"}, {"0"}, {"--all", "--limit", "0"}, {"--all", "--older-than", "7"}, {"--all", "--older-than", "0d"}, {"--since", "yesterday"}} {
		if out, _, err := runs(t, retryCommand(), append(args, "--address", address)...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	if len(*asked) != 2 {
		t.Errorf("%q", *asked)
	}
}

func TestARetryPrintsWhatHappens(t *testing.T) {
	t.Parallel()
	plan := samplePlan(time.Now())
	call := func(number int, result, outcome string) report.RetryEvent {
		return report.RetryEvent{Call: &report.RetriedCall{Number: number, Tenant: "Cust12345", Retries: "old", Keys: 60, Sent: true, Outcome: outcome, Result: result, RequestID: "new"}}
	}
	events := []report.RetryEvent{
		{Plan: &plan},
		{Waiting: &report.RetryWait{Number: 1, Tenant: "Cust12345", Reason: "rate_limited", Until: "2026-11-27T12:00:00Z"}},
		call(1, "succeeded", "ok"), call(2, "failed", "error"),
		{Call: &report.RetriedCall{Number: 3, Keys: 60, Result: "not_made", Reason: "on_hold", Says: "Calls are on hold."}},
		{Stopped: &report.RetryStop{Tenant: "Cust12345", Reason: "on_hold", Says: "Calls are on hold.", NotMade: 1}},
		{Done: &report.RetrySummary{Planned: 4, Sent: 2, Succeeded: 1, Failed: 1, NotMade: 2, Stopped: "interrupted"}},
	}
	address, _ := streaming(t, plan, events...)
	out, _, err := runs(t, retryCommand(), "--all", "--yes", "--address", address)
	if !attention(err) {
		t.Fatal(err)
	}
	for _, line := range []string{
		"4 calls, 122 keys, 2 tenants:\n", "\n1/4 Cust12345 waits: rate_limited, until 2026-11-27T12:00:00Z\n", "\n1/4 Cust12345, 60 keys: succeeded (ok); request new\n", "\n2/4 Cust12345, 60 keys: failed (error); request new\n",
		"\n3/4 onsite, 60 keys: not made (on_hold): Calls are on hold.\n", "\nNo further calls in Cust12345 (1 call not made): Calls are on hold.\n",
		"\n4 calls, 2 sent: 1 succeeded, 1 failed, 2 not made.\nIt ended early: interrupted. The same command goes on there.\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	out, _, err = runs(t, retryCommand(), "--all", "--yes", "--json", "--address", address)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); !attention(err) || len(lines) != len(events) || !json.Valid([]byte(lines[0])) {
		t.Errorf("%s, %v", out, err)
	}
}

func TestARetryEndsWith0WhereEveryCallWentThroughAndNothingWasLeftOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		done report.RetrySummary
		says string
		good bool
	}{
		"all":            {report.RetrySummary{Planned: 3, Sent: 1, Succeeded: 1, Before: 1, Cured: 1}, "3 calls, 1 sent: 1 succeeded, 1 had gone through before, 1 no longer failed.", true},
		"nothing":        {report.RetrySummary{}, "nothing to do", true},
		"left out":       {report.RetrySummary{Planned: 1, Sent: 1, Succeeded: 1, LeftOut: 1}, "1 succeeded", false},
		"a batch task":   {report.RetrySummary{Planned: 1, Sent: 1, Accepted: 1}, "1 accepted by SuperOffice, which does not report their outcome", false},
		"one that fails": {report.RetrySummary{Planned: 1, Sent: 1, Failed: 1}, "1 failed", false},
	} {
		address, _ := streaming(t, report.RetryPlan{}, report.RetryEvent{Plan: new(report.RetryPlan)}, report.RetryEvent{Done: &c.done})
		out, _, err := runs(t, retryCommand(), "--all", "--yes", "--address", address)
		if (err == nil) != c.good || !c.good && !attention(err) || !strings.Contains(out, c.says) {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	address, _ := streaming(t, report.RetryPlan{})
	if out, _, err := runs(t, retryCommand(), "--all", "--address", address); err != nil || out != "Nothing fails.\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestARetryThatBreaksOffIsNoSuccess(t *testing.T) {
	t.Parallel()
	plan := report.RetryPlan{}
	for name, c := range map[string]struct {
		events []report.RetryEvent
		says   string
	}{
		"no end":   {[]report.RetryEvent{{Plan: &plan}}, "broke off"},
		"an error": {[]report.RetryEvent{{Plan: &plan}, {Error: "the history is gone"}}, "the history is gone"},
		"nothing":  {nil, "broke off"},
	} {
		address, _ := streaming(t, plan, c.events...)
		if out, _, err := runs(t, retryCommand(), "--all", "--yes", "--address", address); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	address, _ := answering(t, http.StatusForbidden, map[string]string{"error": "nothing shows who asks"})
	if _, _, err := runs(t, retryCommand(), "--all", "--yes", "--address", address); err == nil || !strings.Contains(err.Error(), "nothing shows who asks") {
		t.Errorf("%v", err)
	}
}
