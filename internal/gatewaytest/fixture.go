// Package gatewaytest builds gateways for tests: in front of a sandbox, behind a listener of their own, without Caddy.
package gatewaytest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	SeedBody   = `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`
	TenantPath = "/Cust12345/api/v1/Agents/ErpSync/ForceResync"

	PassedOn = "the next handler"
)

// Fixture is a gateway behind a listener of its own, in front of a sandbox. There is no Caddy in it.
type Fixture struct {
	*gateway.Gateway
	// SO is the SuperOffice behind it, Provider the identity provider whose tokens it takes.
	SO       *sandbox.Sandbox
	Provider *demo.Provider
	// Probes are an operator's questions for which people sign in.
	Probes *probe.Desk
	// Site is the gateway's origin.
	Site string
	// Logs holds every line, audit lines too.
	Logs    *observer.ObservedLogs
	Metrics *prometheus.Registry
	// Dir holds what demo.WriteSecrets writes.
	Dir string
	// Storage keeps its system tokens.
	Storage *Storage
	// Stop takes the gateway out of force before the test ends. It serves on.
	Stop func()

	pages pages.Config
	t     testing.TB

	mu       sync.Mutex
	requests int
	serving  map[string]chan struct{} // by request id; closed when it is over
}

// Option changes what a fixture is built from. SuperOffice and the secrets in f.Dir are there already.
type Option func(f *Fixture, c *gateway.Config, p *gateway.Platform, s **gateway.SharedState)

// Configure changes the configuration.
func Configure(change func(*gateway.Config)) Option {
	return func(_ *Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) { change(c) }
}

// On changes what the process lends the gateway.
func On(change func(*gateway.Platform)) Option {
	return func(_ *Fixture, _ *gateway.Config, p *gateway.Platform, _ **gateway.SharedState) { change(p) }
}

// Answering has answer take SuperOffice's place where it reports that it did.
func Answering(answer func(http.ResponseWriter, *http.Request) bool) Option {
	return func(f *Fixture, c *gateway.Config, p *gateway.Platform, _ **gateway.SharedState) {
		next := p.Transport
		p.Transport = outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			if answer(w, r) {
				return w.Result(), nil
			}
			return next.RoundTrip(r)
		})
	}
}

// New builds the gateway of most tests: people call for the app portal as themselves, services for the
// app erp as the system user.
func New(t testing.TB, options ...Option) *Fixture {
	t.Helper()
	return NewIn(t, NewSandbox(t), options...)
}

// NewIn is New in front of a SuperOffice that is there.
func NewIn(t testing.TB, so *sandbox.Sandbox, options ...Option) *Fixture {
	t.Helper()
	f := &Fixture{t: t, SO: so, Dir: t.TempDir(), Metrics: prometheus.NewRegistry(), Storage: new(Storage)}
	return f.build(options...)
}

// Beside builds a second gateway in front of the same SuperOffice and with the same identity provider.
func (f *Fixture) Beside(options ...Option) *Fixture {
	f.t.Helper()
	other := &Fixture{t: f.t, SO: f.SO, Provider: f.Provider, Dir: f.t.TempDir(), Metrics: prometheus.NewRegistry(), Storage: f.Storage}
	return other.build(options...)
}

