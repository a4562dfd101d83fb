package erpsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Browser lets people sign in with SuperID and keeps their sessions.
type Browser struct {
	// The app that people sign in to. Default: the only app there is.
	App string `json:"app,omitempty"`
	// Where the endpoints are: sign-in, callback, session, sign-out. Default: /erpsync.
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
	defaultPrefix = "/erpsync"

	// Browsers take a cookie with this prefix from its own host over TLS alone,
	// so that no sibling and nobody on the way can plant one.
	sessionCookie = "__Host-erpsync"
	attemptCookie = "__Host-erpsync-attempt"
	xsrfCookie    = "XSRF-TOKEN"

	attemptPurpose  = "erpsync attempt"
	attemptLifetime = 10 * time.Minute
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

func (b *Browser) serves(path string) bool {
	return b != nil && strings.HasPrefix(path, b.Prefix+"/")
}

// signInURL is where a page sends its person; "" where nobody can sign in.
func (b *Browser) signInURL() string {
	if b == nil {
		return ""
	}
	return b.Prefix + "/sign-in"
}

func (b *Browser) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	id := requestID(r)
	h.Set("ErpSync-Request-Id", id)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	b.h.origins.expose(w, r)
	if b.h.origins.preflight(w, r) {
		return nil
	}
	get, post := r.Method == http.MethodGet, r.Method == http.MethodPost
	var refusal *auth.Refusal
	switch path := r.URL.EscapedPath(); {
	case path == b.Prefix+"/sign-in" && get:
		refusal = b.signIn(w, r)
	case path == b.Prefix+"/callback" && (get || post):
		refusal = b.callback(w, r)
	case path == b.Prefix+"/session" && get:
		refusal = b.session(w, r)
	case path == b.Prefix+"/sign-out" && post:
		refusal = b.signOut(w, r)
	case path == b.Prefix+"/hand-over" && post && b.Framed:
		refusal = b.takeOver(w, r)
	case path == b.Prefix+"/panel.js" && get && b.Framed:
		refusal = b.serveScript(w)
	case path == b.Prefix+"/sign-in", path == b.Prefix+"/callback", path == b.Prefix+"/session", path == b.Prefix+"/sign-out",
		b.Framed && (path == b.Prefix+"/hand-over" || path == b.Prefix+"/panel.js"):
		refusal = auth.Refuse(auth.MethodNotAllowed, nil)
		refusal.Detail = "This endpoint is not called with that method."
	default:
		refusal = auth.Refuse(auth.PathNotCanonical, nil)
		refusal.Status, refusal.Detail = http.StatusNotFound, "There is no such endpoint."
	}
	if refusal != nil {
		if refusal.Cause != nil {
			b.h.logger.Warn("sign-in endpoint refused", zap.String("request_id", id), zap.String("reason", string(refusal.Reason)), zap.Error(refusal.Cause))
		}
		writeProblem(w, id, refusal)
	}
	return nil
}

// attempt is a sign-in that has begun. It travels sealed in a cookie of the
// browser that began it, so that nothing is stored for strangers.
type attempt struct {
	State    string             `json:"s"`
	Nonce    string             `json:"n"`
	Verifier string             `json:"v"`
	Tenant   superoffice.Tenant `json:"t,omitempty"`
	Return   string             `json:"r"`
	Redirect string             `json:"u"`
	Until    time.Time          `json:"e"`
	// Panel is the challenge of the iframe that a pop-up signs in for, Opener its origin.
	Panel  string `json:"p,omitempty"`
	Opener string `json:"o,omitempty"`
}

func (a attempt) signIn() superid.SignIn {
	return superid.SignIn{Tenant: a.Tenant, RedirectURI: a.Redirect, State: a.State, Nonce: a.Nonce, Verifier: a.Verifier}
}

// signIn sends the browser to SuperID.
func (b *Browser) signIn(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	a := attempt{
		State: newID(), Nonce: newID(), Verifier: oauth2.GenerateVerifier(), Return: localPath(r.URL.Query().Get("return")),
		Redirect: auth.OwnOrigin(r) + b.Prefix + "/callback", Until: time.Now().Add(attemptLifetime),
	}
	if named := r.URL.Query().Get("tenant"); named != "" {
		tenant, ok := superoffice.ParseTenant(named)
		if !ok {
			refusal := auth.Refuse(auth.QueryNotUnderstood, nil)
			refusal.Detail = "tenant has the form Cust12345."
			return refusal
		}
		a.Tenant = tenant
	}
	if panel := r.URL.Query().Get("panel"); panel != "" {
		var ok bool
		a.Panel, ok = challenge(panel)
		a.Opener = r.URL.Query().Get("opener")
		if !ok || !b.Framed || a.Opener != auth.OwnOrigin(r) && !b.h.origins.Lists(a.Opener) {
			refusal := auth.Refuse(auth.QueryNotUnderstood, nil)
			refusal.Detail = "A panel signs in with panel.js, from the gateway's own origin or one that is listed under origins."
			return refusal
		}
	}
	target, err := b.client.AuthorizeURL(a.signIn())
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	setAttempt(w, b.sessions.Keys.Seal(attemptPurpose, []string{b.App}, plain))
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// callback takes SuperID's answer and begins a session.
func (b *Browser) callback(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	answer := r.URL.Query()
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return b.failed("The answer of SuperID cannot be read.", err)
		}
		answer = r.PostForm
	}
	var a attempt
	sealed, err := onlyCookie(r, attemptCookie)
	if err == nil {
		var plain []byte
		if plain, err = b.sessions.Keys.Open(attemptPurpose, []string{b.App}, sealed); err == nil {
			err = json.Unmarshal(plain, &a)
		}
	}
	setAttempt(w, "")
	if err != nil || time.Now().After(a.Until) || !auth.NewSecret(a.State).Equal(answer.Get("state")) {
		return b.failed("This sign-in was not begun in this browser, or too long ago.", err)
	}
	if code := answer.Get("error"); code != "" {
		return b.failed("SuperID did not sign in: "+superid.Clean(code)+".", errors.New(superid.Clean(answer.Get("error_description"))))
	}
	tokens, identity, err := b.client.Exchange(r.Context(), a.signIn(), answer.Get("code"))
	var down *superid.Error
	if errors.As(err, &down) && !down.Fatal {
		return auth.Refuse(auth.ProofUnavailable, err).After(2 * time.Second)
	} else if err != nil {
		return b.failed("SuperID's answer did not prove itself.", err)
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

func (b *Browser) failed(detail string, cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.CredentialInvalid, cause)
	refusal.Status, refusal.Detail, refusal.SignIn = http.StatusForbidden, detail, b.signInURL()
	return refusal
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

// localPath is where to go after signing in: a path of this site, or its root.
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\t\r\n") || len(s) > 1024 {
		return "/"
	}
	return s
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

// setAttempt keeps or, with "", clears the sign-in that has begun. SuperID may post its answer from
// its own site, so the cookie has to come along from there; the pop-up of a panel is no frame.
func setAttempt(w http.ResponseWriter, value string) {
	age := int(attemptLifetime.Seconds())
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, MaxAge: age})
}

func answerJSON(w http.ResponseWriter, value any) *auth.Refusal {
	body, err := json.Marshal(value)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}
