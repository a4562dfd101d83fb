package claim

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

const (
	renewEvery = TTL / 4

	askTimeout = 2 * time.Second

	// together is how many calls are renewed or given back in one question.
	together = 100

	// maxReturning is how many calls may wait for being given back. What one beyond it holds lasts as long as it was renewed for.
	maxReturning = 10_000

	// tryAgain is after how long is given back once more what the store did not take.
	tryAgain = 50 * time.Millisecond

	// gather is how long calls that have ended wait for others while many do, so that one question gives them all back.
	gather = time.Millisecond

	// settleTimeout bounds how long a refused call waits for what this gateway is just giving back.
	settleTimeout = 200 * time.Millisecond
)

// Keeper claims for the calls of one gateway, renews what they hold and gives it back. It is safe for concurrent use.
type Keeper struct {
	store   Store
	gateway string

	// asking is held while calls are renewed or given back, so that nothing is renewed that was given back a moment ago.
	asking sync.Mutex

	closed chan struct{}
	once   sync.Once // closes closed

	// hurry has what is gathered be given back at once.
	hurry chan struct{}

	mu        sync.Mutex
	held      map[*Held]struct{}
	renewing  bool
	giving    bool // giveAllBack runs
	returning []returned
	given     uint64 // how many were given back, or given up
	marks     []mark
}

// mark is closed when as many as upTo are given back.
type mark struct {
	upTo uint64
	done chan struct{}
}

// returned is what a call held until then.
type returned struct {
	Holding
	at time.Time
}

// NewKeeper returns a keeper for the gateway of that name.
func NewKeeper(store Store, gateway string) *Keeper {
	return &Keeper{store: store, gateway: gateway, held: make(map[*Held]struct{}), closed: make(chan struct{}), hurry: make(chan struct{}, 1)}
}

// Claim takes everything that the request wants, or nothing. An error means that the store gave no answer.
func (k *Keeper) Claim(ctx context.Context, r *Request) (Result, error) {
	if r.Token == "" {
		r.Token = rand.Text()
	}
	upTo, pending := k.pending()
	result, err := k.store.Claim(ctx, k.gateway, r)
	if err != nil || !pending || result.Refused == Granted || result.Refused == BySession || result.Refused == ByRate || result.Refused == ByCoolDown {
		return result, err
	}
	// What is in the way may be what this gateway was just giving back, and its caller has had the answer.
	k.settle(ctx.Done(), upTo, settleTimeout)
	again := *r
	again.Rate = Rate{} // it is charged
	return k.store.Claim(ctx, k.gateway, &again)
}

// pending reports whether anything is being given back, and how many are given back once that is.
func (k *Keeper) pending() (upTo uint64, _ bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.given + uint64(len(k.returning)), len(k.returning) > 0
}

// settle waits until that many are given back, or after a while.
func (k *Keeper) settle(done <-chan struct{}, upTo uint64, most time.Duration) {
	k.mu.Lock()
	if k.given >= upTo {
		k.mu.Unlock()
		return
	}
	m := mark{upTo, make(chan struct{})}
	k.marks = append(k.marks, m)
	k.mu.Unlock()
	select {
	case k.hurry <- struct{}{}:
	default:
	}
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-m.done:
	case <-done:
	case <-late.C:
	}
}

// Held is what a call holds until it is given back.
type Held struct {
	Holding

	mu   sync.Mutex
	lost string
}

// LostTo returns who has held a lease of the call while it was not renewed; "" if nobody was seen to.
func (h *Held) LostTo() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Keep renews what a call holds until it is returned. What it does not hold at the store, because that gave no answer, it takes
// with the next renewal, if it is free then.
func (k *Keeper) Keep(h *Held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[h] = struct{}{}
	if !k.renewing {
		k.renewing = true
		go k.renew()
	}
}

