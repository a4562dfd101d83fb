package report_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	agentOK    = `{"IsOk":true,"Status":"Ok"}`
	agentError = `{"IsOk":false,"Status":"Error","ErrorCode":"E1"}`
)

// trial is a desk whose gateway keeps a history in a file, before a SuperOffice of three tenants whose agent answers as told.
type trial struct {
	*desk
	*agent
	journal *history.Journal
	store   *spoilt
	n       int
}

// agent answers in the place of SuperOffice's, and counts what is sent to it.
type agent struct {
	mu     sync.Mutex
	sent   map[string]int // by tenant and body
	answer func(tenant, body string) string
}

var trialTenants = []string{"Cust12345", "Cust54321", "Cust20001"}

func newTrial(t *testing.T, options ...gatewaytest.Option) *trial {
	t.Helper()
	a := &agent{sent: make(map[string]int), answer: func(string, string) string { return agentError }}
	so := gatewaytest.NewSandboxBehind(t, a.serve, sandbox.WithTenants(1))
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	file := &sqlite.SQLite{Path: filepath.Join(t.TempDir(), "history.db")}
	if err := file.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return trialOver(t, so, &trial{agent: a, store: &spoilt{SQLite: file}}, options...)
}

// beside returns a trial of another gateway, with the same history and SuperOffice.
func (d *trial) beside(t *testing.T, options ...gatewaytest.Option) *trial {
	t.Helper()
	return trialOver(t, d.SO, &trial{agent: d.agent, store: &spoilt{SQLite: d.store.SQLite}}, options...)
}

func trialOver(t *testing.T, so *sandbox.Sandbox, d *trial, options ...gatewaytest.Option) *trial {
	t.Helper()
	d.journal = history.New("node", zap.NewNop())
	if err := d.journal.Open(t.Context(), d.store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.journal.Close)
	options = append([]gatewaytest.Option{
		gatewaytest.On(func(p *gateway.Platform) { p.History = d.journal }),
		gatewaytest.Configure(func(c *gateway.Config) { c.Apps[1].Operations = superoffice.Operations() }),
	}, options...)
	d.desk = before(t, gatewaytest.NewIn(t, so, options...))
	return d
}

func (a *agent) serve(w http.ResponseWriter, r *http.Request) bool {
	tenant, operation, ours := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/api/v1/Agents/ErpSync/")
	if !ours {
		return false
	}
	raw, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.sent[tenant+" "+string(raw)]++
	answer := a.answer
	a.mu.Unlock()
	if operation == superoffice.ForceResyncBatchTask.String() {
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer(tenant, string(raw)))
	return true
}

func (a *agent) answers(answer func(tenant, body string) string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// heal has every call succeed from now on, and forgets what was sent.
func (a *agent) heal() {
	a.answers(func(string, string) string { return agentOK })
	a.sends()
}

// sends returns how often each body was sent in each tenant since it was asked last.
func (a *agent) sends() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	sent := a.sent
	a.sent = make(map[string]int)
	return sent
}

// call has a service call, and waits until the history has it.
func (d *trial) call(tenant, body string) {
	d.t.Helper()
	got := d.Do(nil, http.MethodPost, "/"+tenant+"/api/v1/Agents/ErpSync/ForceResync", body, http.Header{"Authorization": {"Bearer " + d.Provider.Token(tenant, time.Hour)}})
	if got.Status != http.StatusOK {
		d.t.Fatalf("%+v", got)
	}
	d.written()
}

func (d *trial) written() {
	gatewaytest.WaitFor(d.t, func() bool { return d.journal.Queued() == 0 })
}

