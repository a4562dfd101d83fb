package gateway

import (
	"fmt"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// SessionCookie is the cookie of a browser session. Browsers take a cookie with this
// prefix from its own host over TLS alone, so that no sibling and nobody on the way can plant one.
//
// Where panels are framed it has a name of its own. Browsers keep partitioned cookies apart from others and send both: under
// one name nobody could tell which was meant, and a person with either would be locked out once framed was switched.
const (
	SessionCookie       = "__Host-erpsync"
	FramedSessionCookie = "__Host-erpsync-framed"
)

// CookieNames returns the name of the cookie that is set, and the one that would be if framed were the other way.
func (n *Sessions) CookieNames() (current, stale string) {
	if n.framed {
		return FramedSessionCookie, SessionCookie
	}
	return SessionCookie, FramedSessionCookie
}

// Cookie returns the session cookie of a request; "" if there is none. Where the current one is missing, one
// that was set before framed was switched counts, until its session ends. One that occurs more than once proves nobody.
func (n *Sessions) Cookie(r *http.Request) (string, error) {
	current, stale := n.CookieNames()
	if value, err := OnlyCookie(r, current); err != nil || value != "" {
		return value, err
	}
	return OnlyCookie(r, stale)
}

// sessionAuthenticator proves people by a session that the gateway began at SuperID. What browsers send
// of their own accord counts only from pages that may call.
type sessionAuthenticator struct{ g *Gateway }

func (a *sessionAuthenticator) authenticate(r *http.Request, _ Visit, _ superoffice.Call) (Caller, bool, *auth.Refusal) {
	cookie, err := a.g.sessions.Cookie(r)
	if err == nil && cookie == "" {
		return Caller{}, false, nil
	}
	if err != nil {
		return Caller{}, true, a.g.signInAgain(err)
	}
	caller, refusal := a.prove(r, cookie)
	return caller, true, refusal
}

func (a *sessionAuthenticator) prove(r *http.Request, cookie string) (Caller, *auth.Refusal) {
	sessions := a.g.sessions
	token, err := sessions.Manager.Keys.Parse(cookie)
	if err != nil {
		return Caller{}, a.g.signInAgain(fmt.Errorf("the session's cookie was %w", err))
	}
	if !a.g.config.Origins.Admits(r) {
		return Caller{}, a.g.config.Origins.Refuse(r)
	}
	if sent := r.Header["X-Xsrf-Token"]; !(len(sent) == 0 && readsOnly(r)) && (len(sent) != 1 || !token.CheckXSRF(sent[0])) {
		return Caller{}, auth.RefuseXSRF(r, "is not this session's")
	}
	if s, ok := sessions.recall(token); ok {
		return Caller{Principal: s.Principal(), own: &sessionCredential{sessions: sessions, token: token, session: s, recalled: true}}, nil
	}
	s, refusal := sessions.load(r.Context(), token)
	if refusal != nil {
		return Caller{}, refusal
	}
	return Caller{Principal: s.Principal(), own: &sessionCredential{sessions: sessions, token: token, session: s}}, nil
}

// signInAgain refuses a person whose session does not hold.
func (g *Gateway) signInAgain(cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.SignInAgain, cause)
	refusal.SignIn = g.config.Links.SignIn
	return refusal
}

// readsOnly reports whether a request changes nothing, and comes from a page that may read the answer: the browser says so, and
// Origins.Admits has judged it. From a browser that says nothing of that the XSRF token is asked for all the same. Calls are never read-only.
func readsOnly(r *http.Request) bool {
	return r.Method == http.MethodGet && (len(r.Header["Sec-Fetch-Site"]) > 0 || len(r.Header["Origin"]) > 0)
}
