// Package guard makes a call safe to press: not twice at once, not too often, not
// again when it was answered before.
package guard

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound the calls in flight and those begun in a second. Zero or less means no bound.
type Limits struct {
	Connection, Tenant, App int
	// PerSecond bounds an app's calls in one tenant. As many may come at once.
	PerSecond float64
}

// Share returns the part of the limits that each of so many gateways holds by itself, at least one call of each.
func (l Limits) Share(gateways int) Limits {
	if gateways < 2 {
		return l
	}
	for _, limit := range []*int{&l.Connection, &l.Tenant, &l.App} {
		if *limit > 0 {
			*limit = max(1, *limit/gateways)
		}
	}
	l.PerSecond /= float64(gateways)
	return l
}

// Burst returns how many calls may begin at once under PerSecond.
func (l Limits) Burst() int { return max(1, int(l.PerSecond)) }

// Meter counts calls. It outlives configurations; limits are those of the moment.
// The zero Meter is ready.
type Meter struct {
	mu       sync.Mutex
	inFlight map[place]int
	rates    map[place]*rate.Limiter
	swept    time.Time
	blocked  map[place]time.Time // until when other gateways' calls use a rate up
	polling  map[place]bool      // for which a call asks the store again and again

	byRate, byPlace turns // who waits for its second, and who for a place among those in flight
}

// place is what calls are counted by: an app, a tenant of it, or a connection there.
type place struct {
	app, tenant string
	connection  int32
	all         bool // of all connections
}

// Acquire counts a call in flight until leave is called. full names the limit that is
// reached, connection, tenant or app; then leave is nil.
func (m *Meter) Acquire(l Limits, app, tenant string, connection int32) (leave func(), full string) {
	places := [3]place{{app, tenant, connection, false}, {app, tenant, 0, true}, {app, "", 0, true}}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, limit := range [3]int{l.Connection, l.Tenant, l.App} {
		if limit > 0 && m.inFlight[places[i]] >= limit {
			return nil, [3]string{"connection", "tenant", "app"}[i]
		}
	}
	if m.inFlight == nil {
		m.inFlight = make(map[place]int)
	}
	for _, p := range places {
		m.inFlight[p]++
	}
	return func() {
		m.release(places)
		m.byPlace.freed(app)
	}, ""
}

func (m *Meter) release(places [3]place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range places {
		if m.inFlight[p]--; m.inFlight[p] == 0 {
			delete(m.inFlight, p)
		}
	}
}

// AwaitPlace is Acquire for a call that waits its turn until then; zero: not at all. It gives up when ctx ends. again says that
// the call had its turn before and was turned away elsewhere: it is the first then.
func (m *Meter) AwaitPlace(ctx context.Context, until time.Time, again bool, l Limits, app, tenant string, connection int32) (leave func(), full string) {
	if until.IsZero() {
		return m.Acquire(l, app, tenant, connection)
	}
	return m.awaitPlace(ctx, until, again, l, app, tenant, connection)
}

// awaitPlace stands apart since what its function literal captures is allocated for every call.
func (m *Meter) awaitPlace(ctx context.Context, until time.Time, again bool, l Limits, app, tenant string, connection int32) (leave func(), full string) {
	full = "connection" // where another call asks for a place of it
	m.byPlace.await(ctx, until, again, app, tenant, connection, func() (bool, time.Duration) {
		if m.polled(place{app, tenant, connection, false}) {
			return false, 0
		}
		leave, full = m.Acquire(l, app, tenant, connection)
		return leave != nil, 0
	})
	return leave, full
}

// InFlight returns how many calls of the app are in flight in the tenant.
func (m *Meter) InFlight(app, tenant string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inFlight[place{app, tenant, 0, true}]
}

