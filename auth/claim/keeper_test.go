package claim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a Store in the process, of one place, that can be away.
type counted struct {
	mu       sync.Mutex
	away     error
	slow     time.Duration // of what is given back
	there    map[string]time.Time
	stolen   map[string]string // a call's lease is another's
	renewals int               // questions
	returns  int
}

func (c *counted) Claim(_ context.Context, gateway string, r *Request) (Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away != nil {
		return Result{}, c.away
	}
	maps.DeleteFunc(c.there, func(_ string, until time.Time) bool { return !time.Now().Before(until) })
	if len(c.there) >= r.Places[0].Most {
		return Result{Refused: ByPlace}, nil
	}
	if c.there == nil {
		c.there = make(map[string]time.Time)
	}
	c.there[gateway+r.ID] = time.Now().Add(TTL)
	return Result{}, nil
}

func (c *counted) Renew(_ context.Context, gateway string, calls []Holding) (map[int]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewals++; c.away != nil {
		return nil, c.away
	}
	lost := make(map[int]string)
	for i, h := range calls {
		if c.there == nil {
			c.there = make(map[string]time.Time)
		}
		c.there[gateway+h.ID] = time.Now().Add(TTL)
		if other := c.stolen[h.ID]; other != "" {
			lost[i] = other
		}
	}
	return lost, nil
}

func (c *counted) Return(_ context.Context, gateway string, calls []Holding) error {
	time.Sleep(c.slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returns++; c.away != nil {
		return c.away
	}
	for _, h := range calls {
		delete(c.there, gateway+h.ID)
	}
	return nil
}

func (c *counted) set(away error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, until := range c.there {
		if time.Now().Before(until) {
			n++
		}
	}
	return n
}

func request(id string, most int) *Request {
	return &Request{ID: id, Places: []Place{{"p", most}}}
}

func keep(t *testing.T, k *Keeper, id string, most int) *Held {
	t.Helper()
	if result, err := k.Claim(t.Context(), request(id, most)); err != nil || result.Refused != Granted {
		t.Fatalf("%s: %+v %v", id, result, err)
	}
	h := &Held{Holding: Holding{ID: id, Places: []string{"p"}}}
	k.Keep(h)
	return h
}

var errAway = errors.New("away")

func TestWhatCallsHoldIsRenewedInOneRoundForAllAndFreeOnceReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(counted)
		k := NewKeeper(store, "g")
		var held []*Held
		for i := range 60 {
			held = append(held, keep(t, k, fmt.Sprint(i), 60))
		}
		time.Sleep(3 * TTL)
		if n := store.count(); n != 60 || store.renewals > 3*int(TTL/renewEvery)+1 {
			t.Errorf("%d are held after %d renewals", n, store.renewals)
		}
		for _, h := range held {
			k.Return(h)
		}
		k.Settle()
		time.Sleep(2 * TTL)
		if n := store.count(); n != 0 {
			t.Errorf("%d are held", n)
		}
		keep(t, k, "after a pause", 1)
		time.Sleep(2 * TTL)
		if n := store.count(); n != 1 {
			t.Errorf("%d are held after a pause", n)
		}
		for h := range k.held {
			k.Return(h)
		}
		time.Sleep(TTL)
	})
}

func TestWhatADeadKeeperHeldIsFreeAfterItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(counted)
		dead, other := NewKeeper(store, "dead"), NewKeeper(store, "other")
		if _, err := dead.Claim(t.Context(), request("1", 1)); err != nil { // and it keeps nothing
			t.Fatal(err)
		}
		if result, _ := other.Claim(t.Context(), request("2", 1)); result.Refused != ByPlace {
			t.Errorf("%+v", result)
		}
		time.Sleep(TTL)
		if result, _ := other.Claim(t.Context(), request("2", 1)); result.Refused != Granted {
			t.Errorf("after its lease: %+v", result)
		}
	})
}

// A caller that has its answer may call again before the store has taken back what its call held.
func TestACallIsNotRefusedByWhatItsGatewayIsJustGivingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{slow: 50 * time.Millisecond}
		k := NewKeeper(store, "g")
		first := keep(t, k, "1", 1)
		began := time.Now()
		k.Return(first)
		if took := time.Since(began); took > 0 {
			t.Errorf("the caller waited %s", took)
		}
		h := keep(t, k, "2", 1)
		k.Return(h)
		k.Settle()
		if n := store.count(); n != 0 {
			t.Errorf("%d are held at the end", n)
		}
		time.Sleep(TTL)
	})
}

func TestCallsThatEndTogetherAreGivenBackTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{slow: 200 * time.Microsecond}
		k := NewKeeper(store, "g")
		alone := keep(t, k, "alone", 200)
		k.Return(alone)
		time.Sleep(store.slow)
		synctest.Wait()
		if store.returns != 1 {
			t.Error("one alone waits for others")
		}
		began := time.Now()
		if k.Settle(); time.Since(began) > 0 {
			t.Error("it waits, and nothing is given back")
		}
		var held []*Held
		for i := range 100 {
			held = append(held, keep(t, k, fmt.Sprint(i), 200))
		}
		for _, h := range held {
			k.Return(h)
			time.Sleep(100 * time.Microsecond)
		}
		k.Settle()
		if n := store.count(); n != 0 || store.returns > 15 { // 10 ms; one after the other there is room for 50
			t.Errorf("%d are held after %d questions", n, store.returns)
		}
		time.Sleep(TTL)
	})
}