func (f *Fixture) build(options ...Option) *Fixture {
	t := f.t
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if f.Provider == nil {
		f.Provider, err = demo.NewProvider()
		must(err)
	}
	must(demo.WriteSecrets(f.Dir, f.SO, f.Provider))
	environment, err := superoffice.NewEnvironment(f.SO.Base())
	must(err)
	metrics, err := outcome.NewMetrics(f.Metrics)
	must(err)
	origins, bad := auth.NewOrigins("https://pages.example")
	if bad != "" {
		t.Fatal(bad)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	f.Logs = logs
	logger := zap.New(core)
	transport := &http.Transport{DisableCompression: true} // answers pass as they come
	t.Cleanup(transport.CloseIdleConnections)
	platform := gateway.Platform{
		Logger: logger, Audit: logger.Named("audit"), Metrics: metrics, Storage: f.Storage, Transport: transport,
		Background: context.Background, Emit: func(string, map[string]any) {}, Node: "node",
	}
	operations := []superoffice.Operation{superoffice.ForceResync, superoffice.ForceResyncBatchTask, superoffice.GetEngineStatus}
	portal, erp := f.SO.App("portal"), f.SO.App("erp")
	config := gateway.Config{
		Environment: environment, Paths: superoffice.OnlinePaths(), Keys: [][]byte{[]byte(strings.Repeat("test-key", 4))}, Origins: origins,
		Apps: []gateway.AppConfig{
			{
				Name: "portal", ClientID: portal.ClientID, ClientSecret: Secret(portal.ClientSecret), Agents: []string{"ErpSync"}, Operations: operations,
				CallAs: auth.AsUser, Tenants: auth.Tenants{"Cust12345": {}},
			},
			{
				Name: "erp", ClientID: erp.ClientID, ClientSecret: Secret(erp.ClientSecret), PrivateKey: Secret(string(erp.KeyXML())), Agents: []string{"ErpSync"}, Operations: operations,
				CallAs: auth.AsSystem, ResyncAll: auth.Confirm, TenantsFile: filepath.Join(f.Dir, "tenants.json"),
			},
		},
		Sessions:    &gateway.SessionConfig{App: "portal"},
		SuperOffice: gateway.SuperOfficeConfig{Schemes: []auth.Scheme{auth.BroughtBearer, auth.BroughtTicket}, App: "portal"},
		Links:       gateway.Links{SignIn: pages.SignInPath(pages.DefaultPrefix), Calls: pages.CallsPath(pages.DefaultPrefix)},
		Limits:      guard.Limits{Connection: 4, Tenant: 10, App: 500, PerSecond: -1},
		MaxBody:     4096, BodyTimeout: time.Minute, Idempotency: time.Hour, Async: 100,
		Privacy: outcome.Privacy{Principals: outcome.Full, Explanations: outcome.Omit},
	}
	config.Links.Probe = func(key string) string { return pages.ProbePath(pages.DefaultPrefix, key) }
	config.Links.Approve = func(app string, tenant superoffice.Tenant) string {
		return pages.ApprovePath(pages.DefaultPrefix, app, tenant)
	}
	state := gateway.NewMemoryState()
	for _, change := range options {
		change(f, &config, &platform, &state)
	}
	if config.Issuers == nil && slices.ContainsFunc(config.Apps, func(a gateway.AppConfig) bool { return a.Name == "erp" }) {
		config.Issuers = f.Issuers("erp", idp.Fixed{Claim: "tenant"})
	}
	f.Gateway, err = gateway.New(config, platform, state)
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	f.Stop = stop
	f.Start(ctx)
	f.Probes = probe.NewDesk(f.Gateway)
	f.Probes.Start(ctx)
	f.listen()
	return f
}

// Approvals has services call as the system user of any tenant that approved, and nobody else call.
func Approvals() Option {
	return Configure(func(c *gateway.Config) {
		approvals(&c.Apps[1])
		c.Apps, c.Sessions, c.SuperOffice, c.Links.SignIn = c.Apps[1:], nil, gateway.SuperOfficeConfig{}, ""
	})
}

// ApprovalsAndSignIn is Approvals beside the app that people sign in to.
func ApprovalsAndSignIn() Option {
	return Configure(func(c *gateway.Config) { approvals(&c.Apps[1]) })
}

func approvals(erp *gateway.AppConfig) {
	erp.TenantsFile, erp.ResyncAll = "", ""
	erp.AnyTenant, erp.Tenants = new(auth.TenantGrant), auth.Tenants{"Cust54321": {Suspended: true}}
}

// SignedOut has SuperID send browsers on that have signed out there.
func SignedOut(next string) Option {
	return func(f *Fixture, _ *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		f.pages.SignedOut = next
	}
}

// Framed has the pages sign in for a web panel.
func Framed() Option {
	return Configure(func(c *gateway.Config) { c.Sessions.Framed = true })
}

// Onsite is a gateway in front of an installation at directory, for services that call as a service account.
func Onsite(t testing.TB, directory string) *Fixture {
	t.Helper()
	return NewIn(t, NewSandbox(t, sandbox.WithOnsite(directory)), func(f *Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		user := f.SO.User("Cust12345", "tove")
		c.Environment, c.Upstream, c.Paths = superoffice.Environment{}, f.SO.Base()+directory+"/api", superoffice.OnsitePaths(directory)
		c.Apps = []gateway.AppConfig{{
			Name: "erp", Agents: []string{"ErpSync"}, Operations: []superoffice.Operation{superoffice.ForceResync}, CallAs: auth.AsAccount, AccountUser: "tove", AccountPassword: Secret(user.Password),
		}}
		c.Sessions, c.SuperOffice, c.Links = nil, gateway.SuperOfficeConfig{}, gateway.Links{}
		c.Issuers = f.Issuers("erp", idp.Fixed{})
	})
}

// Issuers is the identity provider whose tokens call for an app.
func (f *Fixture) Issuers(app string, tenant idp.Fixed) []idp.Config {
	return []idp.Config{{
		Issuer: demo.Issuer, Audiences: []string{"erpsync"}, Algorithms: []string{"ES256"}, JWKS: filepath.Join(f.Dir, "jwks.json"), App: idp.Fixed{Value: app}, Tenant: tenant,
	}}
}

// listen serves the gateway as its adapter does: calls, then pages, then the next handler.
func (f *Fixture) listen() {
	f.pages.Prefix, f.pages.Probes = pages.DefaultPrefix, f.Probes
	endpoints := pages.New(f.Gateway, f.pages)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, over := f.begin()
		defer over()
		v := &Visit{RequestID: id, Address: cmp.Or(r.Header.Get("X-Test-Address"), "127.0.0.1")}
		f.Enter()
		defer f.Leave()
		switch path, verdict := f.Match(r); {
		case verdict != superoffice.NotOurs:
			f.ServeCall(w, r, path, verdict, v)
		case endpoints.Serves(r.URL.Path):
			endpoints.Serve(w, r, v)
		default:
			_, _ = io.WriteString(w, PassedOn)
		}
	}))
	f.t.Cleanup(server.Close)
	f.Site = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// begin names a request that is served until over.
