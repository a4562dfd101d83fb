package erpsync

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// signInURL is where a page sends its person; "" where nobody can sign in.
func (b *Browser) signInURL() string {
	if b == nil {
		return ""
	}
	return b.Prefix + "/sign-in"
}

// signIn sends the browser to SuperID to sign in.
func (b *Browser) signIn(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	query := r.URL.Query()
	a := attempt{App: b.App, Return: localPath(query.Get("return"))}
	if named := query.Get("tenant"); named != "" {
		tenant, ok := superoffice.ParseTenant(named)
		if !ok {
			refusal := auth.Refuse(auth.QueryNotUnderstood, nil)
			refusal.Detail = "tenant has the form Cust12345."
			return refusal
		}
		a.Tenant = tenant
	}
	if panel := query.Get("panel"); panel != "" {
		var ok bool
		a.Panel, ok = challenge(panel)
		a.Opener = query.Get("opener")
		if !ok || !b.Framed || a.Opener != auth.OwnOrigin(r) && !b.h.origins.Lists(a.Opener) {
			refusal := auth.Refuse(auth.QueryNotUnderstood, nil)
			refusal.Detail = "A panel signs in with panel.js, from the gateway's own origin or one that is listed under origins."
			return refusal
		}
	}
	return b.h.endpoints.begin(w, r, a)
}

// signedIn takes SuperID's answer to a sign-in and begins a session.
func (b *Browser) signedIn(w http.ResponseWriter, r *http.Request, a attempt, answer url.Values) *auth.Refusal {
	if code := answer.Get("error"); code != "" {
		return b.h.endpoints.failed("SuperID did not sign in: "+superid.Clean(code)+".", errors.New(superid.Clean(answer.Get("error_description"))))
	}
	tokens, identity, err := b.client.Exchange(r.Context(), a.signIn(), answer.Get("code"))
	var down *superid.Error
	if errors.As(err, &down) && !down.Fatal {
		return auth.Refuse(auth.ProofUnavailable, err).After(2 * time.Second)
	} else if err != nil {
		return b.h.endpoints.failed("SuperID's answer did not prove itself.", err)
	}
	if grant, ok := b.h.apps[b.App].grants.Tenant(identity.Tenant); !ok {
		return auth.Refuse(auth.TenantNotGranted, nil)
	} else if grant.Suspended {
		return auth.Refuse(auth.TenantSuspended, nil)
	}
	token, _, err := b.sessions.Start(r.Context(), session.Session{
		App: b.App, Tenant: identity.Tenant, UPN: identity.UPN, AssociateID: identity.AssociateID, Administrator: identity.Administrator,
		Access: tokens.Access, AccessIssued: time.Now(), AccessExpires: tokens.Expires, Refresh: tokens.Refresh, API: identity.API,
	})
	if err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	if a.Panel != "" {
		return b.handOver(w, r, a, token)
	}
	b.setSession(w, token)
	w.Header().Set("Location", a.Return)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
