// Package gateway is the core of the gateway: the way of one call from an HTTP
// request to SuperOffice and back. It knows no web server beyond net/http; what
// it needs of the one that it runs in comes in as a [Platform].
//
// The stages of a call are in files named after them, in the order in which a call
// passes them: match, authenticate, admit, understand, decide, run. [Gateway.ServeCall]
// leads an HTTP request through all of them.
package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Gateway decides calls of the ErpSync agent and makes them. It is built once from
// its configuration and is safe for concurrent use.
type Gateway struct {
	config   Config
	platform Platform
	state    *SharedState

	apps           map[string]*App
	authenticators []authenticator
	providers      *idp.Set
	superIDKeys    *idp.KeySet // nil onsite
	hosts          *hosts
	keys           *session.Keys
	sessions       *Sessions     // nil: no browser sessions
	sharing        *auth.Sharing // nil: this gateway shares its credentials with no other
	prover         *auth.Prover
	strangers      *guard.Strangers
	unreachable    auth.Backoff
	recorders      []outcome.Recorder
	calls          activity
	callTimes      callTimes
}

// New builds a gateway. It makes no network requests. The configuration must have
// been validated; what New still returns as errors concerns files and keys.
func New(config Config, platform Platform, state *SharedState) (*Gateway, error) {
	keys, err := session.NewKeys(config.Keys...)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	g := &Gateway{config: config, platform: platform, state: state, keys: keys, apps: make(map[string]*App, len(config.Apps))}
	g.recorders = []outcome.Recorder{outcome.AuditLog{Logger: platform.Audit, Written: g.auditWritten}, platform.Metrics, &state.health}
	if platform.History != nil { // the last, when everything about a call is known
		g.recorders = append(g.recorders, platform.History.Recorder(g.EnvironmentLabel()))
	}
	if platform.Notices != nil {
		g.recorders = append(g.recorders, platform.Notices)
	}
	g.prover = auth.NewProver(g.newAPIClient(platform.Transport), nil)
	g.prover.Charged = g.chargeProof
	g.strangers = guard.NewStrangers(proofLimits)
	superID := g.newAPIClient(platform.Metrics.Watch(outcome.SuperID, platform.Transport))
	g.hosts = &hosts{upstream: config.Upstream}
	if g.Online() {
		g.hosts.locator = superoffice.NewLocator(config.Environment, g.newAPIClient(platform.Metrics.Watch(outcome.StateService, platform.Transport)), nil)
		g.superIDKeys = superid.NewKeySet(config.Environment, superID, idp.Observer{Loaded: g.keysLoaded, Stale: g.keysStale}, nil)
	}
	if !state.alone {
		g.sharing = &auth.Sharing{Locker: state.Locker, KV: state.KV, Sealer: keys}
	}
	for i := range config.Apps {
		app, err := g.newApp(&config.Apps[i], superID, g.superIDKeys)
		if err != nil {
			return nil, err
		}
		g.apps[app.Name] = app
	}
	if config.Sessions != nil {
		g.sessions = newSessions(g, config.Sessions)
	}
	if g.providers, err = g.newProviders(); err != nil {
		return nil, err
	}
	g.authenticators = newAuthenticators(g)
	if platform.Storage != nil {
		state.Holds.KeepIn(platform.Storage, g.holdsPath())
	}
	return g, nil
}

// Start begins what a gateway does beside its calls: following files, noticing
// approvals, sealing anew. It ends with ctx.
func (g *Gateway) Start(ctx context.Context) {
	g.state.attach(g)
	g.countFromZero()
	for _, app := range g.Apps() {
		app.follow(ctx)
	}
	g.providers.Follow(ctx)
	if g.superIDKeys != nil {
		go g.superIDKeys.Follow(ctx)
	}
	go g.followHolds(ctx)
	if g.Online() {
		go g.followNotices(ctx)
	}
	go g.maintain(ctx)
}

// Online reports whether the gateway stands before SuperOffice Online rather than an onsite installation.
func (g *Gateway) Online() bool { return g.config.Upstream == "" }

