package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
)

// With a store that several gateways share, a call claims there everything that bounds it, in one question. What this gateway
// bounds by itself comes first: what has no room here has none anywhere, and a flood costs the store nothing.

const (
	// firstPoll and maxPoll are how often a call that waits asks the store for a place.
	firstPoll = 50 * time.Millisecond
	maxPoll   = 500 * time.Millisecond

	// lookAgain is after how long what is just beginning or just ending at another gateway is looked at again.
	lookAgain = 20 * time.Millisecond
)

// sharedDecision is a decision that is made together with the other gateways of the store.
type sharedDecision struct {
	*Decision
	limits      guard.Limits
	meter       *guard.Meter
	app, tenant string
	connection  int32
	until       time.Time // zero: the call does not wait
	spent       time.Duration
	session     *sessionCredential // that every question has confirmed; nil: the caller has none

	name  string // of what the call does; "" for one that resynchronises nothing
	keyed string // the name of the caller's key; "" if there is none
	entry *guard.Entry
	note  string
	// kept answers under the key, and holds it while the call waits for a place; nil: it holds none.
	answers *guard.Answers
	waiting *claim.Held
	token   string
}

// takeShared is take for a gateway that shares its store.
func (d *Decision) takeShared(ctx context.Context) *auth.Refusal {
	g := d.gateway
	s := &sharedDecision{
		Decision: d, limits: g.config.Limits, meter: &g.state.meter, app: d.app.Name, tenant: string(d.Principal.Tenant), connection: d.order.Arguments.Connection,
		session: d.browserSession(),
	}
	if g.config.Wait > 0 {
		s.until = time.Now().Add(g.config.Wait)
	}
	if d.order.Operation.Resyncs() {
		s.name = d.runningName()
	}
	if d.order.noted() {
		s.keyed, s.answers = noteKey(d.Principal, d.order), g.answersUnder("")
		d.key = s.keyed
		s.entry, s.note = s.answers.Prepare(s.keyed, d.order.Fingerprint, d.record.RequestID)
	}
	refusal := s.take(ctx)
	if h := s.waiting; h != nil { // it did not begin
		g.state.claims.Return(h, claim.Value{Name: s.keyed, Token: s.token, Value: s.note})
	}
	d.waited(s.spent)
	return refusal
}

// take waits for the call's turn, and claims everything at once if nothing is in the way here.
func (s *sharedDecision) take(ctx context.Context) *auth.Refusal {
	for again := false; ; again = true {
		began := s.clock()
		wait := s.meter.AwaitRate(ctx, s.until, again, s.limits, s.app, s.tenant, s.connection)
		s.spent += since(began)
		if wait > 0 {
			return s.rateLimited(ctx, wait)
		}
		leave, full := s.meter.Acquire(s.limits, s.app, s.tenant, s.connection)
		inTheWay := s.takeHere(ctx, leave, full)
		patient := inTheWay != nil && inTheWay.Reason == auth.TooManyInFlight && !s.until.IsZero()
		if inTheWay != nil && s.keyed == "" && !patient {
			s.refund()
			return inTheWay
		}
		request := s.request(true, inTheWay == nil, inTheWay == nil || patient)
		result, requeue, err := s.ask(ctx, request, claim.ByRate)
		if err != nil {
			s.refund()
			if refusal := s.session.confirm(ctx); refusal != nil {
				return refusal
			}
			return s.takeAlone(ctx, err, false)
		}
		switch {
		case result.Refused == claim.BySession:
			s.refund()
			return s.sessionRefused()
		case result.Refused == claim.ByRate:
			s.refund()
			if requeue {
				continue
			}
			return s.rateLimited(ctx, result.Wait)
		case result.Refused == claim.ByPlace && !s.until.IsZero(), result.Refused == claim.Granted && patient:
			s.dropHere()
			s.holdKey()
			return s.takePlace(ctx)
		case result.Refused == claim.Granted && inTheWay != nil: // its key has not been used before
			return inTheWay
		}
		return s.decided(ctx, request, &result)
	}
}

