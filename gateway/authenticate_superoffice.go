package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// presentedKind is a kind of SuperOffice credential that a caller presents in Authorization.
type presentedKind struct {
	scheme auth.Scheme
	name   string // of the scheme on the wire, as SuperOffice writes it
	kind   auth.CredentialKind
	// ambient: browsers send it of their own accord, as they do cookies.
	ambient bool
}

var (
	bearerKind = presentedKind{scheme: auth.BroughtBearer, name: "Bearer", kind: auth.Bearer}
	ticketKind = presentedKind{scheme: auth.BroughtTicket, name: "SOTicket", kind: auth.SOTicket}
	basicKind  = presentedKind{scheme: auth.BroughtBasic, name: "Basic", kind: auth.Basic, ambient: true}
)

const (
	// maxPresented bounds a presented credential, in bytes.
	maxPresented = 8 << 10

	// maxWebClientCookie bounds the cookie of SuperOffice's web client, in bytes.
	maxWebClientCookie = 256
)

// presentedAuthenticator proves callers that hold a SuperOffice credential, by asking SuperOffice whose it is.
type presentedAuthenticator struct {
	g    *Gateway
	app  *App
	kind presentedKind
}

func (a *presentedAuthenticator) authenticate(r *http.Request, visit Visit, path superoffice.Call) (Caller, bool, *auth.Refusal) {
	scheme, token := authorization(r)
	if !strings.EqualFold(scheme, a.kind.name) || a.kind.scheme == auth.BroughtBearer && !strings.HasPrefix(token, accessTokenPrefix) {
		return Caller{}, false, nil
	}
	caller, refusal := a.prove(r, visit, token, path)
	return caller, true, refusal
}

func (a *presentedAuthenticator) prove(r *http.Request, visit Visit, token string, path superoffice.Call) (Caller, *auth.Refusal) {
	if a.kind.ambient && !a.g.config.Origins.Admits(r) {
		return Caller{}, a.g.config.Origins.Refuse(r)
	}
	if token == "" || len(token) > maxPresented {
		return Caller{}, auth.Refuse(auth.CredentialInvalid, errors.New("the credential is empty or longer than 8 KiB"))
	}
	named := superoffice.Onsite
	if a.kind.scheme == auth.BroughtBearer {
		named = superid.TokenTenant(token)
	}
	p := presented{Brought: auth.Brought{Scheme: a.kind.scheme, Authorization: auth.NewSecret(a.kind.name + " " + token)}}
	caller, _, refusal := a.g.prove(r, visit, a.app, p, path, named)
	caller.own = presentedCredential{auth.Credential{Kind: a.kind.kind, Owner: auth.AsUser, Value: auth.NewSecret(token)}}
	return caller, refusal
}

// webClientAuthenticator proves people by the session of SuperOffice's own web client and its XSRF token.
type webClientAuthenticator struct {
	g   *Gateway
	app *App
}

func (a *webClientAuthenticator) authenticate(r *http.Request, visit Visit, path superoffice.Call) (Caller, bool, *auth.Refusal) {
	cookie, err := OnlyCookie(r, auth.SessionCookie)
	if err == nil && cookie == "" {
		return Caller{}, false, nil
	}
	if err == nil && len(cookie) > maxWebClientCookie {
		err = fmt.Errorf("the cookie %s is longer than %d bytes", auth.SessionCookie, maxWebClientCookie)
	}
	if err != nil {
		return Caller{}, true, auth.Refuse(auth.CredentialInvalid, err)
	}
	caller, refusal := a.prove(r, visit, cookie, path)
	return caller, true, refusal
}

func (a *webClientAuthenticator) prove(r *http.Request, visit Visit, cookie string, path superoffice.Call) (Caller, *auth.Refusal) {
	if !a.g.config.Origins.Admits(r) {
		return Caller{}, a.g.config.Origins.Refuse(r)
	}
	xsrf := r.Header["X-Xsrf-Token"]
	if len(xsrf) != 1 || xsrf[0] == "" || len(xsrf[0]) > 1024 {
		return Caller{}, auth.RefuseXSRF(r, "is empty or longer than 1024 bytes")
	}
	p := presented{
		Brought: auth.Brought{Scheme: auth.WebClientSession, Cookie: auth.NewSecret(cookie), XSRF: auth.NewSecret(xsrf[0])},
		swap:    a.app.CallAs == auth.AsUser,
	}
	caller, proof, refusal := a.g.prove(r, visit, a.app, p, path, superoffice.Onsite)
	caller.own = &swappedCredential{g: a.g, tenant: caller.Principal.Tenant, api: caller.API, brought: p.Brought, bearer: proof.Bearer}
	return caller, refusal
}

