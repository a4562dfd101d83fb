package console

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"time"
)

const (
	// lookEvery is how often it is looked whether anything has changed, while anybody follows.
	lookEvery = freshFor
	// keepAlive is how often a silent stream says that it is there: proxies close silent ones.
	keepAlive = 15 * time.Second
	// streamLasts bounds a stream, so that each viewer must prove again that they may look.
	streamLasts = 15 * time.Minute
	// maxStreams bounds the streams of all viewers.
	maxStreams = 200
	// writeTimeout is how long a browser may take for one event.
	writeTimeout = 10 * time.Second
)

// hub tells open pages that something changed. Streams hold nothing up: they end when the console is closed.
type hub struct {
	console *Console
	closed  chan struct{}
	once    sync.Once

	mu      sync.Mutex
	streams map[*stream]bool
	stop    context.CancelFunc // of who looks; nil: nobody follows
}

// stream is one page that follows.
type stream struct {
	viewer *viewer
	// changed has at most one entry: a page that is told twice reads once.
	changed chan struct{}
}

func newHub(c *Console) *hub {
	return &hub{console: c, closed: make(chan struct{}), streams: make(map[*stream]bool)}
}

func (h *hub) close() { h.once.Do(func() { close(h.closed) }) }

// join adds a stream; nil if there are too many, or no more.
func (h *hub) join(v *viewer) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
		return nil
	default:
	}
	if len(h.streams) >= maxStreams {
		return nil
	}
	s := &stream{v, make(chan struct{}, 1)}
	h.streams[s] = true
	if h.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		h.stop = cancel
		go h.look(ctx)
	}
	return s
}

func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	if len(h.streams) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// serve is one stream. No event holds anything but that there is something new: the page asks for it, as who looks.
func (h *hub) serve(w http.ResponseWriter, r *request) {
	s := h.join(r.viewer)
	if s == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "no further page can follow now", http.StatusServiceUnavailable)
		return
	}
	defer h.leave(s)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every connection has one
		if _, err := fmt.Fprint(w, text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if r.Method == http.MethodHead || !send("retry: 2000\n\n") {
		return
	}
	alive, over := time.NewTicker(keepAlive), time.NewTimer(streamLasts)
	defer alive.Stop()
	defer over.Stop()
	for {
		text := ": still here\n\n"
		select {
		case <-h.closed:
			return
		case <-r.Context().Done():
			return
		case <-over.C:
			return
		case <-s.changed:
			text = "event: change\ndata: {}\n\n"
		case <-alive.C:
		}
		if !send(text) {
			return
		}
	}
}

// look tells streams of changes, until ctx is done or the console closed.
func (h *hub) look(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-h.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seed := maphash.MakeSeed()
	before, _ := h.marks(ctx, seed)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := h.marks(ctx, seed)
		if err != nil {
			continue // pages say so themselves
		}
		h.tell(before, now)
		before = now
	}
}

// everybody is the mark of what concerns all tenants.
const everybody = "\x00"

// marks returns a number for each tenant that is another one whenever anything of it is.
func (h *hub) marks(ctx context.Context, seed maphash.Seed) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	status, err := h.console.known.status(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]uint64)
	add := func(tenant string, what any) { found[tenant] += maphash.Comparable(seed, what) }
	for _, app := range status.Apps {
		for _, t := range app.Tenants {
			m := tenantMark{Environment: app.Environment, App: app.App, InFlight: t.InFlight, Attention: t.Attention, Suspended: t.Suspended, Consent: t.Consent, Unknowns: t.Unknowns}
			if t.Last != nil {
				m.Last, m.What = t.Last.RequestID, t.Last.What()
			}
			add(t.Tenant, m)
		}
	}
	for _, hold := range status.Holds {
		tenant := hold.Tenant
		if tenant == "" {
			tenant = everybody
		}
		add(tenant, hold.Target+hold.Reason+hold.Since.String())
	}
	if failures, err := h.console.known.failures(ctx); err == nil {
		for _, f := range failures.Failures {
			add(f.Tenant, failureMark{f.Group, f.Keys, f.Tries, f.RequestID})
		}
	}
	return found, nil
}

type tenantMark struct {
	Environment, App, Attention, Consent, Last, What string
	InFlight, Unknowns                               int
	Suspended                                        bool
}

type failureMark struct {
	Group       int64
	Keys, Tries int
	RequestID   string
}

// tell wakes the streams that see a tenant which has changed.
func (h *hub) tell(before, now map[string]uint64) {
	var changed []string
	for tenant, mark := range now {
		if was, ok := before[tenant]; !ok || was != mark {
			changed = append(changed, tenant)
		}
	}
	for tenant := range before {
		if _, ok := now[tenant]; !ok {
			changed = append(changed, tenant)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		for _, tenant := range changed {
			if tenant == everybody || s.viewer.sees(tenant) {
				select {
				case s.changed <- struct{}{}:
				default:
				}
				break
			}
		}
	}
}