// takePlace waits for a place, for a call whose rate is charged and whose key is claimed.
func (s *sharedDecision) takePlace(ctx context.Context) *auth.Refusal {
	for again := false; ; again = true {
		began := s.clock()
		leave, full := s.meter.AwaitPlace(ctx, s.until, again, s.limits, s.app, s.tenant, s.connection)
		s.spent += since(began)
		if refusal := s.takeHere(ctx, leave, full); refusal != nil {
			return refusal
		}
		request := s.request(false, true, true)
		result, requeue, err := s.ask(ctx, request, claim.ByPlace)
		switch {
		case err != nil && s.keyed != "":
			return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
		case err != nil:
			s.dropHere()
			return s.takeAlone(ctx, err, true)
		case requeue:
			s.dropHere()
			continue
		}
		return s.decided(ctx, request, &result)
	}
}

// takeHere takes what this gateway bounds by itself: holds, the place that leave gives back, and the same call.
func (s *sharedDecision) takeHere(ctx context.Context, leave func(), full string) *auth.Refusal {
	if leave != nil {
		s.held = append(s.held, leave)
	}
	if refusal := s.onHold(ctx); refusal != nil {
		return refusal
	}
	if leave == nil {
		return s.tooMany(ctx, full)
	}
	if s.name == "" {
		return nil
	}
	// One that is about to claim the same does not count: the store decides between them, and nobody is told of one that is refused.
	if other := s.gateway.state.running.Runs(s.name); other != "" {
		return runningAlready(other)
	}
	return s.mayRunHere(s.name)
}

// dropHere gives back what this gateway bounds by itself.
func (s *sharedDecision) dropHere() {
	held := s.held
	s.held = s.room[:0]
	for _, release := range held {
		release()
	}
}

// refund gives back what this gateway bounds by itself, the rate too: it is not charged at the store, or twice.
func (s *sharedDecision) refund() {
	s.dropHere()
	s.meter.Refund(s.limits, s.app, s.tenant)
}

// request returns what is to be asked. charge says that the rate is charged, all that everything behind the key is wanted too, and
// write that the key is claimed rather than looked for.
func (s *sharedDecision) request(charge, all, write bool) *claim.Request {
	r := &claim.Request{ID: s.record.RequestID, Token: s.token, Session: s.session.claim(), Waits: !s.until.IsZero()}
	if s.keyed != "" {
		r.Scopes = s.gateway.sessionManager().RevocationScopes(s.app, s.Principal.Tenant, personOf(s.Principal))
		r.Key = claim.Key{Name: s.keyed, Keep: max(s.answers.Keep, s.answers.Longest), Stays: r.Waits}
		if write {
			r.Key.Note = s.note
		}
	} else if s.Decision.app.CallAs != auth.AsUser {
		r.Scopes = s.gateway.sessionManager().RevocationScopes(s.app, s.Principal.Tenant, "")
	}
	if charge && s.limits.PerSecond > 0 {
		r.Rate = s.gateway.sharedRate(s.app, s.Principal.Tenant)
	}
	if !all {
		return r
	}
	r.Places = s.places()
	if s.name == "" {
		return r
	}
	r.Lease = s.name
	if s.order.IdempotencyKey == "" { // a key that has not been used says that the call is meant once more
		r.Unended = unendedKey(s.name)
	}
	if period := s.gateway.config.CoolDown; period != 0 && s.order.Arguments.Everything {
		r.CoolDown = claim.CoolDown{Name: s.coolingName(), Period: period}
		if !s.order.DryRun {
			r.CoolDown.Until = time.Now().Add(period).Format(time.RFC3339)
		}
	}
	return r
}

// widths are the places of a call, in their order.
var widths = [3]string{"connection", "tenant", "app"}