// failTwice has two calls fail in each tenant, and returns how often each is to be sent once more.
func (d *trial) failTwice() (want map[string]int) {
	d.t.Helper()
	want = make(map[string]int)
	for _, tenant := range trialTenants {
		for _, body := range []string{`{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, `{"ErpConnectionId":612,"InternalKeyIds":[231]}`} {
			d.call(tenant, body)
			want[tenant+" "+body] = 1
		}
	}
	return want
}

func (d *trial) fails() (keys int) {
	d.t.Helper()
	d.written()
	found, err := d.sites.Failures(d.t.Context(), report.FailuresRequest{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range found.Failures {
		keys += f.Keys
	}
	return keys
}

var everything = report.RetryRequest{All: true, Pause: "0s"}

// retry makes a second try, and returns its summary and its events in words.
func (d *trial) retry(request report.RetryRequest, operator string, on func(report.RetryEvent) error) (report.RetrySummary, []string) {
	d.t.Helper()
	var events []string
	summary, err := d.sites.Retry(d.t.Context(), request, report.By{Name: operator, Proof: "unix_peer"}, func(e report.RetryEvent) error {
		switch {
		case e.Plan != nil:
			events = append(events, fmt.Sprintf("plan %d", len(e.Plan.Calls)))
		case e.Call != nil:
			events = append(events, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Call.Tenant, e.Call.Result, e.Call.Reason)))
		case e.Waiting != nil:
			events = append(events, "waiting "+e.Waiting.Reason)
		case e.Stopped != nil:
			events = append(events, fmt.Sprintf("stopped %s %s %d", e.Stopped.Tenant, e.Stopped.Reason, e.Stopped.NotMade))
		case e.Done != nil:
			events = append(events, "done")
		}
		if on != nil {
			return on(e)
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return summary, events
}

// spoilt is a history in a file that fails when it is told to.
type spoilt struct {
	*sqlite.SQLite
	history.Store

	mu           sync.Mutex
	writes, asks error
	lost         int
	forgets      bool // it takes rows and keeps none
}

func (s *spoilt) Key() string                  { return s.SQLite.Key() }
func (s *spoilt) Retention() history.Retention { return history.Retention{} }
func (s *spoilt) Open(ctx context.Context, g history.Gateway) (_ history.Store, err error) {
	s.Store, err = s.SQLite.Open(ctx, g)
	return s, err
}

func (s *spoilt) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *spoilt) Write(ctx context.Context, rows []history.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes != nil {
		return s.writes
	}
	if s.forgets {
		return nil
	}
	return s.Store.Write(ctx, rows)
}

func (s *spoilt) FailedCalls(ctx context.Context, group int64) (history.Failed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed, err := s.Store.FailedCalls(ctx, group)
	failed.Lost += s.lost
	return failed, errors.Join(err, s.asks)
}

func TestASecondTrySendsEachFailedCallOnceAsItWas(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	want := d.failTwice()
	d.heal()
	plan, err := d.sites.PlanRetry(t.Context(), everything)
	if err != nil || len(plan.Calls) != 6 || plan.Keys != 9 || plan.Failing != 9 || plan.Tenants != 3 || len(plan.LeftOut) != 0 || !slices.Equal(plan.Overwrites, []string{"crm"}) || plan.Remark != "" {
		t.Fatalf("%+v, %v", plan, err)
	}
	if sent := d.sends(); len(sent) != 0 || d.fails() != 9 {
		t.Fatalf("a plan sends %v", sent)
	}
	for i, tenant := range append(trialTenants, trialTenants...) { // they take turns
		if c := plan.Calls[i]; c.Tenant != tenant || c.Operation != "ForceResync" || c.Outcome != "error" || c.Failed.IsZero() || c.Overwrites != "crm" || c.App != "erp" {
			t.Errorf("%d: %+v", i, c)
		}
	}
	request := everything
	request.Plan = plan.Digest
	summary, events := d.retry(request, "tove", nil)
	if sent := d.sends(); !maps.Equal(sent, want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
	if !summary.Whole() || summary.Sent != 6 || summary.Succeeded != 6 || summary.Planned != 6 || events[0] != "plan 6" || events[len(events)-1] != "done" || len(events) != 8 {
		t.Errorf("%+v %v", summary, events)
	}
	if d.fails() != 0 {
		t.Error("something fails still")
	}
	repeated := make(map[string]bool)
	for _, line := range d.Logs.FilterMessage("erpsync call").All()[6:] {
		fields := line.ContextMap()
		retries, _ := fields["retries"].(string)
		repeated[retries] = true
		if fields["principal"] != "tove" || fields["scheme"] != "operator" || fields["outcome"] != "ok" || fields["credential"] != "system SOTicket" || fields["app"] != "erp" {
			t.Errorf("%v", fields)
		}
	}
	for _, c := range plan.Calls {
		if !repeated[c.RequestID] {
			t.Errorf("no line names %s", c.RequestID)
		}
	}
	if summary, events := d.retry(everything, "tove", nil); !summary.Whole() || summary.Planned != 0 || len(events) != 2 || len(d.sends()) != 0 {
		t.Errorf("once more: %+v %v", summary, events)
	}
}

// failedRow is a call that failed an hour ago.
func (d *trial) failedRow(op superoffice.Operation, body string) history.Row {
	d.t.Helper()
	a, err := superoffice.ReadArguments(op, nil, []byte(body))
	if err != nil {
		d.t.Fatal(err)
	}
	d.n++
	at := time.Now().Add(-time.Hour).Add(time.Duration(d.n) * time.Second)
	return history.Row{
		RequestID: fmt.Sprintf("failed-%d", d.n), Node: "node", Environment: d.EnvironmentLabel(), App: "erp", Tenant: "Cust12345", Scheme: "jwt", Credential: "system SOTicket", Operation: op, Understood: true,
		Connection: a.Connection, Everything: a.Everything, ActorType: a.ActorType, Stated: a.Stated, Keys: history.PackKeys(&a), KeyCount: len(a.Keys) + len(a.ExternalKeys),
		Decision: "allowed", Outcome: outcome.Error, ErrorCode: "E1", Status: 200, Sends: 1, Started: at.Add(-time.Second), Sent: at.Add(-time.Second), Ended: at,
	}
}

func (d *trial) write(rows ...history.Row) {
	d.t.Helper()
	if err := d.store.Write(d.t.Context(), rows); err != nil {
		d.t.Fatal(err)
	}
}

func TestWhatIsLeftOutUnlessItIsNamed(t *testing.T) {
	t.Parallel()
	const full, keys = superoffice.ForceResync, `{"ErpConnectionId":612,"InternalKeyIds":[1,2]}`
	at := func(r *history.Row, ago time.Duration) {
		r.Ended = time.Now().Add(-ago)
		r.Started, r.Sent = r.Ended.Add(-time.Second), r.Ended.Add(-time.Second)
	}
	row := func(change func(d *trial, r *history.Row)) func(*trial) []history.Row {
		return func(d *trial) []history.Row {
			r := d.failedRow(full, keys)
			change(d, &r)
			return []history.Row{r}
		}
	}
	whole := func(d *trial) []history.Row { return []history.Row{d.failedRow(full, `{"ErpConnectionId":612}`)} }
	for name, c := range map[string]struct {
		rows    func(*trial) []history.Row
		code    string
		include func(*report.RetryRequest) // nil: nothing does
		option  gatewaytest.Option
	}{
		"older than a day":                  {row(func(_ *trial, r *history.Row) { at(r, 25*time.Hour) }), "older", func(q *report.RetryRequest) { q.OlderThan = "48h" }, nil},
		"unknown":                           {row(func(_ *trial, r *history.Row) { r.Outcome = outcome.Unknown }), "unknown", func(q *report.RetryRequest) { q.IncludeUnknown = true }, nil},
		"whose end a proxy made":            {row(func(_ *trial, r *history.Row) { r.Outcome, r.Status = outcome.Fault, 504 }), "unknown", func(q *report.RetryRequest) { q.IncludeUnknown = true }, nil},
		"that may be running still":         {row(func(_ *trial, r *history.Row) { at(r, time.Minute); r.Outcome = outcome.Unknown }), "may_run_still", nil, nil},
		"with a person's credential":        {row(func(_ *trial, r *history.Row) { r.Credential = "user bearer" }), "own_credential", nil, nil},
		"of an app that calls as users":     {row(func(_ *trial, r *history.Row) { r.App, r.Credential = "portal", "" }), "own_credential", nil, nil},
		"of which only some keys are known": {row(func(_ *trial, r *history.Row) { r.Partial, r.KeyCount = true, 101 }), "incomplete", nil, nil},
		"everything":                        {whole, "everything", func(q *report.RetryRequest) { q.IncludeEverything = true }, nil},
		"everything that is denied now":     {whole, "everything", nil, gatewaytest.Configure(func(c *gateway.Config) { c.Apps[1].ResyncAll = auth.Deny })},
		"of an app that is gone":            {row(func(_ *trial, r *history.Row) { r.App = "gone" }), "app", nil, nil},
		"in a tenant that is not granted":   {row(func(_ *trial, r *history.Row) { r.Tenant = "Cust99999" }), "tenant_not_granted", nil, nil},
		"of an operation that is not granted": {
			func(d *trial) []history.Row { return []history.Row{d.failedRow(full, keys)} }, "operation_not_granted", nil,
			gatewaytest.Configure(func(c *gateway.Config) { c.Apps[1].Operations = []superoffice.Operation{superoffice.GetEngineStatus} }),
		},
		"through a connection that is not granted": {
			func(d *trial) []history.Row { return []history.Row{d.failedRow(full, keys)} }, "connection_not_granted", nil,
			gatewaytest.Configure(func(c *gateway.Config) { c.Apps[1].Connections = &auth.Connections{IDs: []int32{613}} }),
		},
		"that another turned": {func(d *trial) []history.Row {
			failed, later := d.failedRow(full, keys), d.failedRow(full, `{"InternalKeyIds":[2]}`)
			later.Outcome = outcome.OK
			return []history.Row{failed, later}
		}, "turned", func(q *report.RetryRequest) { q.IncludeTurned = true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options []gatewaytest.Option
			if c.option != nil {
				options = append(options, c.option)
			}
			d := newTrial(t, options...)
			d.write(c.rows(d)...)
			plan, err := d.sites.PlanRetry(t.Context(), everything)
			if err != nil || len(plan.Calls) != 0 || len(plan.LeftOut) != 1 || !slices.ContainsFunc(plan.LeftOut[0].Why, func(o report.Obstacle) bool { return o.Code == c.code }) {
				t.Fatalf("%+v, %v", plan, err)
			}
			left := plan.LeftOut[0]
			if left.Calls != 1 || left.Keys == 0 || left.Group == 0 || left.Oldest.IsZero() || left.RequestID == "" || left.Why[0].Says == "" {
				t.Errorf("%+v", left)
			}
			request := everything
			request.IncludeUnknown, request.IncludeTurned, request.IncludeEverything, request.OlderThan = true, true, true, "1000h"
			if c.include == nil {
				plan, err := d.sites.PlanRetry(t.Context(), request)
				if err != nil || len(plan.Calls) != 0 || len(plan.LeftOut) != 1 || plan.LeftOut[0].Why[0].Flag != "" {
					t.Errorf("with all options: %+v, %v", plan, err)
				}
				d.heal()
				if summary, _ := d.retry(request, "tove", nil); summary.Whole() || summary.Sent != 0 || len(d.sends()) != 0 {
					t.Errorf("%+v", summary)
				}
				return
			}
			if left.Why[0].Flag == "" {
				t.Errorf("no option is named: %+v", left.Why)
			}
			request = everything
			c.include(&request)
			d.heal()
			if summary, events := d.retry(request, "tove", nil); !summary.Whole() || summary.Sent != 1 {
				t.Errorf("%+v %v", summary, events)
			}
		})
	}
}

func TestACallIsLeftOutForEveryReasonThatThereIs(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	r := d.failedRow(superoffice.ForceResync, `{"ErpConnectionId":612}`)
	r.Outcome, r.Ended = outcome.Unknown, time.Now().Add(-30*time.Hour)
	r.Started, r.Sent = r.Ended, r.Ended
	d.write(r)
	plan, err := d.sites.PlanRetry(t.Context(), everything)
	if err != nil || len(plan.LeftOut) != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	var codes []string
	for _, o := range plan.LeftOut[0].Why {
		codes = append(codes, o.Code)
	}
	if says := plan.LeftOut[0].Why[1].Says; says != "failed longer ago than 24h" {
		t.Error(says)
	}
	if !slices.Equal(codes, []string{"unknown", "older", "everything"}) {
		t.Errorf("%v", codes)
	}
}

func TestOldestCallsGoFirstUpToTheLimit(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	var rows []history.Row
	for key := range 5 {
		rows = append(rows, d.failedRow(superoffice.ForceResync, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, key)))
	}
	d.write(rows...)
	request := everything
	request.Limit = 2
	plan, err := d.sites.PlanRetry(t.Context(), request)
	if err != nil || len(plan.Calls) != 2 || plan.Calls[0].RequestID != "failed-1" || plan.Calls[1].RequestID != "failed-2" || len(plan.LeftOut) != 1 || plan.LeftOut[0].Calls != 3 || plan.LeftOut[0].Why[0] != (report.Obstacle{Code: "limit", Says: "more than 2 calls", Flag: "--limit"}) {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestAPlanNamesWhatTheHistoryNoLongerHas(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.write(d.failedRow(superoffice.ForceResync, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`))
	d.store.set(func() { d.store.lost = 2 })
	plan, err := d.sites.PlanRetry(t.Context(), everything)
	if err != nil || len(plan.Calls) != 1 || len(plan.LeftOut) != 1 || plan.LeftOut[0].Why[0].Code != "lost" || plan.LeftOut[0].Keys != 2 || plan.LeftOut[0].Calls != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestAHoldLeavesACallOutAndItsReleaseTakesItIn(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.heal()
	target := hold.Target{Tenant: "Cust54321"}
	if err := d.State().Holds.Set(t.Context(), hold.Hold{Target: target, Reason: "moving", By: "tove", Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	plan, err := d.sites.PlanRetry(t.Context(), everything)
	if err != nil || len(plan.Calls) != 4 || len(plan.LeftOut) != 1 || plan.LeftOut[0].Tenant != "Cust54321" || plan.LeftOut[0].Why[0].Code != "on_hold" || !strings.Contains(plan.LeftOut[0].Why[0].Says, "moving") {
		t.Fatalf("%+v, %v", plan, err)
	}
	if _, err := d.State().Holds.Release(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	// Another is put on hold when the plan is made: its calls end there, and no others.
	summary, events := d.retry(everything, "tove", func(e report.RetryEvent) error {
		if e.Plan != nil {
			return d.State().Holds.Set(t.Context(), hold.Hold{Target: hold.Target{Tenant: "Cust20001"}, Reason: "moving", By: "tove", Since: time.Now()})
		}
		return nil
	})
	if summary.Succeeded != 4 || summary.NotMade != 2 || summary.Sent != 4 || summary.Whole() || !slices.Contains(events, "stopped Cust20001 on_hold 1") || summary.Stopped != "" || len(events) != 8 {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestARefusalThatConcernsATenantEndsItsCallsThere(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.heal()
	fresh := d.beside(t) // it has no ticket yet
	d.SO.Revoke("erp", "Cust54321")
	summary, events := fresh.retry(everything, "tove", nil)
	if summary.Succeeded != 4 || summary.NotMade != 2 || summary.Stopped != "" || !slices.Contains(events, "stopped Cust54321 consent_required 1") {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestASecondTryEndsWhenTooManyFail(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.sends()
	request, two := everything, 2
	request.MaxFailures = &two
	summary, events := d.retry(request, "tove", nil)
	if summary.Failed != 2 || summary.NotMade != 4 || summary.Sent != 2 || summary.Stopped != "2 calls failed (--max-failures)" || summary.Whole() {
		t.Errorf("%+v %v", summary, events)
	}
	// What failed again is another call now, which may be tried again too.
	d.heal()
	if summary, events := d.retry(everything, "tove", nil); summary.Sent != 6 || !summary.Whole() || d.fails() != 0 {
		t.Errorf("%+v %v", summary, events)
	}
	never := 0
	request.MaxFailures = &never
	d.answers(func(string, string) string { return agentError })
	d.failTwice()
	if summary, events := d.retry(request, "tove", nil); summary.Failed != 6 || summary.Stopped != "" {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestWhoLeavesFindsTheRestAndNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*spoilt){
		"the history knows":              func(*spoilt) {},
		"the history has lost what went": func(s *spoilt) { s.set(func() { s.forgets = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTrial(t)
			want := d.failTwice()
			d.heal()
			lose(d.store)
			gone, calls := errors.New("gone"), 0
			summary, events := d.retry(everything, "tove", func(e report.RetryEvent) error {
				if e.Call == nil {
					return nil
				}
				if calls++; calls == 2 {
					return gone
				}
				return nil
			})
			if summary.Sent != 2 || summary.NotMade != 4 || summary.Stopped == "" || summary.Whole() {
				t.Fatalf("%+v %v", summary, events)
			}
			d.store.set(func() { d.store.forgets = false })
			summary, events = d.retry(everything, "per", nil) // whoever goes on
			if summary.Succeeded != 4 || summary.Sent != 4 || !summary.Whole() {
				t.Errorf("%+v %v", summary, events)
			}
			if sent := d.sends(); !maps.Equal(sent, want) {
				t.Errorf("sent %v, want %v", sent, want)
			}
		})
	}
}

// The history has lost what came of the first second try: the key that it was made under has not.
func TestWhatWasMadeBeforeIsNoSuccessUnlessItWasOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		want   report.RetrySummary
	}{
		"it succeeded": {agentOK, report.RetrySummary{Planned: 1, Before: 1}},
		"it failed":    {agentError, report.RetrySummary{Planned: 1, Failed: 1}},
		"nobody knows": {"", report.RetrySummary{Planned: 1, Failed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTrial(t)
			d.call("Cust12345", gatewaytest.SeedBody)
			d.answers(func(string, string) string {
				if c.answer == "" {
					panic(http.ErrAbortHandler)
				}
				return c.answer
			})
			d.sends()
			d.store.set(func() { d.store.forgets = true })
			if summary, events := d.retry(everything, "tove", nil); summary.Sent != 1 {
				t.Fatalf("%+v %v", summary, events)
			}
			d.heal()
			summary, events := d.retry(everything, "per", nil)
			if summary != c.want || len(d.sends()) != 0 {
				t.Errorf("%+v %v, want %+v", summary, events, c.want)
			}
		})
	}
}

func TestASecondTryEndsWithItsContextAfterTheCallUnderWay(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.heal()
	ctx, cancel := context.WithCancel(t.Context())
	d.answers(func(string, string) string { cancel(); return agentOK }) // while the first is under way
	request := everything
	request.Pause = "1h"
	summary, err := d.sites.Retry(ctx, request, report.By{Name: "tove"}, func(report.RetryEvent) error { return nil })
	if err != nil || summary.Succeeded != 1 || summary.Sent != 1 || summary.Stopped != "interrupted" {
		t.Errorf("%+v, %v", summary, err)
	}
}

func TestASecondTryEndsWhereTheProcessStops(t *testing.T) {
	t.Parallel()
	var stops atomic.Bool
	d := newTrial(t, gatewaytest.On(func(p *gateway.Platform) { p.Draining = stops.Load }))
	d.failTwice()
	d.heal()
	summary, events := d.retry(everything, "tove", func(e report.RetryEvent) error {
		stops.Store(e.Call != nil)
		return nil
	})
	if summary.Succeeded != 1 || summary.NotMade != 5 || summary.Stopped != "the gateway is stopping" {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestASecondTryGoesOnWithTheConfigurationThatReplacesItsOwn(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	want := d.failTwice()
	d.heal()
	next := d.beside(t)
	summary, events := d.retry(everything, "tove", func(e report.RetryEvent) error {
		if e.Plan != nil {
			d.sites.Add(&report.Site{Gateway: next.Gateway, Origin: func() string { return "" }})
		}
		return nil
	})
	if sent := d.sends(); summary.Succeeded != 6 || !maps.Equal(sent, want) || d.Logs.FilterMessage("erpsync call").Len() != 6 || next.Logs.FilterMessage("erpsync call").Len() != 6 {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestTwoOperatorsAtOnceSendEachCallOnce(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	want := d.failTwice()
	d.heal()
	var both sync.WaitGroup
	var mu sync.Mutex
	sent := 0
	for _, operator := range []string{"tove", "per"} {
		both.Go(func() {
			summary, err := d.sites.Retry(t.Context(), everything, report.By{Name: operator}, func(report.RetryEvent) error { return nil })
			mu.Lock()
			defer mu.Unlock()
			if sent += summary.Sent; err != nil || !summary.Whole() || summary.Succeeded+summary.Before+summary.Cured != summary.Planned {
				t.Errorf("%s: %+v, %v", operator, summary, err)
			}
		})
	}
	both.Wait()
	if got := d.sends(); !maps.Equal(got, want) || sent != 6 {
		t.Errorf("%d sent: %v, want %v", sent, got, want)
	}
}

func TestACallThatWasCuredMeanwhileIsNotMade(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.heal()
	summary, events := d.retry(everything, "tove", func(e report.RetryEvent) error {
		if e.Plan != nil {
			d.call("Cust20001", `{"ErpConnectionId":612,"InternalKeyIds":[386,230,231]}`)
		}
		return nil
	})
	if summary.Cured != 2 || summary.Sent != 4 || !summary.Whole() {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestACallOverALimitWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.heal()
	limited := d.beside(t, gatewaytest.Configure(func(c *gateway.Config) { c.Limits.PerSecond = 1 }))
	request := everything
	request.Tenant, request.All = "Cust12345", false
	summary, events := limited.retry(request, "tove", nil)
	if summary.Succeeded != 2 || !summary.Whole() || !slices.Contains(events, "waiting rate_limited") {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestABatchTaskIsAcceptedAndNothingMore(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.write(d.failedRow(superoffice.ForceResyncBatchTask, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`))
	d.heal()
	if summary, events := d.retry(everything, "tove", nil); summary.Accepted != 1 || summary.Sent != 1 || summary.Whole() || d.fails() != 1 {
		t.Errorf("%+v %v", summary, events)
	}
	if summary, events := d.retry(everything, "tove", nil); summary.Accepted != 1 || summary.Sent != 0 || summary.Whole() || len(d.sends()) != 1 {
		t.Errorf("it is not sent again: %+v %v", summary, events)
	}
}

func TestASecondTryOfTwoDirectionsKeepsTheirOrder(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	there, back := d.failedRow(superoffice.ForceResync, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`), d.failedRow(superoffice.ForceResync, `{"InternalKeyIds":[1]}`)
	back.Outcome, back.Sends = outcome.Unreachable, 0 // so that it turned nothing
	d.write(there, back)
	d.heal()
	plan, err := d.sites.PlanRetry(t.Context(), everything)
	if err != nil || len(plan.Calls) != 2 || !slices.Equal(plan.Overwrites, []string{"crm", "erp"}) {
		t.Fatalf("%+v, %v", plan, err)
	}
	if summary, events := d.retry(everything, "tove", nil); summary.Succeeded != 2 || !summary.Whole() {
		t.Errorf("%+v %v", summary, events)
	}
}

func TestASecondTryIsNotBegunWhereItsResultWouldNotBeKnown(t *testing.T) {
	t.Parallel()
	d := newTrial(t)
	d.failTwice()
	d.heal()
	begin := func(request report.RetryRequest) error {
		_, err := d.sites.Retry(t.Context(), request, report.By{Name: "tove"}, func(report.RetryEvent) error { t.Error("it was begun"); return nil })
		return err
	}
	other := everything
	other.Plan = "0000000000000000"
	if err := begin(other); statusOf(err) != http.StatusConflict {
		t.Errorf("another plan: %v", err)
	}
	if err := begin(report.RetryRequest{Group: 999}); statusOf(err) != http.StatusNotFound {
		t.Errorf("no such group: %v", err)
	}
	d.store.set(func() { d.store.asks = errDown })
	if err := begin(everything); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("what fails cannot be read: %v", err)
	}
	d.store.set(func() { d.store.asks, d.store.writes = nil, errDown })
	d.answers(func(string, string) string { return agentError })
	got := d.Resync(d.Service())
	gatewaytest.WaitFor(t, func() bool { return !d.journal.Health().Fails.IsZero() })
	if err := begin(everything); statusOf(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("%v after %d", err, got.Status)
	}
	if plan, err := d.sites.PlanRetry(t.Context(), everything); err != nil || plan.Remark == "" {
		t.Errorf("%q, %v", plan.Remark, err)
	}
	d.store.set(func() { d.store.writes = nil })
	for name, request := range map[string]report.RetryRequest{
		"nothing named": {}, "two things named": {Group: 1, All: true}, "a negative group": {Group: -1}, "a tenant that is none": {Tenant: "12345"}, "a bad age": {All: true, OlderThan: "7"}, "a bad pause": {All: true, Pause: "x"},
		"too many": {All: true, Limit: 10_001}, "a negative limit": {All: true, Limit: -1}, "fewer failures than none": {All: true, MaxFailures: func() *int { n := -1; return &n }()},
	} {
		if err := begin(request); err == nil || statusOf(err) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newDesk(t).sites.PlanRetry(t.Context(), everything); statusOf(err) != http.StatusConflict {
		t.Errorf("without history: %v", err)
	}
}
