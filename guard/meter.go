// Package guard makes a call safe to press: not twice at once, not too often, not
// again when it was answered before.
package guard

import (
	"context"
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

// Meter counts calls. It outlives configurations; limits are those of the moment.
// The zero Meter is ready.
type Meter struct {
	mu       sync.Mutex
	inFlight map[place]int
	rates    map[place]*rate.Limiter
	swept    time.Time

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

// AwaitPlace is Acquire for a call that waits its turn until then; zero: not at all. It gives up when ctx ends.
func (m *Meter) AwaitPlace(ctx context.Context, until time.Time, l Limits, app, tenant string, connection int32) (leave func(), full string) {
	if until.IsZero() {
		return m.Acquire(l, app, tenant, connection)
	}
	return m.awaitPlace(ctx, until, l, app, tenant, connection)
}

// awaitPlace stands apart since what its function literal captures is allocated for every call.
func (m *Meter) awaitPlace(ctx context.Context, until time.Time, l Limits, app, tenant string, connection int32) (leave func(), full string) {
	m.byPlace.await(ctx, until, app, tenant, connection, func() (bool, time.Duration) {
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
	reservation := m.limiter(l, app, tenant, now).ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// AwaitRate is Allow for a call that waits its turn until then; zero: not at all. It gives up when ctx ends.
func (m *Meter) AwaitRate(ctx context.Context, until time.Time, l Limits, app, tenant string, connection int32) (wait time.Duration) {
	if until.IsZero() {
		return m.Allow(l, app, tenant)
	}
	ok, wait := m.byRate.await(ctx, until, app, tenant, connection, func() (bool, time.Duration) {
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
		m.limiter(l, app, tenant, now).ReserveN(now, 1)
	}
}

func (m *Meter) limiter(l Limits, app, tenant string, now time.Time) *rate.Limiter {
	burst := max(1, int(l.PerSecond))
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
		}
		limiter = rate.NewLimiter(rate.Limit(l.PerSecond), burst)
		m.rates[p] = limiter
	} else if limiter.Limit() != rate.Limit(l.PerSecond) {
		limiter.SetLimitAt(now, rate.Limit(l.PerSecond))
		limiter.SetBurstAt(now, burst)
	}
	return limiter
}
