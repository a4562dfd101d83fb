package guard

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of calls that wait. Each holds its body's arguments in memory.
const (
	MaxWaitingTenant = 100
	MaxWaitingApp    = 1000
)

// turns has calls wait for what is limited. Calls that are free to begin do so fairly: an app's tenants take turns, in a
// tenant its connections, and through a connection calls begin in the order in which they came. The zero
// value is ready.
type turns struct {
	mu   sync.Mutex
	apps map[string]*line
}

// line is who waits for an app, the next tenant first.
type line struct {
	tenants []*tenantLine
	waiting int
	timer   *time.Timer // when a second's worth of calls is over
}

// tenantLine is who waits in a tenant, the next connection first.
type tenantLine struct {
	tenant  string
	lanes   []*lane
	waiting int
}

// lane is who waits for a connection, the first first.
type lane struct {
	connection int32
	waiters    []*waiter
}

// waiter is a call that waits. begin takes what it needs if that is free; otherwise retry is when it might be, zero
// when some other call ends.
type waiter struct {
	begin func() (ok bool, retry time.Duration)
	begun chan struct{} // closed when it may go on
}

// await has begin called when it is the call's turn, and at once if nobody is before it, until it succeeds. It gives up
// at the end of ctx, at until, and where too many wait already. again puts it before all others.
func (t *turns) await(ctx context.Context, until time.Time, again bool, app, tenant string, connection int32, begin func() (bool, time.Duration)) (ok bool, retry time.Duration) {
	t.mu.Lock()
	l := t.apps[app]
	if l == nil {
		if ok, retry = begin(); ok {
			t.mu.Unlock()
			return ok, retry
		}
		l = new(line)
		if t.apps == nil {
			t.apps = make(map[string]*line)
		}
		t.apps[app] = l
	}
	w := &waiter{begin: begin, begun: make(chan struct{})}
	if again {
		l.rejoin(w, tenant, connection)
	} else if !l.join(w, tenant, connection) {
		t.mu.Unlock()
		return false, retry
	}
	t.advance(app, l)
	t.mu.Unlock()

	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	select {
	case <-w.begun:
		return true, 0
	case <-ctx.Done():
	case <-end.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.begun: // in the same moment
		return true, 0
	default:
	}
	l.leave(w, tenant, connection)
	_, retry = l.next()
	t.drop(app, l)
	return false, retry
}

// freed lets those begin for whom something has become free.
func (t *turns) freed(app string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.apps[app]; l != nil {
		t.advance(app, l)
	}
}

// advance lets all begin that can; t.mu is held.
func (t *turns) advance(app string, l *line) {
	for {
		begun, retry := l.next()
		if begun {
			continue
		}
		if l.timer != nil {
			l.timer.Stop()
		}
		if retry > 0 {
			l.timer = time.AfterFunc(retry, func() { t.freed(app) })
		}
		t.drop(app, l)
		return
	}
}

// drop forgets an app for which nobody waits; t.mu is held.
func (t *turns) drop(app string, l *line) {
	if l.waiting > 0 {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	delete(t.apps, app)
}

// join adds a call at the end of its lane, unless too many wait.
func (l *line) join(w *waiter, tenant string, connection int32) bool {
	i := slices.IndexFunc(l.tenants, func(of *tenantLine) bool { return of.tenant == tenant })
	if l.waiting >= MaxWaitingApp || i >= 0 && l.tenants[i].waiting >= MaxWaitingTenant {
		return false
	}
	if i < 0 {
		i = len(l.tenants)
		l.tenants = append(l.tenants, &tenantLine{tenant: tenant})
	}
	of := l.tenants[i]
	j := slices.IndexFunc(of.lanes, func(lane *lane) bool { return lane.connection == connection })
	if j < 0 {
		j = len(of.lanes)
		of.lanes = append(of.lanes, &lane{connection: connection})
	}
	of.lanes[j].waiters = append(of.lanes[j].waiters, w)
	of.waiting++
	l.waiting++
	return true
}

// rejoin adds a call before all others, in its lane, its tenant and its app.
func (l *line) rejoin(w *waiter, tenant string, connection int32) {
	i := slices.IndexFunc(l.tenants, func(of *tenantLine) bool { return of.tenant == tenant })
	of := &tenantLine{tenant: tenant}
	if i >= 0 {
		of = l.tenants[i]
		l.tenants = slices.Delete(l.tenants, i, i+1)
	}
	j := slices.IndexFunc(of.lanes, func(lane *lane) bool { return lane.connection == connection })
	first := &lane{connection: connection}
	if j >= 0 {
		first = of.lanes[j]
		of.lanes = slices.Delete(of.lanes, j, j+1)
	}
	first.waiters = slices.Insert(first.waiters, 0, w)
	of.lanes = slices.Insert(of.lanes, 0, first)
	l.tenants = slices.Insert(l.tenants, 0, of)
	of.waiting++
	l.waiting++
}

// leave takes a call out that waits no longer.
func (l *line) leave(w *waiter, tenant string, connection int32) {
	for i, of := range l.tenants {
		for j, lane := range of.lanes {
			if of.tenant != tenant || lane.connection != connection {
				continue
			}
			if k := slices.Index(lane.waiters, w); k >= 0 {
				l.take(i, j, k)
			}
			return
		}
	}
}

// next lets the first begin whose turn it is and who can, and sends its tenant and its connection to the end. Otherwise
// retry is when somebody might be able to begin, zero when some other call ends.
func (l *line) next() (begun bool, retry time.Duration) {
	for i, of := range l.tenants {
		for j, lane := range of.lanes {
			ok, after := lane.waiters[0].begin()
			if ok {
				close(lane.waiters[0].begun)
				l.take(i, j, 0)
				return true, 0
			}
			if after > 0 && (retry == 0 || after < retry) {
				retry = after
			}
		}
	}
	return false, retry
}

// take takes the waiter k of the lane j of the tenant i out, and sends both to the end.
func (l *line) take(i, j, k int) {
	of := l.tenants[i]
	lane := of.lanes[j]
	lane.waiters = slices.Delete(lane.waiters, k, k+1)
	of.lanes = slices.Delete(of.lanes, j, j+1)
	if len(lane.waiters) > 0 {
		of.lanes = append(of.lanes, lane)
	}
	l.tenants = slices.Delete(l.tenants, i, i+1)
	if of.waiting--; of.waiting > 0 {
		l.tenants = append(l.tenants, of)
	}
	l.waiting--
}
