package operator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// keepingCalls is a gateway whose history has so many calls, numbered downwards, and what it was asked.
func keepingCalls(t *testing.T, n int) (address string, asked *[]url.Values) {
	t.Helper()
	asked = new([]url.Values)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		*asked = append(*asked, query)
		limit, _ := strconv.Atoi(query.Get("limit"))
		next := n
		if before, err := strconv.Atoi(query.Get("before")); err == nil {
			next = before - 1
		}
		page := report.HistoryPage{Incomplete: 1}
		for ; next > 0 && len(page.Calls) < limit; next-- {
			ended := time.Unix(int64(next), 0)
			page.Calls = append(page.Calls, report.HistoryCall{ID: int64(next), RequestID: fmt.Sprintf("r%d", next), Outcome: "ok", Started: ended, Ended: &ended})
		}
		if next > 0 {
			page.Next = int64(next + 1)
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

func TestCallsAreListedPageByPageUpToTheLimit(t *testing.T) {
	t.Parallel()
	const all = 2*pageOfCalls + 7
	for _, c := range []struct {
		args  string
		calls int
		note  string
	}{
		{"--json", 100, "--before " + strconv.Itoa(all-99)},
		{"--json --limit 0", all, ""},
		{"--json --limit 3", 3, "--before " + strconv.Itoa(all-2)},
		{"--json --before 4 --limit 0", 3, ""},
		{"--json --limit 0 --key 386", all, "only the first keys are known: they may name 386"},
		{"--limit 0", all + 1, ""}, // with its head
	} {
		address, _ := keepingCalls(t, all)
		out, errs, err := runs(t, listCallsCommand(), append(strings.Fields(c.args), "--address", address)...)
		if err != nil || strings.Count(out, "\n") != c.calls || !strings.Contains(errs, c.note) || c.note == "" && strings.Contains(errs, "--before") {
			t.Errorf("%s: %d lines, %s, %v", c.args, strings.Count(out, "\n"), errs, err)
		}
		seen := make(map[string]bool)
		for line := range strings.Lines(out) {
			if seen[line] {
				t.Errorf("%s: twice: %s", c.args, line)
			}
			seen[line] = true
			var call report.HistoryCall
			if strings.Contains(c.args, "--json") && json.Unmarshal([]byte(line), &call) != nil {
				t.Errorf("%s: no line of JSON: %s", c.args, line)
			}
		}
	}
}

func TestAListOfCallsAsksForWhatItsFlagsSay(t *testing.T) {
	t.Parallel()
	address, asked := keepingCalls(t, 0)
	out, _, err := runs(t, listCallsCommand(), "--address", address, "--tenant", "Cust1", "--app", "erp", "--environment", "online", "--connection", "0", "--key", "386", "--everything", "--outcome", "error,fault",
		"--decision", "allowed", "--reason", "r", "--principal", "p", "--since", "2026-11-24T08:00:00Z", "--until", "2026-11-25T08:00:00Z", "--before", "1", "--limit", "5")
	if err != nil || out != "No such call.\n" || len(*asked) != 1 {
		t.Fatalf("%s %v %v", out, err, *asked)
	}
	want := url.Values{
		"tenant": {"Cust1"}, "app": {"erp"}, "environment": {"online"}, "connection": {"0"}, "key": {"386"}, "everything": {"true"}, "outcome": {"error", "fault"},
		"decision": {"allowed"}, "reason": {"r"}, "principal": {"p"}, "since": {"2026-11-24T08:00:00Z"}, "until": {"2026-11-25T08:00:00Z"}, "before": {"1"}, "limit": {"5"},
	}
	for name, values := range want {
		if !slices.Equal((*asked)[0][name], values) {
			t.Errorf("%s: %v", name, (*asked)[0][name])
		}
	}
	if len((*asked)[0]) != len(want) {
		t.Errorf("%v", (*asked)[0])
	}
	for args, want := range map[string]string{"--since yesterday": "history list: --since:", "--everything": "history list: --everything:", "--limit -1": "history list: --limit:"} {
		if _, _, err := runs(t, listCallsCommand(), append(strings.Fields(args), "--address", address)...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestCallsAreShownWithWhatTheyCameTo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	ended, seconds, erp, crm := now.Add(-time.Minute), 75.2, int32(612), int32(0)
	call := report.HistoryCall{RequestID: "0190c0de", App: "erp", Tenant: "Cust12345", Operation: "ForceResync", Connection: &erp, KeyCount: 60, Decision: "allowed", Outcome: "error", ErrorCode: "E1", Started: now.Add(-2 * time.Minute), Ended: &ended, Seconds: &seconds}
	open, refused, all := call, call, call
	open.Ended, open.Seconds, open.Outcome, open.ErrorCode, open.Started = nil, nil, "", "", now.AddDate(0, 0, -3)
	refused.Connection, refused.Decision, refused.Outcome, refused.Reason, refused.ErrorCode, refused.Operation = nil, "refused", "", "rate_limited", "", "unknown"
	all.Tenant, all.Connection, all.Everything, all.Outcome, all.ErrorCode, all.Started = "", &crm, true, "ok", "", now.AddDate(-1, 0, 0)
	short := 0.0421
	all.Seconds = &short
	var out bytes.Buffer
	list := callList{out: &out, now: now, calls: []report.HistoryCall{call, open, refused, all}}
	if err := list.close(); err != nil {
		t.Fatal(err)
	}
	const want = `BEGAN        TENANT     APP  OPERATION    FROM  KEYS        OUTCOME       CODE  TOOK   REQUEST
11:58:00     Cust12345  erp  ForceResync  612   60          error         E1    1m15s  0190c0de
11-24 12:00  Cust12345  erp  ForceResync  612   60          under way     -     -      0190c0de
11:58:00     Cust12345  erp  unknown      -     -           rate_limited  -     1m15s  0190c0de
2025-11-27   onsite     erp  ForceResync  crm   everything  ok            -     42ms   0190c0de
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func TestOneCallIsShownWithAllItsKeys(t *testing.T) {
	t.Parallel()
	ended, seconds, connection := time.Unix(2, 0), 1.0, int32(612)
	call := report.HistoryCall{
		RequestID: "r1", Tenant: "Cust1", Operation: "ForceResyncExternal", Connection: &connection, KeyCount: 200, ExternalKeys: []string{"K 1", "\x1b[2J"}, Partial: true, ActorType: "Customer", Decision: "allowed",
		Outcome: "unknown", OutcomeCause: "no_end", Started: time.Unix(1, 0), Ended: &ended, Seconds: &seconds, Remedy: "look in SuperOffice",
	}
	address, _ := answering(t, http.StatusOK, report.HistoryPage{Calls: []report.HistoryCall{call}})
	out, _, err := runs(t, showCallCommand(), "r1", "--address", address)
	for _, want := range []string{"request       r1\n", "keys          200 of Customer, of which the first 2 are known\n", "outcome       unknown no_end\n", "to do         look in SuperOffice\n", `"K 1" "\x1b[2J"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s%v", want, out, err)
		}
	}
	if out, _, err := runs(t, showCallCommand(), "r1", "--json", "--address", address); err != nil || !strings.Contains(out, `"outcome_cause": "no_end"`) {
		t.Errorf("%s%v", out, err)
	}
	nothing, _ := answering(t, http.StatusOK, report.HistoryPage{})
	if _, _, err := runs(t, showCallCommand(), "r1", "--address", nothing); err == nil || !strings.Contains(err.Error(), "there is no call r1") {
		t.Error(err)
	}
}
