package guard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallsInFlightAreBoundedByConnectionTenantAndApp(t *testing.T) {
	t.Parallel()
	var m Meter
	limits := Limits{Connection: 1, Tenant: 2, App: 3}
	take := func(app, tenant string, connection int32, want string) func() {
		t.Helper()
		leave, full := m.Acquire(limits, app, tenant, connection)
		if full != want || (leave == nil) != (want != "") {
			t.Errorf("%s %s %d: %q, want %q", app, tenant, connection, full, want)
		}
		return leave
	}
	first := take("a", "t1", 1, "")
	take("a", "t1", 1, "connection")
	take("a", "t1", 2, "")
	take("a", "t1", 3, "tenant")
	take("a", "t2", 1, "")
	take("a", "t3", 1, "app")
	take("b", "t1", 1, "") // another app
	if n := m.InFlight("a", "t1"); n != 2 {
		t.Errorf("%d in flight", n)
	}
	first()
	take("a", "t1", 1, "")
	if leave, full := m.Acquire(Limits{}, "a", "t1", 1); leave == nil || full != "" {
		t.Error("no limit is a limit")
	}
}

func TestNothingIsLeftOfCallsThatAreOver(t *testing.T) {
	t.Parallel()
	var m Meter
	for i := range 1000 {
		leave, _ := m.Acquire(Limits{Connection: 1}, "a", fmt.Sprint(i), int32(i))
		leave()
	}
	if len(m.inFlight) != 0 {
		t.Errorf("%d entries", len(m.inFlight))
	}
}

func TestCallsByTheSecondAreBoundedAndOwnRequestsCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		limits := Limits{PerSecond: 5}
		burst := func() (n int) {
			for range 20 {
				if m.Allow(limits, "a", "t") == 0 {
					n++
				}
			}
			return n
		}
		if n := burst(); n != 5 {
			t.Errorf("%d at once", n)
		}
		if wait := m.Allow(limits, "a", "t"); wait <= 0 || wait > 200*time.Millisecond {
			t.Errorf("to wait %s", wait)
		}
		if m.Allow(limits, "a", "other") != 0 {
			t.Error("another tenant waits")
		}
		time.Sleep(time.Second)
		m.Charge(limits, "a", "t")
		m.Charge(limits, "a", "t")
		if n := burst(); n != 3 {
			t.Errorf("%d beside two requests of our own", n)
		}
		time.Sleep(time.Second)
		if limits.PerSecond = 10; burst() < 5 {
			t.Error("a new limit does not hold")
		}
		if m.Allow(Limits{}, "a", "t") != 0 {
			t.Error("no limit is a limit")
		}
	})
}

func TestRatesOfTenantsThatCallNoMoreAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		for i := range 1000 {
			m.Allow(Limits{PerSecond: 1}, "a", fmt.Sprint(i))
		}
		time.Sleep(2 * time.Minute)
		m.Allow(Limits{PerSecond: 1}, "a", "one more")
		if len(m.rates) != 1 {
			t.Errorf("%d are remembered", len(m.rates))
		}
	})
}

func TestTheSameCallRunsOnce(t *testing.T) {
	t.Parallel()
	var r Running
	if other := r.TryStart("n", "one"); other != "" {
		t.Error(other)
	}
	if other := r.TryStart("n", "two"); other != "one" {
		t.Errorf("%q runs", other)
	}
	if other := r.TryStart("other", "three"); other != "" {
		t.Error(other)
	}
	r.Done("n")
	if other := r.TryStart("n", "two"); other != "" {
		t.Error(other)
	}
}
