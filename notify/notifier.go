package notify

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

const (
	// lookEvery is how often what was seen is told, and what is known is judged.
	lookEvery = time.Second

	// senderLease is held by the gateway that judges and sends, changeLease for the time of one change.
	senderLease = "notices sender"
	changeLease = "notices change"

	storeTimeout = 3 * time.Second
	lookAgain    = 20 * time.Millisecond

	// restAfter is how long a receiver is left alone by all messages after one attempt that it did not answer, at most.
	restAfter = time.Minute
)

// Health is what is known of the notices of a store.
type Health struct {
	// Known reports that what is kept was read: the following is zero until then.
	Known bool
	// Queued is how many messages wait, Oldest since when the first of them does.
	Queued int
	Oldest time.Time
	// Cause is why the first of them was not received yet; "" if it was not tried.
	Cause string
	// Lost is how many notices nobody will receive, since notices were first kept; LostLast is when the last one was lost, LostWhy why.
	Lost     uint64
	LostLast time.Time
	LostWhy  string
	// Gone is since when the receiver wants no more messages; zero: it does.
	Gone time.Time
	// StoreFails is since when the notices cannot be kept; zero: they can. StoreCause is why.
	StoreFails time.Time
	StoreCause string
	// Sends reports that this gateway sends for all.
	Sends bool
}

// Notifier watches the calls of this process, and tells with others of its store how connections are. It outlives
// configurations: one process has one for each store.
type Notifier struct {
	environment string
	alone       bool
	locker      lease.Locker
	holder      string
	logger      *zap.Logger
	watcher     watcher
	counts      counts
	wake        chan struct{} // there may be something to send

	mu       sync.Mutex // over the following
	settings *Settings  // nil: nothing has started
	running  int        // configurations in force
	stop     context.CancelFunc
	ended    chan struct{} // closed when both loops are over
	doc      *document     // as it was read or written last; nil: not yet
	unsaved  bool          // what is known is to be written, changed or not
	health   Health        // StoreFails, StoreCause, Sends
	rests    time.Time     // until when the receiver is left alone

	changing sync.Mutex // one change at a time
}

// New returns a notifier for an environment. alone says that no other gateway keeps notices in its store.
func New(environment string, alone bool, locker lease.Locker, logger *zap.Logger) *Notifier {
	return &Notifier{
		environment: environment, alone: alone, locker: locker, holder: rand.Text(), logger: logger,
		watcher: watcher{seen: newSeen()}, wake: make(chan struct{}, 1),
	}
}

// Start takes over the settings of a configuration, until stop is called, after which nothing is judged by them. The last
// one that started counts. A notifier works while any is in force.
func (n *Notifier) Start(settings Settings) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settings = &settings
	n.unsaved = true // the keys may be others
	n.running++
	if n.running == 1 {
		n.begin()
	}
	return sync.OnceFunc(func() {
		n.mu.Lock()
		n.running--
		last := n.running == 0
		if last {
			n.stop()
		}
		n.mu.Unlock()
		if last { // a change that is being made ends first
			n.changing.Lock()
			defer n.changing.Unlock()
		}
	})
}

// begin starts both loops, once those before have ended. The caller holds mu.
func (n *Notifier) begin() {
	before := n.ended
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.ended = stop, make(chan struct{})
	var loops sync.WaitGroup
	ended := n.ended
	ready := make(chan struct{})
	loops.Go(func() {
		if before != nil {
			<-before
		}
		close(ready)
		n.look(ctx)
	})
	loops.Go(func() {
		<-ready
		n.deliver(ctx)
	})
	go func() {
		loops.Wait()
		close(ended)
	}()
}

// Close ends what a configuration began and waits until what was seen is kept. The notifier is used no more.
func (n *Notifier) Close() {
	n.mu.Lock()
	stop, ended := n.stop, n.ended
	n.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	<-ended
	n.round(context.Background(), nil) // what calls said that went on
}

// Health returns what is known of the notices.
func (n *Notifier) Health() Health {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.health
	if d := n.doc; d != nil {
		h.Known = true
		h.Queued, h.Lost, h.LostLast, h.LostWhy = len(d.Queue), d.Lost, d.LostLast, d.LostWhy
		if len(d.Queue) > 0 {
			h.Oldest, h.Cause = d.Queue[0].Time, d.Queue[0].Cause
		}
		if n.settings != nil && n.settings.Webhook != nil && d.Gone == n.receiver().name() {
			h.Gone = d.GoneAt
		}
	}
	return h
}

// receiver returns the receiver of the settings. The caller holds mu, and there is one.
func (n *Notifier) receiver() *receiver { return &receiver{n.settings.Webhook, time.Now} }

// current returns the settings in force and their receiver; nil: events alone.
func (n *Notifier) current() (*Settings, *receiver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.settings.Webhook == nil {
		return n.settings, nil
	}
	return n.settings, n.receiver()
}
