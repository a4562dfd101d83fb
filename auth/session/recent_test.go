package session

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// remembering is a manager that remembers, over a store that others write to as well.
func remembering(t *testing.T) (m, others *Manager, c *clock) {
	t.Helper()
	others, c = newManager(t)
	mine := *others
	mine.Recent = NewRecent(0)
	return &mine, others, c
}

func TestASessionIsRecalledAsItWasReadOrWrittenLastAndNotAskedFor(t *testing.T) {
	t.Parallel()
	m, others, c := remembering(t)
	store := &countingStore{Store: m.Store}
	m.Store = store
	token, _, err := m.Start(t.Context(), person())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Recall(token); ok {
		t.Error("what was never read is recalled")
	}
	loaded, found, err := m.Load(t.Context(), token)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	store.gets = 0
	s, ok := m.Recall(token)
	if !ok || s.UPN != loaded.UPN || s.App != loaded.App || s.Tenant != loaded.Tenant || s.Access.Reveal() != "canary-access" || s.Version != 1 || !s.Used.Equal(loaded.Used.Truncate(time.Microsecond)) {
		t.Errorf("%+v, %v", s, ok)
	}
	for range 2 { // it opens as often as it is wanted
		if _, ok := m.Recall(token); !ok {
			t.Error("recalled once and not again")
		}
	}
	if store.gets != 0 {
		t.Error("the store was asked")
	}
	// Others write it, unnoticed until it is loaded: Version says so to the store.
	if _, _, err := others.Update(t.Context(), token, func(s *Session) { s.FullName = "Tove" }); err != nil {
		t.Fatal(err)
	}
	if s, ok := m.Recall(token); !ok || s.Version != 1 {
		t.Errorf("%+v, %v", s, ok)
	}
	if s, _, _ := m.Load(t.Context(), token); s.Version != 2 {
		t.Errorf("loaded: version %d", s.Version)
	}
	if s, ok := m.Recall(token); !ok || s.Version != 2 || s.FullName != "Tove" {
		t.Errorf("%+v, %v", s, ok)
	}
	if updated, _, err := m.Update(t.Context(), token, func(s *Session) { s.FullName = "Else" }); err != nil || updated.Version != 3 {
		t.Error(updated.Version, err)
	}
	if s, ok := m.Recall(token); !ok || s.Version != 3 || s.FullName != "Else" {
		t.Errorf("%+v, %v", s, ok)
	}
	// Its use is written back by a load, which knows the version that it wrote.
	c.advance(10 * time.Minute)
	if used, _, err := m.Load(t.Context(), token); err != nil || used.Version != 4 {
		t.Error(used.Version, err)
	}
	if s, ok := m.Recall(token); !ok || s.Version != 4 {
		t.Errorf("%+v, %v", s, ok)
	}
}

