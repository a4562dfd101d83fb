package erpsync

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

// gateway is a handler behind a listener of its own, before a sandbox.
type fixture struct {
	t        testing.TB
	h        *Handler
	so       *sandbox.Sandbox
	provider *demo.Provider
	site     string
	logs     *observer.ObservedLogs
	dir      string
	serving  sync.Map // by where a connection comes from: a channel that is closed when its last request is over
}

const passedOn = "the next handler"

// services is the identity provider whose tokens call for the app erp.
const services = `
	jwt https://idp.example {
		audience erpsync
		algorithms ES256
		jwks {dir}/jwks.json
		app erp
		tenant claim tenant
	}`

// apps is the configuration of most tests: people as themselves, services as the system user.
const apps = `
	environment {base}
	app portal {
		client_id {file.{dir}/portal.client_id}
		client_secret {file.{dir}/portal.client_secret}
		agents ErpSync
		operations ForceResync ForceResyncBatchTask GetEngineStatus
		tenant Cust12345
	}
	browser {
		app portal
		origins https://pages.example
	}
	app erp {
		client_id {file.{dir}/erp.client_id}
		client_secret {file.{dir}/erp.client_secret}
		private_key {file.{dir}/erp.private_key}
		agents ErpSync
		operations ForceResync ForceResyncBatchTask GetEngineStatus
		tenants file {dir}/tenants.json
		resync_all confirm
		call_as system
	}
` + services + `
	superoffice bearer soticket {
		app portal
	}
	guard {
		max_body 4096
		body_timeout 1m
		rate off
	}`

func newSandbox(t testing.TB, options ...sandbox.Option) *sandbox.Sandbox {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, append(options, sandboxtest.Keys())...)
	if err != nil {
		t.Fatal(err)
	}
	return so
}

// storage stands for Caddy's, which a reload and a second handler find again.
var storage certmagic.Storage

func TestMain(m *testing.M) {
	if raw := os.Getenv(benchVariable); raw != "" {
		panic(serveBench(raw)) // never returns but with an error
	}
	dir, err := os.MkdirTemp("", "erpsync-storage-")
	if err != nil {
		panic(err)
	}
	storage = &certmagic.FileStorage{Path: dir}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// provision reads options as a Caddyfile would have them and provisions the handler.
func provision(t testing.TB, config string, logger *zap.Logger) (*Handler, error) {
	t.Helper()
	return provisionOver(t, config, logger, nil)
}

// provisionOver provisions with a transport in place of Caddy's, unless it is nil.
func provisionOver(t testing.TB, config string, logger *zap.Logger, transport http.RoundTripper) (*Handler, error) {
	t.Helper()
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("erpsync {\n" + config + "\n}")); err != nil {
		return nil, err
	}
	if h.Store.Kind == "redis" {
		h.Store.Timeout = cmp.Or(h.Store.Timeout, caddy.Duration(maxStoreTimeout)) // on a machine that is busy with other tests
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := h.provision(&server{ctx: ctx, logger: logger, storage: storage, transport: transport}); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	h.runtime.start(running)
	t.Cleanup(func() {
		stop()
		sites.Remove(h.runtime.site)
		_ = h.Cleanup()
	})
	return h, h.Validate()
}

func newGateway(t testing.TB, config string, options ...sandbox.Option) *fixture {
	t.Helper()
	return newGatewayBefore(t, newSandbox(t, options...), config)
}

// newGatewayWhere has answer answer in SuperOffice's place where it wants to.
func newGatewayWhere(t *testing.T, config string, answer func(http.ResponseWriter, *http.Request) bool) *fixture {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			so.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, sandboxtest.Keys())
	if err != nil {
		t.Fatal(err)
	}
	return newGatewayBefore(t, so, config)
}

func newGatewayBefore(t testing.TB, so *sandbox.Sandbox, config string) *fixture {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	g := prepare(t, so, newProvider(t), config, zap.New(core), nil)
	g.logs = logs
	return g
}

