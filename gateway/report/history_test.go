package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// importing is a history that takes what is imported.
type importing struct {
	failingStore

	rows []history.Row
}

func (s *importing) Open(context.Context, history.Gateway) (history.Store, error) { return s, nil }

func (s *importing) Import(_ context.Context, rows []history.Row) (int, error) {
	s.rows = append(s.rows, rows...)
	return len(rows) - 1, s.err
}

func raw(keys ...any) (all []json.RawMessage) {
	for _, key := range keys {
		text, _ := json.Marshal(key)
		all = append(all, text)
	}
	return all
}

func TestAnAuditLineBecomesTheRowThatItWouldHaveBeen(t *testing.T) {
	t.Parallel()
	store, journal := new(importing), history.New("node", zap.NewNop())
	d := newDesk(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	if err := journal.Open(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(journal.Close)
	at, connection := time.Unix(1_795_000_000, 0), int32(612)
	ended := at.Add(time.Minute)
	name := d.Config().Environment.Name()
	base := report.ImportedCall{RequestID: "whole", Environment: name, App: "erp", Tenant: "Cust12345", Scheme: "jwt", Operation: "ForceResync", Connection: &connection, KeyCount: 2, Keys: raw(386, 230), Decision: "allowed", Outcome: "error", ErrorCode: "E1", Sends: 1, Started: at, Ended: &ended}
	long, open, external, untyped, escaped, refused, all, fault := base, base, base, base, base, base, base, base
	long.RequestID, long.KeyCount = "long", 101
	open.Environment = "" // the line before a call does not say it
	open.RequestID, open.Ended, open.Outcome, open.Decision, open.Sends = "open", nil, "", "", 0
	external.RequestID, external.Operation, external.ActorType, external.Keys = "external", "ForceResyncExternal", "Customer", raw("K1", "1")
	untyped.RequestID, untyped.Operation, untyped.Keys = "untyped", "ForceResyncExternal", raw("K1", "K2")
	escaped.RequestID, escaped.Operation, escaped.ActorType, escaped.Keys = "escaped", "ForceResyncExternal", "Customer", raw(`a\u001b`, "b")
	refused.RequestID, refused.Decision, refused.Reason, refused.Outcome, refused.Sends, refused.Connection, refused.Keys, refused.KeyCount = "refused", "refused", "body_not_understood", "", 0, nil, nil, 0
	all.RequestID, all.Operation, all.Connection, all.Everything, all.Keys, all.KeyCount = "all", "SyncAll", nil, true, nil, 0
	fault.RequestID, fault.Outcome = "fault", ""
	done, err := d.sites.ImportHistory(t.Context(), report.HistoryImportRequest{Calls: []report.ImportedCall{base, long, open, external, untyped, escaped, refused, all, fault}})
	if err != nil || done.Taken != 8 || done.Known != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	rows := make(map[string]history.Row)
	for _, row := range store.rows {
		rows[row.RequestID] = row
		if row.Environment != d.EnvironmentLabel() || !row.Started.Equal(at) {
			t.Errorf("%+v", row)
		}
	}
	whole := rows["whole"]
	if keys, _, err := history.UnpackKeys(whole.Keys); err != nil || !slices.Equal(keys, []int32{386, 230}) || whole.Partial || !whole.Understood || whole.Operation != superoffice.ForceResync || whole.Outcome != outcome.Error || !whole.Ended.Equal(ended) || whole.Sent.IsZero() || whole.Connection != 612 {
		t.Errorf("%v %v %+v", keys, err, whole)
	}
	if _, names, err := history.UnpackKeys(rows["external"].Keys); err != nil || !slices.Equal(names, []string{"K1", "1"}) || rows["external"].ActorType != "Customer" {
		t.Errorf("%v %v", names, err)
	}
	for id, partial := range map[string]bool{"long": true, "untyped": true, "escaped": true, "external": false, "all": false} {
		if rows[id].Partial != partial {
			t.Errorf("%s: incomplete %v", id, rows[id].Partial)
		}
	}
	if _, moves := func() (history.Scope, bool) { r := rows["untyped"]; return r.Scope() }(); moves {
		t.Error("keys of nobody knows what open failures")
	}
	if r := rows["open"]; !r.Ended.IsZero() || r.Sent.IsZero() {
		t.Errorf("%+v", r)
	}
	if r := rows["refused"]; r.Understood || !r.Sent.IsZero() || r.Ended.IsZero() {
		t.Errorf("%+v", r)
	}
	if r := rows["all"]; !r.Everything || !r.Understood || r.Operation != superoffice.SyncAll {
		t.Errorf("%+v", r)
	}
	if rows["fault"].Outcome != outcome.Unknown {
		t.Errorf("%+v", rows["fault"])
	}

	for what, change := range map[string]func(*report.HistoryImportRequest){
		"want request_id":  func(q *report.HistoryImportRequest) { q.Calls[0].RequestID = "" },
		"and started":      func(q *report.HistoryImportRequest) { q.Calls[0].Started = time.Time{} },
		"want numbers":     func(q *report.HistoryImportRequest) { q.Calls[0].Keys = raw("K1") },
		"keys:":            func(q *report.HistoryImportRequest) { q.Calls[0].Keys = raw(1 << 40) },
		"longer than":      func(q *report.HistoryImportRequest) { q.Calls[0].Cause = strings.Repeat("x", 9000) },
		"at most":          func(q *report.HistoryImportRequest) { q.Calls = slices.Repeat(q.Calls, report.MaxImportCalls+1) },
		"no longer config": func(q *report.HistoryImportRequest) { q.Calls[0].Environment = "" },
	} {
		q := report.HistoryImportRequest{Calls: []report.ImportedCall{base}}
		change(&q)
		if _, err := d.sites.ImportHistory(t.Context(), q); err == nil || statusOf(err) != 0 || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	named := report.HistoryImportRequest{Environment: "https://crm.example.com/crm7/api", Calls: []report.ImportedCall{base}}
	if _, err := d.sites.ImportHistory(t.Context(), named); err != nil || store.rows[len(store.rows)-1].Environment != named.Environment {
		t.Errorf("%v, %+v", err, store.rows[len(store.rows)-1])
	}
	store.err = errDown
	if _, err := d.sites.ImportHistory(t.Context(), named); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
	if _, err := newDesk(t).sites.ImportHistory(t.Context(), named); statusOf(err) != http.StatusConflict {
		t.Error(fmt.Sprint("without history: ", err))
	}
}
