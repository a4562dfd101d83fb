// Package pages is what the gateway itself answers to browsers: sign-in with SuperID,
// sessions, sign-out, web panels, and the approval of an app by a customer's administrator. Beside them is where SuperOffice
// sends its notices of tenants.
package pages

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/internal/bounded"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// DefaultPrefix is where the endpoints are if the configuration does not say.
const DefaultPrefix = "/erpsync"

// Config says where the endpoints are.
type Config struct {
	// Prefix begins the path of every endpoint, without a slash at its end.
	Prefix string
	// SignedOut is where SuperID sends a browser that has signed out there too; "": nowhere.
	SignedOut string
	// Probes are an operator's questions for which people sign in; nil: there are none.
	Probes *probe.Desk
}

// SignInPath returns where a page sends its person to sign in.
func SignInPath(prefix string) string { return prefix + "/sign-in" }

// ApprovePath returns where a tenant's administrator approves an app.
func ApprovePath(prefix, app string, tenant superoffice.Tenant) string {
	query := url.Values{"app": {app}}
	if tenant != "" {
		query.Set("tenant", string(tenant))
	}
	return prefix + "/approve?" + query.Encode()
}

// CallsPath returns where callers ask for calls of their own.
func CallsPath(prefix string) string { return prefix + callsEndpoint }

// Pages are the endpoints of one gateway: sign-in and sessions where it keeps sessions,
// approvals where an app has a system user, notices of tenants where an app takes them, and what balancers ask.
type Pages struct {
	config    Config
	gateway   *gateway.Gateway
	log       *zap.Logger
	keys      *session.Keys
	sessions  *gateway.Sessions   // nil: nobody signs in here
	endpoints map[string]endpoint // by path below the prefix
	// exchanges bounds what the holder of a login state can have asked of SuperID with an app's secret.
	exchanges *guard.Strangers
	// answered are the states whose answer was taken to SuperID: each is, once.
	answered *bounded.Set
}

// exchangeLimits are far beyond what the people behind one address do.
var exchangeLimits = guard.StrangerLimits{PerAddress: 5, AddressBurst: 20, Total: 50, TotalBurst: 50}

// maxAnswered is how many states are remembered at least: more than can be answered in the time that one lives.
const maxAnswered = 200_000

// signOutEndpoint is below the prefix.
const signOutEndpoint = "/sign-out"

// handler answers a request, or refuses it before anything was written.
type handler func(http.ResponseWriter, *http.Request, gateway.Visit) *auth.Refusal

// endpoint is what answers each method; nil: nothing does.
type endpoint struct{ get, head, post handler }

// New returns the endpoints of a gateway.
func New(g *gateway.Gateway, config Config) *Pages {
	p := &Pages{config: config, gateway: g, log: g.Platform().Logger, keys: g.Keys(), sessions: g.Sessions(), endpoints: make(map[string]endpoint), exchanges: guard.NewStrangers(exchangeLimits), answered: bounded.NewSet(maxAnswered)}
	if p.sessions != nil {
		p.endpoints["/sign-in"] = endpoint{get: p.signIn}
		p.endpoints["/session"] = endpoint{get: p.session}
		p.endpoints[signOutEndpoint] = endpoint{post: p.signOut}
		if p.framed() {
			p.endpoints["/hand-over"] = endpoint{post: p.redeemHandoff}
			p.endpoints["/panel.js"] = endpoint{get: servePanelScript}
		}
	}
	for _, app := range g.Apps() {
		if app.TakesApprovals() {
			p.endpoints["/approve"] = endpoint{get: p.approve}
			p.endpoints["/approval"] = endpoint{get: p.approval}
		}
	}
	if p.probes() {
		p.endpoints["/probe"] = endpoint{get: p.probe}
		p.endpoints["/probe/begin"] = endpoint{get: p.beginProbe}
	}
	if len(p.endpoints) > 0 {
		p.endpoints["/callback"] = endpoint{get: p.callback, post: p.callback}
	}
	if g.TakesNotices() {
		p.endpoints[tenantStatusPath] = endpoint{post: p.tenantStatus}
	}
	if g.TakesLookups() {
		p.endpoints["/lookup"] = endpoint{post: p.lookup}
	}
	p.endpoints[callsEndpoint] = endpoint{get: p.call}
	p.endpoints["/live"] = endpoint{get: live, head: live}
	p.endpoints["/ready"] = endpoint{get: p.ready, head: p.ready}
	return p
}

// Serves reports whether a path is an endpoint's. Where nobody signs in, the rest below the prefix is the next handler's.
func (p *Pages) Serves(path string) bool {
	below, ok := strings.CutPrefix(path, p.config.Prefix)
	if ok && p.isEndpoint(below) {
		return true
	}
	return ok && p.sessions != nil && strings.HasPrefix(below, "/")
}

