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

// Do has work done by one of all who call with the name, and returns when done
// tells that it is, by whomever, or when ctx ends. done is asked before every attempt. Where there
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
		release, current, err := Hold(ctx, locker, name, holder)
		if err != nil {
			work(ctx)
			return
		}
		if current == holder {
			// Whoever had it until now may just have finished.
			if !done(ctx) {
				work(ctx)
			}
			release()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery + mathrand.N(lookEvery/2)):
		}
	}
}

// Hold takes the lease and keeps it until release is called. current is who holds it:
// if that is not the holder, nothing was taken and release is nil.
func Hold(ctx context.Context, locker Locker, name, holder string) (release func(), current string, err error) {
	current, err = locker.Acquire(ctx, name, holder, TTL)
	if err != nil || current != holder {
		return nil, current, err
	}
	h := &held{locker: locker, name: name, holder: holder}
	h.mu.Lock()
	h.timer = time.AfterFunc(extendEvery, h.extend)
	h.mu.Unlock()
	return h.release, current, nil
}

// held is a lease that is kept.
type held struct {
	locker       Locker
	name, holder string

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// extend keeps the lease. That it is lost stops nothing: whatever was begun under it is
// bounded by itself.
func (h *held) extend() {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_, _ = h.locker.Extend(ctx, h.name, h.holder, TTL)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.timer.Reset(extendEvery)
	}
}

func (h *held) release() {
	h.mu.Lock()
	h.over = true
	h.timer.Stop()
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_ = h.locker.Release(ctx, h.name, h.holder)
}
