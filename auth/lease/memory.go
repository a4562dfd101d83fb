package lease

import (
	"context"
	"sync"
	"time"
)

// Memory grants leases within a process. The zero Memory is ready.
type Memory struct {
	mu     sync.Mutex
	leases map[string]lease
}

type lease struct {
	holder string
	until  time.Time
}

// Acquire takes the lease as Locker says.
func (m *Memory) Acquire(_ context.Context, name, holder string, ttl time.Duration) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if l, ok := m.leases[name]; ok && l.holder != holder && now.Before(l.until) {
		return l.holder, nil
	}
	if m.leases == nil {
		m.leases = make(map[string]lease)
	}
	m.leases[name] = lease{holder, now.Add(ttl)}
	return holder, nil
}

// Extend makes the lease last as Locker says.
func (m *Memory) Extend(_ context.Context, name, holder string, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.leases[name]; !ok || l.holder != holder {
		return false, nil
	}
	m.leases[name] = lease{holder, time.Now().Add(ttl)}
	return true, nil
}

// Release gives the lease back as Locker says.
func (m *Memory) Release(_ context.Context, name, holder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases[name].holder == holder {
		delete(m.leases, name)
	}
	return nil
}

var _ Locker = (*Memory)(nil)
