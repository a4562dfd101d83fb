package erpsync

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
)

// Browser lets people sign in with SuperID and keeps their sessions.
type Browser struct {
	// The app that people sign in to. Default: the only app there is.
	App string `json:"app,omitempty"`
	// Where the endpoints are: sign-in, callback, session, sign-out, and approve. Default: /erpsync.
	// SuperOffice needs {origin}{prefix}/callback as a redirect address of the app.
	Prefix string `json:"prefix,omitempty"`
	// How long a session lives that is not used. Default: 8 h.
	Idle caddy.Duration `json:"idle,omitempty"`
	// How long a session lives at most. Default: 24 h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// How many sessions a person may have at a time; a further sign-in ends the oldest. Default: 20.
	Sessions int `json:"sessions,omitempty"`
	// For a SuperOffice web panel, an iframe on another site: cookies are
	// SameSite=None and Partitioned, and {prefix}/panel.js signs people in in a pop-up. Default: no.
	Framed bool `json:"framed,omitempty"`
	// Other origins whose pages may call, with cookies (CORS), exactly as browsers write them.
	Origins []string `json:"origins,omitempty"`

	h        *Handler
	client   *superid.Client
	sessions *session.Manager
	renewals singleflight.Group
	failures auth.Backoff
}

const (
	// Browsers take a cookie with this prefix from its own host over TLS alone,
	// so that no sibling and nobody on the way can plant one.
	sessionCookie = "__Host-erpsync"
	xsrfCookie    = "XSRF-TOKEN"
)

func (b *Browser) provision(h *Handler) error {
	b.h = h
	app, err := h.onlyApp(b.App)
	if err != nil {
		return err
	}
	b.App = app
	if b.client = h.apps[app].superid; b.client == nil {
		return fmt.Errorf("app %s needs client_id and client_secret", app)
	}
	if b.Prefix == "" {
		b.Prefix = defaultPrefix
	}
	if !strings.HasPrefix(b.Prefix, "/") || strings.ContainsAny(b.Prefix, "%?#;\\ ") || strings.Contains(b.Prefix, "//") {
		return fmt.Errorf("prefix %q: want a plain path such as /erpsync", b.Prefix)
	}
	b.Prefix = strings.TrimSuffix(b.Prefix, "/")
	if b.Idle < 0 || b.Lifetime < 0 || b.Sessions < 0 {
		return errors.New("idle, lifetime, sessions: below zero")
	}
	origins, bad := auth.NewOrigins(b.Origins...)
	if bad != "" {
		return fmt.Errorf("origins %q: want scheme://host[:port] in lower case, https beyond loopback", bad)
	}
	h.origins = pages{origins}

	b.sessions = &session.Manager{Keys: h.ring, Store: h.common.sessions, Idle: time.Duration(b.Idle), Lifetime: time.Duration(b.Lifetime), PerPerson: b.Sessions}
	return nil
}

// load finds the session of a request to the endpoints.
func (b *Browser) load(r *http.Request) (session.Token, session.Session, *auth.Refusal) {
	missing := auth.Refuse(auth.SignInAgain, nil)
	missing.Detail, missing.SignIn = "Nobody is signed in.", b.signInURL()
	cookie, err := onlyCookie(r, sessionCookie)
	if err != nil || cookie == "" {
		return session.Token{}, session.Session{}, missing
	}
	token, err := b.sessions.Keys.Parse(cookie)
	if err != nil {
		return token, session.Session{}, missing
	}
	s, err := b.sessions.Load(r.Context(), token)
	switch {
	case errors.Is(err, session.ErrUnavailable):
		return token, s, auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	case err != nil || s.App != b.App:
		return token, s, missing
	}
	return token, s, nil
}

// session tells a page who is signed in.
func (b *Browser) session(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	token, s, refusal := b.load(r)
	if refusal == nil {
		refusal = panelIn(r.URL.Query()).check(s)
	}
	if refusal != nil {
		return refusal
	}
	return b.tellSession(w, token, s)
}

func (b *Browser) tellSession(w http.ResponseWriter, token session.Token, s session.Session) *auth.Refusal {
	return answerJSON(w, map[string]any{
		"app": s.App, "tenant": s.Tenant, "user": s.UPN, "associate_id": s.AssociateID, "expires": b.sessions.Ends(s).UTC().Format(time.RFC3339), "xsrf": token.XSRF(),
	})
}

// signOut ends the session here and the refresh token at SuperID; with
// everywhere=true every session of the person.
func (b *Browser) signOut(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	token, s, refusal := b.load(r)
	if refusal != nil {
		return refusal
	}
	if !b.h.origins.Admits(r) {
		return auth.Refuse(auth.CrossSite, nil)
	}
	if sent := r.Header["X-Xsrf-Token"]; len(sent) != 1 || !token.CheckXSRF(sent[0]) {
		return auth.Refuse(auth.XSRFInvalid, nil)
	}
	err := b.sessions.End(r.Context(), token)
	if err == nil && r.URL.Query().Get("everywhere") == "true" {
		err = b.sessions.RevokePerson(r.Context(), s.Tenant, s.UPN)
	}
	if err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	if err := b.client.Revoke(r.Context(), s.Refresh); err != nil {
		b.h.logger.Warn("refresh token not revoked at SuperID; the session is over all the same", zap.Error(err))
	}
	b.setCookie(w, &http.Cookie{Name: sessionCookie, HttpOnly: true, MaxAge: -1})
	b.setCookie(w, &http.Cookie{Name: xsrfCookie, MaxAge: -1})
	return answerJSON(w, map[string]any{"sign_out": b.client.SignOutURL()})
}

// setSession gives the browser its session.
func (b *Browser) setSession(w http.ResponseWriter, token session.Token) {
	b.setCookie(w, &http.Cookie{Name: sessionCookie, Value: token.Cookie(), HttpOnly: true})
	b.setCookie(w, &http.Cookie{Name: xsrfCookie, Value: token.XSRF()})
}

// setCookie sets a cookie that is sent to this host alone, and from this site alone unless panels need it.
func (b *Browser) setCookie(w http.ResponseWriter, cookie *http.Cookie) {
	cookie.Path, cookie.Secure = "/", true
	cookie.SameSite = http.SameSiteLaxMode
	if b.Framed {
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(w, cookie)
}
