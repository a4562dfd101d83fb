// Package erpsync is a Caddy HTTP handler that guards SuperOffice's ErpSync
// agent: it finds out who calls, decides whether that app may make that call in that
// tenant, speaks to SuperOffice with a credential of its own and records afterwards
// what the answer really said.
//
// The package is the adapter between Caddy and package gateway, which holds the way of a
// call and knows no Caddy.
package erpsync

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	_ "github.com/caddy-erpsync/caddy-erpsync/auditfile" // the log writer erpsync_file
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	_ "github.com/caddy-erpsync/caddy-erpsync/internal/auditlog" // caddy erpsync outcomes
	_ "github.com/caddy-erpsync/caddy-erpsync/internal/health"   // caddy erpsync health
	_ "github.com/caddy-erpsync/caddy-erpsync/internal/keygen"   // caddy erpsync keygen
	_ "github.com/caddy-erpsync/caddy-erpsync/internal/operator" // caddy erpsync status, check, probe, tenants, revoke
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

	// Where people reach this site, such as https://example.com/crm: with the port that is published, and the path that a proxy or
	// handle_path in front takes off. Default: the origin that a browser asked for, and for links that are not made at a request
	// the site's own. Needed where a proxy in front does not pass the Host on, or takes a path off.
	PublicURL string `json:"public_url,omitempty"`

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

	runtime *handlerRuntime
}

// handlerRuntime is a handler at work. It is built once from the configuration and changes no more.
type handlerRuntime struct {
	gateway *gateway.Gateway
	pages   *pages.Pages
	probes  *probe.Desk
	site    *report.Site
	logger  *zap.Logger
	// grace returns a channel that is ready when calls in flight are to be cut off; nil waits for ever.
	grace func() <-chan time.Time
	// checkPlace judges where the handler stands in its site, which is known when every site is provisioned.
	checkPlace func() error
	// notify begins to tell how connections are; what it returns ends that. Nil: nobody is told.
	notify func() (stop func())
	// release returns what is shared between configurations.
	release func()
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.erpsync", New: func() caddy.Module { return new(Handler) }}
}

// Provision builds the gateway. It makes no network requests.
func (h *Handler) Provision(ctx caddy.Context) error {
	module, err := ctx.App(serviceID)
	if err != nil {
		return err
	}
	s := newServer(ctx)
	s.history, s.notices = module.(*Service).history, module.(*Service).notices
	if err := h.provision(s); err != nil {
		return err
	}
	module.(*Service).attach(h.runtime)
	return nil
}

func (h *Handler) provision(s *server) (err error) {
	if err := h.validate(); err != nil {
		return err
	}
	h.runtime, err = newRuntime(h, s)
	return err
}

// Validate refuses what Provision has let through; everything that can be judged is judged there.
func (h *Handler) Validate() error { return h.validate() }

// Cleanup releases what is shared between configurations, once the last call of this
// one is over: on a reload Caddy cleans up while calls go on. When the process is
// ending it waits for them as long as Caddy does for connections: a call that its
// caller left has none that Caddy could wait for.
func (h *Handler) Cleanup() error {
	r := h.runtime
	if r == nil { // a provisioning that failed released what it had
		return nil
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		<-r.gateway.Drained()
		r.release()
	}()
	if caddy.Exiting() {
		if n := r.gateway.InFlight(); n > 0 {
			r.logger.Info("waiting for calls in flight", zap.Int("calls", n))
		}
		select {
		case <-over:
		case <-r.grace():
			r.logger.Warn(fmt.Sprintf("grace period expired with %d calls in flight; their outcome is unknown", r.gateway.InFlight()))
		}
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
