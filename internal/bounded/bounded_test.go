package bounded

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheLastKeysAreRememberedAndTheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s := NewSet(100)
	for i := range 1000 {
		s.Add(fmt.Sprint(i), time.Now().Add(time.Hour))
		if n := s.keys.Len(); n > 200 {
			t.Fatalf("%d entries", n)
		}
	}
	for i := 900; i < 1000; i++ {
		if !s.Has(fmt.Sprint(i)) {
			t.Fatalf("%d is forgotten", i)
		}
	}
	if s.Has("1") {
		t.Error("the first is remembered")
	}
}

func TestWhatIsUsedStays(t *testing.T) {
	t.Parallel()
	m := NewMap[string, int](10)
	m.Set("used", 1)
	for i := range 1000 {
		m.Set(fmt.Sprint(i), i)
		if _, ok := m.Get("used"); !ok {
			t.Fatalf("forgotten after %d others", i)
		}
	}
	m.Set("used", 2)
	if v, _ := m.Get("used"); v != 2 {
		t.Errorf("%d", v)
	}
	m.Delete("used")
	if _, ok := m.Get("used"); ok {
		t.Error("still there")
	}
}

func TestAKeyIsAddedOnceUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSet(10)
		if !s.Add("a", time.Now().Add(time.Minute)) || s.Add("a", time.Now().Add(time.Minute)) || !s.Has("a") || s.Has("b") {
			t.Error("not once")
		}
		time.Sleep(2 * time.Minute)
		if s.Has("a") || !s.Add("a", time.Now().Add(time.Minute)) {
			t.Error("still remembered after its time")
		}
		s.Remove("a")
		if s.Has("a") {
			t.Error("still there")
		}
	})
}