func TestARecordThatIsRememberedOpensWithItsOwnCookieAlone(t *testing.T) {
	t.Parallel()
	m, _, c := remembering(t)
	token, _, err := m.Start(t.Context(), person())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Load(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	other := m.Keys.Issue()
	record, ok := m.Recent.get(token.Place(), c.Now())
	if !ok || bytes.Contains(record.Sealed, []byte("canary")) {
		t.Fatal("in clear")
	}
	m.Recent.put(other.Place(), &record, c.Now())
	if _, ok := m.Recall(other); ok {
		t.Error("another cookie opens it")
	}
}

func TestWhatHasEndedOrIsDueIsNotRecalled(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Manager, *clock, Token){
		"signed out":               func(m *Manager, _ *clock, token Token) { _ = m.End(t.Context(), token) },
		"its use is to be written": func(m *Manager, _ *clock, _ Token) { m.Idle = recentTime * 2 / 3 },
		"its time is over":         func(m *Manager, c *clock, _ Token) { m.Lifetime = time.Minute; c.advance(time.Minute) },
		"remembered for long":      func(_ *Manager, c *clock, _ Token) { c.advance(recentTime) },
		"found to be gone by a load": func(m *Manager, _ *clock, token Token) {
			_ = m.Store.Delete(t.Context(), token.Place())
			_, _, _ = m.Load(t.Context(), token)
		},
		"found to be gone by a change": func(m *Manager, _ *clock, token Token) {
			_ = m.RevokeApp(t.Context(), "portal")
			_, _, _ = m.Update(t.Context(), token, func(*Session) {})
		},
	} {
		m, _, c := remembering(t)
		m.Idle = 24 * time.Hour
		token, _, err := m.Start(t.Context(), person())
		if err != nil {
			t.Fatal(err)
		}
		c.advance(time.Second)
		if _, _, err := m.Load(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Recall(token); !ok {
			t.Fatal("it is not remembered")
		}
		c.advance(recentTime / 10)
		change(m, c, token)
		if _, ok := m.Recall(token); ok {
			t.Errorf("%s: recalled", name)
		}
	}
}

// conflicting is a store in which another is always faster, or that gives no answer to what is written.
type conflicting struct {
	Store
	result PutResult
	err    error
}

func (c conflicting) Put(context.Context, Place, Record) (PutResult, error) { return c.result, c.err }

func TestWhatCouldNotBeWrittenIsForgotten(t *testing.T) {
	t.Parallel()
	for _, store := range []conflicting{{result: Conflict}, {result: Gone}, {err: ErrFull}} {
		m, _, c := remembering(t)
		token, _, err := m.Start(t.Context(), person())
		if err != nil {
			t.Fatal(err)
		}
		c.advance(7 * time.Minute)
		store.Store = m.Store
		m.Store = store
		if _, found, err := m.Load(t.Context(), token); err != nil || !found {
			t.Fatal(found, err)
		}
		m.Idle = 24 * time.Hour // nothing is to be written
		if _, ok := m.Recall(token); ok {
			t.Errorf("%+v: recalled", store)
		}
	}
}

func TestWhatIsRememberedIsBoundedInCountAndAge(t *testing.T) {
	t.Parallel()
	const each = 1000
	now := time.Now()
	record := Record{App: "portal", Tenant: "Cust1", Sealed: bytes.Repeat([]byte("x"), each-recentOverhead), Version: 1}
	place := func(i int) Place { return Place{byte(i), byte(i >> 8), byte(i >> 16)} }
	r := NewRecent(20 * each)
	there := func(i int) bool {
		_, ok := r.get(place(i), now)
		return ok
	}
	for i := range 1000 {
		r.put(place(i), &record, now)
		for back := range 10 {
			if i >= back && !there(i-back) {
				t.Fatalf("%d is forgotten after %d others", i-back, back)
			}
		}
		if i >= 20 && there(i-20) {
			t.Fatalf("%d is remembered after 20 others", i-20)
		}
	}
	if n := len(r.young.at) + len(r.old.at); n > 20 {
		t.Errorf("%d are remembered", n)
	}
	r.put(place(5000), &Record{Sealed: make([]byte, recentChunk+1)}, now)
	if there(5000) {
		t.Error("one that is longer than a chunk")
	}
	r.put(place(1), &record, now)
	now = now.Add(recentTime/2 - 1)
	r.put(place(2), &record, now)
	if now = now.Add(recentTime / 4); !there(1) || !there(2) {
		t.Error("forgotten early")
	}
	r.put(place(3), &record, now)
	if now = now.Add(recentTime/4 + 1); there(1) || !there(3) {
		t.Error("one is remembered for longer than recentTime, or a young one is forgotten")
	}
	if now = now.Add(recentTime); there(3) {
		t.Error("one is remembered for longer than recentTime")
	}
	if len(r.young.at)+len(r.old.at) != 0 || r.young.chunks != nil || r.old.chunks != nil {
		t.Error("what is old is kept in memory")
	}
}

// What was read from it stays as it was while others write.
func TestManyMayRememberAtOnce(t *testing.T) {
	t.Parallel()
	r := NewRecent(1 << 20)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 2000 {
				n := i % 50
				text := fmt.Sprintf("%d of all", n)
				r.put(Place{byte(n)}, &Record{App: text, Sealed: []byte(text), Version: uint64(n)}, time.Now())
				if found, ok := r.get(Place{byte(n)}, time.Now()); ok && (string(found.Sealed) != text || found.App != text || found.Version != uint64(n)) {
					t.Errorf("%+v in place of %s", found, text)
				}
				if i%100 == worker {
					r.drop(Place{byte(n)})
				}
			}
		})
	}
	group.Wait()
}
