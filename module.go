// Package erpsync is a Caddy HTTP handler that guards SuperOffice's ErpSync
// agent: it finds out who calls, decides whether that app may make that call in that
// tenant, speaks to SuperOffice with a credential of its own and tells afterwards
// what the answer really said.
package erpsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	_ "github.com/caddy-erpsync/caddy-erpsync/internal/auditlog" // caddy erpsync outcomes
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler is the edge gateway before SuperOffice's ErpSync agent.
//
// Every request whose path can be read as a call of the agent is the handler's,
// and so are the endpoints for browsers (sign-in where browser is configured, approve where an app has
// call_as system); everything else goes to the next handler untouched.
// A call is served in one canonical spelling, with POST only. The caller proves
// itself with a browser session, a JWT of the partner's own identity provider, or
// a SuperOffice session or credential; the app's registration is checked; and a new
// request goes to SuperOffice with the credential and SO-AppToken. The answer passes
// byte for byte. What it said is written to the audit log
// `http.handlers.erpsync.audit`.
//
// Refusals are application/problem+json with a stable reason. Every failure is
// closed: without a proof, a grant, a store or a host nothing is sent. A call is
// never run twice by the gateway: what was sent and not answered is told as `outcome_unknown`.
//
// Placeholders, after the handler has run:
//
// Placeholder | Meaning
// ------------|--------
// `{http.erpsync.app}` | the app that the call was made for
// `{http.erpsync.tenant}` | the tenant
// `{http.erpsync.operation}` | the operation
// `{http.erpsync.outcome}` | the outcome's class
// `{http.erpsync.reason}` | why the call was refused
// `{http.erpsync.request_id}` | the id that the caller got as ErpSync-Request-Id
type Handler struct {
	// SuperOffice Online's environment: online (default), stage, sod, or a base URL.
	Environment string `json:"environment,omitempty"`

	// With a base URL as environment: further origins where its tenants' APIs may live.
	APIOrigins []string `json:"api_origins,omitempty"`

	// Onsite: the URL of the WebAPI's host and directory, for example
	// https://crm.example.com/crm7. Excludes environment.
	Upstream string `json:"upstream,omitempty"`

	// The apps that may call. None means that every call is refused.
	Apps []*App `json:"apps,omitempty"`

	// Sign-in with SuperID and sessions for browsers. Absent: no browser session is taken.
	Browser *Browser `json:"browser,omitempty"`

	// The identity providers whose tokens are taken from services.
	Issuers []*Issuer `json:"issuers,omitempty"`

	// Callers that hold a SuperOffice session or credential. Absent: none is taken.
	SuperOffice *SuperOffice `json:"superoffice,omitempty"`

	// Where sessions and what gateways share are kept. Default: in memory.
	Store Store `json:"store,omitzero"`

	// The secrets that everything of the gateway's own is sealed under: the first
	// seals, all open. Each has at least 32 bytes. None: one is made once and kept in
	// Caddy's storage.
	Keys []string `json:"keys,omitempty"`

	// What makes a call safe to press: bounds, limits, repeats.
	Guard Guard `json:"guard,omitzero"`

	// What is recorded of each call.
	Audit Audit `json:"audit,omitzero"`

	// How SuperOffice is reached: Caddy's HTTP transport module with its options
	// (TLS trust, pools, outbound proxy). HTTP/1.1 without transparent compression
	// and with idle connections of 50 s unless set.
	TransportRaw json.RawMessage `json:"transport,omitempty" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`

	paths       superoffice.Paths
	environment superoffice.Environment
	upstreamAPI string
	apps        map[string]*App
	issuers     auth.Issuers
	origins     pages
	endpoints   *endpoints
	roundTrip   http.RoundTripper
	locator     *superoffice.Locator
	prover      *auth.Prover
	unreachable auth.Backoff
	common      *common
	sharing     *auth.Sharing // nil: this gateway is alone
	ring        *session.Keys
	keys        [][]byte
	storage     certmagic.Storage
	privacy     outcome.Privacy
	metrics     *outcome.Metrics
	logger      *zap.Logger
	audit       *zap.Logger
	node        string

	// ctx is asked for the HTTP app when the handler is cleaned up.
	ctx caddy.Context
	// calls counts requests being served, so that what they need outlives a reload.
	calls   sync.WaitGroup
	release []func()
}