// Apps returns the apps in the order of the configuration.
func (g *Gateway) Apps() []*App {
	apps := make([]*App, 0, len(g.config.Apps))
	for i := range g.config.Apps {
		apps = append(apps, g.apps[g.config.Apps[i].Name])
	}
	return apps
}

// App returns the app of that name; nil if there is none.
func (g *Gateway) App(name string) *App { return g.apps[name] }

// Sessions returns the browser sessions; nil if the gateway keeps none.
func (g *Gateway) Sessions() *Sessions { return g.sessions }

// Keys returns the keys under which everything of the gateway's own is sealed.
func (g *Gateway) Keys() *session.Keys { return g.keys }

// Platform returns what the gateway was given of its server.
func (g *Gateway) Platform() Platform { return g.platform }

// Config returns what the gateway was built from.
func (g *Gateway) Config() Config { return g.config }

// State returns what the gateway shares with other configurations.
func (g *Gateway) State() *SharedState { return g.state }

// EnvironmentLabel names the environment to operators: its name, its base URL if
// it has none of its own, or the URL of an onsite WebAPI.
func (g *Gateway) EnvironmentLabel() string { return g.config.EnvironmentLabel() }

// Enter counts a request in until Leave, so that what it needs outlives a configuration
// that is replaced meanwhile.
func (g *Gateway) Enter() { g.calls.enter() }

// Leave counts a request out.
func (g *Gateway) Leave() { g.calls.leave() }

// Drained returns a channel that is closed when no request is being served.
func (g *Gateway) Drained() <-chan struct{} { return g.calls.drained() }

// InFlight returns the number of requests being served.
func (g *Gateway) InFlight() int { return g.calls.count() }

// activity counts requests. Unlike a WaitGroup it may be entered while somebody waits
// for it: a kept connection can bring a request to a configuration that is being replaced.
type activity struct {
	mu    sync.Mutex
	n     int
	empty []chan struct{}
}

func (a *activity) enter() {
	a.mu.Lock()
	a.n++
	a.mu.Unlock()
}

func (a *activity) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n--
	if a.n == 0 {
		for _, waiting := range a.empty {
			close(waiting)
		}
		a.empty = nil
	}
}

func (a *activity) drained() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	done := make(chan struct{})
	if a.n == 0 {
		close(done)
	} else {
		a.empty = append(a.empty, done)
	}
	return done
}

func (a *activity) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// Charge charges one request of the gateway's own to an app's rate in a tenant.
func (g *Gateway) Charge(app *App, tenant superoffice.Tenant) {
	g.charge(app.Name, tenant)
}

// CallsInFlight returns how many calls of an app run in a tenant.
func (g *Gateway) CallsInFlight(app *App, tenant superoffice.Tenant) int {
	return g.state.meter.InFlight(app.Name, string(tenant))
}

// NewAPIClient returns a client for the gateway's own requests: sign-in, tenant state, keys,
// proofs. It follows no redirect: a credential must not go where an answer points.
func NewAPIClient(transport http.RoundTripper, background func() context.Context) *http.Client {
	return &http.Client{
		Transport:     detachedTransport{transport, background},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (g *Gateway) newAPIClient(transport http.RoundTripper) *http.Client {
	return NewAPIClient(transport, g.platform.Background)
}

// Client returns a client for requests to a tenant's WebAPI with the gateway's own credential.
func (g *Gateway) Client() *http.Client { return g.newAPIClient(g.platform.Transport) }

// detached returns a context of the gateway's own: a caller that leaves does not end
// it, and nothing that the server keeps of a caller's request is in it.
func (g *Gateway) detached(timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(g.platform.Background(), timeout)
}

// Detached is detached for the pages: a context that a browser which leaves does not end.
func (g *Gateway) Detached(timeout time.Duration) (context.Context, context.CancelFunc) {
	return g.detached(timeout)
}

// takes reports whether a scheme is among those that the configuration admits.
func (c SuperOfficeConfig) takes(scheme auth.Scheme) bool { return slices.Contains(c.Schemes, scheme) }
