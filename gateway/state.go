package gateway

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/roster"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
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
	roster      *roster.Roster
	claims      *claim.Keeper   // nil: no other gateway counts calls with this one
	recent      *session.Recent // what is confirmed with a claim; nil without claims
	divided     atomic.Int32    // by how many gateways the limits are divided; 0: they hold over all of them
	credentials *auth.CredentialCache
	meter       guard.Meter
	running     guard.Running
	background  background
	health      outcome.Ledger
	shared      sharedHealth
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
	s := &SharedState{Sessions: sessions, Locker: locker, KV: kv, alone: alone, credentials: auth.NewCredentialCache(nil), Holds: hold.NewBook(kv, locker)}
	s.KeepRoster(nil)
	return s
}

// KeepRoster has the gateways of the store noted there. It must be called before one is in force.
func (s *SharedState) KeepRoster(store roster.Store) {
	runs := build.Read()
	s.roster = roster.New(store, roster.Gateway{ID: rand.Text(), Version: runs.Version, Revision: runs.Revision, Started: time.Now()})
}

// Gateways returns the gateways that use the store, the oldest first. An error means that the store gave no answer.
func (s *SharedState) Gateways(ctx context.Context) ([]roster.Gateway, error) {
	return s.roster.Gateways(ctx)
}

// KnownGateways returns the gateways that were there when the store was asked last, in no order; nil if it never was.
func (s *SharedState) KnownGateways() []roster.Gateway { return s.roster.Known() }

// AwaitGateways waits until every gateway of the store that is alive has done something, or ctx ends, and returns them as they
// were then. An error means that the store gave no answer.
func (s *SharedState) AwaitGateways(ctx context.Context, done func(roster.Gateway) bool) ([]roster.Gateway, error) {
	return s.roster.Await(ctx, done)
}

// ShareLimits has rate, in_flight and cool_down hold over all gateways of the store, and the same call run once. It must be called
// after KeepRoster and before a gateway is in force.
func (s *SharedState) ShareLimits(store claim.Store) {
	s.claims, s.recent = claim.NewKeeper(store, s.roster.Own().ID), session.NewRecent(0)
}

// Close ends what the state does at its store, once no call of any configuration is under way: what calls held is given back.
func (s *SharedState) Close() {
	if s.claims != nil {
		s.claims.Close()
	}
	s.roster.Leave()
}

// ThisGateway returns this process's own entry among Gateways.
func (s *SharedState) ThisGateway() roster.Gateway { return s.roster.Own() }

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
	if len(s.started) == 0 {
		var ctx context.Context
		ctx, s.unwatch = context.WithCancel(g.platform.Background())
		s.roster.SetNode(g.platform.Node)
		go s.roster.Follow(ctx)
		go s.followHealth(ctx)
		if s.watch != nil {
			go s.watch(ctx)
		}
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
	s.health.Drop(outcome.Member{App: app, Tenant: string(tenant)})
}

// Health returns what is known of an app in a tenant.
func (s *SharedState) Health(app string, tenant superoffice.Tenant) outcome.TenantHealth {
	return s.health.TenantHealth(app, string(tenant))
}
