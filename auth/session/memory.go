package session

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultMemorySessions is how many sessions a memory store takes.
const DefaultMemorySessions = 1_000_000

// sweepAtOnce is how many records an Add looks at, to forget those that have ended: as many
// are looked at as are added several times over, and nobody waits for all of them at once.
const sweepAtOnce = 16

// Memory keeps records in the process. They are lost when it ends. It holds nothing that the
// garbage collector has to follow for each session, so that a call costs the same among one and a million.
type Memory struct {
	limit int
	now   func() time.Time
	// began is what times are counted from: differences that the process measured itself do not
	// jump when somebody sets the clock.
	began time.Time

	mu      sync.RWMutex
	at      map[Place]uint32
	slots   pool[slot]
	sealed  texts
	names   names
	people  map[Place]uint32 // each person's newest record
	revoked map[Place]revocation
	swept   uint32 // the slot that is looked at next
}

// slot is a record as it is kept, without a pointer. A person's records are chained, none is chained to itself.
type slot struct {
	place        Place
	scopes       Scopes
	app, tenant  uint32 // of names
	sealed       text
	used         time.Duration // since began, like the two below
	expires      time.Duration
	added        time.Duration
	version      uint64 // 0: nothing is kept here
	older, newer link
}

// link is the number of another slot and one more; the zero link is none.
type link uint32

type revocation struct{ at, until time.Duration }

// NewMemory makes a store that takes at most limit sessions (0: the default) and
// refuses further ones rather than ending others. A nil now is the system's clock.
func NewMemory(limit int, now func() time.Time) *Memory {
	if limit == 0 {
		limit = DefaultMemorySessions
	}
	if now == nil {
		now = time.Now
	}
	return &Memory{limit: limit, now: now, began: now(), at: make(map[Place]uint32), people: make(map[Place]uint32), revoked: make(map[Place]revocation)}
}

func (m *Memory) since(t time.Time) time.Duration { return t.Sub(m.began) }

// Get returns the record as Store says.
func (m *Memory) Get(_ context.Context, place Place) (Record, bool, error) {
	now := m.since(m.now())
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, ok := m.at[place]
	if !ok || !m.alive(m.slots.at(n), now) {
		return Record{}, false, nil
	}
	s := m.slots.at(n)
	return Record{
		App: m.names.all[s.app], Tenant: m.names.all[s.tenant], Scopes: s.scopes, Sealed: m.sealed.read(s.sealed),
		Used: m.began.Add(s.used), Expires: m.began.Add(s.expires), Version: s.version,
	}, true, nil
}

// Count returns how many records of the scope are alive.
func (m *Memory) Count(_ context.Context, scope Place) (n int, err error) {
	now := m.since(m.now())
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range m.slots.used {
		if s := m.slots.at(i); s.version != 0 && slices.Contains(s.scopes[:], scope) && m.alive(s, now) {
			n++
		}
	}
	return n, nil
}

// CountPerson returns how many records of the person are alive.
func (m *Memory) CountPerson(_ context.Context, person Place) (n int, err error) {
	now := m.since(m.now())
	m.mu.RLock()
	defer m.mu.RUnlock()
	newest, ok := m.people[person]
	if !ok {
		return 0, nil
	}
	for next := link(newest + 1); next != 0; {
		s := m.slots.at(uint32(next - 1))
		if m.alive(s, now) {
			n++
		}
		next = s.older
	}
	return n, nil
}

func (m *Memory) alive(s *slot, now time.Duration) bool {
	if now >= s.expires {
		return false
	}
	if len(m.revoked) == 0 {
		return true
	}
	for _, scope := range s.scopes {
		if r, ok := m.revoked[scope]; ok && s.added <= r.at {
			return false
		}
	}
	return true
}

