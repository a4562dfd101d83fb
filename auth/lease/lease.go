// Package lease lets one do what must be done once, such as renewing a
// credential, while others wait for what comes of it or turn away.
package lease

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

const (
	// TTL is how long a lease holds without being extended: a holder that dies
	// blocks the others no longer.
	TTL = 10 * time.Second

	extendEvery = TTL / 4

	// lookEvery is how often those who wait look whether the work is done, a little jittered.
	lookEvery = 100 * time.Millisecond

	askTimeout = 2 * time.Second
)

// Locker grants leases.
type Locker interface {
	// Acquire takes the lease for holder unless another holds it, and gives who holds it now.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (current string, err error)
	// Extend makes the holder's lease last ttl from now; false if it is another's meanwhile.
	Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	// Release gives the holder's lease back; another's stays.
	Release(ctx context.Context, name, holder string) error
}

// Do has one of the callers with this name do the work, and returns when done
// reports true, no matter which of them did it, or when ctx ends. done is asked before every attempt. Where there
// is no locker, or it gives no answer, everybody works for itself: a lease spares work, it
// does not guard it.
func Do(ctx context.Context, locker Locker, name string, done func(context.Context) bool, work func(context.Context)) {
	if locker == nil {
		work(ctx)
		return
	}
	holder := rand.Text()
	for {
		if done(ctx) {
			return
		}
		held, current, err := Hold(ctx, locker, name, holder)
		if err != nil {
			work(ctx)
			return
		}
		if current == holder {
			// The holder until now may just have finished.
			if !done(ctx) {
				work(ctx)
			}
			held.Release()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery + mathrand.N(lookEvery/2)):
		}
	}
}

// Hold takes the lease and keeps it until it is released. current is who holds it:
// if that is not the holder, nothing was taken and h is nil.
func Hold(ctx context.Context, locker Locker, name, holder string) (h *Held, current string, err error) {
	current, err = locker.Acquire(ctx, name, holder, TTL)
	if err != nil || current != holder {
		return nil, current, err
	}
	h = &Held{locker: locker, name: name, holder: holder}
	h.mu.Lock()
	h.timer = time.AfterFunc(extendEvery, h.extend)
	h.mu.Unlock()
	return h, current, nil
}

// Held is a lease that is kept.
type Held struct {
	locker       Locker
	name, holder string

	mu    sync.Mutex
	timer *time.Timer
	over  bool
	lost  string // who has it instead
}

// extend keeps the lease. One that is gone, because the store was away for longer than it lasts or has lost its data, is
// taken again. That another has it by then stops nothing: what was begun under it cannot be taken back.
func (h *Held) extend() {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	ours, err := h.locker.Extend(ctx, h.name, h.holder, TTL)
	current := h.holder
	if err == nil && !ours {
		current, err = h.locker.Acquire(ctx, h.name, h.holder, TTL)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && current != h.holder {
		h.lost = current
	}
	if !h.over {
		h.timer.Reset(extendEvery)
	}
}

// LostTo returns who has held the lease while it was not extended; "" if nobody was seen to.
func (h *Held) LostTo() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Release gives the lease back.
func (h *Held) Release() {
	h.mu.Lock()
	h.over = true
	h.timer.Stop()
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_ = h.locker.Release(ctx, h.name, h.holder)
}
