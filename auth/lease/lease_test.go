package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// flaky is a Memory that loses its data and gives no answer, as it is told.
type flaky struct {
	Memory
	down     atomic.Bool
	releases atomic.Int32
}

var errDown = errors.New("down")

func (f *flaky) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (string, error) {
	if f.down.Load() {
		return "", errDown
	}
	return f.Memory.Acquire(ctx, name, holder, ttl)
}

func (f *flaky) Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if f.down.Load() {
		return false, errDown
	}
	return f.Memory.Extend(ctx, name, holder, ttl)
}

func (f *flaky) Release(ctx context.Context, name, holder string) error {
	f.releases.Add(1)
	return f.Memory.Release(ctx, name, holder)
}

func (f *flaky) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leases = nil
}

func TestALeaseIsKeptForAsLongAsItIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		locker := new(flaky)
		held, current, err := Hold(t.Context(), locker, "n", "one")
		if err != nil || current != "one" {
			t.Fatal(current, err)
		}
		time.Sleep(10 * TTL)
		if h, current, err := Hold(t.Context(), locker, "n", "two"); h != nil || current != "one" || err != nil {
			t.Errorf("%v %q %v", h, current, err)
		}
		held.Release()
		time.Sleep(10 * TTL)
		other, current, err := Hold(t.Context(), locker, "n", "two")
		if err != nil || current != "two" || held.LostTo() != "" {
			t.Errorf("after its release: %q %v, lost to %q", current, err, held.LostTo())
		}
		other.Release()
	})
}

func TestALeaseThatTheStoreHasLostIsTakenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		locker := new(flaky)
		held, _, _ := Hold(t.Context(), locker, "n", "one")
		defer held.Release()
		locker.down.Store(true)
		time.Sleep(2 * TTL) // longer than it lasts
		locker.lose()
		locker.down.Store(false)
		time.Sleep(extendEvery + time.Second)
		if h, current, _ := Hold(t.Context(), locker, "n", "two"); h != nil || current != "one" {
			t.Errorf("%q holds it", current)
		}
		if held.LostTo() != "" {
			t.Errorf("lost to %q", held.LostTo())
		}
	})
}

func TestALeaseThatAnotherHasTakenMeanwhileIsSaidToBeLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		locker := new(flaky)
		held, _, _ := Hold(t.Context(), locker, "n", "one")
		locker.lose()
		second, current, _ := Hold(t.Context(), locker, "n", "two")
		if current != "two" {
			t.Fatal(current)
		}
		time.Sleep(2 * extendEvery)
		if held.LostTo() != "two" || second.LostTo() != "" {
			t.Errorf("lost to %q and %q", held.LostTo(), second.LostTo())
		}
		held.Release()
		if h, current, _ := Hold(t.Context(), locker, "n", "three"); h != nil || current != "two" {
			t.Errorf("its release gave another's lease back: %q", current)
		}
		second.Release()
	})
}

func TestWorkIsDoneOnceAndByEachWithoutALocker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		locker := new(flaky)
		var works atomic.Int32
		var done atomic.Bool
		do := func(locker Locker, finished chan<- struct{}) {
			Do(t.Context(), locker, "n", func(context.Context) bool { return done.Load() }, func(context.Context) {
				works.Add(1)
				time.Sleep(3 * TTL) // longer than a lease lasts by itself
				done.Store(true)
			})
			finished <- struct{}{}
		}
		finished := make(chan struct{})
		for range 5 {
			go do(locker, finished)
		}
		for range 5 {
			<-finished
		}
		if works.Load() != 1 || locker.releases.Load() < 1 {
			t.Errorf("%d worked, %d releases", works.Load(), locker.releases.Load())
		}
		done.Store(false)
		locker.down.Store(true)
		go do(locker, finished)
		<-finished
		done.Store(false)
		go do(nil, finished)
		<-finished
		if works.Load() != 3 {
			t.Errorf("%d worked in all, want one more for itself without an answer, and one without a locker", works.Load())
		}
	})
}

// The former holder may have finished between the question and the lease.
func TestWorkThatWasDoneJustBeforeTheLeaseWasTakenIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	asked, worked := 0, false
	locker := new(flaky)
	Do(t.Context(), locker, "n", func(context.Context) bool { asked++; return asked > 1 }, func(context.Context) { worked = true })
	if worked || asked != 2 || locker.releases.Load() != 1 {
		t.Errorf("worked %t after %d questions, %d releases", worked, asked, locker.releases.Load())
	}
}
