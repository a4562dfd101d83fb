package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Decision is a call that may run now, with what it holds so that no other gets in
// its way. It must be released, whether it runs or is dropped.
type Decision struct {
	*Admission
	order  *Order
	record *outcome.Record

	// Kept is the answer that the first call with the same Idempotency-Key got. The call must not run then.
	Kept *guard.Answer

	gateway *Gateway
	key     string       // under which the call and its answer are noted; "" if they are not
	entry   *guard.Entry // of a call with an Idempotency-Key, or that outlives its connection
	answer  *keptAnswer  // what is to be kept under it, once it arrived whole
	// withheld reports an answer that is not passed on, and that does not say for certain that nothing was run.
	withheld bool
	// started is called once the call's start is recorded, before it is sent; nil: nobody waits for that.
	started  func()
	name     string      // of what the call does; "" for one that resynchronises nothing
	claimed  *claim.Held // what it holds at the store of several gateways; nil: nothing
	keyNote  claim.Value // of claimed: is taken back if nothing was run
	coolNote claim.Value // the same, of the cool-down
	// storeAway is why the store gave no answer, so that the decision was made without it.
	storeAway error
	held      []func()
	room      [2]func() // of held, as most calls need it
}

const (
	renewalWait = 20 * time.Second // how long a caller waits for a credential that is being minted
	cleanupTime = 5 * time.Second  // bounds what is written about a call that is over

	runningRetry = 5 * time.Second
)

// Decide finds out whether a call is safe to run now: not too many, not answered before, not
// running already, not too soon after a resync of everything. record names the call.
func (a *Admission) Decide(ctx context.Context, order *Order, record *outcome.Record) (*Decision, *auth.Refusal) {
	g := a.app.gateway
	d := &Decision{Admission: a, order: order, record: record, gateway: g}
	d.held = d.room[:0]
	refusal := d.take(ctx)
	if failed := a.browserSession().confirm(ctx); failed != nil { // whatever else was found
		refusal = failed
	}
	if refusal != nil {
		d.Release()
		return nil, refusal
	}
	return d, nil
}

func (d *Decision) take(ctx context.Context) *auth.Refusal {
	if d.gateway.state.claims != nil {
		return d.takeShared(ctx)
	}
	until := time.Time{}
	if wait := d.gateway.config.Wait; wait > 0 {
		until = time.Now().Add(wait)
	}
	return d.takeWithin(ctx, d.gateway.config.Limits, until)
}

// takeWithin takes what the call needs within limits that this gateway holds by itself.
func (d *Decision) takeWithin(ctx context.Context, limits guard.Limits, until time.Time) *auth.Refusal {
	meter, app, tenant := &d.gateway.state.meter, d.app.Name, string(d.Principal.Tenant)
	connection, began := d.order.Arguments.Connection, d.clock()
	if wait := meter.AwaitRate(ctx, until, false, limits, app, tenant, connection); wait > 0 {
		d.waited(since(began))
		return d.rateLimited(ctx, wait)
	}
	waited := since(began)
	if d.order.noted() {
		if refusal := d.beginNoted(ctx); refusal != nil || d.Kept != nil {
			return refusal
		}
	}
	if refusal := d.onHold(ctx); refusal != nil {
		return refusal
	}
	began = d.clock()
	leave, full := meter.AwaitPlace(ctx, until, false, limits, app, tenant, connection)
	d.waited(waited + since(began))
	if leave == nil {
		return d.tooMany(ctx, full)
	}
	d.held = append(d.held, leave)
	if refusal := d.onHold(ctx); refusal != nil { // it may have waited
		return refusal
	}
	if !d.order.Operation.Resyncs() {
		return nil
	}
	if refusal := d.exclude(ctx); refusal != nil {
		return refusal
	}
	return d.coolDown(ctx)
}

// gaveUp is why a call did not begin, and that its caller left while it waited.
func gaveUp(ctx context.Context, why error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w; the caller left while it waited", why)
	}
	return why
}

// place names a tenant in a text; onsite there is none.
func place(tenant string) string {
	if tenant == "" {
		return "the installation"
	}
	return tenant
}

// leastWait is what counts as having waited at all.
const leastWait = time.Millisecond

// clock returns the time if calls may wait for their turn, and the zero time if none does.
func (d *Decision) clock() time.Time {
	if d.gateway.config.Wait <= 0 {
		return time.Time{}
	}
	return time.Now()
}

// since returns the time that has passed since began; 0 for the zero time.
func since(began time.Time) time.Duration {
	if began.IsZero() {
		return 0
	}
	return time.Since(began)
}

// waited records how long the call waited for its turn.
func (d *Decision) waited(waited time.Duration) {
	if waited >= leastWait {
		d.record.Waited = waited
	}
}

// beginNoted notes a call with an Idempotency-Key, or that outlives its connection, before it is sent, or finds what the
// first one with its key was answered.
func (d *Decision) beginNoted(ctx context.Context) *auth.Refusal {
	answers, refusal := d.gateway.answers(ctx, d.Principal)
	if refusal != nil {
		return refusal
	}
	d.key = noteKey(d.Principal, d.order)
	d.entry, d.Kept, refusal = answers.Begin(ctx, d.key, d.order.Fingerprint, d.record.RequestID)
	return refusal
}