// renew renews what all calls hold, in one round, until none is left.
func (k *Keeper) renew() {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.closed:
			return
		case <-tick.C:
			if !k.renewAll() {
				return
			}
		}
	}
}

func (k *Keeper) renewAll() (more bool) {
	k.asking.Lock()
	defer k.asking.Unlock()
	k.mu.Lock()
	calls := make([]*Held, 0, len(k.held))
	for h := range k.held {
		calls = append(calls, h)
	}
	if len(calls) == 0 {
		k.renewing = false
	}
	k.mu.Unlock()
	for begin := 0; begin < len(calls); begin += together {
		some := calls[begin:min(begin+together, len(calls))]
		holdings := make([]Holding, len(some))
		for i, h := range some {
			holdings[i] = h.Holding
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		lost, err := k.store.Renew(ctx, k.gateway, holdings)
		cancel()
		if err != nil {
			break // the next round is soon
		}
		for i, holder := range lost {
			if i < len(some) {
				some[i].mu.Lock()
				some[i].lost = holder
				some[i].mu.Unlock()
			}
		}
	}
	return len(calls) > 0
}

// Replace renews next in place of h.
func (k *Keeper) Replace(h, next *Held) {
	k.Keep(next)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, h)
}

// Return releases what a call holds, without making its caller wait. It also removes values that have not changed since.
func (k *Keeper) Return(h *Held, values ...Value) {
	holding := h.Holding
	holding.Values = values
	k.mu.Lock()
	delete(k.held, h)
	k.mu.Unlock()
	k.giveBack(holding)
}

// Charge counts what is never refused.
func (k *Keeper) Charge(r Rate) { k.giveBack(Holding{Charge: r}) }

func (k *Keeper) giveBack(h Holding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.returning) >= maxReturning {
		return
	}
	k.returning = append(k.returning, returned{h, time.Now()})
	if !k.giving {
		k.giving = true
		go k.giveAllBack()
	}
}

// giveAllBack releases until nothing is left: the first at once, and what ends meanwhile together. A release that the store did not
// take is repeated for as long as the claim can last.
func (k *Keeper) giveAllBack() {
	for {
		some := k.next()
		if len(some) == 0 {
			return
		}
		k.asking.Lock()
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		err := k.store.Return(ctx, k.gateway, some)
		cancel()
		k.asking.Unlock()
		if err != nil {
			time.Sleep(tryAgain)
			continue
		}
		k.mu.Lock()
		k.drop(len(some))
		more := len(k.returning)
		k.mu.Unlock()
		if more > 0 && more < together {
			select {
			case <-time.After(gather):
			case <-k.hurry:
			}
		}
	}
}

// next returns the calls that are given back next; if there are none giveAllBack ends.
func (k *Keeper) next() []Holding {
	k.mu.Lock()
	defer k.mu.Unlock()
	late := 0
	for late < len(k.returning) && time.Since(k.returning[late].at) > TTL {
		late++
	}
	k.drop(late)
	some := make([]Holding, 0, min(len(k.returning), together))
	for _, r := range k.returning[:min(len(k.returning), together)] {
		some = append(some, r.Holding)
	}
	k.giving = len(some) > 0
	return some
}

// drop forgets the first of what is given back, and tells those who wait for that. k.mu is held.
func (k *Keeper) drop(n int) {
	k.given += uint64(n) //nolint:gosec // a length
	if k.returning = k.returning[n:]; len(k.returning) == 0 {
		k.returning = nil
	}
	k.marks = slices.DeleteFunc(k.marks, func(m mark) bool {
		if m.upTo > k.given {
			return false
		}
		close(m.done)
		return true
	})
}

// Close renews nothing more, and settles.
func (k *Keeper) Close() {
	k.once.Do(func() { close(k.closed) })
	k.Settle()
}

// Settle returns when everything is given back, or after a while.
func (k *Keeper) Settle() {
	upTo, _ := k.pending()
	k.settle(nil, upTo, askTimeout)
}