// Allow counts a call by the second. wait is zero if it may begin, else when it might.
func (m *Meter) Allow(l Limits, app, tenant string) (wait time.Duration) {
	if l.PerSecond <= 0 {
		return 0
	}
	now := time.Now()
	limiter, blocked := m.limiter(l, app, tenant, now)
	if blocked > 0 {
		return blocked
	}
	reservation := limiter.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// AwaitRate is Allow for a call that waits its turn until then; zero: not at all. It gives up when ctx ends. again is as for
// AwaitPlace.
func (m *Meter) AwaitRate(ctx context.Context, until time.Time, again bool, l Limits, app, tenant string, connection int32) (wait time.Duration) {
	if until.IsZero() {
		return m.Allow(l, app, tenant)
	}
	ok, wait := m.byRate.await(ctx, until, again, app, tenant, connection, func() (bool, time.Duration) {
		if m.polled(place{app: app, tenant: tenant, all: true}) {
			return false, 0
		}
		wait := m.Allow(l, app, tenant)
		return wait == 0, wait
	})
	if ok {
		return 0
	}
	return max(wait, time.Nanosecond)
}

// Charge counts a question that the gateway asks by itself; it is never refused.
func (m *Meter) Charge(l Limits, app, tenant string) {
	if l.PerSecond > 0 {
		now := time.Now()
		limiter, _ := m.limiter(l, app, tenant, now)
		limiter.ReserveN(now, 1)
	}
}

// Refund takes back what Allow counted, for a call that did not begin after all.
func (m *Meter) Refund(l Limits, app, tenant string) {
	if l.PerSecond > 0 {
		now := time.Now()
		limiter, _ := m.limiter(l, app, tenant, now)
		limiter.ReserveN(now, -1)
	}
}

// Block has Allow refuse an app's calls in a tenant for so long: the gateways of the store have used its rate up together.
func (m *Meter) Block(app, tenant string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blocked == nil {
		m.blocked = make(map[place]time.Time)
	}
	m.blocked[place{app: app, tenant: tenant}] = time.Now().Add(wait)
}

// PollRate reports whether the call that asks may be the one that asks the store for an app's rate in a tenant again and again. The
// others wait for their turn until done is called.
func (m *Meter) PollRate(app, tenant string) (done func(), ok bool) {
	return m.poll(place{app: app, tenant: tenant, all: true}, &m.byRate)
}

// PollPlace is PollRate for a place among the calls in flight.
func (m *Meter) PollPlace(app, tenant string, connection int32) (done func(), ok bool) {
	return m.poll(place{app, tenant, connection, false}, &m.byPlace)
}

func (m *Meter) poll(p place, turns *turns) (done func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.polling[p] {
		return nil, false
	}
	if m.polling == nil {
		m.polling = make(map[place]bool)
	}
	m.polling[p] = true
	return func() {
		m.mu.Lock()
		delete(m.polling, p)
		m.mu.Unlock()
		turns.freed(p.app)
	}, true
}

func (m *Meter) polled(p place) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.polling[p]
}

// limiter returns what counts an app's calls in a tenant, and for how long other gateways' calls use its rate up.
func (m *Meter) limiter(l Limits, app, tenant string, now time.Time) (_ *rate.Limiter, blocked time.Duration) {
	burst := l.Burst()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := place{app: app, tenant: tenant}
	limiter := m.rates[p]
	if limiter == nil {
		if m.rates == nil {
			m.rates = make(map[place]*rate.Limiter)
		}
		if now.Sub(m.swept) > time.Minute { // a full one is as good as a new one
			m.swept = now
			for p, r := range m.rates {
				if r.TokensAt(now) >= float64(r.Burst()) {
					delete(m.rates, p)
				}
			}
			maps.DeleteFunc(m.blocked, func(_ place, until time.Time) bool { return !now.Before(until) })
		}
		limiter = rate.NewLimiter(rate.Limit(l.PerSecond), burst)
		m.rates[p] = limiter
	} else if limiter.Limit() != rate.Limit(l.PerSecond) {
		limiter.SetLimitAt(now, rate.Limit(l.PerSecond))
		limiter.SetBurstAt(now, burst)
	}
	return limiter, m.blocked[p].Sub(now)
}
