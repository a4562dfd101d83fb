package report_test

import (
	"context"
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

// readStore is a history that answers what it is told to.
type readStore struct {
	failingStore

	calls   history.CallFilter
	usage   history.UsageFilter
	forget  history.ForgetFilter
	page    history.Page
	usages  history.Usages
	gone    history.Forgotten
	failing []history.Failure
}

func (s *readStore) Open(context.Context, history.Gateway) (history.Store, error) { return s, nil }

func (s *readStore) Calls(_ context.Context, filter history.CallFilter) (history.Page, error) {
	s.calls = filter
	return s.page, s.err
}

func (s *readStore) Usage(_ context.Context, filter history.UsageFilter) (history.Usages, error) {
	s.usage = filter
	return s.usages, s.err
}

func (s *readStore) Failures(context.Context, history.Filter) ([]history.Failure, error) {
	return s.failing, s.err
}

func (s *readStore) Forget(_ context.Context, filter history.ForgetFilter) (history.Forgotten, error) {
	s.forget = filter
	return s.gone, s.err
}

// newReader is a desk with a history that answers what it is told to.
func newReader(t *testing.T) (*readStore, *report.Sites, string) {
	t.Helper()
	store, journal := new(readStore), history.New("node", zap.NewNop())
	d := newDesk(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	if err := journal.Open(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(journal.Close)
	return store, &d.sites, d.EnvironmentLabel()
}

func TestCallsAreToldWithTheirKeysAndWhatToDo(t *testing.T) {
	t.Parallel()
	store, sites, _ := newReader(t)
	at := time.Unix(1_795_000_000, 0)
	failed := history.Call{ID: 9, Row: history.Row{
		RequestID: "r9", App: "erp", Tenant: "Cust12345", Operation: superoffice.ForceResync, Understood: true, Connection: -1, KeyCount: 2,
		Keys: history.PackKeys(&superoffice.Arguments{Keys: []int32{386, 230}}), Decision: "allowed", Outcome: outcome.Error, Started: at, Sent: at, Ended: at.Add(1500 * time.Millisecond),
	}}
	open, refused := failed, failed
	open.ID, open.RequestID, open.Ended, open.Outcome, open.Decision, open.Keys = 8, "r8", time.Time{}, "", "", nil
	refused.RequestID, refused.Understood, refused.Keys, refused.Outcome, refused.Decision, refused.Reason = "r7", false, nil, "", "refused", "rate_limited"
	store.page = history.Page{Calls: []history.Call{failed, open, refused}, Next: 7, Bounded: true, Incomplete: 3}
	connection := int32(612)
	page, err := sites.History(t.Context(), report.HistoryRequest{
		Environment: "online", App: "erp", Tenant: "cust12345", RequestID: "r", Principal: "p", Connection: &connection, Key: "386", OrEverything: true, Outcomes: []string{"error", "fault"},
		Decision: "allowed", Reason: "x", Since: at, Until: at.Add(time.Hour), Before: 10, Limit: 5, Keys: true,
	})
	if err != nil || len(page.Calls) != 3 || page.Next != 7 || !page.Bounded || page.Incomplete != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	want := history.CallFilter{
		Environment: "online", App: "erp", Tenant: "Cust12345", RequestID: "r", Principal: "p", Connection: &connection, Key: "386", OrEverything: true, Outcomes: []outcome.Class{outcome.Error, outcome.Fault},
		Decision: "allowed", Reason: "x", From: at, To: at.Add(time.Hour), Before: 10, Limit: 5,
	}
	if fmt.Sprintf("%+v", store.calls) != fmt.Sprintf("%+v", want) {
		t.Errorf("asked for\n%+v\nwant\n%+v", store.calls, want)
	}
	c := page.Calls[0]
	if c.ID != 9 || *c.Connection != 0 || !slices.Equal(c.Keys, []int32{386, 230}) || *c.Seconds != 1.5 || c.What() != "error" || c.Remedy != outcome.Error.Remedy() || c.Operation != "ForceResync" {
		t.Errorf("%+v", c)
	}
	if c := page.Calls[1]; c.Ended != nil || c.Seconds != nil || c.What() != "under way" {
		t.Errorf("%+v", c)
	}
	if c := page.Calls[2]; c.Connection != nil || c.What() != "rate_limited" || c.Remedy == "" {
		t.Errorf("%+v", c)
	}
	if _, err := sites.History(t.Context(), report.HistoryRequest{}); err != nil || !store.calls.WithoutKeys {
		t.Errorf("%v, %+v", err, store.calls)
	}

	for name, q := range map[string]report.HistoryRequest{
		"tenant": {Tenant: "12345"}, "outcome": {Outcomes: []string{"failed"}}, "decision": {Decision: "denied"}, "limit": {Limit: history.MaxCalls + 1}, "before": {Before: -1},
	} {
		if _, err := sites.History(t.Context(), q); err == nil || statusOf(err) != 0 || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	store.page.Calls[0].Keys = []byte{9}
	if _, err := sites.History(t.Context(), report.HistoryRequest{}); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("keys that cannot be read: %v", err)
	}
	for want, err := range map[int]error{http.StatusGone: history.ErrNoCall, http.StatusServiceUnavailable: errDown} {
		store.err = err
		if _, err := sites.History(t.Context(), report.HistoryRequest{Before: 3}); statusOf(err) != want {
			t.Errorf("want %d: %v", want, err)
		}
	}
	if _, err := newDesk(t).sites.History(t.Context(), report.HistoryRequest{}); statusOf(err) != http.StatusConflict {
		t.Errorf("without history: %v", err)
	}
}

func TestAMonthIsToldWithWhatIsNotKnownOfIt(t *testing.T) {
	t.Parallel()
	store, sites, environment := newReader(t)
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := month.AddDate(0, 0, 26)
	counts := history.Counts{Outcomes: map[outcome.Class]int64{outcome.OK: 3, outcome.Info: 1, outcome.Error: 2, outcome.Accepted: 1}, Refused: map[string]int64{"rate_limited": 4}, Calls: 11, Keys: 70}
	counts.Timed, counts.Sum, counts.Longest, counts.Within[4] = 4, 4*time.Second, 2*time.Second, 4
	store.usages = history.Usages{Since: month.AddDate(-1, 0, 0), Entries: []history.Usage{{Environment: environment, App: "erp", Tenant: "Cust12345", Connection: 612, Counts: counts, LastFailure: month.Add(time.Hour)}}}
	here := history.Failure{App: "erp", Scope: history.Scope{Environment: environment, Tenant: "Cust12345", Connection: 612}, Keys: 3}
	more, elsewhere := here, here
	more.Keys, more.Everything = 2, true
	elsewhere.Connection = 613
	store.failing = []history.Failure{here, more, elsewhere}
	ask := func(q report.MonthRequest) (report.Month, error) { return sites.Month(t.Context(), q, now) }
	got, err := ask(report.MonthRequest{Month: "2026-11", Tenant: "cust12345", App: "erp", Environment: "online"})
	if err != nil || len(got.Lines) != 1 || got.Partial || !got.ToDate || !got.From.Equal(month) || !got.To.Equal(month.AddDate(0, 1, 0)) {
		t.Fatalf("%+v, %v", got, err)
	}
	if want := (history.UsageFilter{From: month, To: month.AddDate(0, 1, 0), Tenant: "Cust12345", App: "erp", Environment: "online", Whole: true}); store.usage != want {
		t.Errorf("asked for %+v", store.usage)
	}
	l := got.Lines[0]
	if l.Calls != 11 || l.Keys != 70 || l.Succeeded != 4 || l.Failed != 2 || l.Accepted != 1 || l.Refused != 4 || l.RefusedBy["rate_limited"] != 4 || l.Outcomes["ok"] != 3 || l.Mean != 1 || l.Longest != 2 || l.Median != 0.75 ||
		l.FailingKeys != 5 || !l.FailingEverything || l.LastSuccess != nil || !l.LastFailure.Equal(month.Add(time.Hour)) {
		t.Errorf("%+v", l)
	}
	if got, err := ask(report.MonthRequest{Month: "2026-10"}); err != nil || got.ToDate {
		t.Errorf("%+v, %v", got, err)
	}
	store.usages.Since = month.AddDate(0, 0, 3)
	if got, err := ask(report.MonthRequest{Month: "2026-11"}); err != nil || !got.Partial || !got.Since.Equal(store.usages.Since) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ask(report.MonthRequest{Month: "2026-10"}); err != nil || !got.Partial || len(got.Lines) != 1 {
		t.Errorf("a month that was imported: %+v, %v", got, err)
	}
	store.usages.Entries = nil
	if got, err := ask(report.MonthRequest{Month: "2026-11"}); err != nil || got.Lines == nil || len(got.Lines) != 0 {
		t.Errorf("nothing was called: %+v, %v", got, err)
	}
	if _, err := ask(report.MonthRequest{Month: "2026-10"}); statusOf(err) != http.StatusNotFound || !strings.Contains(err.Error(), "since 2026-11-04") {
		t.Errorf("an absence is no zero: %v", err)
	}
	for what, q := range map[string]report.MonthRequest{"still to come": {Month: "2026-12"}, "such as": {Month: "11/2026"}, "Cust12345": {Month: "2026-11", Tenant: "1"}} {
		if _, err := ask(q); err == nil || statusOf(err) != 0 || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	store.err = errDown
	if _, err := ask(report.MonthRequest{Month: "2026-11"}); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
}

func TestATenantIsForgottenInTheHistory(t *testing.T) {
	t.Parallel()
	store, sites, _ := newReader(t)
	store.gone = history.Forgotten{Calls: 5, Failures: 2, FailingKeys: 3, Closures: 1, Days: 4}
	got, err := sites.Forget(t.Context(), report.ForgetRequest{Tenant: "cust12345", Environment: "online", App: "erp"})
	want := report.Forgotten{Forgotten: "tenant Cust12345 of app erp in online", Removed: true, Calls: 5, Failures: 2, FailingKeys: 3, Closures: 1, Days: 4}
	if err != nil || got != want || store.forget != (history.ForgetFilter{Tenant: "Cust12345", Environment: "online", App: "erp"}) {
		t.Errorf("%+v, %v, %+v", got, err, store.forget)
	}
	if got, err := sites.Forget(t.Context(), report.ForgetRequest{Tenant: "Cust12345", DryRun: true}); err != nil || got.Removed || !store.forget.DryRun {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := sites.Forget(t.Context(), report.ForgetRequest{Tenant: "12345"}); err == nil || statusOf(err) != 0 {
		t.Errorf("no tenant: %v", err)
	}
	store.err = errDown
	if got, err := sites.Forget(t.Context(), report.ForgetRequest{Tenant: "Cust12345"}); statusOf(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "not everything") || got.Removed || got.Calls != 5 {
		t.Errorf("half of it: %+v, %v", got, err)
	}
	store.gone, store.err = history.Forgotten{}, history.ErrForgetNothing
	if _, err := sites.Forget(t.Context(), report.ForgetRequest{}); err == nil || statusOf(err) != 0 {
		t.Errorf("everybody: %v", err)
	}
}