// What is gathered is given back at once when a caller waits for it, and it waits for nothing that ended later.
func TestARefusedCallWaitsForWhatEndedBeforeItAndNoLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{slow: 100 * time.Microsecond}
		k := NewKeeper(store, "g")
		first, second := keep(t, k, "1", 2), keep(t, k, "2", 2)
		k.Return(first) // is asked
		time.Sleep(50 * time.Microsecond)
		k.Return(second) // is gathered
		time.Sleep(100 * time.Microsecond)
		began := time.Now()
		third := keep(t, k, "3", 1)
		if took := time.Since(began); took > gather/2 {
			t.Errorf("it waited %s", took)
		}
		k.Settle()

		store.slow = 50 * time.Millisecond
		k.Return(third)
		ends := make(chan struct{})
		go func() { // others end all the time
			for i := 0; ; i++ {
				select {
				case <-ends:
					return
				case <-time.After(10 * time.Millisecond):
					k.Return(&Held{Holding: Holding{ID: fmt.Sprint("other ", i)}})
				}
			}
		}()
		began = time.Now()
		fourth := keep(t, k, "4", 1)
		if took := time.Since(began); took >= settleTimeout {
			t.Errorf("it waited %s", took)
		}
		close(ends)
		k.Return(fourth)
		k.Settle()
		time.Sleep(TTL)
	})
}

// unconfirming finds that every session is another by now.
type unconfirming struct {
	*counted
	asked int
}

func (u *unconfirming) Claim(context.Context, string, *Request) (Result, error) {
	u.asked++
	return Result{Refused: BySession}, nil
}

// What has ended is not waited for.
func TestASessionThatIsNotConfirmedIsSaidSoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &unconfirming{counted: &counted{slow: 50 * time.Millisecond}}
		k := NewKeeper(store, "g")
		k.Return(&Held{Holding: Holding{ID: "1", Places: []string{"p"}}})
		began := time.Now()
		result, err := k.Claim(t.Context(), request("2", 1))
		if took := time.Since(began); err != nil || result.Refused != BySession || store.asked != 1 || took > 0 {
			t.Errorf("%+v %v, asked %d times in %s", result, err, store.asked, took)
		}
		k.Settle()
	})
}

func TestWhatTheStoreDidNotTakeBackIsGivenBackAgainAndWhatRunsIsCountedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(counted)
		k := NewKeeper(store, "g")
		ended, runs := keep(t, k, "1", 3), keep(t, k, "2", 3)
		store.set(errAway)
		if _, err := k.Claim(t.Context(), request("3", 3)); !errors.Is(err, errAway) {
			t.Error(err)
		}
		alone := &Held{Holding: Holding{ID: "3", Places: []string{"p"}}} // it runs all the same
		k.Keep(alone)
		k.Return(ended)
		time.Sleep(time.Second)
		store.set(nil)
		time.Sleep(renewEvery + time.Second)
		if n := store.count(); n != 2 {
			t.Errorf("%d are counted once the store is back, want the two that run", n)
		}
		k.Return(runs)
		k.Return(alone)
		store.set(errAway)
		time.Sleep(2 * TTL)
		if k.mu.Lock(); k.giving || k.given != 3 {
			t.Error("it tries for ever")
		}
		k.mu.Unlock()
	})
}

func TestALeaseThatAnotherHasTakenIsSaidToBeLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{stolen: map[string]string{"2": "other"}}
		k := NewKeeper(store, "g")
		one, two := keep(t, k, "1", 9), keep(t, k, "2", 9)
		time.Sleep(renewEvery + time.Second)
		if one.LostTo() != "" || two.LostTo() != "other" {
			t.Errorf("%q %q", one.LostTo(), two.LostTo())
		}
		next := &Held{Holding: Holding{ID: "3", Places: []string{"p"}}}
		k.Replace(one, next)
		k.Return(two)
		k.Return(next)
		time.Sleep(TTL)
		if len(k.held) != 0 {
			t.Errorf("%d are renewed", len(k.held))
		}
	})
}

func TestAClosedKeeperRenewsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(counted)
		k := NewKeeper(store, "g")
		h := keep(t, k, "one", 1)
		time.Sleep(TTL + renewEvery/2)
		k.Close()
		k.Close()
		synctest.Wait()
		renewals := store.renewals
		time.Sleep(3 * TTL)
		if store.count() != 0 || store.renewals != renewals {
			t.Errorf("%d are held after %d more renewals", store.count(), store.renewals-renewals)
		}
		k.Return(h) // and the bubble ends only with the goroutine that renews
	})
}