// SuperOffice says which SuperOffice credentials of callers are taken.
type SuperOffice struct {
	// Some of session, bearer, soticket and basic (onsite only).
	Schemes []string `json:"schemes,omitempty"`
	// The app that such callers call for. Default: the only app there is.
	App string `json:"app,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.erpsync", New: func() caddy.Module { return new(Handler) }}
}

// Provision sets the handler up. It asks nobody on the network.
func (h *Handler) Provision(ctx caddy.Context) error {
	if h.logger == nil { // a test brings its own
		h.logger = ctx.Logger()
	}
	if h.storage == nil { // likewise
		h.storage = ctx.Storage()
	}
	h.ctx = ctx
	h.audit = h.logger.Named("audit")
	h.node = instance()
	h.Guard.fill()
	var err error
	if h.metrics, err = outcome.NewMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if err := h.provisionUpstream(); err != nil {
		return err
	}
	if h.roundTrip, err = newTransport(ctx, h); err != nil {
		return err
	}
	if err := h.provisionKeys(ctx); err != nil {
		return err
	}
	if h.ring, err = session.NewKeys(h.keys...); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := h.provisionStore(); err != nil {
		return err
	}
	if h.privacy, err = h.Audit.privacy(h.keys[0]); err != nil {
		return err
	}
	h.prover = auth.NewProver(asking(h.counted(h.roundTrip)), nil)
	superID := asking(h.metrics.Watch(outcome.SuperID, h.roundTrip))
	var keys *superid.KeySet
	if h.upstreamAPI == "" {
		h.locator = superoffice.NewLocator(h.environment, asking(h.metrics.Watch(outcome.StateService, h.roundTrip)), nil)
		keys = superid.NewKeySet(h.environment, superID, nil)
	}
	h.apps = make(map[string]*App, len(h.Apps))
	for _, app := range h.Apps {
		if h.apps[app.Name] != nil {
			return fmt.Errorf("app %s: configured twice", app.Name)
		}
		if err := app.provision(ctx, h, superID, keys); err != nil {
			return fmt.Errorf("app %s: %w", app.Name, err)
		}
		h.apps[app.Name] = app
	}
	if err := h.provisionIssuers(ctx, asking(h.metrics.Watch(outcome.IdentityProvider, h.roundTrip))); err != nil {
		return err
	}
	if err := h.provisionSuperOffice(); err != nil {
		return err
	}
	if h.Browser != nil {
		if err := h.Browser.provision(h); err != nil {
			return fmt.Errorf("browser: %w", err)
		}
	}
	h.endpoints = newEndpoints(h)
	running.begin(h)
	go h.upkeep(ctx)
	return nil
}

func (h *Handler) provisionUpstream() error {
	if h.Upstream == "" {
		if h.Environment == "" {
			h.Environment = "online"
		}
		var err error
		h.environment, err = superoffice.NewEnvironment(h.Environment, h.APIOrigins...)
		h.paths = superoffice.OnlinePaths()
		return err
	}
	if h.Environment != "" {
		return errors.New("upstream and environment exclude each other: upstream is for onsite, environment for Online")
	}
	u, err := url.Parse(strings.TrimSuffix(h.Upstream, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.EscapedPath(), "%") {
		return fmt.Errorf("upstream %q: want the plain URL of the WebAPI's host and directory, for example https://crm.example.com/crm7", h.Upstream)
	}
	u.Path = strings.TrimSuffix(u.Path, "/api")
	if u.Scheme == "http" {
		h.logger.Warn("upstream is plain http: credentials and answers can be read on the way", zap.String("upstream", h.Upstream))
	}
	h.paths = superoffice.OnsitePaths(u.Path)
	h.upstreamAPI = u.String() + "/api"
	return nil
}

func (h *Handler) provisionSuperOffice() error {
	if h.SuperOffice == nil {
		return nil
	}
	if len(h.SuperOffice.Schemes) == 0 {
		return errors.New("superoffice: names no scheme; want some of session, bearer, soticket, basic")
	}
	for _, scheme := range h.SuperOffice.Schemes {
		switch scheme {
		case "session", "bearer", "soticket":
		case "basic":
			if h.upstreamAPI == "" {
				return errors.New("superoffice: basic is taken onsite only; SuperOffice Online refuses it")
			}
		default:
			return fmt.Errorf("superoffice: %q is no scheme; want session, bearer, soticket or basic", scheme)
		}
	}
	app, err := h.onlyApp(h.SuperOffice.App)
	if err != nil {
		return fmt.Errorf("superoffice: %w", err)
	}
	h.SuperOffice.App = app
	return nil
}

// onlyApp finds the app of that name, or the only one there is for "".
func (h *Handler) onlyApp(name string) (string, error) {
	if name == "" && len(h.Apps) == 1 {
		return h.Apps[0].Name, nil
	}
	if name == "" {
		return "", errors.New("say which app it is for: app <name>")
	}
	if h.apps[name] == nil {
		return "", fmt.Errorf("there is no app %q", name)
	}
	return name, nil
}

// Validate refuses combinations that cannot work or would not be safe.
func (h *Handler) Validate() error {
	if h.Browser != nil && h.upstreamAPI != "" {
		return errors.New("browser: sign-in with SuperID is for Online; onsite, let SuperOffice's own session in: superoffice session")
	}
	if h.Browser != nil && h.SuperOffice.takes("session") {
		return errors.New("browser: cannot stand beside superoffice session: both would use the cookie XSRF-TOKEN on this host")
	}
	if err := h.Guard.validate(); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

func (s *SuperOffice) takes(scheme string) bool {
	if s == nil {
		return false
	}
	for _, taken := range s.Schemes {
		if taken == scheme {
			return true
		}
	}
	return false
}

// Cleanup gives back what is shared between configurations, once the last call
// of this one is over: on a reload Caddy cleans up while calls go on. When the process is
// ending it waits for them as long as Caddy does for connections: calls that
// their callers left have none that Caddy could wait for.
func (h *Handler) Cleanup() error {
	running.end(h)
	over := make(chan struct{})
	release := h.release
	h.release = nil
	go func() {
		defer close(over)
		h.calls.Wait()
		for _, f := range release {
			f()
		}
	}()
	if caddy.Exiting() {
		select {
		case <-over:
		case <-h.grace():
			h.logger.Warn("calls are cut off: grace_period is over. What became of them is not known here; erpsync call started tells which they are")
		}
	}
	return nil
}

// grace is closed or sends when the HTTP app's grace_period is over; nil waits for ever.
func (h *Handler) grace() <-chan time.Time {
	app, err := h.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	if app, ok := app.(*caddyhttp.App); ok && app.GracePeriod > 0 {
		return time.After(time.Duration(app.GracePeriod))
	}
	return nil
}

func instance() string {
	id, err := caddy.InstanceID()
	if err != nil {
		return ""
	}
	return id.String()
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
