package erpsync

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// authenticate finds out who calls. A caller that sends Authorization is judged
// by that alone: a cookie beside it neither helps nor is helped. What browsers send of their own accord
// counts only from pages that may call.
func (c *call) authenticate() *auth.Refusal {
	refusal := c.prove()
	c.record.App, c.record.Scheme, c.record.Principal = c.principal.App, string(c.principal.Scheme), c.principal.ID
	if c.principal.Tenant != superoffice.Onsite {
		c.record.Tenant = string(c.principal.Tenant)
	}
	if refusal != nil {
		return refusal
	}
	if c.app = c.h.apps[c.principal.App]; c.app == nil {
		return auth.Refuse(auth.CredentialInvalid, errors.New("the claim names no app that is configured"))
	}
	if sent := c.r.Header["So-Apptoken"]; len(sent) > 0 && (len(sent) > 1 || !c.app.appToken().Equal(sent[0])) {
		return auth.Refuse(auth.AppTokenMismatch, nil)
	}
	if replacer, ok := c.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		replacer.Set("http.auth.user.id", c.principal.ID)
	}
	return nil
}

func (c *call) prove() *auth.Refusal {
	values := c.r.Header["Authorization"]
	if len(values) > 1 {
		return auth.Refuse(auth.CredentialInvalid, errors.New("several Authorization headers"))
	}
	if len(values) == 1 {
		return c.proveAuthorization(values[0])
	}
	if c.h.Browser != nil {
		if value, err := onlyCookie(c.r, sessionCookie); err != nil || value != "" {
			return c.proveSession(value, err)
		}
	}
	if c.h.SuperOffice.takes("session") {
		if value, err := onlyCookie(c.r, auth.SessionCookie); err != nil || value != "" {
			return c.proveWebClient(value, err)
		}
	}
	refusal := auth.Refuse(auth.CredentialMissing, nil)
	refusal.SignIn = c.h.Browser.signInURL()
	return refusal
}

func (c *call) proveAuthorization(value string) *auth.Refusal {
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimSpace(token)
	var brought auth.Scheme
	switch strings.ToLower(scheme) {
	case "bearer":
		if !strings.HasPrefix(token, "8A:") {
			var refusal *auth.Refusal
			c.principal, refusal = c.h.issuers.Prove(c.r.Context(), token)
			return refusal
		}
		brought, value = auth.BroughtBearer, "Bearer "+token
	case "soticket":
		brought, value = auth.BroughtTicket, "SOTicket "+token
	case "basic":
		// A browser sends Basic of its own accord, as it does cookies.
		if !c.h.origins.Admits(c.r) {
			return auth.Refuse(auth.CrossSite, nil)
		}
		brought, value = auth.BroughtBasic, "Basic "+token
	}
	if !c.h.SuperOffice.takes(string(brought)) || token == "" || len(token) > 8<<10 {
		return auth.Refuse(auth.CredentialInvalid, errors.New("a scheme that is not taken"))
	}
	c.brought = auth.Brought{Scheme: brought, Authorization: auth.NewSecret(value)}
	return c.proveBrought(false)
}

func (c *call) proveSession(cookie string, err error) *auth.Refusal {
	b := c.h.Browser
	if err != nil {
		return b.again(err)
	}
	if c.token, err = b.sessions.Keys.Parse(cookie); err != nil {
		return b.again(nil)
	}
	if !c.h.origins.Admits(c.r) {
		return auth.Refuse(auth.CrossSite, nil)
	}
	if sent := c.r.Header["X-Xsrf-Token"]; len(sent) != 1 || !c.token.CheckXSRF(sent[0]) {
		return auth.Refuse(auth.XSRFInvalid, nil)
	}
	c.session, err = b.sessions.Load(c.r.Context(), c.token)
	switch {
	case errors.Is(err, session.ErrUnavailable):
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	case err != nil || c.session.App != b.App:
		return b.again(nil)
	}
	c.principal = c.session.Principal()
	return nil
}

// again sends a person to sign in.
func (b *Browser) again(cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.SignInAgain, cause)
	refusal.SignIn = b.signInURL()
	return refusal
}

