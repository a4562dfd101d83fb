package auth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// KV keeps sealed values for a while. An error means that the store gave no answer, and never that nothing is there.
type KV interface {
	// Get returns the value of a key, and whether there is one.
	Get(ctx context.Context, key string) (value string, found bool, err error)
	Set(ctx context.Context, key, value string, ttl time.Duration) error
	// SetNX sets the value unless there is one, and reports whether it did.
	SetNX(ctx context.Context, key, value string, ttl time.Duration) (set bool, err error)
	Delete(ctx context.Context, key string) error
}

// maxMemoryKV bounds what a MemoryKV keeps, in bytes of keys and values.
const maxMemoryKV = 256 << 20

// ErrKVFull means that a MemoryKV takes no further value.
var ErrKVFull = errors.New("the memory for kept answers is full")

// MemoryKV is a KV within a process. The zero MemoryKV is ready.
type MemoryKV struct {
	mu     sync.Mutex
	values map[string]keptValue
	size   int
	swept  time.Time
}

type keptValue struct {
	value string
	until time.Time
}

// Get returns a value as KV says.
func (m *MemoryKV) Get(_ context.Context, key string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok && time.Now().Before(v.until) {
		return v.value, true, nil
	}
	return "", false, nil
}

// Set keeps a value as KV says.
func (m *MemoryKV) Set(_ context.Context, key, value string, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set(key, value, ttl)
}

// SetNX keeps a value as KV says.
func (m *MemoryKV) SetNX(_ context.Context, key, value string, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.values[key].until) {
		return false, nil
	}
	return true, m.set(key, value, ttl)
}

func (m *MemoryKV) set(key, value string, ttl time.Duration) error {
	now := time.Now()
	if m.values == nil {
		m.values = make(map[string]keptValue)
	}
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		for k, v := range m.values {
			if !now.Before(v.until) {
				m.drop(k)
			}
		}
	}
	if m.size+len(key)+len(value) > maxMemoryKV {
		return ErrKVFull
	}
	m.drop(key)
	m.values[key] = keptValue{value, now.Add(ttl)}
	m.size += len(key) + len(value)
	return nil
}

// Delete forgets a value as KV says.
func (m *MemoryKV) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key)
	return nil
}

func (m *MemoryKV) drop(key string) {
	if v, ok := m.values[key]; ok {
		m.size -= len(key) + len(v.value)
		delete(m.values, key)
	}
}

var _ KV = (*MemoryKV)(nil)
