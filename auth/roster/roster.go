// Package roster says which gateways use a store. Each notes itself there at an interval; one that is silent is
// forgotten after a while.
package roster

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// NoteEvery is how often a gateway notes itself.
	NoteEvery = 3 * time.Second

	// AliveFor is how long after its last sign of life a gateway counts as alive.
	AliveFor = 4 * NoteEvery

	// KeptFor is how long a gateway is listed after its last sign of life. One that stops in an orderly way is not listed any
	// more from then on.
	KeptFor = 10 * time.Minute

	leaveTimeout = 2 * time.Second
)

// Gateway is one gateway of a store.
type Gateway struct {
	// ID names the gateway's process at the store; it is another after each start.
	ID string `json:"id"`
	// Node names the gateway, as audit lines do.
	Node string `json:"node"`
	// Version and Revision are those of its build.
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Started is when it began to use the store, by its own clock.
	Started time.Time `json:"started"`
	// Holds is the version of the holds that are in force there; 0: none that it knows of.
	Holds int64 `json:"holds,omitempty"`
	// Seen is its last sign of life, and Silent how long ago that was, both by the store's clock.
	Seen   time.Time     `json:"seen"`
	Silent time.Duration `json:"-"`
}

// Alive reports whether the gateway has given a sign of life within AliveFor.
func (g Gateway) Alive() bool { return g.Silent < AliveFor }

// Store keeps the gateways of a store. An error means that it gave no answer.
type Store interface {
	// Note records a sign of life now, by the store's clock, and forgets those that have been silent for longer than keep.
	Note(ctx context.Context, g Gateway, keep time.Duration) error
	// Forget removes a gateway; one that is not there is no error.
	Forget(ctx context.Context, id string) error
	// Gateways returns those that are kept, in no order.
	Gateways(ctx context.Context) ([]Gateway, error)
}

// Roster is a gateway's own entry, and what it knows of the others. It is safe for concurrent use.
type Roster struct {
	store Store // nil: no other gateway uses the store
	own   atomic.Pointer[Gateway]
	alive atomic.Int32 // when the store was asked last
	known atomic.Pointer[[]Gateway]
	wake  chan struct{} // has the gateway noted before its time
}

// New returns a roster with this gateway's entry. A nil store is one that no other gateway uses.
func New(store Store, own Gateway) *Roster {
	r := &Roster{store: store, wake: make(chan struct{}, 1)}
	r.own.Store(&own)
	return r
}

// SetNode names the gateway.
func (r *Roster) SetNode(node string) {
	r.edit(func(own *Gateway) { own.Node = node })
}

// SetHolds notes at once that this version of the holds is in force.
func (r *Roster) SetHolds(version int64) {
	if !r.edit(func(own *Gateway) { own.Holds = version }) {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default: // it is about to
	}
}

// edit changes this gateway's entry, and reports whether it is another then.
func (r *Roster) edit(change func(own *Gateway)) bool {
	for {
		before := r.own.Load()
		after := *before
		change(&after)
		if after == *before {
			return false
		}
		if r.own.CompareAndSwap(before, &after) {
			return true
		}
	}
}

// Known returns the gateways that were there when the store was asked last, in no order; nil if it never was.
func (r *Roster) Known() []Gateway {
	if known := r.known.Load(); known != nil {
		return *known
	}
	return nil
}

// Own returns this gateway's entry.
func (r *Roster) Own() Gateway { return *r.own.Load() }

// Alive returns how many gateways were alive when the store was asked last, this one included: 1 if it never was.
func (r *Roster) Alive() int { return max(1, int(r.alive.Load())) }

// Gateways returns the gateways of the store, the oldest first, those too that have been silent for less than KeptFor. An
// error means that the store gave no answer.
func (r *Roster) Gateways(ctx context.Context) ([]Gateway, error) {
	if r.store == nil {
		own := r.Own()
		own.Seen = time.Now()
		return []Gateway{own}, nil
	}
	all, err := r.store.Gateways(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Gateway) int {
		if byStart := a.Started.Compare(b.Started); byStart != 0 {
			return byStart
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Follow notes the gateway at an interval until ctx ends, and removes it then.
func (r *Roster) Follow(ctx context.Context) {
	if r.store == nil {
		return
	}
	tick := time.NewTicker(NoteEvery)
	defer tick.Stop()
	for {
		r.note(ctx)
		select {
		case <-ctx.Done():
			r.Leave()
			return
		case <-r.wake:
		case <-tick.C:
		}
	}
}

// awaitEvery is how often Await looks.
const awaitEvery = 100 * time.Millisecond

// Await waits until every gateway that is alive has done something, or ctx ends. It returns the gateways as they were then. An
// error means that the store gave no answer.
func (r *Roster) Await(ctx context.Context, done func(Gateway) bool) ([]Gateway, error) {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	var last []Gateway
	for {
		all, err := r.Gateways(ctx)
		switch {
		case err != nil && (last == nil || ctx.Err() == nil):
			return nil, err
		case err != nil:
			return last, nil
		case !slices.ContainsFunc(all, func(g Gateway) bool { return g.Alive() && !done(g) }):
			return all, nil
		}
		last = all
		select {
		case <-ctx.Done():
			return last, nil
		case <-tick.C:
		}
	}
}

// note gives a sign of life, and counts the others. What is known stays where the store gives no answer.
func (r *Roster) note(ctx context.Context) {
	if ctx.Err() != nil || r.store.Note(ctx, r.Own(), KeptFor) != nil {
		return
	}
	all, err := r.store.Gateways(ctx)
	if err != nil {
		return
	}
	r.known.Store(&all)
	alive := 0
	for _, g := range all {
		if g.Alive() {
			alive++
		}
	}
	r.alive.Store(int32(alive)) //nolint:gosec // a handful
}

// Leave removes this gateway's entry, for one that stops.
func (r *Roster) Leave() {
	if r.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	_ = r.store.Forget(ctx, r.Own().ID) // it is forgotten after a while anyhow
}