func newProvider(t testing.TB) *demo.Provider {
	t.Helper()
	provider, err := demo.NewProvider()
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

// newGatewayOver logs to logger and reaches SuperOffice through transport.
func newGatewayOver(t testing.TB, config string, logger *zap.Logger, transport http.RoundTripper) *fixture {
	t.Helper()
	return prepare(t, newSandbox(t), newProvider(t), config, logger, transport)
}

func prepare(t testing.TB, so *sandbox.Sandbox, provider *demo.Provider, config string, logger *zap.Logger, transport http.RoundTripper) *fixture {
	t.Helper()
	g := &fixture{t: t, so: so, provider: provider, dir: t.TempDir()}
	if err := demo.WriteSecrets(g.dir, g.so, g.provider); err != nil {
		t.Fatal(err)
	}
	config = strings.NewReplacer("{base}", g.so.Base(), "{dir}", g.dir, "{password}", g.so.User("Cust12345", "tove").Password).Replace(config)
	var err error
	if g.h, err = provisionOver(t, config, logger, transport); err != nil {
		t.Fatal(err)
	}
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, passedOn)
		return err
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended := make(chan struct{})
		defer close(ended)
		g.serving.Store(r.RemoteAddr, ended)
		_ = g.h.ServeHTTP(w, r, next)
	}))
	t.Cleanup(server.Close)
	g.site = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return g
}

const (
	seedBody   = `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`
	tenantPath = "/Cust12345/api/v1/Agents/ErpSync/ForceResync"
)

type answer struct {
	status int
	header http.Header
	body   string
}

func (g *fixture) do(client *http.Client, method, path, body string, header http.Header) answer {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.site+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
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
	var from string // where the last connection comes from, after redirects
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { from = c.Conn.LocalAddr().String() }}))
	resp, err := client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	if ended, ours := g.serving.Load(from); ours {
		<-ended.(chan struct{}) // a long answer arrives whole before its handler has recorded it
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

// service is what a service sends to prove itself.
func (g *fixture) service() http.Header {
	return http.Header{"Authorization": {"Bearer " + g.provider.Token("Cust12345", time.Hour)}}
}

func (g *fixture) signIn(name string) (*http.Client, string) {
	g.t.Helper()
	client, xsrf, err := demo.SignIn(g.t.Context(), g.site, g.so, "Cust12345", name)
	if err != nil {
		g.t.Fatal(err)
	}
	return client, xsrf
}

// sent returns the agent calls that reached SuperOffice.
func (g *fixture) sent() (calls []sandbox.Recorded) {
	for _, r := range g.so.Requests() {
		if strings.Contains(strings.ToLower(r.URI), "/agents/") {
			calls = append(calls, r)
		}
	}
	return calls
}

// outcome returns the fields of the newest audit line.
func (g *fixture) outcome() map[string]any {
	g.t.Helper()
	lines := g.logs.FilterMessage("erpsync call").All()
	if len(lines) == 0 {
		g.t.Fatal("no audit line")
	}
	return lines[len(lines)-1].ContextMap()
}

// refused checks that the gateway refused with the reason, and that nothing was sent.
func (g *fixture) refused(got answer, status int, reason string) {
	g.t.Helper()
	if got.status != status || !strings.Contains(got.body, fmt.Sprintf("%q:%q", "reason", reason)) {
		g.t.Errorf("answer %d %s, want %d %s", got.status, got.body, status, reason)
	}
	if got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Cache-Control") != "no-store" {
		g.t.Errorf("head of the refusal: %v", got.header)
	}
	if n := len(g.sent()); n != 0 {
		g.t.Errorf("%d calls were sent upstream", n)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(path), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func demoProvider() (*demo.Provider, error) { return demo.NewProvider() }

func mustParse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// waitFor looks until what is promised has come about.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("what is promised has not come about in a minute")
		case <-tick.C:
		}
	}
}