func (f *Fixture) begin() (id string, over func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	id = fmt.Sprintf("request-%d", f.requests)
	ended := make(chan struct{})
	if f.serving == nil {
		f.serving = make(map[string]chan struct{})
	}
	f.serving[id] = ended
	return id, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.serving, id)
		close(ended)
	}
}

// await waits until a request is over. A long answer arrives whole before its handler has recorded it.
func (f *Fixture) await(id string) {
	f.mu.Lock()
	ended := f.serving[id]
	f.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// NewSandbox starts a SuperOffice stand-in.
func NewSandbox(t testing.TB, options ...sandbox.Option) *sandbox.Sandbox {
	t.Helper()
	return NewSandboxBehind(t, func(http.ResponseWriter, *http.Request) bool { return false }, options...)
}

// NewSandboxBehind starts a SuperOffice stand-in behind a server that answers in its place where it reports that it
// did, browsers too. It may change the request.
func NewSandboxBehind(t testing.TB, answer func(http.ResponseWriter, *http.Request) bool, options ...sandbox.Option) *sandbox.Sandbox {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			so.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, append(options, sandboxtest.Keys())...)
	if err != nil {
		t.Fatal(err)
	}
	return so
}

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends one request, reads the whole answer, and waits until the gateway has recorded it. A nil client follows no redirects.
func (f *Fixture) Do(client *http.Client, method, path, body string, header http.Header) Answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.Site+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("Content-Type") == "" && body != "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	resp, err := client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	f.await(resp.Header.Get("ErpSync-Request-Id"))
	return Answer{resp.StatusCode, resp.Header, string(raw)}
}

