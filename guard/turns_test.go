package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallsOverTheRateBeginInTheirTurnAndTheRateHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{PerSecond: 10}
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				if wait := m.AwaitRate(t.Context(), began.Add(10*time.Second), false, limits, "a", "t", 1); wait != 0 {
					t.Errorf("refused: %s", wait)
				}
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(began))
			})
		}
		group.Wait()
		if last := at[len(at)-1]; last < 3*time.Second || last > 3100*time.Millisecond {
			t.Errorf("40 calls at 10 a second, of which 10 at once, were over after %s", last)
		}
		for i := range at[:len(at)-11] { // the burst, and one at the edge
			if at[i+11]-at[i] < 100*time.Millisecond {
				t.Errorf("12 calls within %s", at[i+11]-at[i])
			}
		}
	})
}

func TestACallGivesUpWhenItsTimeIsOverOrItsCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{Connection: 1}
		leave, _ := m.AwaitPlace(t.Context(), time.Time{}, false, limits, "a", "t", 1)
		began := time.Now()
		if none, full := m.AwaitPlace(t.Context(), time.Time{}, false, limits, "a", "t", 1); none != nil || full != "connection" || time.Since(began) != 0 {
			t.Errorf("without patience: %q after %s", full, time.Since(began))
		}
		if none, full := m.AwaitPlace(t.Context(), began.Add(2*time.Second), false, limits, "a", "t", 1); none != nil || full != "connection" || time.Since(began) != 2*time.Second {
			t.Errorf("with 2 s: %q after %s", full, time.Since(began))
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if none, _ := m.AwaitPlace(ctx, began.Add(time.Minute), false, limits, "a", "t", 1); none != nil || time.Since(began) != time.Second {
			t.Errorf("left after 1 s: %s", time.Since(began))
		}
		if len(m.byPlace.apps) != 0 {
			t.Errorf("those who gave up are in the line: %v", m.byPlace.apps)
		}
		leave()
		if leave, _ := m.AwaitPlace(t.Context(), time.Now().Add(time.Minute), false, limits, "a", "t", 1); leave == nil {
			t.Error("the place is lost")
		}
	})
}

func TestTenantsTakeTurnsAndSoDoTheirConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{App: 1}
		leave, _ := m.AwaitPlace(t.Context(), time.Time{}, false, limits, "a", "t0", 0)
		var mu sync.Mutex
		var order []string
		var group sync.WaitGroup
		come := func(tenant string, connection int32) {
			group.Go(func() {
				leave, full := m.AwaitPlace(t.Context(), time.Now().Add(time.Minute), false, limits, "a", tenant, connection)
				if leave == nil {
					t.Errorf("%s %d: %s", tenant, connection, full)
					return
				}
				mu.Lock()
				order = append(order, fmt.Sprintf("%s/%d", tenant, connection))
				mu.Unlock()
				time.Sleep(time.Millisecond)
				leave()
			})
			synctest.Wait()
		}
		for range 6 {
			come("busy", 1)
		}
		come("busy", 2)
		come("quiet", 1)
		leave()
		group.Wait()
		want := "busy/1 quiet/1 busy/2 busy/1 busy/1 busy/1 busy/1 busy/1"
		if got := strings.Join(order, " "); got != want {
			t.Errorf("began in the order %s, want %s", got, want)
		}
	})
}

func TestWhoIsBlockedBlocksNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{Connection: 1}
		blocked, _ := m.AwaitPlace(t.Context(), time.Time{}, false, limits, "a", "t", 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if leave, _ := m.AwaitPlace(t.Context(), time.Now().Add(time.Minute), false, limits, "a", "t", 1); leave == nil {
				t.Error("refused")
			}
		}()
		synctest.Wait()
		began := time.Now()
		if leave, full := m.AwaitPlace(t.Context(), began.Add(time.Minute), false, limits, "a", "t", 2); leave == nil || time.Since(began) != 0 {
			t.Errorf("another connection waits: %q %s", full, time.Since(began))
		}
		blocked()
		<-done
	})
}

func TestNobodyOvertakesWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{PerSecond: 1}
		began := time.Now()
		until := began.Add(time.Minute)
		m.AwaitRate(t.Context(), until, false, limits, "a", "t", 1)
		first := make(chan time.Duration)
		go func() {
			m.AwaitRate(t.Context(), until, false, limits, "a", "t", 1)
			first <- time.Since(began)
		}()
		synctest.Wait()
		time.Sleep(time.Second - time.Nanosecond)
		second := make(chan time.Duration)
		go func() {
			m.AwaitRate(t.Context(), until, false, limits, "a", "t", 1)
			second <- time.Since(began)
		}()
		if a, b := <-first, <-second; a > b {
			t.Errorf("the first began after %s, the second after %s", a, b)
		}
	})
}

func TestThoseWhoWaitAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{App: 1}
		leave, _ := m.AwaitPlace(t.Context(), time.Time{}, false, limits, "a", "t", 1)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for tenant := range MaxWaitingApp / MaxWaitingTenant {
			for range MaxWaitingTenant {
				group.Go(func() {
					m.AwaitPlace(ctx, time.Now().Add(time.Minute), false, limits, "a", fmt.Sprint(tenant), 1)
				})
			}
			synctest.Wait()
			began := time.Now()
			if leave, _ := m.AwaitPlace(ctx, began.Add(time.Minute), false, limits, "a", fmt.Sprint(tenant), 2); leave != nil || time.Since(began) != 0 {
				t.Errorf("one more in tenant %d waits", tenant)
			}
		}
		began := time.Now()
		if leave, _ := m.AwaitPlace(ctx, began.Add(time.Minute), false, limits, "a", "another", 1); leave != nil || time.Since(began) != 0 {
			t.Error("one more of the app waits")
		}
		stop()
		group.Wait()
		leave()
		if len(m.byPlace.apps) != 0 || len(m.inFlight) != 0 {
			t.Errorf("left: %v %v", m.byPlace.apps, m.inFlight)
		}
	})
}

func TestWhoeverGivesUpIsTheOneThatLeaves(t *testing.T) {
	t.Parallel()
	l := new(line)
	all := make([]*waiter, 6)
	for i := range all {
		all[i] = new(waiter)
		l.join(all[i], fmt.Sprint(i%2), int32(i%3))
	}
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		l.leave(all[i], fmt.Sprint(i%2), int32(i%3))
		for _, of := range l.tenants {
			for _, lane := range of.lanes {
				if slices.Contains(lane.waiters, all[i]) {
					t.Errorf("%d is there still", i)
				}
			}
		}
	}
	if l.waiting != 0 || len(l.tenants) != 0 {
		t.Errorf("%+v", l)
	}
}
