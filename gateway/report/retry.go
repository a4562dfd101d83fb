package report

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// What a second try takes unless it is named otherwise.
const (
	RetryOlderThan   = 24 * time.Hour
	RetryLimit       = 500
	RetryMaxFailures = 5
	RetryPause       = time.Second

	// maxRetryLimit bounds what one second try makes.
	maxRetryLimit = 10_000

	planTimeout = 60 * time.Second
	// settleTimeout is how long rows that wait to be written are waited for before what fails is read.
	settleTimeout = 2 * time.Second
)

// retryOptions are a request's, understood.
type retryOptions struct {
	RetryRequest
	olderThan, pause   time.Duration
	limit, maxFailures int
	filter             history.Filter
}

// options reads a request. What names nothing is refused: who wanted one group must not get everything.
func (q RetryRequest) options() (o retryOptions, err error) {
	o = retryOptions{RetryRequest: q, olderThan: RetryOlderThan, pause: RetryPause, limit: cmp.Or(q.Limit, RetryLimit), maxFailures: RetryMaxFailures}
	o.filter = history.Filter{App: q.App, Connection: q.Connection, Since: q.Since}
	filtered := q.Tenant != "" || q.App != "" || q.Connection != nil || !q.Since.IsZero()
	named := 0
	for _, is := range []bool{q.Group != 0, filtered, q.All} {
		if is {
			named++
		}
	}
	switch {
	case named != 1:
		return o, errors.New("want the number of a group, or a tenant, app, connection or since, or all")
	case q.Group < 0:
		return o, errors.New("group: want the number of a group, as failures lists it")
	case q.Limit < 0 || q.Limit > maxRetryLimit:
		return o, fmt.Errorf("limit: want a number of calls from 1 to %d", maxRetryLimit)
	}
	if q.Tenant != "" {
		tenant, ok := superoffice.ParseTenant(q.Tenant)
		if !ok {
			return o, errTenantForm(q.Tenant)
		}
		o.filter.Tenant = string(tenant)
	}
	for _, d := range []struct {
		name, text string
		least      time.Duration
		into       *time.Duration
	}{{"older_than", q.OlderThan, time.Second, &o.olderThan}, {"pause", q.Pause, 0, &o.pause}} {
		if d.text == "" {
			continue
		}
		if *d.into, err = time.ParseDuration(d.text); err != nil || *d.into < d.least || *d.into > longestHold {
			return o, fmt.Errorf("%s %q: want a duration of up to a year, such as 10s or 72h", d.name, d.text)
		}
	}
	if q.MaxFailures != nil {
		if o.maxFailures = *q.MaxFailures; o.maxFailures < 0 {
			return o, errors.New("max_failures: want a number of calls; 0 never stops")
		}
	}
	return o, nil
}

// candidate is the last call of failing keys, and what is known of making it once more.
type candidate struct {
	group int64
	history.FailedCall
	call *gateway.OperatorCall // nil: it cannot be made
	site *Site
	out  []Obstacle
}

// PlanRetry returns what a second try would do now, and does nothing.
func (s *Sites) PlanRetry(ctx context.Context, request RetryRequest) (RetryPlan, error) {
	options, err := request.options()
	if err != nil {
		return RetryPlan{}, err
	}
	plan, _, err := s.planRetry(ctx, options)
	return plan, err
}

// planRetry plans, and returns the calls to be made in their order.
func (s *Sites) planRetry(ctx context.Context, options retryOptions) (plan RetryPlan, calls []*candidate, err error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	journal, store, err := s.journal()
	if err != nil {
		return plan, nil, err
	}
	plan.Remark = settle(ctx, journal)
	all, lost, err := failedCalls(ctx, store, options)
	if err != nil {
		return plan, nil, err
	}
	plan.LeftOut = append(plan.LeftOut, lost...)
	now := time.Now()
	if err := s.judge(ctx, store, all, options, now, nil); err != nil {
		return plan, nil, err
	}
	slices.SortStableFunc(all, func(a, b *candidate) int {
		return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.RequestID, b.RequestID))
	})
	for _, c := range all {
		if len(c.out) == 0 && len(calls) == options.limit {
			c.out = []Obstacle{{Code: "limit", Says: fmt.Sprintf("more than %d calls", options.limit), Flag: "--limit"}}
		}
		if len(c.out) == 0 {
			calls = append(calls, c)
		} else {
			plan.LeftOut = leaveOut(plan.LeftOut, c)
		}
	}
	calls = inTurn(calls)
	plan.describe(calls, now)
	return plan, calls, nil
}

// settle waits until the rows of calls that are over can be read. The remark says what may be missing.
func settle(ctx context.Context, journal *history.Journal) (remark string) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for journal.Queued() > 0 {
		select {
		case <-ctx.Done():
			return "rows of the history wait to be written: a call that succeeded a moment ago may be listed still"
		case <-time.After(10 * time.Millisecond):
		}
	}
	if health := journal.Health(); health.Lost > 0 {
		return fmt.Sprintf("the history lost %d rows, the last one at %s: what succeeded since may be listed still. caddy erpsync history import fills the gap", health.Lost, health.LostLast.UTC().Format(time.RFC3339))
	}
	return ""
}

