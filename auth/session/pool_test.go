package session

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// What is forgotten and written over has to be given back, or a store that nobody fills grows for ever.
func TestMemoryGivesBackAllThatItTook(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	m := NewMemory(0, func() time.Time { return now })
	for round := range 3 {
		for i := range 300 {
			place := Place{byte(i), byte(i >> 8)}
			record := Record{App: "portal", Tenant: "Cust1", Scopes: Scopes{2: {byte(i % 7)}}, Sealed: bytes.Repeat([]byte("x"), i), Expires: now.Add(time.Minute)}
			if err := m.Add(context.Background(), place, record, 0); err != nil {
				t.Fatal(err)
			}
			record.Sealed, record.Version = bytes.Repeat([]byte("y"), 400-i), 1
			if result, err := m.Put(context.Background(), place, record); err != nil || result != Written {
				t.Fatal(result, err)
			}
			if i%2 == 0 {
				if err := m.Delete(context.Background(), place); err != nil {
					t.Fatal(err)
				}
			}
		}
		now = now.Add(time.Hour)
		m.sweep(m.since(now), int(m.slots.used)+1)
		if len(m.at)+len(m.people) > 0 || len(m.slots.free) != int(m.slots.used) || len(m.sealed.cells.free) != int(m.sealed.cells.used) {
			t.Errorf("round %d: %d records, %d people, %d of %d slots and %d of %d cells are free", round, len(m.at), len(m.people), len(m.slots.free), m.slots.used, len(m.sealed.cells.free), m.sealed.cells.used)
		}
	}
}