// Resync sends the usual call.
func (f *Fixture) Resync(header http.Header) Answer {
	f.t.Helper()
	return f.Do(nil, http.MethodPost, TenantPath, SeedBody, header)
}

// Service is what a service sends to prove itself.
func (f *Fixture) Service() http.Header {
	return http.Header{"Authorization": {"Bearer " + f.Provider.Token("Cust12345", time.Hour)}}
}

// SignIn signs a person of Cust12345 in and returns their browser and XSRF token.
func (f *Fixture) SignIn(name string) (*http.Client, string) {
	f.t.Helper()
	client, xsrf, err := demo.SignIn(f.t.Context(), f.Site, f.SO, "Cust12345", name)
	if err != nil {
		f.t.Fatal(err)
	}
	return client, xsrf
}

// Sent returns the agent calls that reached SuperOffice.
func (f *Fixture) Sent() (calls []sandbox.Recorded) {
	for _, r := range f.SO.Requests() {
		if strings.Contains(strings.ToLower(r.URI), "/agents/") {
			calls = append(calls, r)
		}
	}
	return calls
}

// Audited returns the fields of the newest audit line.
func (f *Fixture) Audited() map[string]any {
	f.t.Helper()
	lines := f.Logs.FilterMessage("erpsync call").All()
	if len(lines) == 0 {
		f.t.Fatal("no audit line")
	}
	return lines[len(lines)-1].ContextMap()
}

// Refused checks that the gateway refused with the reason, and that nothing was sent.
func (f *Fixture) Refused(got Answer, status int, reason string) {
	f.t.Helper()
	if got.Status != status || !strings.Contains(got.Body, fmt.Sprintf("%q:%q", "reason", reason)) {
		f.t.Errorf("answer %d %s, want %d %s", got.Status, got.Body, status, reason)
	}
	if n := len(f.Sent()); n != 0 {
		f.t.Errorf("%d calls were sent upstream", n)
	}
}

// Secret is a secret that does not change.
type Secret string

func (s Secret) Get() auth.Secret    { return auth.NewSecret(string(s)) }
func (s Secret) Reload() auth.Secret { return auth.NewSecret(string(s)) }

// Visit is what the tests' server knows of a request.
type Visit struct {
	RequestID, Address string
	Principal          string
}

func (v *Visit) ID() string              { return v.RequestID }
func (v *Visit) ClientIP() string        { return v.Address }
func (v *Visit) Proved(principal string) { v.Principal = principal }
func (*Visit) Ended(*outcome.Record)     {}

// Storage keeps values in memory. While it is down it gives no answer.
type Storage struct {
	mu     sync.Mutex
	values map[string][]byte
	down   error
	writes int // until one fails
	fails  error
}

// FailWrite has the nth write from now on fail with err.
func (s *Storage) FailWrite(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes, s.fails = n, err
}

// SetDown has every use fail with err from now on; nil: it answers again.
func (s *Storage) SetDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// Holds reports whether any value contains the text.
func (s *Storage) Holds(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range s.values {
		if strings.Contains(string(value), text) {
			return true
		}
	}
	return false
}

// Load does what certmagic.Storage says.
func (s *Storage) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	value, ok := s.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(value), nil
}

// Store does what certmagic.Storage says.
func (s *Storage) Store(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	if s.writes--; s.writes == 0 {
		return s.fails
	}
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	s.values[key] = slices.Clone(value)
	return nil
}

// Delete does what certmagic.Storage says.
func (s *Storage) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return s.down
}

// List does what certmagic.Storage says.
func (s *Storage) List(_ context.Context, prefix string, _ bool) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	var keys []string
	for key := range maps.Keys(s.values) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	if keys == nil {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// WaitFor waits until done, and fails the test if that takes a minute: a busy machine is given the time.
func WaitFor(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("what is promised has not come about in a minute")
		case <-tick.C:
		}
	}
}

// WriteFile writes a file that the user alone may read.
func WriteFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(path), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
