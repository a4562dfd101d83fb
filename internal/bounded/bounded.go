// Package bounded keeps what strangers can fill within a stated number of entries.
package bounded

import (
	"sync"
	"time"
)

// Map holds at most 2n entries and keeps at least the n that were used last. It is not safe for concurrent use. Use NewMap.
//
// Two generations instead of a list: forgetting is one assignment, and an entry costs no pointers.
type Map[K comparable, V any] struct {
	n          int
	young, old map[K]V
}

// NewMap returns a map that keeps at least the n entries that were used last.
func NewMap[K comparable, V any](n int) *Map[K, V] {
	return &Map[K, V]{n: n, young: make(map[K]V)}
}

// Get returns the value of a key, and counts as its use.
func (m *Map[K, V]) Get(key K) (V, bool) {
	if value, ok := m.young[key]; ok {
		return value, true
	}
	value, ok := m.old[key]
	if ok {
		m.Set(key, value)
	}
	return value, ok
}

// Set sets the value of a key.
func (m *Map[K, V]) Set(key K, value V) {
	if _, ok := m.young[key]; !ok && len(m.young) >= m.n {
		m.young, m.old = make(map[K]V), m.young
	}
	m.young[key] = value
}

// Delete forgets a key.
func (m *Map[K, V]) Delete(key K) {
	delete(m.young, key)
	delete(m.old, key)
}

// Len returns how many entries are held. A key that was set anew counts twice.
func (m *Map[K, V]) Len() int { return len(m.young) + len(m.old) }

// Set remembers keys until a time each, in the memory of a Map. It is safe for concurrent use. Use NewSet.
type Set struct {
	mu   sync.Mutex
	keys *Map[string, time.Time]
}

// NewSet returns a set that remembers at least the last n keys.
func NewSet(n int) *Set { return &Set{keys: NewMap[string, time.Time](n)} }

// Add remembers a key until a time. It returns false if the key is remembered already.
func (s *Set) Add(key string, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.keys.Get(key); ok && time.Now().Before(last) {
		return false
	}
	s.keys.Set(key, until)
	return true
}

// Has reports whether a key is remembered.
func (s *Set) Has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.keys.Get(key)
	return ok && time.Now().Before(until)
}

// Remove forgets a key.
func (s *Set) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.Delete(key)
}
