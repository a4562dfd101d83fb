package roster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kept is a Store in the process, that can be away.
type kept struct {
	mu   sync.Mutex
	away error
	all  map[string]Gateway
}

func (k *kept) Note(_ context.Context, g Gateway, _ time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away != nil {
		return k.away
	}
	if k.all == nil {
		k.all = make(map[string]Gateway)
	}
	g.Seen = time.Now()
	k.all[g.ID] = g
	return nil
}

func (k *kept) Forget(_ context.Context, id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, id)
	return k.away
}

func (k *kept) Gateways(context.Context) (all []Gateway, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, g := range k.all {
		g.Silent = time.Since(g.Seen)
		all = append(all, g)
	}
	return all, k.away
}

func (k *kept) set(away error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

func TestEachGatewayNotesItselfUntilItStopsAndCountsTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(kept)
		one, two := New(store, Gateway{ID: "1", Started: time.Now().Add(time.Second)}), New(store, Gateway{ID: "2", Version: "v1", Started: time.Now()})
		two.SetNode("b")
		if one.Alive() != 1 {
			t.Errorf("%d before anybody was asked", one.Alive())
		}
		first, stopFirst := context.WithCancel(t.Context())
		defer stopFirst()
		second, stopSecond := context.WithCancel(t.Context())
		defer stopSecond()
		go one.Follow(first)
		go two.Follow(second)
		time.Sleep(2 * NoteEvery)
		all, err := one.Gateways(t.Context())
		if err != nil || len(all) != 2 || all[0].ID != "2" || all[0].Node != "b" || all[0].Version != "v1" || !all[0].Alive() || one.Alive() != 2 || two.Alive() != 2 {
			t.Fatalf("%+v %v; %d and %d alive", all, err, one.Alive(), two.Alive())
		}
		stopSecond()
		time.Sleep(2 * NoteEvery)
		if all, _ := one.Gateways(t.Context()); len(all) != 1 || one.Alive() != 1 {
			t.Errorf("after one has stopped: %+v, %d alive", all, one.Alive())
		}
	})
}

func TestAGatewayThatIsSilentIsListedAndNotAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(kept)
		_ = store.Note(t.Context(), Gateway{ID: "dead", Started: time.Now()}, KeptFor)
		one := New(store, Gateway{ID: "1", Started: time.Now()})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go one.Follow(ctx)
		time.Sleep(NoteEvery + time.Second)
		if one.Alive() != 2 {
			t.Errorf("%d alive", one.Alive())
		}
		time.Sleep(AliveFor)
		all, err := one.Gateways(t.Context())
		alive := 0
		for _, g := range all {
			if g.Alive() {
				alive++
			}
		}
		if err != nil || len(all) != 2 || alive != 1 || one.Alive() != 1 {
			t.Errorf("%+v %v, %d alive", all, err, one.Alive())
		}
	})
}

// An error is never an empty roster, and what was known last still counts.
func TestAStoreThatIsAwayIsAnErrorAndTheCountStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, away := new(kept), errors.New("away")
		_ = store.Note(t.Context(), Gateway{ID: "other"}, KeptFor)
		one := New(store, Gateway{ID: "1"})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go one.Follow(ctx)
		time.Sleep(time.Second)
		store.set(away)
		time.Sleep(2 * AliveFor)
		if all, err := one.Gateways(t.Context()); !errors.Is(err, away) || all != nil || one.Alive() != 2 {
			t.Errorf("%+v %v, %d alive", all, err, one.Alive())
		}
		store.set(nil)
		time.Sleep(2 * NoteEvery)
		if one.Alive() != 1 { // the other was silent meanwhile
			t.Errorf("%d alive", one.Alive())
		}
	})
}

func TestAGatewayOfItsOwnStoreIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	one := New(nil, Gateway{ID: "1"})
	one.Follow(t.Context()) // returns: there is nobody to tell
	one.Leave()
	all, err := one.Gateways(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != "1" || !all[0].Alive() || all[0].Seen.IsZero() || one.Alive() != 1 {
		t.Errorf("%+v %v", all, err)
	}
}

func TestAnOrderIsWaitedForUntilAllWhoAreAliveHaveIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(kept)
		one, two := New(store, Gateway{ID: "1"}), New(store, Gateway{ID: "2"})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go one.Follow(ctx)
		go two.Follow(ctx)
		time.Sleep(time.Second)
		_ = store.Note(t.Context(), Gateway{ID: "dead"}, KeptFor)
		time.Sleep(AliveFor) // it is not waited for
		has := func(g Gateway) bool { return g.Holds >= 7 }
		one.SetHolds(7)
		go func() {
			time.Sleep(4 * time.Second)
			two.SetHolds(7)
		}()
		began := time.Now()
		all, err := one.Await(t.Context(), has)
		if took := time.Since(began); err != nil || len(all) != 3 || took < 4*time.Second || took > 4*time.Second+NoteEvery/2 {
			t.Errorf("%+v %v after %s", all, err, took)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		all, err = one.Await(late, func(g Gateway) bool { return g.Holds >= 8 })
		if err != nil || len(all) != 3 || late.Err() == nil {
			t.Errorf("not in time: %+v %v", all, err)
		}
		store.set(errors.New("away"))
		if all, err := one.Await(t.Context(), has); err == nil || all != nil {
			t.Errorf("without the store: %+v", all)
		}
		if len(one.Known()) != 3 {
			t.Errorf("known: %+v", one.Known())
		}
	})
}
