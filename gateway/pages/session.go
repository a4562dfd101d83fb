package pages

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// xsrfCookie is the cookie that scripts read, and that the vendor's client echoes by itself.
const xsrfCookie = "XSRF-TOKEN"

// load returns the session of a request to the endpoints.
func (p *Pages) load(r *http.Request) (session.Token, session.Session, *auth.Refusal) {
	missing := func(cause error) *auth.Refusal {
		refusal := auth.Refuse(auth.SignInAgain, cause)
		refusal.Detail, refusal.SignIn = "Nobody is signed in.", p.gateway.Config().Links.SignIn
		return refusal
	}
	cookie, err := p.sessions.Cookie(r)
	if err == nil && cookie == "" {
		err = errors.New("no cookie of a session is sent")
	}
	if err != nil {
		return session.Token{}, session.Session{}, missing(err)
	}
	token, err := p.keys.Parse(cookie)
	if err != nil {
		return token, session.Session{}, missing(fmt.Errorf("the session's cookie was %w", err))
	}
	s, found, err := p.sessions.Manager.Load(r.Context(), token)
	switch {
	case err != nil:
		return token, s, auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	case !found:
		return token, s, missing(session.ErrNotFound)
	case s.App != p.sessions.App:
		return token, s, missing(fmt.Errorf("the session is of app %s, and sessions are of app %s now", s.App, p.sessions.App))
	}
	return token, s, nil
}

// session answers a page that asks who is signed in.
func (p *Pages) session(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	token, s, refusal := p.load(r)
	if refusal == nil {
		refusal = panelIn(r.URL.Query()).check(s)
	}
	person := webpage.Wanted(r)
	switch {
	case refusal != nil && person && refusal.SignIn != "":
		refusal.SignIn += "?" + url.Values{"return": {p.base() + "/session"}}.Encode()
		return refusal
	case refusal != nil:
		return refusal
	case person:
		webpage.Write(w, r, webpage.Page{
			Name: "session", Status: http.StatusOK, RequestID: visit.ID(), Links: []webpage.Link{{Label: "go_on", URL: "/"}},
			Facts: webpage.Facts{App: s.App, Tenant: string(s.Tenant), User: s.Person(), Until: p.sessions.Manager.Ends(s).UTC().Format("2006-01-02 15:04 UTC")},
		})
		return nil
	}
	return p.writeSession(w, token, s)
}

func (p *Pages) writeSession(w http.ResponseWriter, token session.Token, s session.Session) *auth.Refusal {
	return gateway.WriteJSON(w, map[string]any{
		"agent": p.gateway.Config().Base + "/" + string(s.Tenant) + "/api/v1/Agents/ErpSync/",
		"app":   s.App, "tenant": s.Tenant, "user": s.Person(), "associate_id": s.AssociateID, "expires": p.sessions.Manager.Ends(s).UTC().Format(time.RFC3339), "xsrf": token.XSRF(),
	})
}

// signOut ends the session here and the refresh token at SuperID; with
// everywhere=true every session of the person. The refresh tokens of the others lie under cookies that this request
// does not bring, so that SuperID cannot be told of them: the answer says how many were revoked.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	token, s, refusal := p.load(r)
	if refusal != nil {
		return refusal
	}
	if !p.gateway.Config().Origins.Admits(r) {
		return p.gateway.Config().Origins.Refuse(r)
	}
	if sent := r.Header["X-Xsrf-Token"]; len(sent) != 1 || !token.CheckXSRF(sent[0]) {
		return auth.RefuseXSRF(r, "is not this session's")
	}
	line := outcome.SignOut{
		RequestID: visit.ID(), ClientIP: visit.ClientIP(), Endpoint: signOutEndpoint, App: s.App, Tenant: string(s.Tenant), Principal: s.Person(),
		Everywhere: r.URL.Query().Get("everywhere") == "true",
	}
	ended := 1
	line.SessionsEnded = &ended
	if line.Everywhere {
		var err error
		if ended, err = p.sessions.Manager.CountSame(r.Context(), s); err != nil {
			line.SessionsEnded = nil // no reason to let them go on
		}
	}
	err := p.sessions.Manager.End(r.Context(), token)
	if line.Everywhere {
		for _, name := range s.Names() {
			if err == nil {
				err = p.sessions.Manager.RevokePerson(r.Context(), s.Tenant, name)
			}
		}
	}
	if err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	if s.Refresh.IsZero() {
		// nothing to revoke
	} else if err := p.sessions.Client.Revoke(r.Context(), s.Refresh); err != nil {
		p.log.Warn("refresh token not revoked at SuperID; the session is over all the same", zap.Error(err))
		line.Cause = err.Error()
	} else {
		line.TokensRevoked = 1
	}
	p.gateway.RecordSignOut(r.Context(), &line)
	p.clearSession(w, true)
	answer := map[string]any{"sign_out": p.sessions.Client.SignOutURL(p.config.SignedOut), "refresh_tokens_revoked": line.TokensRevoked}
	if line.SessionsEnded != nil {
		answer["sessions_ended"] = *line.SessionsEnded
	}
	return gateway.WriteJSON(w, answer)
}

// setSession sets the cookies of a session in place of the one that the browser has.
func (p *Pages) setSession(w http.ResponseWriter, token session.Token) {
	p.clearSession(w, false)
	current, _ := p.sessions.CookieNames()
	p.setCookie(w, &http.Cookie{Name: current, Value: token.Cookie(), HttpOnly: true})
	p.setCookie(w, &http.Cookie{Name: xsrfCookie, Value: token.XSRF()})
}

// clearSession takes the cookies back that were set while framed was the other way, and the current ones too if all.
// Browsers keep partitioned cookies apart, also under one name. Those that know no partitions forget what they
// are told to last, so this comes before a cookie is set.
func (p *Pages) clearSession(w http.ResponseWriter, all bool) {
	current, stale := p.sessions.CookieNames()
	for _, partitioned := range []bool{false, true} {
		names := []string{stale}
		if all || partitioned != p.framed() {
			names = append(names, current, xsrfCookie)
		}
		for _, name := range names {
			http.SetCookie(w, &http.Cookie{Name: name, Path: "/", Secure: true, HttpOnly: name != xsrfCookie, SameSite: http.SameSiteNoneMode, Partitioned: partitioned, MaxAge: -1})
		}
	}
}

// setCookie sets a cookie that is sent to this host alone, and from this site alone unless panels need it.
func (p *Pages) setCookie(w http.ResponseWriter, cookie *http.Cookie) {
	cookie.Path, cookie.Secure = "/", true
	cookie.SameSite = http.SameSiteLaxMode
	if p.framed() {
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(w, cookie)
}