// Add keeps a new record as Store says.
func (m *Memory) Add(_ context.Context, place Place, record Record, most int) error {
	now := m.since(m.now())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now, sweepAtOnce)
	if len(m.at) >= m.limit {
		m.sweep(now, int(m.slots.used))
	}
	if len(m.at) >= m.limit {
		return ErrFull
	}
	if n, again := m.at[place]; again {
		m.forget(n)
	}
	n := m.slots.take()
	s := m.slots.at(n)
	*s = slot{
		place: place, scopes: record.Scopes, app: m.names.number(record.App), tenant: m.names.number(record.Tenant), sealed: m.sealed.keep(record.Sealed),
		used: m.since(record.Used), expires: m.since(record.Expires), added: now, version: 1,
	}
	m.at[place] = n
	person := s.person()
	if newest, ok := m.people[person]; ok {
		s.older, m.slots.at(newest).newer = link(newest+1), link(n+1)
	}
	m.people[person] = n
	m.bound(n, now, most)
	return nil
}

func (s *slot) person() Place { return s.scopes.Person() }

// bound leaves a person the newest records that are alive, at most so many (0: all).
func (m *Memory) bound(newest uint32, now time.Duration, most int) {
	if most <= 0 {
		return
	}
	kept := 0
	for next := link(newest + 1); next != 0; {
		n := uint32(next - 1)
		s := m.slots.at(n)
		next = s.older
		if kept++; n != newest && (kept > most || !m.alive(s, now)) {
			m.forget(n)
			kept--
		}
	}
}

// forget drops what a slot keeps.
func (m *Memory) forget(n uint32) {
	s := m.slots.at(n)
	delete(m.at, s.place)
	m.sealed.drop(s.sealed)
	if s.older != 0 {
		m.slots.at(uint32(s.older - 1)).newer = s.newer
	}
	switch {
	case s.newer != 0:
		m.slots.at(uint32(s.newer - 1)).older = s.older
	case s.older != 0:
		m.people[s.person()] = uint32(s.older - 1)
	default:
		delete(m.people, s.person())
	}
	m.slots.give(n)
}

// Put writes the record as Store says.
func (m *Memory) Put(_ context.Context, place Place, record Record) (PutResult, error) {
	now := m.since(m.now())
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.at[place]
	if !ok || !m.alive(m.slots.at(n), now) {
		return Gone, nil
	}
	s := m.slots.at(n)
	if s.version != record.Version {
		return Conflict, nil
	}
	m.sealed.drop(s.sealed)
	s.sealed, s.used, s.expires = m.sealed.keep(record.Sealed), m.since(record.Used), m.since(record.Expires)
	s.version++
	return Written, nil
}

// sweep looks at the next slots, and forgets those whose record has ended.
func (m *Memory) sweep(now time.Duration, slots int) {
	for range min(slots, int(m.slots.used)) {
		if m.swept >= m.slots.used {
			m.swept = 0
			for scope, r := range m.revoked {
				if now >= r.until {
					delete(m.revoked, scope)
				}
			}
		}
		if s := m.slots.at(m.swept); s.version != 0 && !m.alive(s, now) {
			m.forget(m.swept)
		}
		m.swept++
	}
}

// Delete forgets the record at place.
func (m *Memory) Delete(_ context.Context, place Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.at[place]; ok {
		m.forget(n)
	}
	return nil
}

// Revoke ends records as Store says.
func (m *Memory) Revoke(_ context.Context, scope Place, keep time.Duration) error {
	now := m.since(m.now())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked[scope] = revocation{now, now + keep}
	return nil
}

// Marks returns when scopes were revoked, as Store says.
func (m *Memory) Marks(_ context.Context, scopes iter.Seq[Place]) (string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.revoked) == 0 {
		return "", nil
	}
	var marks []string
	for scope := range scopes {
		if r, ok := m.revoked[scope]; ok {
			marks = append(marks, fmt.Sprint(int64(r.at)))
		}
	}
	return strings.Join(marks, ","), nil
}
