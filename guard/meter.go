// Package guard makes a call safe to press: not twice at once, not too often, not
// again when it was answered before.
package guard

import (
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
}

// place is what calls are counted by: an app, a tenant of it, or a connection there.
type place struct {
	app, tenant string
	connection  int32
	all         bool // of all connections
}

// Enter counts a call in flight until leave is called. full names the limit that is
// reached, connection, tenant or app; then leave is nil.
func (m *Meter) Enter(l Limits, app, tenant string, connection int32) (leave func(), full string) {
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
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, p := range places {
			if m.inFlight[p]--; m.inFlight[p] == 0 {
				delete(m.inFlight, p)
			}
		}
	}, ""
}

// InFlight tells how many calls of the app are in flight in the tenant.
func (m *Meter) InFlight(app, tenant string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inFlight[place{app, tenant, 0, true}]
}

// Begin counts a call by the second. wait is zero if it may begin, else when it might.
func (m *Meter) Begin(l Limits, app, tenant string) (wait time.Duration) {
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

// Count counts a question that the gateway asks by itself; it is never refused.
func (m *Meter) Count(l Limits, app, tenant string) {
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
