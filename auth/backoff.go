package auth

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Backoff spaces attempts that failed: a second at first, up to half a minute,
// jittered. The zero Backoff is ready.
type Backoff struct {
	mu     sync.Mutex
	failed map[string]failure
}

type failure struct {
	times int
	until time.Time
}

// Blocked reports whether the last attempt for key failed too short a time ago.
func (b *Backoff) Blocked(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, failed := b.failed[key]
	return failed && time.Now().Before(f.until)
}

// Record notes how an attempt ended.
func (b *Backoff) Record(key string, well bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if well {
		delete(b.failed, key)
		return
	}
	if b.failed == nil {
		b.failed = make(map[string]failure)
	}
	now := time.Now()
	for other, f := range b.failed { // what is over is forgotten, so that it does not grow
		if now.Sub(f.until) > maxBackoff {
			delete(b.failed, other)
		}
	}
	f := b.failed[key]
	b.failed[key] = failure{f.times + 1, now.Add(backoff(f.times))}
}

// backoff is how long to wait after so many failures before this one.
func backoff(failures int) time.Duration {
	d := min(firstBackoff<<min(failures, 5), maxBackoff)
	return d/2 + rand.N(d/2+1)
}

// persistence is how often something is attempted while somebody waits for it.
const persistence = 3

// Retry attempts something until it says that it is over, spaced like a
// Backoff's attempts, a few times and no longer than ctx.
func Retry(ctx context.Context, attempt func() (over bool)) {
	for i := range persistence {
		if attempt() || i == persistence-1 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff(i)):
		}
	}
}