func (c *call) proveWebClient(cookie string, err error) *auth.Refusal {
	if err != nil || len(cookie) > 256 {
		return auth.Refuse(auth.CredentialInvalid, err)
	}
	if !c.h.origins.Admits(c.r) {
		return auth.Refuse(auth.CrossSite, nil)
	}
	xsrf := c.r.Header["X-Xsrf-Token"]
	if len(xsrf) != 1 || xsrf[0] == "" || len(xsrf[0]) > 1024 {
		return auth.Refuse(auth.XSRFInvalid, nil)
	}
	c.brought = auth.Brought{Scheme: auth.WebClientSession, Cookie: auth.NewSecret(cookie), XSRF: auth.NewSecret(xsrf[0])}
	app := c.h.apps[c.h.SuperOffice.App]
	return c.proveBrought(app.grants.CallAs == auth.AsUser)
}

// proveBrought asks SuperOffice whose credential it is, before anything else is told or given.
func (c *call) proveBrought(swap bool) *auth.Refusal {
	app := c.h.apps[c.h.SuperOffice.App]
	tenant := c.path.Tenant
	if c.h.locator != nil {
		if named := superid.TokenTenant(strings.TrimPrefix(c.brought.Authorization.Reveal(), "Bearer ")); tenant == superoffice.Onsite {
			tenant = named
		}
		if tenant == superoffice.Onsite {
			return auth.Refuse(auth.CredentialInvalid, errors.New("neither the path nor the credential names a tenant"))
		}
		// An unproved caller learns nothing of a tenant that the app has no grant for.
		if _, ok := app.grants.Tenant(tenant); !ok {
			return auth.Refuse(auth.CredentialInvalid, errors.New("the app has no grant in the tenant"))
		}
	}
	if refusal := c.locate(tenant); refusal != nil {
		return refusal
	}
	var appToken auth.Secret
	if c.brought.Scheme == auth.BroughtTicket && c.h.locator != nil {
		appToken = app.appToken()
	}
	proof, refusal := c.h.prover.Prove(c.r.Context(), c.api, c.brought, appToken, swap)
	if refusal != nil && !appToken.IsZero() {
		// SuperOffice may have refused our app token and not the caller's ticket.
		if again := app.secret.again(); !again.Equal(appToken.Reveal()) {
			c.h.prover.Forget(c.api, c.brought, swap)
			proof, refusal = c.h.prover.Prove(c.r.Context(), c.api, c.brought, again, swap)
		}
	}
	if refusal != nil {
		return refusal
	}
	if c.h.locator != nil && proof.Identity.Tenant != tenant {
		return auth.Refuse(auth.CredentialInvalid, errors.New("the credential is another tenant's"))
	}
	c.proof = proof
	c.principal = auth.Principal{
		Scheme: c.brought.Scheme, App: app.Name, Tenant: tenant, ID: proof.Identity.Associate, AssociateID: proof.Identity.AssociateID, Administrator: proof.Identity.Administrator,
	}
	return nil
}

// locate finds where the tenant's WebAPI is.
func (c *call) locate(tenant superoffice.Tenant) *auth.Refusal {
	if c.h.locator == nil {
		c.api = c.h.upstreamAPI
		return nil
	}
	api, err := c.h.locator.Locate(c.r.Context(), tenant)
	var stopped *superoffice.NotRunningError
	var untrusted *superoffice.HostNotTrustedError
	switch {
	case err == nil:
		c.api = api
		return nil
	case errors.As(err, &stopped):
		return auth.Refuse(auth.TenantNotRunning, err).After(time.Minute)
	case errors.As(err, &untrusted):
		return auth.Refuse(auth.HostNotTrusted, err)
	case errors.Is(err, superoffice.ErrTenantUnknown):
		return auth.Refuse(auth.TenantUnknown, err)
	}
	return auth.Refuse(auth.StateUnavailable, err).After(2 * time.Second)
}

// onlyCookie gives the value of a cookie, "" if it is not there. One that is
// there twice is an error: nobody can tell which was meant.
func onlyCookie(r *http.Request, name string) (string, error) {
	var found []*http.Cookie
	for _, line := range r.Header["Cookie"] {
		if strings.Contains(line, name) {
			found = r.CookiesNamed(name)
			break
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0].Value, nil
	}
	return "", errors.New("the cookie " + name + " stands in the request twice")
}
