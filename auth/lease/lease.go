// Package lease lets one of several gateways do what must be done once, such as
// renewing a credential, while the others wait for what comes of it.
package lease

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"time"
)

const (
	// TTL is how long a lease holds without being extended: a holder that dies
	// blocks the others no longer.
	TTL = 10 * time.Second

	extendEvery = TTL / 4

	// lookEvery is how often those who wait look whether the work is done, a little jittered.
	lookEvery = 100 * time.Millisecond

	releaseTimeout = 2 * time.Second
)

// Locker grants leases that several processes see.
type Locker interface {
	// Acquire takes the lease for holder unless another holds it.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
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
		mine, err := locker.Acquire(ctx, name, holder, TTL)
		if err != nil {
			work(ctx)
			return
		}
		if mine {
			// Whoever had it until now may just have finished.
			if !done(ctx) {
				hold(ctx, locker, name, holder, work)
			}
			free(ctx, locker, name, holder)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery + mathrand.N(lookEvery/2)):
		}
	}
}

// hold does the work and keeps the lease meanwhile.
func hold(ctx context.Context, locker Locker, name, holder string, work func(context.Context)) {
	over, extended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(extended)
		tick := time.NewTicker(extendEvery)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				// Losing the lease stops nothing: the work is bounded by ctx, and its
				// result is written only over what it was made from.
				_, _ = locker.Extend(ctx, name, holder, TTL)
			}
		}
	}()
	work(ctx)
	close(over)
	<-extended
}

func free(ctx context.Context, locker Locker, name, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = locker.Release(ctx, name, holder)
}
