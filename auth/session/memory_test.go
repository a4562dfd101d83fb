package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session/storetest"
)

func TestMemoryKeepsWhatStoresPromise(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) session.Store { return session.NewMemory(0, nil) })
}

func TestAFullMemoryTakesNoFurtherSessionUntilOneHasEnded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	m := session.NewMemory(100, func() time.Time { return now })
	add := func(i int) error {
		return m.Add(context.Background(), session.Place{byte(i), 1}, session.Record{Scopes: session.Scopes{2: {byte(i)}}, Sealed: []byte("x"), Expires: now.Add(time.Duration(i+1) * time.Minute)}, 0)
	}
	for i := range 100 {
		if err := add(i); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := add(100); !errors.Is(err, session.ErrFull) {
		t.Errorf("the 101st: %v", err)
	}
	now = now.Add(90 * time.Second) // the first has ended, wherever it is kept
	if err := add(100); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	if err := add(101); !errors.Is(err, session.ErrFull) {
		t.Errorf("one too many again: %v", err)
	}
}

// TestMemoryDoesWhatASimpleStoreDoes does ten thousand things at random to the store and to a plain list of records.
func TestMemoryDoesWhatASimpleStoreDoes(t *testing.T) {
	t.Parallel()
	type entry struct {
		session.Record
		place session.Place
		added time.Time
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	now := time.Unix(1_800_000_000, 0)
	m := session.NewMemory(0, func() time.Time { return now })
	var model []*entry // in the order of their adding
	revoked := map[session.Place]time.Time{}
	alive := func(e *entry) bool {
		for _, scope := range e.Scopes {
			if at, ok := revoked[scope]; ok && !e.added.After(at) {
				return false
			}
		}
		return now.Before(e.Expires)
	}
	find := func(place session.Place) *entry {
		for _, e := range model {
			if e.place == place && alive(e) {
				return e
			}
		}
		return nil
	}
	sealed := func() []byte { return bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(400)) }
	scope := func(kind byte) session.Place { return session.Place{kind, byte(random.IntN(6))} }
	for i := range 10_000 {
		now = now.Add(time.Duration(random.IntN(3)) * time.Second / 4) // often not at all
		place := session.Place{0, byte(random.IntN(40))}
		switch random.IntN(5) {
		case 0, 1:
			record := session.Record{App: fmt.Sprint("app", random.IntN(3)), Tenant: fmt.Sprint("Cust", random.IntN(5)), Scopes: session.Scopes{scope(1), scope(2), scope(3), scope(4)}, Sealed: sealed(), Used: now, Expires: now.Add(time.Duration(random.IntN(60)) * time.Second)}
			most := random.IntN(5)
			if err := m.Add(t.Context(), place, record, most); err != nil {
				t.Fatal(err)
			}
			record.Version = 1
			model = slices.DeleteFunc(model, func(e *entry) bool { return e.place == place })
			model = append(model, &entry{record, place, now})
			if most > 0 {
				own := 0
				for _, e := range slices.Backward(slices.Clone(model)) {
					if e.Scopes.Person() != record.Scopes.Person() || e.place != place && !alive(e) {
						continue
					}
					if own++; own > most {
						model = slices.DeleteFunc(model, func(other *entry) bool { return other == e })
					}
				}
			}
		case 2:
			record := session.Record{Sealed: sealed(), Used: now, Expires: now.Add(time.Minute), Version: uint64(1 + random.IntN(2))}
			result, err := m.Put(t.Context(), place, record)
			switch e := find(place); {
			case err != nil,
				e == nil && result != session.Gone,
				e != nil && e.Version != record.Version && result != session.Conflict,
				e != nil && e.Version == record.Version && result != session.Written:
				t.Fatalf("step %d: put: %v, %v", i, result, err)
			case result == session.Written:
				e.Sealed, e.Used, e.Expires, e.Version = record.Sealed, record.Used, record.Expires, e.Version+1
			}
		case 3:
			if err := m.Delete(t.Context(), place); err != nil {
				t.Fatal(err)
			}
			model = slices.DeleteFunc(model, func(e *entry) bool { return e.place == place })
		case 4:
			if s := scope(byte(1 + random.IntN(4))); random.IntN(10) == 0 {
				if err := m.Revoke(t.Context(), s, time.Hour); err != nil {
					t.Fatal(err)
				}
				revoked[s] = now
			}
		}
		for n := range 6 {
			person, want := session.Place{4, byte(n)}, 0
			for _, e := range model {
				if e.Scopes.Person() == person && alive(e) {
					want++
				}
			}
			if got, err := m.CountPerson(t.Context(), person); err != nil || got != want {
				t.Fatalf("step %d: %d of a person, want %d (%v)", i, got, want, err)
			}
		}
		for n := range 40 {
			place := session.Place{0, byte(n)}
			got, found, err := m.Get(t.Context(), place)
			want := find(place)
			if err != nil || want == nil && found {
				t.Fatalf("step %d: %v is there: %v", i, place[:2], err)
			}
			if want != nil && (err != nil || got.App != want.App || got.Tenant != want.Tenant || got.Scopes != want.Scopes || !bytes.Equal(got.Sealed, want.Sealed) ||
				!got.Used.Equal(want.Used) || !got.Expires.Equal(want.Expires) || got.Version != want.Version) {
				t.Fatalf("step %d: %+v, want %+v (%v)", i, got, want.Record, err)
			}
		}
	}
}
