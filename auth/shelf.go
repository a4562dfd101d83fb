package auth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Shelf keeps sealed values for a while.
type Shelf interface {
	// Take gives the value, "" if there is none.
	Take(ctx context.Context, key string) (string, error)
	Lay(ctx context.Context, key, value string, ttl time.Duration) error
	// LayNew lays the value down unless one lies there already.
	LayNew(ctx context.Context, key, value string, ttl time.Duration) (bool, error)
	Drop(ctx context.Context, key string) error
}

// maxShelf bounds what a MemoryShelf keeps, in bytes of keys and values.
const maxShelf = 256 << 20

// ErrShelfFull tells that a shelf takes no further value.
var ErrShelfFull = errors.New("the memory for kept answers is full")

// MemoryShelf is a Shelf within a process. The zero MemoryShelf is ready.
type MemoryShelf struct {
	mu     sync.Mutex
	values map[string]laid
	size   int
	swept  time.Time
}

type laid struct {
	value string
	until time.Time
}

// Take gives the value as Shelf says.
func (m *MemoryShelf) Take(_ context.Context, key string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.values[key]; time.Now().Before(l.until) {
		return l.value, nil
	}
	return "", nil
}

// Lay keeps the value as Shelf says.
func (m *MemoryShelf) Lay(_ context.Context, key, value string, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lay(key, value, ttl)
}

// LayNew keeps the value as Shelf says.
func (m *MemoryShelf) LayNew(_ context.Context, key, value string, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.values[key].until) {
		return false, nil
	}
	return true, m.lay(key, value, ttl)
}

func (m *MemoryShelf) lay(key, value string, ttl time.Duration) error {
	now := time.Now()
	if m.values == nil {
		m.values = make(map[string]laid)
	}
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		for k, l := range m.values {
			if !now.Before(l.until) {
				m.drop(k)
			}
		}
	}
	if m.size+len(key)+len(value) > maxShelf {
		return ErrShelfFull
	}
	m.drop(key)
	m.values[key] = laid{value, now.Add(ttl)}
	m.size += len(key) + len(value)
	return nil
}

// Drop forgets the value as Shelf says.
func (m *MemoryShelf) Drop(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key)
	return nil
}

func (m *MemoryShelf) drop(key string) {
	if l, ok := m.values[key]; ok {
		m.size -= len(key) + len(l.value)
		delete(m.values, key)
	}
}

var _ Shelf = (*MemoryShelf)(nil)
