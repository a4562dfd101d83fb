package gateway

import "sync"

// maxWaiting is how many requests of an app wait at a time for calls to end; further ones are answered at once.
const maxWaiting = 200

// background is the calls of this process that outlive their connections. It outlives configurations. The zero background is ready.
type background struct {
	mu      sync.Mutex
	byKey   map[string]*asyncCall
	byApp   map[string]int
	waiting map[string]int // by app
}

// enter takes a call in until leave, unless most of its app are in already.
func (b *background) enter(c *asyncCall, most int) (full bool) {
	app := c.decision.app.Name
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byApp[app] >= most {
		return true
	}
	if b.byKey == nil {
		b.byKey, b.byApp = make(map[string]*asyncCall), make(map[string]int)
	}
	b.byKey[c.decision.key] = c
	b.byApp[app]++
	c.g.platform.Metrics.AsyncBegan(app)
	return false
}

func (b *background) leave(c *asyncCall) {
	app := c.decision.app.Name
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byKey, c.decision.key)
	b.byApp[app]--
	c.g.platform.Metrics.AsyncEnded(app)
}

// find returns the call under key; nil if this process runs none.
func (b *background) find(key string) *asyncCall {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byKey[key]
}

// wait reports whether another request of the app may wait. The caller calls done when it waits no more.
func (b *background) wait(app string) (done func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting[app] >= maxWaiting {
		return nil, false
	}
	if b.waiting == nil {
		b.waiting = make(map[string]int)
	}
	b.waiting[app]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waiting[app]--
	}, true
}
