package gateway

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// StoreHealth is what is known of a store that several gateways share. The zero value is a store that does all it should.
type StoreHealth struct {
	// ReadsFail and WritesFail are since when it has not answered, or has not taken, what it was asked; zero: it does.
	ReadsFail, WritesFail time.Time
	// Cause is why the last question failed; nil once none does.
	Cause error
	// Policy is how it evicts, as Redis names it; "" if it does not say.
	Policy string
	// Evicted is how many keys it has evicted since this gateway first asked, and EvictedLast when that was last found.
	Evicted     uint64
	EvictedLast time.Time
}

// storeHealth keeps a StoreHealth.
type storeHealth struct {
	mu    sync.Mutex
	known StoreHealth
	// evicted is what the store counted when it was asked last; begun: it was asked.
	evicted uint64
	begun   bool
	silent  bool // it does not say how it evicts, which was logged
}

// StoreHealth returns what is known of the store.
func (s *SharedState) StoreHealth() StoreHealth {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.known
}

// WatchStore has the store watched while a gateway is in force. It must be called before one is.
func (s *SharedState) WatchStore(watch func(context.Context)) { s.watch = watch }

// StoreAnswered records what a question to the store came to. A store that was down for one kind of question is up only
// with an answer to that kind.
func (s *SharedState) StoreAnswered(write bool, err error) {
	dependency, changed, since := outcome.StoreReads, false, time.Time{}
	h := &s.store
	h.mu.Lock()
	failing := &h.known.ReadsFail
	if write {
		dependency, failing = outcome.StoreWrites, &h.known.WritesFail
	}
	switch {
	case err != nil:
		h.known.Cause = err
		if changed = failing.IsZero(); changed {
			*failing = time.Now()
		}
	case !failing.IsZero():
		changed, since, *failing = true, *failing, time.Time{}
		if h.known.ReadsFail.IsZero() && h.known.WritesFail.IsZero() {
			h.known.Cause = nil
		}
	}
	h.mu.Unlock()
	if write && err == nil {
		s.limitsShared()
	}
	g := s.current.Load()
	if g == nil {
		return
	}
	g.platform.Metrics.Answered(dependency, err == nil)
	if !changed {
		return
	}
	if err != nil {
		g.platform.Logger.Error("store unavailable", zap.String("dependency", string(dependency)), zap.Error(err))
		return
	}
	g.platform.Logger.Info("store available again", zap.String("dependency", string(dependency)), zap.Duration("after", time.Since(since)))
}

// StoreEvicts records how the store evicts: its policy, and how many keys it has evicted since it was started. err says
// why it does not tell.
func (s *SharedState) StoreEvicts(policy string, evicted uint64, err error) {
	g := s.current.Load()
	if g == nil {
		return
	}
	logger := g.platform.Logger
	h := &s.store
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		if !h.silent {
			logger.Warn("the store does not tell whether it evicts; give its user the right to INFO (+info)", zap.Error(err))
		}
		h.silent = true
		return
	}
	h.silent = false
	if policy != h.known.Policy && policy != noEviction {
		logger.Warn("the store may evict; set maxmemory-policy noeviction", zap.String("policy", policy), zap.String("breaks", EvictionBreaks))
	}
	h.known.Policy = policy
	if evicted < h.evicted { // it was started anew
		h.evicted = 0
	}
	if more := evicted - h.evicted; h.begun && more > 0 {
		h.known.Evicted += more
		h.known.EvictedLast = time.Now()
		g.platform.Metrics.StoreEvicted(more)
		logger.Error("the store evicts", zap.Uint64("keys", more), zap.String("policy", policy), zap.String("breaks", EvictionBreaks))
	}
	h.evicted, h.begun = evicted, true
}

const (
	noEviction = "noeviction"

	// EvictionBreaks are the promises that a store which forgets does not let a gateway keep.
	EvictionBreaks = "people are signed out early; a call may run twice, at once or with its Idempotency-Key; a cool-down may end early"
)