// failedCalls finds the calls of the groups that were named, and the keys whose call is gone.
func failedCalls(ctx context.Context, store history.Store, options retryOptions) (all []*candidate, lost []LeftOut, err error) {
	groups := []int64{options.Group}
	if options.Group == 0 {
		found, err := store.Failures(ctx, options.filter)
		if err != nil {
			return nil, nil, unavailable(err)
		}
		groups = groups[:0]
		for _, f := range found {
			groups = append(groups, f.ID)
		}
	}
	for _, id := range groups {
		failed, err := store.FailedCalls(ctx, id)
		switch {
		case errors.Is(err, history.ErrNoFailure) && options.Group == 0: // it was closed meanwhile
			continue
		case errors.Is(err, history.ErrNoFailure):
			return nil, nil, notFound("group %d: %v", id, err)
		case err != nil:
			return nil, nil, unavailable(err)
		}
		for _, call := range failed.Calls {
			all = append(all, &candidate{group: id, FailedCall: call})
		}
		f := failureOf(failed.Failure)
		if failed.More > 0 {
			lost = append(lost, LeftOut{
				Group: id, App: f.App, Tenant: f.Tenant, Connection: f.Connection, Outcome: f.Outcome, Calls: failed.More, RequestID: f.RequestID, Oldest: f.First, Newest: f.Last,
				Why: []Obstacle{{Code: "limit", Says: fmt.Sprintf("more than %d calls of a group", history.MaxFailedCalls)}},
			})
		}
		if failed.Lost > 0 {
			lost = append(lost, LeftOut{
				Group: id, App: f.App, Tenant: f.Tenant, Connection: f.Connection, Outcome: f.Outcome, Keys: failed.Lost, RequestID: f.RequestID, Oldest: f.First, Newest: f.Last,
				Why: []Obstacle{{Code: "lost", Says: "their calls are no longer in the history"}},
			})
		}
	}
	return all, lost, nil
}

// judge finds out what keeps each call from being made. mine are calls of this second try, which turn none of its others.
func (s *Sites) judge(ctx context.Context, store history.Store, all []*candidate, options retryOptions, now time.Time, mine map[string]bool) error {
	rows := make([]*history.Row, 0, len(all))
	since := make(map[[2]string]time.Time) // the first end, by environment and tenant
	for _, c := range all {
		rows = append(rows, &c.Row)
		of := [2]string{c.Environment, c.Tenant}
		if first, known := since[of]; !known || c.Ended.Before(first) {
			since[of] = c.Ended
		}
	}
	turned, err := history.NewTurned(rows)
	if err != nil {
		return unavailable(err)
	}
	for of, first := range since {
		if err := store.SentSince(ctx, of[0], of[1], first, func(r *history.Row) error {
			if mine[r.RequestID] {
				return nil
			}
			return turned.Later(r)
		}); err != nil {
			return unavailable(err)
		}
	}
	for i, c := range all {
		c.obstruct(options, now, turned.By(i))
		if c.never() {
			continue
		}
		if err := s.prepare(c); err != nil {
			c.out = append(c.out, Obstacle{Code: "app", Says: err.Error()})
			continue
		}
		if c.call.App.CallAs == auth.AsUser {
			c.out = append(c.out, ownCredential)
			continue
		}
		if refusal := c.site.CheckOperatorCall(ctx, c.call); refusal != nil {
			c.out = append(c.out, Obstacle{Code: string(refusal.Reason), Says: refusal.Detail})
		}
	}
	return nil
}

var ownCredential = Obstacle{Code: "own_credential", Says: "made with a person's own credential, which the gateway does not have"}

// obstruct finds what its row says against a call.
func (c *candidate) obstruct(options retryOptions, now time.Time, turnedBy string) {
	out := func(code, says, flag string) { c.out = append(c.out, Obstacle{code, says, flag}) }
	switch _, err := c.Call(); {
	case errors.Is(err, history.ErrIncomplete):
		out("incomplete", "the history does not have the whole call", "")
	case err != nil:
		out("incomplete", err.Error(), "")
	case strings.HasPrefix(c.Credential, string(auth.AsUser)+" "):
		c.out = append(c.out, ownCredential)
	case c.mayHaveRun() && now.Before(c.Sent.Add(history.LongestCall)):
		out("may_run_still", "may be running still, until "+c.Sent.Add(history.LongestCall).UTC().Format(time.RFC3339)+" at the latest", "")
	}
	if c.never() {
		return
	}
	if c.mayHaveRun() && !options.IncludeUnknown {
		out("unknown", "may have run: nobody knows its end", "--include-unknown")
	}
	if now.Sub(c.Ended) > options.olderThan {
		out("older", "failed longer ago than "+hours(options.olderThan), "--older-than")
	}
	if turnedBy != "" && !options.IncludeTurned {
		out("turned", "a later call moved keys of it in the other direction", "--include-turned")
	}
	if c.Everything && !options.IncludeEverything {
		out("everything", "a resync of everything", "--include-everything")
	}
}

