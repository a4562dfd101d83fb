package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// SharedState is what outlives a configuration and, with a store that several
// gateways use, is shared by them. It holds nothing of the configuration that made it.
type SharedState struct {
	// Name identifies the store, with what it is and never with its tunables; "" for the only one.
	Name string

	Sessions session.Store
	Locker   lease.Locker
	KV       auth.KV
	// Holds are what operators have put on hold.
	Holds *hold.Book

	alone       bool // no other gateway uses the store
	credentials *auth.CredentialCache
	meter       guard.Meter
	running     guard.Running
	health      outcome.Ledger
	epochs      sync.Map // of epochOf to string: as the store answered last

	// current is the gateway that was started last, whose metrics are in force.
	current atomic.Pointer[Gateway]
	store   storeHealth
	audit   auditHealth
	watch   func(context.Context) // nil: there is nothing to watch

	mu      sync.Mutex
	started []*Gateway         // those in force, the oldest first
	unwatch context.CancelFunc // ends the watch, which lasts while any is in force
}

// NewSharedState returns the state over a store. alone says that no other gateway uses it.
func NewSharedState(sessions session.Store, locker lease.Locker, kv auth.KV, alone bool) *SharedState {
	return &SharedState{Sessions: sessions, Locker: locker, KV: kv, alone: alone, credentials: auth.NewCredentialCache(nil), Holds: hold.NewBook(kv, locker)}
}

// NewMemoryState returns the state of a gateway that shares it with no other process.
func NewMemoryState() *SharedState {
	return NewSharedState(session.NewMemory(0, nil), new(lease.Memory), new(auth.MemoryKV), true)
}

// attach puts a gateway in force. A configuration that is only tried out never gets here,
// so that it takes nothing from the one that serves.
func (s *SharedState) attach(g *Gateway) {
	s.credentials.ResetBackoff()
	g.platform.Metrics.Follow(&s.health)
	s.current.Store(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.started) == 0 && s.watch != nil {
		var ctx context.Context
		ctx, s.unwatch = context.WithCancel(g.platform.Background())
		go s.watch(ctx)
	}
	s.started = append(s.started, g)
}

func (s *SharedState) detach(g *Gateway) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = slices.DeleteFunc(s.started, func(other *Gateway) bool { return other == g })
	if len(s.started) == 0 && s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
}

// inForce returns the gateways that have been started and not ended, the oldest first: one configuration
// and the one that replaces it are both in force for a moment.
func (s *SharedState) inForce() []*Gateway {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.started)
}

// HealthTenants returns the tenants in which something is known of an app.
func (s *SharedState) HealthTenants(app string) []string { return s.health.Tenants(app) }

// ForgetHealth drops what is known of an app in a tenant.
func (s *SharedState) ForgetHealth(app string, tenant superoffice.Tenant) {
	s.health.Forget(func(a, t string) bool { return a == app && t == string(tenant) })
}

// Health returns what is known of an app in a tenant.
func (s *SharedState) Health(app string, tenant superoffice.Tenant) outcome.TenantHealth {
	return s.health.TenantHealth(app, string(tenant))
}
