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

// sweepEvery is how often, at most, a write looks for records that have expired.
const sweepEvery = time.Minute

// Memory keeps records in the process. They are lost when it ends.
type Memory struct {
	limit int
	now   func() time.Time

	mu      sync.RWMutex
	records map[Place]kept
	people  map[Place][]Place // a person's records, the oldest first; some may be gone
	revoked map[Place]revocation
	swept   time.Time
}

type kept struct {
	Record
	added time.Time
}

type revocation struct{ at, until time.Time }

// NewMemory makes a store that takes at most limit sessions (0: the default) and
// refuses further ones rather than ending others. A nil now is the system's clock.
func NewMemory(limit int, now func() time.Time) *Memory {
	if limit == 0 {
		limit = DefaultMemorySessions
	}
	if now == nil {
		now = time.Now
	}
	return &Memory{limit: limit, now: now, records: make(map[Place]kept), people: make(map[Place][]Place), revoked: make(map[Place]revocation)}
}

// Get gives the record at place.
func (m *Memory) Get(_ context.Context, place Place) (Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k, ok := m.records[place]
	if !ok || !m.alive(k, m.now()) {
		return Record{}, ErrNotFound
	}
	return k.Record, nil
}

func (m *Memory) alive(k kept, now time.Time) bool {
	if !now.Before(k.Expires) {
		return false
	}
	if len(m.revoked) == 0 {
		return true
	}
	for _, scope := range k.Scopes {
		if r, ok := m.revoked[scope]; ok && !k.added.After(r.at) {
			return false
		}
	}
	return true
}

// Add keeps a new record as Store says.
func (m *Memory) Add(_ context.Context, place Place, record Record, most int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if now.Sub(m.swept) > sweepEvery || len(m.records) >= m.limit {
		m.sweep(now)
	}
	if len(m.records) >= m.limit {
		return ErrFull
	}
	record.Version = 1
	m.records[place] = kept{record, now}
	person := record.Scopes[len(record.Scopes)-1]
	own := slices.DeleteFunc(append(m.people[person], place), func(p Place) bool {
		k, ok := m.records[p]
		return !ok || !m.alive(k, now) && p != place
	})
	for most > 0 && len(own) > most {
		delete(m.records, own[0])
		own = own[1:]
	}
	m.people[person] = own
	return nil
}

// Put writes the record as Store says.
func (m *Memory) Put(_ context.Context, place Place, record Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, ok := m.records[place]
	switch {
	case !ok || !m.alive(stored, m.now()):
		return ErrNotFound
	case stored.Version != record.Version:
		return ErrConflict
	}
	record.Version++
	record.Scopes = stored.Scopes
	m.records[place] = kept{record, stored.added}
	return nil
}

func (m *Memory) sweep(now time.Time) {
	m.swept = now
	for place, k := range m.records {
		if !m.alive(k, now) {
			delete(m.records, place)
		}
	}
	for person, places := range m.people {
		if !slices.ContainsFunc(places, func(p Place) bool { _, ok := m.records[p]; return ok }) {
			delete(m.people, person)
		}
	}
	for scope, r := range m.revoked {
		if !now.Before(r.until) {
			delete(m.revoked, scope)
		}
	}
}

// Delete forgets the record at place.
func (m *Memory) Delete(_ context.Context, place Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, place)
	return nil
}

// Revoke ends records as Store says.
func (m *Memory) Revoke(_ context.Context, scope Place, keep time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.revoked[scope] = revocation{now, now.Add(keep)}
	return nil
}

// Marks tells of revocations as Store says.
func (m *Memory) Marks(_ context.Context, scopes iter.Seq[Place]) (string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.revoked) == 0 {
		return "", nil
	}
	var marks []string
	i := 0
	for scope := range scopes {
		if r, ok := m.revoked[scope]; ok {
			marks = append(marks, fmt.Sprint(i, " ", r.at.UnixNano()))
		}
		i++
	}
	return strings.Join(marks, ","), nil
}
