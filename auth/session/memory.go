package session

import (
	"context"
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
	records map[Place]Record
	swept   time.Time
}

// NewMemory makes a store that takes at most limit sessions (0: the default) and
// refuses further ones rather than ending others. A nil now is the system's clock.
func NewMemory(limit int, now func() time.Time) *Memory {
	if limit == 0 {
		limit = DefaultMemorySessions
	}
	if now == nil {
		now = time.Now
	}
	return &Memory{limit: limit, now: now, records: make(map[Place]Record)}
}

// Get gives the record at place.
func (m *Memory) Get(_ context.Context, place Place) (Record, error) {
	m.mu.RLock()
	record, ok := m.records[place]
	m.mu.RUnlock()
	if !ok || !m.now().Before(record.Expires) {
		return Record{}, ErrNotFound
	}
	return record, nil
}

// Put writes the record as Store says.
func (m *Memory) Put(_ context.Context, place Place, record Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if now.Sub(m.swept) > sweepEvery || len(m.records) >= m.limit {
		m.sweep(now)
	}
	stored, ok := m.records[place]
	switch {
	case !ok && record.Version > 0:
		return ErrNotFound
	case stored.Version != record.Version:
		return ErrConflict
	case !ok && len(m.records) >= m.limit:
		return ErrFull
	}
	record.Version++
	m.records[place] = record
	return nil
}

func (m *Memory) sweep(now time.Time) {
	m.swept = now
	for place, record := range m.records {
		if !now.Before(record.Expires) {
			delete(m.records, place)
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
