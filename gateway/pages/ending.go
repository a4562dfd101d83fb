package pages

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
)

// ended answers a sign-in that did not come to a session. A program gets the refusal. A person ends on a page in the
// words of that ending, which leads on to where they wanted; a panel's pop-up tells its opener.
func (p *Pages) ended(w http.ResponseWriter, r *http.Request, visit gateway.Visit, a loginState, refusal *auth.Refusal) *auth.Refusal {
	if !webpage.Wanted(r) {
		return refusal
	}
	p.record(r, visit, refusal)
	page := webpage.Page{
		Name: refusal.Ending, Links: p.linksAfter(r, a, refusal),
		Facts: webpage.Facts{App: p.sessions.App, Tenant: string(a.Tenant), Code: refusal.Code},
	}
	if a.Panel != "" {
		page.Opener = &webpage.Opener{Origin: a.Opener}
	}
	p.gateway.WriteRefusal(w, r, visit.ID(), refusal, page)
	return nil
}

// linksAfter returns the ways on from a sign-in that ended.
func (p *Pages) linksAfter(r *http.Request, a loginState, refusal *auth.Refusal) []webpage.Link {
	again := webpage.Link{Label: "again", URL: p.signInAgain(a)}
	another := a
	another.Tenant = ""
	signOut := webpage.Link{Label: "sign_out", URL: p.sessions.Client.SignOutURL(""), NewWindow: true}
	app := p.gateway.App(p.sessions.App)
	switch {
	case refusal.Reason == auth.ProofUnavailable, refusal.Reason == auth.SessionUnavailable:
		again.Label = "retry"
	case refusal.Reason == auth.QueryNotUnderstood: // nothing was begun
		again.Label = "sign_in"
	case refusal.Ending == "sign_in_other_tenant":
		return []webpage.Link{again, signOut}
	case refusal.Reason == auth.TenantNotGranted, refusal.Reason == auth.TenantSuspended:
		return []webpage.Link{{Label: "again", URL: p.signInAgain(another)}, signOut}
	case refusal.Ending == "consent_missing" && app.TakesApprovals():
		return []webpage.Link{{Label: "approve", URL: ApprovePath(p.base(), app.Name, a.Tenant)}, again}
	case refusal.Ending == "sign_in_answered", refusal.Ending == "sign_in_not_here":
		if _, _, refused := p.load(r); refused == nil {
			return []webpage.Link{{Label: "go_on", URL: a.returnTo()}, again}
		}
	}
	return []webpage.Link{again}
}

// signInAgain returns the link that begins a sign-in anew, to the same tenant and the same end.
func (p *Pages) signInAgain(a loginState) string {
	query := url.Values{}
	if a.Tenant != "" {
		query.Set("tenant", string(a.Tenant))
	}
	if to := a.returnTo(); to != "/" {
		query.Set("return", to)
	}
	link := SignInPath(p.base())
	if len(query) > 0 {
		link += "?" + query.Encode()
	}
	return link
}

// returnTo returns where the person wanted to go.
func (a loginState) returnTo() string {
	if a.Return == "" {
		return "/"
	}
	return a.Return
}

// inFrame answers a sign-in or an approval that is begun in a frame: SuperID refuses to be framed, and the cookies of a
// frame are not those of a window. The page leads to a window of its own, does nothing else, and may be framed.
func (p *Pages) inFrame(w http.ResponseWriter, r *http.Request, visit gateway.Visit, path string) {
	refusal := auth.Refuse(auth.CrossSite, errors.New("begun in a frame"))
	p.record(r, visit, refusal)
	p.gateway.WriteRefusal(w, r, visit.ID(), refusal, webpage.Page{
		Name: "in_frame", Framable: true, Links: []webpage.Link{{Label: "open", URL: p.base() + path + "?" + r.URL.Query().Encode(), NewWindow: true}},
	})
}
