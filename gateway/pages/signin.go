package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// signIn sends the browser to SuperID to sign in.
func (p *Pages) signIn(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	if webpage.Framed(r) {
		p.inFrame(w, r, visit, "/sign-in")
		return nil
	}
	query := r.URL.Query()
	a := loginState{App: p.sessions.App}
	if named := query.Get("tenant"); named != "" {
		tenant, ok := superoffice.ParseTenant(named)
		if !ok {
			return p.ended(w, r, visit, a, linkRefused("sign_in_link_wrong", "tenant has the form Cust12345.", fmt.Errorf("tenant is %s", jws.Excerpt(named))))
		}
		a.Tenant = tenant
	}
	var ok bool
	if a.Return, ok = returnAddress(r, p.gateway.Config().Origins, query.Get("return")); !ok {
		return p.ended(w, r, visit, a, linkRefused("return_refused", "return names a page neither of this origin nor of one that is listed under origins.", fmt.Errorf("return is %s", jws.Excerpt(query.Get("return")))))
	}
	if panel := query.Get("panel"); panel != "" {
		a.Panel, ok = challenge(panel)
		a.Opener = query.Get("opener")
		if !ok || !p.framed() || a.Opener != p.gateway.Config().Origins.Own(r) && !p.gateway.Config().Origins.Lists(a.Opener) {
			return p.ended(w, r, visit, loginState{}, linkRefused("sign_in_link_wrong", "A panel signs in with panel.js, from the gateway's own origin or one that is listed under origins.",
				fmt.Errorf("framed is %t, panel is a challenge: %t, opener is %s", p.framed(), ok, jws.Excerpt(a.Opener))))
		}
	}
	return p.begin(w, r, a)
}

// linkRefused refuses a link that cannot be followed.
func linkRefused(ending, detail string, cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.QueryNotUnderstood, cause).EndsOn(ending)
	refusal.Detail = detail
	return refusal
}

// declined refuses a sign-in that SuperID answered with an error.
func (p *Pages) declined(code, description string) *auth.Refusal {
	refusal := p.refuse("SuperID did not sign in: "+superid.Clean(code)+".", fmt.Errorf("SuperID answered %s: %q", superid.Clean(code), superid.Clean(description)))
	refusal.Code = superid.Clean(code)
	switch superid.ReadApproval(code, description) {
	case superid.ApprovalDenied:
		return refusal.EndsOn("sign_in_declined")
	case superid.ApprovalUnavailable:
		return auth.Refuse(auth.ProofUnavailable, refusal.Cause).After(2 * time.Second).EndsOn("sign_in_unavailable")
	case superid.ApprovalRevoked, superid.ApprovalExpired, superid.ApprovalNeedsReapproval:
		return refusal.EndsOn("consent_missing")
	case superid.ApprovalNeedsAdministrator:
		if code == "consent_required" { // the others say that somebody has to sign in
			return refusal.EndsOn("consent_missing")
		}
	case superid.ApprovalUnregistered, superid.ApprovalInvalidRedirectURL, superid.ApprovalInvalidSignature, superid.ApprovalInvalidTimestamp:
		return refusal.EndsOn("sign_in_misconfigured")
	}
	return refusal
}

// unproven refuses a sign-in whose code brought nobody.
func (p *Pages) unproven(err error) *auth.Refusal {
	var answer *superid.Error
	refusal := p.refuse("SuperID's answer did not prove itself.", err)
	switch errors.As(err, &answer); {
	case answer != nil && answer.Kind == superid.Outage:
		return auth.Refuse(auth.ProofUnavailable, err).After(2 * time.Second).EndsOn("sign_in_unavailable")
	case errors.Is(err, superid.ErrOtherTenant):
		return refusal.EndsOn("sign_in_other_tenant")
	case answer != nil && (answer.Kind == superid.Misconfigured || superid.ReadApproval(answer.Code, "") == superid.ApprovalUnregistered):
		refusal.Code = answer.Code
		return refusal.EndsOn("sign_in_misconfigured")
	}
	return refusal
}

// signedIn takes SuperID's answer to a sign-in and begins a session. It sets the tenant of a, once it is proved.
func (p *Pages) signedIn(w http.ResponseWriter, r *http.Request, a *loginState, answer url.Values) *auth.Refusal {
	if code := answer.Get("error"); code != "" {
		return p.declined(code, answer.Get("error_description"))
	}
	if err := p.sessions.Client.CheckIssuer(answer); err != nil {
		return p.unproven(err)
	}
	tokens, identity, err := p.sessions.Client.Exchange(r.Context(), a.signIn(), answer.Get("code"))
	p.gateway.App(p.sessions.App).SuperIDAnswered(err)
	if err != nil {
		return p.unproven(err)
	}
	a.Tenant = identity.Tenant
	if grant, ok := p.gateway.App(p.sessions.App).Tenant(identity.Tenant); !ok {
		return auth.Refuse(auth.TenantNotGranted, fmt.Errorf("app %s lists %s neither under tenant nor in a tenants file", p.sessions.App, identity.Tenant))
	} else if grant.Suspended {
		return auth.Refuse(auth.TenantSuspended, fmt.Errorf("%s is suspended for app %s", identity.Tenant, p.sessions.App))
	}
	p.keepSystemToken(r.Context(), identity)
	token, _, err := p.sessions.Manager.Start(r.Context(), session.Session{
		App: p.sessions.App, Tenant: identity.Tenant, UPN: identity.UPN, AssociateID: identity.AssociateID, Administrator: identity.Administrator,
		Access: tokens.Access, AccessIssued: time.Now(), AccessExpires: tokens.Expires, Refresh: tokens.Refresh, API: identity.API, Redirect: a.Redirect,
	})
	if err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	if a.Panel != "" {
		return p.handOff(w, r, *a, token)
	}
	p.setSession(w, token)
	w.Header().Set("Location", a.returnTo())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// keepSystemToken keeps the system token that came with an administrator's sign-in, as an approved one: whether SuperID sends it
// at every sign-in or with an approval alone is not documented. The person is signed in whether or not it can be kept.
func (p *Pages) keepSystemToken(ctx context.Context, identity superid.Identity) {
	app := p.gateway.App(p.sessions.App)
	if identity.SystemToken.IsZero() || !app.TakesApprovals() {
		return
	}
	log := p.log.With(zap.String("app", app.Name), zap.String("tenant", string(identity.Tenant)))
	kept, found, err := app.Registry.Tokens.Get(ctx, identity.Tenant)
	if err == nil && found && kept.Token.Equal(identity.SystemToken.Reveal()) {
		return
	}
	by := auth.PersonName(identity.UPN, identity.AssociateID)
	if err := app.Registry.Tokens.Keep(ctx, systemuser.Kept{Tenant: identity.Tenant, Token: identity.SystemToken, Since: time.Now().UTC(), By: by}); err != nil {
		log.Error("the system token that came with a sign-in is not kept", zap.Error(err))
		return
	}
	p.gateway.DropTicket(ctx, app, identity.Tenant, identity.SystemToken)
	if _, granted := app.Tenant(identity.Tenant); granted {
		p.gateway.Consented(app, identity.Tenant)
	}
	log.Info("a sign-in brought the tenant's system token: it is kept", zap.String("by", p.gateway.Config().Privacy.Principal(by)))
}