// presented is what a caller holds of SuperOffice's.
type presented struct {
	auth.Brought
	swap bool // ask for the session's Bearer too
}

// proofLimits bound what strangers can have asked of SuperOffice and of its state service. The vendor allows an app
// ten requests a second.
var proofLimits = guard.StrangerLimits{PerAddress: 2, AddressBurst: 20, Total: 10, TotalBurst: 40}

// prove asks SuperOffice whose credential it is, before anything else is told or given. named is the
// tenant that the credential names by itself; Onsite: none.
func (g *Gateway) prove(r *http.Request, visit Visit, app *App, p presented, path superoffice.Call, named superoffice.Tenant) (Caller, auth.Proof, *auth.Refusal) {
	tenant := path.Tenant
	if g.Online() && tenant == superoffice.Onsite {
		tenant = named
	}
	admit := func() *auth.Refusal {
		if wait := g.strangers.Allow(visit.ClientIP()); wait > 0 {
			return auth.Refuse(auth.RateLimited, errors.New("too many credentials that have proved nothing, from this address or in all")).After(wait)
		}
		return nil
	}
	api, refusal := g.findForStranger(r, app, p, tenant, admit)
	if refusal != nil {
		return Caller{}, auth.Proof{}, refusal
	}
	var appToken auth.Secret
	if p.Scheme == auth.BroughtTicket {
		appToken = app.AppToken()
	}
	api, proof, refusal := g.proveAt(r.Context(), tenant, api, p.Brought, appToken, p.swap, admit)
	if refusal != nil && !appToken.IsZero() {
		// SuperOffice may have refused our app token and not the caller's ticket.
		if again := app.secret.Reload(); !again.Equal(appToken.Reveal()) {
			g.prover.Forget(api, p.Brought, p.swap)
			api, proof, refusal = g.proveAt(r.Context(), tenant, api, p.Brought, again, p.swap, admit)
		}
	}
	switch {
	case refusal != nil:
		return Caller{}, auth.Proof{}, refusal
	case g.Online() && proof.Identity.Tenant != tenant:
		return Caller{}, auth.Proof{}, auth.Refuse(auth.CredentialInvalid, fmt.Errorf("the credential is of %s, the call is for %s", proof.Identity.Tenant, tenant))
	}
	return Caller{API: api, Principal: auth.Principal{
		Scheme: p.Scheme, App: app.Name, Tenant: tenant, ID: proof.Identity.Associate, AssociateID: proof.Identity.AssociateID, Administrator: proof.Identity.Administrator,
	}}, proof, nil
}

// findForStranger finds where a credential is to be proved. Until it is, its holder learns nothing of which tenants exist, run, or
// have granted the app anything: all is one refusal.
func (g *Gateway) findForStranger(r *http.Request, app *App, p presented, tenant superoffice.Tenant, admit func() *auth.Refusal) (string, *auth.Refusal) {
	if !g.Online() {
		return g.hosts.find(r.Context(), tenant)
	}
	if tenant == superoffice.Onsite {
		return "", auth.Refuse(auth.CredentialInvalid, errors.New("neither the path nor the credential names a tenant"))
	}
	if _, ok := app.Tenant(tenant); !ok {
		return "", auth.Refuse(auth.CredentialInvalid, fmt.Errorf("app %s has no grant in %s", app.Name, tenant))
	}
	proved := g.prover.Proved(p.Brought)
	if !proved && !g.hosts.known(tenant) {
		if refusal := admit(); refusal != nil {
			return "", refusal
		}
	}
	api, refusal := g.hosts.find(r.Context(), tenant)
	if refusal != nil && !proved && refusal.Reason != auth.StateUnavailable {
		return "", auth.Refuse(auth.CredentialInvalid, refusal)
	}
	return api, refusal
}

// chargeProof charges requests that proved a caller to the app that the caller calls for.
func (g *Gateway) chargeProof(api string, requests int) {
	for range requests {
		g.charge(g.config.SuperOffice.App, superoffice.Tenant(g.hosts.tenantOf(api)))
	}
}
