package gateway

import (
	"context"
	"sync"
	"time"
)

// callTimes bounds how long calls may take. Those that begin within the same period share one timer, so that a call need not
// allocate and set one of its own. The zero callTimes is ready.
type callTimes struct {
	mu      sync.Mutex
	until   time.Time       // calls that begin later need another context
	current context.Context // ends maxCallTime after until; nil: there is none
}

// callPeriod is how much longer than maxCallTime a call may take at most.
const callPeriod = 10 * time.Second

// from returns a context for a call that begins now.
func (t *callTimes) from(now time.Time) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil || now.After(t.until) {
		t.until = now.Add(callPeriod)
		ctx, cancel := context.WithDeadline(context.Background(), t.until.Add(maxCallTime))
		context.AfterFunc(ctx, cancel)
		t.current = ctx
	}
	return t.current
}

// callContext returns a context for a call, like detached. Nobody cancels it before its time.
func (g *Gateway) callContext() context.Context {
	return callContext{g.callTimes.from(time.Now()), g.platform.Background()}
}