// exclude makes sure that the same call is not running here already. With a store that gives no answer it may be running at
// another gateway.
func (d *Decision) exclude(ctx context.Context) *auth.Refusal {
	if err := d.storeAway; err != nil {
		if d.gateway.config.StrictStore {
			return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
		}
		// To refuse every call because the other gateways cannot be asked would be worse.
		d.gateway.platform.Logger.Warn("store unavailable; the same call may be running at another gateway", zap.String("request_id", d.record.RequestID), zap.Error(err))
	}
	if refusal := d.excludeHere(d.runningName()); refusal != nil {
		return refusal
	}
	if d.storeAway == nil || d.order.IdempotencyKey != "" {
		return nil
	}
	return d.mayRunStill(ctx)
}

// excludeHere makes sure that this gateway does not run what is named, and that nobody knows of one that it sent and that may
// be running still.
func (d *Decision) excludeHere(name string) *auth.Refusal {
	running, id := &d.gateway.state.running, d.record.RequestID
	if other := running.TryStart(name, id); other != "" {
		return runningAlready(other)
	}
	d.name = name
	d.held = append(d.held, func() { running.Done(name) })
	return d.mayRunHere(name)
}

// mayRunHere refuses a call while the same one, which this gateway sent and which was not answered, may be running at SuperOffice.
func (d *Decision) mayRunHere(name string) *auth.Refusal {
	if d.order.IdempotencyKey != "" {
		return nil // a key that has not been used says that the call is meant once more
	}
	if other, left := d.gateway.state.running.MayRun(name); other != "" {
		return mayBeRunning(other, left)
	}
	return nil
}

// unendedKey names in the store what Running names in this process.
func unendedKey(name string) string { return auth.Key("unended", name) }

// mayRunStill refuses a call while the same one, which was sent at another gateway and not answered, may be running at SuperOffice.
func (d *Decision) mayRunStill(ctx context.Context) *auth.Refusal {
	raw, found, err := d.gateway.state.KV.Get(ctx, unendedKey(d.name))
	if err != nil && d.gateway.config.StrictStore {
		return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	} else if err != nil {
		d.gateway.platform.Logger.Warn("store unavailable; the same call may be running still", zap.String("request_id", d.record.RequestID), zap.Error(err))
	}
	until, id, _ := strings.Cut(raw, " ")
	end, err := time.Parse(time.RFC3339, until)
	if left := time.Until(end); found && err == nil && left > 0 {
		return mayBeRunning(id, left)
	}
	return nil
}

// noteUnended notes a call that may be running still: for as long as the gateway would have waited for its answer.
func (d *Decision) noteUnended() {
	state, until := d.gateway.state, d.record.Started.Add(maxCallTime)
	state.running.Unended(d.name, d.record.RequestID, until)
	if state.alone {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	if err := state.KV.Set(ctx, unendedKey(d.name), until.Format(time.RFC3339)+" "+d.record.RequestID, time.Until(until)); err != nil {
		d.gateway.platform.Logger.Warn("store unavailable; other gateways do not know that the call may be running still", zap.String("request_id", d.record.RequestID), zap.Error(err))
	}
}

// unknown reports whether the call was sent and its end is not known; the second case is a fault of ours after it was sent.
func (d *Decision) unknown() bool {
	return d.record.Outcome.Class == outcome.Unknown || d.record.Outcome.Class == "" && d.record.Sends > 0
}

// gaveUp reports whether something before SuperOffice answered in its place, which does not say that the call is over.
func (d *Decision) gaveUp() bool {
	return d.record.Status == http.StatusBadGateway || d.record.Status == http.StatusGatewayTimeout
}

// coolDown keeps resyncs of everything apart.
func (d *Decision) coolDown(ctx context.Context) *auth.Refusal {
	period, kv := d.gateway.config.CoolDown, d.gateway.state.KV
	if period == 0 || !d.order.Arguments.Everything {
		return nil
	}
	name := d.coolingName()
	until, cooling, err := kv.Get(ctx, name)
	if err == nil && !cooling {
		if d.order.DryRun {
			return nil
		}
		until = time.Now().Add(period).Format(time.RFC3339)
		var first bool
		if first, err = kv.SetNX(ctx, name, until, period); first {
			d.held = append(d.held, func() { d.endCoolDown(name) })
			return nil
		}
	}
	if err != nil {
		return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	}
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	return d.cooling(end)
}

// endCoolDown takes the cool-down of a call back that did not run after all.
func (d *Decision) endCoolDown(name string) {
	if d.record.Sends > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	_ = d.gateway.state.KV.Delete(ctx, name)
}

// Release gives everything back that the decision holds, and keeps the result of a call with an
// Idempotency-Key. It may be called more than once.
func (d *Decision) Release() {
	if d.name != "" && d.record.Sends > 0 && (d.unknown() || d.gaveUp()) {
		d.noteUnended()
	}
	var back []claim.Value
	if e := d.entry; e != nil {
		d.entry = nil
		switch {
		case d.unknown(), d.withheld:
			e.Unknown()
		case d.answer != nil && d.answer.whole:
			e.Answered(guard.Answer{RequestID: d.record.RequestID, Status: d.answer.status, Header: d.answer.header, Body: d.answer.body, Outcome: string(d.record.Outcome.Class)})
		default:
			e.NotRun()
			if d.keyNote.Name != "" {
				back = append(back, d.keyNote)
			}
		}
	}
	if h := d.claimed; h != nil {
		d.claimed = nil
		if d.coolNote.Name != "" && d.record.Sends == 0 {
			back = append(back, d.coolNote)
		}
		d.record.AlsoRunning = h.LostTo()
		d.gateway.state.claims.Return(h, back...)
	}
	d.name = ""
	held := d.held
	d.held = nil
	for _, release := range held {
		release()
	}
}