// places are the places of the call among those in flight, the widest last.
func (s *sharedDecision) places() []claim.Place {
	return []claim.Place{
		{Name: auth.Key("in flight", s.app, s.tenant, strconv.Itoa(int(s.connection))), Most: s.limits.Connection},
		{Name: auth.Key("in flight", s.app, s.tenant), Most: s.limits.Tenant},
		{Name: auth.Key("in flight", s.app), Most: s.limits.App},
	}
}

// ask asks the store. A call that waits asks again and again while the bound is all that refuses it, one call at a time for each
// app and tenant, or connection: requeue says that another does so already.
func (s *sharedDecision) ask(ctx context.Context, r *claim.Request, bound claim.Bound) (result claim.Result, requeue bool, err error) {
	claims := s.gateway.state.claims
	var done func()
	defer func() {
		if done != nil {
			done()
		}
	}()
	looked, reloads := false, 0
	for poll := firstPoll; ; {
		if result, err = claims.Claim(context.WithoutCancel(ctx), r); err != nil {
			return result, false, err
		}
		s.token = r.Token
		if result.Refused == claim.BySession {
			if reloads++; s.session.reload(ctx, reloads) != nil {
				return result, false, nil
			}
			r.Session = s.session.claim()
			continue
		}
		s.session.confirmed()
		wait := lookAgain
		switch {
		case result.Refused == claim.ByKey && result.Value == "": // another gateway is just beginning, or has just ended
		case result.Refused == claim.ByLease && !looked: // it may just have ended at another gateway, whose caller has its answer
			looked = true
		case result.Refused != bound:
			return result, false, nil
		default:
			if wait = result.Wait; bound == claim.ByPlace {
				wait = poll/2 + rand.N(poll)
				poll = min(poll*3/2, maxPoll)
			} else {
				s.meter.Block(s.app, s.tenant, wait)
			}
			if s.until.IsZero() || time.Until(s.until) < wait || ctx.Err() != nil {
				return result, false, nil
			}
			if done == nil {
				if done, requeue = s.poll(bound); requeue {
					return result, true, nil
				}
			}
			s.spent += wait
		}
		if result.Refused != claim.ByRate {
			r.Rate = claim.Rate{} // it is charged
		}
		select {
		case <-ctx.Done():
			if result.Refused == bound {
				return result, false, nil
			}
			return result, false, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// poll reports whether another call asks again and again for what this one waits for.
func (s *sharedDecision) poll(bound claim.Bound) (done func(), other bool) {
	if bound == claim.ByRate {
		done, other = s.meter.PollRate(s.app, s.tenant)
	} else {
		done, other = s.meter.PollPlace(s.app, s.tenant, s.connection)
	}
	return done, !other
}

// holdKey keeps the key that is claimed while the call waits for a place.
func (s *sharedDecision) holdKey() {
	if s.keyed == "" {
		return
	}
	s.waiting = &claim.Held{Holding: claim.Holding{ID: s.record.RequestID, Leases: []string{s.keyed}}}
	s.gateway.state.claims.Keep(s.waiting)
}

// decided makes a refusal of what the store answered, or takes over what it granted.
func (s *sharedDecision) decided(ctx context.Context, r *claim.Request, result *claim.Result) *auth.Refusal {
	s.gateway.state.limitsShared()
	id := s.record.RequestID
	switch result.Refused {
	case claim.BySession:
		return s.sessionRefused()
	case claim.ByRate:
		return s.rateLimited(ctx, result.Wait)
	case claim.ByKey:
		s.answers.Mark = strings.Join(result.Epochs, ",")
		kept, refusal := s.answers.Repeat(s.keyed, result.Value, result.Holder, s.order.Fingerprint)
		s.Kept = kept
		if kept != nil {
			s.dropHere() // it is not run
		}
		return refusal
	case claim.ByPlace:
		return s.tooMany(ctx, widths[min(result.Full, len(widths)-1)])
	case claim.ByLease:
		return runningAlready(result.Holder)
	case claim.ByUnended:
		_, unended, _ := strings.Cut(result.Value, " ")
		return mayBeRunning(unended, max(result.Wait, time.Second))
	case claim.ByCoolDown:
		return s.cooling(time.Now().Add(result.Wait))
	}
	h := &claim.Held{Holding: claim.Holding{ID: id}}
	for _, p := range r.Places {
		h.Places = append(h.Places, p.Name)
	}
	for _, lease := range []string{r.Lease, s.keyed} {
		if lease != "" {
			h.Leases = append(h.Leases, lease)
		}
	}
	if s.waiting != nil {
		s.gateway.state.claims.Replace(s.waiting, h)
		s.waiting = nil
	} else {
		s.gateway.state.claims.Keep(h)
	}
	s.claimed = h
	if s.keyed != "" {
		s.entry.Claimed(strings.Join(result.Epochs, ","))
		s.Decision.entry = s.entry
		s.keyNote = claim.Value{Name: s.keyed, Token: r.Token, Value: s.note}
	}
	if r.CoolDown.Until != "" {
		s.coolNote = claim.Value{Name: r.CoolDown.Name, Token: r.Token, Value: r.CoolDown.Until}
	}
	if own := 1 + len(s.gateway.sessionManager().RevocationScopes(s.app, s.Principal.Tenant, "")); len(result.Epochs) >= own {
		s.epoch, s.epochKnown = strings.Join(result.Epochs[:own], ","), true
	}
	if s.name != "" {
		if refusal := s.excludeHere(s.name); refusal != nil {
			return refusal
		}
	}
	return s.onHold(ctx) // it may have waited
}

// personOf names the person whose kept answers end with a revocation; "" for a service.
func personOf(p auth.Principal) string {
	if p.Scheme == auth.BrowserSession {
		return p.ID
	}
	return ""
}

// runningName names what the call does, independently of its caller.
func (d *Decision) runningName() string {
	arguments := &d.order.Arguments
	return auth.Key("running", string(d.Principal.Tenant), d.order.Operation.String(), strconv.Itoa(int(arguments.Connection)), arguments.ActorType, d.record.KeysSum)
}

// coolingName names what a resync of everything has cool down.
func (d *Decision) coolingName() string {
	return auth.Key("cooling", string(d.Principal.Tenant), strconv.Itoa(int(d.order.Arguments.Connection)))
}

func (d *Decision) rateLimited(ctx context.Context, wait time.Duration) *auth.Refusal {
	return auth.Refuse(auth.RateLimited, gaveUp(ctx, fmt.Errorf("rate %g of app %s in %s is used up", d.gateway.config.Limits.PerSecond, d.app.Name, place(string(d.Principal.Tenant))))).After(wait)
}

func (d *Decision) tooMany(ctx context.Context, full string) *auth.Refusal {
	refusal := auth.Refuse(auth.TooManyInFlight, gaveUp(ctx, fmt.Errorf("in_flight %s is full", full))).After(runningRetry)
	refusal.Detail += " (in_flight " + full + ")"
	return refusal
}

// runningAlready refuses a call while another makes the same one.
func runningAlready(other string) *auth.Refusal {
	return auth.Refuse(auth.CallRunning, fmt.Errorf("request %s makes the same call", other)).After(runningRetry).Of(other)
}

// mayBeRunning refuses a call while the same one, whose end is not known, may be running.
func mayBeRunning(id string, left time.Duration) *auth.Refusal {
	refusal := auth.Refuse(auth.CallRunning, fmt.Errorf("request %s made the same call, and its end is not known", id)).After(left).Of(id)
	refusal.Detail = "The same call was sent a short time ago, its end is not known, and it may be running still. Nothing was sent. Look in SuperOffice; to send it once more all the same, add an Idempotency-Key."
	return refusal
}

func (d *Decision) cooling(end time.Time) *auth.Refusal {
	return auth.Refuse(auth.CoolingDown, fmt.Errorf("cool_down of %s after the last resync of everything ends at %s", d.gateway.config.CoolDown, end.Format(time.RFC3339))).After(max(time.Until(end), time.Second))
}