// Serve answers a request to an endpoint.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, visit gateway.Visit) {
	h, id := w.Header(), visit.ID()
	h.Set(requestIDHeader, id)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	p.gateway.Expose(w, r)
	if p.gateway.Preflight(w, r) {
		return
	}
	if refusal := p.serve(w, r, visit); refusal != nil {
		p.record(r, visit, refusal)
		p.gateway.WriteRefusal(w, r, id, refusal, webpage.Page{})
	}
}

// record tells operators why a request was refused. A browser that is not signed in is everyday: it is in the audit log alone.
func (p *Pages) record(r *http.Request, visit gateway.Visit, refusal *auth.Refusal) {
	if refusal.Reason != auth.SignInAgain {
		p.log.Warn("endpoint refused", zap.String("request_id", visit.ID()), zap.String("reason", string(refusal.Reason)), zap.String("cause", refusal.CauseText()))
	}
	p.audit(r, visit, refusal)
}

// audit writes the audit line of a request that was refused.
func (p *Pages) audit(r *http.Request, visit gateway.Visit, refusal *auth.Refusal) {
	line := outcome.EndpointRefusal{RequestID: visit.ID(), ClientIP: visit.ClientIP(), Reason: string(refusal.Reason), Cause: refusal.CauseText(), Status: refusal.Status}
	if below := strings.TrimPrefix(r.URL.EscapedPath(), p.config.Prefix); p.isEndpoint(below) {
		line.Endpoint = below
		if strings.HasPrefix(below, callsEndpoint+"/") {
			line.Endpoint = callsEndpoint // the name of a call is nobody's to search for
		}
	}
	if p.sessions != nil && line.Endpoint != tenantStatusPath {
		line.App = p.sessions.App
	}
	p.gateway.RecordRefused(r.Context(), &line)
}

// isEndpoint reports whether something answers at a path below the prefix.
func (p *Pages) isEndpoint(below string) bool {
	_, known := p.endpoint(below)
	return known
}

// callsEndpoint is where callers ask for calls of their own; the name of one may follow.
const callsEndpoint = "/calls"

// endpoint returns what answers at a path below the prefix.
func (p *Pages) endpoint(below string) (endpoint, bool) {
	if name, ok := strings.CutPrefix(below, callsEndpoint+"/"); ok && name != "" && !strings.Contains(name, "/") {
		below = callsEndpoint
	}
	e, known := p.endpoints[below]
	return e, known
}

// call answers a caller who asks for a call of its own. The core proves the caller and leaves the audit line of a refusal.
func (p *Pages) call(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), p.config.Prefix+callsEndpoint), "/")
	p.gateway.ServeCalls(w, r, name, visit)
	return nil
}

// lookup answers a caller who asks which internal key belongs to what. The core proves the caller and leaves the audit line.
func (p *Pages) lookup(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	p.gateway.ServeLookup(w, r, visit)
	return nil
}

// base returns the path before every endpoint as people see it.
func (p *Pages) base() string { return p.gateway.Config().Base + p.config.Prefix }

// framed reports whether web panels sign in here.
func (p *Pages) framed() bool { return p.sessions != nil && p.gateway.Config().Sessions.Framed }

const requestIDHeader = "ErpSync-Request-Id"

func (p *Pages) serve(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	// The escaped path: a spelling that is not canonical is no endpoint.
	e, ok := p.endpoint(strings.TrimPrefix(r.URL.EscapedPath(), p.config.Prefix))
	switch {
	case !ok:
		refusal := auth.Refuse(auth.PathNotCanonical, errors.New("no endpoint has this path")).EndsOn("not_found")
		refusal.Status, refusal.Detail = http.StatusNotFound, "There is no such endpoint."
		return refusal
	case r.Method == http.MethodGet && e.get != nil:
		return e.get(w, r, visit)
	case r.Method == http.MethodHead && e.head != nil:
		return e.head(w, r, visit)
	case r.Method == http.MethodPost && e.post != nil:
		return e.post(w, r, visit)
	}
	refusal := auth.Refuse(auth.MethodNotAllowed, fmt.Errorf("the method is %s", jws.Excerpt(r.Method)))
	refusal.Detail = "This endpoint is not called with that method."
	return refusal
}

// refuse returns a refusal of a sign-in that failed, with a sentence of its own.
func (p *Pages) refuse(detail string, cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.CredentialInvalid, cause).EndsOn("sign_in_failed")
	refusal.Status, refusal.Detail, refusal.SignIn = http.StatusForbidden, detail, p.gateway.Config().Links.SignIn
	return refusal
}