// mayHaveRun reports whether nobody knows the end of the call: it is unknown, or something before SuperOffice answered in its place.
func (c *candidate) mayHaveRun() bool {
	return c.Outcome == outcome.Unknown || c.Outcome == outcome.Fault && c.Sends > 0 && (c.Status == http.StatusBadGateway || c.Status == http.StatusGatewayTimeout)
}

// never reports whether something is in the way that no option takes out of it.
func (c *candidate) never() bool {
	return slices.ContainsFunc(c.out, func(o Obstacle) bool { return o.Flag == "" })
}

// prepare makes the call of a row, for the app as it is configured now.
func (s *Sites) prepare(c *candidate) error {
	app, err := s.find(c.App, c.Environment)
	if err != nil {
		return err
	}
	tenant := superoffice.Tenant("")
	if c.Tenant != "" {
		var ok bool
		if tenant, ok = superoffice.ParseTenant(c.Tenant); !ok {
			return errTenantForm(c.Tenant)
		}
	}
	arguments, err := c.Call()
	if err != nil {
		return err
	}
	c.site, c.call = app.site, &gateway.OperatorCall{
		App: app.App, Tenant: tenant, Operation: c.Operation, Arguments: arguments, Confirmed: c.Everything, // otherwise it is left out
		IdempotencyKey: "retry of " + c.RequestID, Retries: c.RequestID,
	}
	return nil
}

// hours writes a duration without what is zero in it.
func hours(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// leaveOut adds a call to those that are left out of its group for the same reasons.
func leaveOut(all []LeftOut, c *candidate) []LeftOut {
	i := slices.IndexFunc(all, func(l LeftOut) bool { return l.Group == c.group && slices.Equal(l.Why, c.out) })
	if i < 0 {
		i = len(all)
		all = append(all, LeftOut{Group: c.group, App: c.App, Tenant: c.Tenant, Connection: max(c.Connection, 0), Outcome: string(c.Outcome), Why: c.out, RequestID: c.RequestID, Oldest: c.Ended.UTC(), Newest: c.Ended.UTC()})
	}
	l := &all[i]
	l.Calls++
	l.Keys += c.Failing
	if c.Ended.Before(l.Oldest) {
		l.Oldest = c.Ended.UTC()
	}
	if c.Ended.After(l.Newest) {
		l.Newest = c.Ended.UTC()
	}
	return all
}

// inTurn has tenants take turns. Within a tenant the calls that failed first go first.
func inTurn(calls []*candidate) []*candidate {
	var queues [][]*candidate
	index := make(map[[2]string]int)
	for _, c := range calls {
		of := [2]string{c.Environment, c.Tenant}
		i, known := index[of]
		if !known {
			i, queues = len(queues), append(queues, nil)
			index[of] = i
		}
		queues[i] = append(queues[i], c)
	}
	ordered := make([]*candidate, 0, len(calls))
	for len(ordered) < len(calls) {
		for i := range queues {
			if len(queues[i]) > 0 {
				ordered, queues[i] = append(ordered, queues[i][0]), queues[i][1:]
			}
		}
	}
	return ordered
}

// describe says what the calls are.
func (p *RetryPlan) describe(calls []*candidate, now time.Time) {
	p.At, p.Calls = now.UTC(), make([]PlannedCall, 0, len(calls))
	tenants := make(map[[2]string]bool)
	sum := sha256.New()
	for _, c := range calls {
		planned := c.planned()
		p.Calls = append(p.Calls, planned)
		p.Keys += planned.Keys
		p.Failing += planned.Failing
		tenants[[2]string{c.Environment, c.Tenant}] = true
		if planned.Overwrites != "" && !slices.Contains(p.Overwrites, planned.Overwrites) {
			p.Overwrites = append(p.Overwrites, planned.Overwrites)
		}
		fmt.Fprintf(sum, "%s\n", c.RequestID)
	}
	slices.Sort(p.Overwrites)
	p.Tenants = len(tenants)
	p.Digest = hex.EncodeToString(sum.Sum(nil))[:16]
}

// Sides that a resync overwrites.
const (
	OverwritesCRM  = "crm"
	OverwritesERP  = "erp"
	OverwritesBoth = "both"
)

func (c *candidate) planned() PlannedCall {
	p := PlannedCall{
		RequestID: c.RequestID, Group: c.group, Environment: c.Environment, App: c.App, Tenant: c.Tenant, Operation: c.Operation.String(), Connection: max(c.Connection, 0), Everything: c.Everything,
		Keys: c.KeyCount, Failing: c.Failing, Outcome: string(c.Outcome), ErrorCode: c.ErrorCode, Failed: c.Ended.UTC(), Overwrites: OverwritesERP,
	}
	switch {
	case c.Operation.Arguments() == superoffice.NoArguments:
		p.Overwrites = OverwritesBoth
	case c.Connection > 0:
		p.Overwrites = OverwritesCRM
	}
	if c.Everything {
		p.Failing = 0
	}
	return p
}
