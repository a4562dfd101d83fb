package sandbox

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// attempt is a sign-in whose form has been shown.
type attempt struct {
	app                                                  App
	tenant, redirect, state, nonce, challenge, mode, who string
	expires                                              time.Time
}

// grant is what a code stands for.
type grant struct {
	attempt
	tenantID string
	user     User
	approved bool // just now
	expires  time.Time
}

const maxAttempts = 10_000

// serveLogin is everything below /login, which SuperOffice writes with a small
// and a capital letter.
func (s *Sandbox) serveLogin(w http.ResponseWriter, r *http.Request, route []string) {
	switch path := strings.Join(route, "/"); {
	case path == ".well-known/openid-configuration":
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": s.base, "authorization_endpoint": s.base + "/login/common/oauth/authorize", "token_endpoint": s.base + "/login/common/oauth/tokens",
			"jwks_uri": s.base + "/login/.well-known/jwks", "end_session_endpoint": s.base + "/login/logout", "revocation_endpoint": s.base + "/login/common/oauth/revoke",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"scopes_supported": []string{"openid"}, "code_challenge_methods_supported": []string{"S256"},
		})
	case path == ".well-known/jwks":
		s.serveKeys(w)
	case path == "api/partnersystemuser/authenticate" && r.Method == http.MethodPost:
		s.serveSystemUser(w, r)
	case path == "logout":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Signed out</title><p>You are signed out of SuperOffice (sandbox).</p>")
	case len(route) == 3 && route[1] == "oauth" && route[2] == "authorize":
		s.serveAuthorize(w, r, route[0])
	case len(route) == 3 && route[1] == "oauth" && route[2] == "tokens" && r.Method == http.MethodPost:
		s.serveTokens(w, r)
	case len(route) == 3 && route[1] == "oauth" && route[2] == "revoke" && r.Method == http.MethodPost:
		s.serveRevoke(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Sandbox) serveKeys(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.switches.KeysInCertificates {
		writeJSON(w, http.StatusOK, map[string]any{"keys": []map[string]any{{
			"kty": "RSA", "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(oldCertificate(s.key))},
		}}})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "kid": strings.ToUpper(hex.EncodeToString(s.thumbprint())), "x5t": base64.RawURLEncoding.EncodeToString(s.thumbprint()),
		"n": base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
	}}})
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>SuperID (sandbox)</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem;color:#123}label{display:block;margin:.75rem 0}input,select{font:inherit;width:100%;padding:.4rem}button{font:inherit;padding:.5rem 1rem;margin-right:.5rem}.error{color:#a00}</style></head>
<body><h1>{{if .Consent}}Approve {{.App}}{{else}}Sign in{{end}}</h1>
<p>This is the SuperOffice <em>sandbox</em>, not SuperOffice.</p>
{{with .Error}}<p class="error" role="alert">{{.}}</p>{{end}}
<form method="post"><input type="hidden" name="attempt" value="{{.Attempt}}">
{{if .Consent}}<p>{{.App}} asks to act as a system user in your tenant.</p><button name="action" value="approve">Approve</button>
{{else}}<label>User <input name="username" autocomplete="username" autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
{{if .Tenants}}<label>Tenant <select name="tenant">{{range .Tenants}}<option>{{.}}</option>{{end}}</select></label>{{end}}
<button name="action" value="sign-in">Sign in</button>{{end}}
<button name="action" value="decline">Decline</button></form></body></html>`))

func (s *Sandbox) serveAuthorize(w http.ResponseWriter, r *http.Request, realm string) {
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		s.decide(w, r)
		return
	}
	q := r.URL.Query()
	a := attempt{
		redirect: q.Get("redirect_uri"), state: q.Get("state"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), mode: q.Get("response_mode"),
		expires: s.now().Add(10 * time.Minute),
	}
	for _, app := range s.apps {
		if app.ClientID == q.Get("client_id") {
			a.app = app
		}
	}
	if realm != "common" {
		if t := s.tenant(realm); t != nil {
			a.tenant = t.id
		}
	}
	switch {
	case a.app.Name == "" || !a.app.admits(a.redirect) || (realm != "common" && a.tenant == ""):
		http.Error(w, "unknown client, tenant or redirect_uri", http.StatusBadRequest)
		return
	case q.Get("response_type") != "code" || q.Get("scope") != "openid" || a.challenge != "" && q.Get("code_challenge_method") != "S256":
		a.answer(w, r, url.Values{"error": {"invalid_request"}})
		return
	}
	if len(s.attempts) >= maxAttempts {
		s.attempts = map[string]attempt{}
	}
	id := random(16)
	s.attempts[id] = a
	s.form(w, id, a, "")
}

func (s *Sandbox) form(w http.ResponseWriter, id string, a attempt, problem string) {
	view := struct {
		Attempt, Error, App string
		Consent             bool
		Tenants             []string
	}{id, problem, a.app.Name, a.who != "", nil}
	if a.tenant == "" {
		for _, t := range s.tenants {
			view.Tenants = append(view.Tenants, t.id)
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, view)
}

// decide handles a posted form; s.mu is held.
func (s *Sandbox) decide(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id := r.PostFormValue("attempt")
	a, ok := s.attempts[id]
	if !ok || s.now().After(a.expires) {
		http.Error(w, "the attempt is over", http.StatusBadRequest)
		return
	}
	if r.PostFormValue("action") == "decline" {
		delete(s.attempts, id)
		a.answer(w, r, url.Values{"error": {"access_denied"}, "error_description": {"The person declined."}})
		return
	}
	if a.tenant == "" {
		a.tenant = r.PostFormValue("tenant")
	}
	t := s.tenant(a.tenant)
	if t == nil {
		s.form(w, id, a, "No such tenant.")
		return
	}
	var user User
	for _, u := range t.users {
		typed := u.UPN == r.PostFormValue("username") && same(u.Password, r.PostFormValue("password"))
		if a.who == u.UPN || a.who == "" && typed {
			user = u
		}
	}
	if user.UPN == "" {
		s.form(w, id, a, "User or password is wrong.")
		return
	}
	if code, description, _ := strings.Cut(s.switches.ApprovalError, " "); code != "" && a.app.SystemUser {
		delete(s.attempts, id)
		a.answer(w, r, url.Values{"error": {code}, "error_description": {description}})
		return
	}
	approved := false
	if a.app.SystemUser && t.consents[a.app.Name] == "" {
		switch {
		case !user.Administrator:
			delete(s.attempts, id)
			a.answer(w, r, url.Values{"error": {"consent_required"}, "error_description": {"An administrator has to approve the app."}})
			return
		case r.PostFormValue("action") != "approve":
			a.who = user.UPN
			s.attempts[id] = a
			s.form(w, id, a, "")
			return
		}
		t.consents[a.app.Name], approved = newSystemToken(a.app.Name), true
	}
	delete(s.attempts, id)
	code := random(20)
	s.codes[code] = grant{attempt: a, tenantID: t.id, user: user, approved: approved, expires: s.now().Add(10 * time.Minute)}
	a.answer(w, r, url.Values{"code": {code}})
}

func (a App) admits(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Fragment != "" {
		return false
	}
	if len(a.RedirectURIs) > 0 {
		for _, registered := range a.RedirectURIs {
			if registered == redirect {
				return true
			}
		}
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost") || ip != nil && ip.IsLoopback()
}

var post = template.Must(template.New("").Parse(`<!doctype html><title>Signing in</title>
<form method="post" action="{{.To}}">{{range $name, $values := .Values}}<input type="hidden" name="{{$name}}" value="{{index $values 0}}">{{end}}<noscript><button>Continue</button></noscript></form>
<script>document.forms[0].submit()</script>`))

func (a attempt) answer(w http.ResponseWriter, r *http.Request, values url.Values) {
	values.Set("state", a.state)
	if a.mode == "form_post" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = post.Execute(w, map[string]any{"To": a.redirect, "Values": values})
		return
	}
	http.Redirect(w, r, a.redirect+"?"+values.Encode(), http.StatusFound)
}

// client finds the app that a token request is authenticated for; s.mu is held.
func (s *Sandbox) client(r *http.Request) (App, bool) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	for _, app := range s.apps {
		if app.ClientID == id && same(app.ClientSecret, secret) {
			return app, true
		}
	}
	return App{}, false
}

func (s *Sandbox) serveTokens(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	s.mu.Lock()
	defer s.mu.Unlock()
	oauthError := func(status int, code string) { writeJSON(w, status, map[string]string{"error": code}) }
	app, ok := s.client(r)
	if !ok {
		oauthError(http.StatusUnauthorized, "invalid_client")
		return
	}
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		code := r.PostFormValue("code")
		g, ok := s.codes[code]
		delete(s.codes, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])
		if !ok || g.app.ClientID != app.ClientID || s.now().After(g.expires) || g.redirect != r.PostFormValue("redirect_uri") ||
			g.challenge != "" && subtle.ConstantTimeCompare([]byte(challenge), []byte(g.challenge)) != 1 {
			oauthError(http.StatusBadRequest, "invalid_grant")
			return
		}
		h := holder{tenant: g.tenantID, app: app.Name, user: g.user}
		access, refresh := h, h
		access.kind, refresh.kind = "access", "refresh"
		answer := s.tokenAnswer(s.issue(access))
		answer["refresh_token"] = s.issue(refresh)
		answer["id_token"] = s.idToken(app, g)
		writeJSON(w, http.StatusOK, answer)
	case "refresh_token":
		h, ok := s.tokens[r.PostFormValue("refresh_token")]
		if !ok || h.kind != "refresh" || h.app != app.Name {
			oauthError(http.StatusBadRequest, "invalid_grant")
			return
		}
		h.kind = "access"
		writeJSON(w, http.StatusOK, s.tokenAnswer(s.issue(h)))
	default:
		oauthError(http.StatusBadRequest, "unsupported_grant_type")
	}
}

func (s *Sandbox) tokenAnswer(access string) map[string]any {
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(s.accessLifetime().Seconds())}
	if s.switches.ExpiresInText {
		answer["expires_in"] = fmt.Sprint(answer["expires_in"])
	}
	return answer
}

func (s *Sandbox) serveRevoke(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.client(r); !ok {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	delete(s.tokens, r.PostFormValue("token"))
	w.WriteHeader(http.StatusOK)
}

const claimPrefix = "http://schemes.superoffice.net/identity/"

// idToken tells who signed in, in the odd ways that have been seen; s.mu is held.
func (s *Sandbox) idToken(app App, g grant) string {
	t := s.tenant(g.tenantID)
	admin := "False"
	if g.user.Administrator {
		admin = "True"
	}
	claims := s.claims(t, s.base, app.ClientID)
	claims["sub"], claims["nonce"] = g.user.UPN, g.nonce
	claims[claimPrefix+"associateid"], claims[claimPrefix+"email"], claims[claimPrefix+"upn"] = fmt.Sprint(g.user.AssociateID), g.user.UPN, g.user.UPN
	claims[claimPrefix+"is_administrator"] = admin
	if app.SystemUser && g.user.Administrator && (g.approved || !s.switches.TokenOnApprovalOnly) {
		claims[claimPrefix+"system_token"] = t.consents[app.Name]
	}
	return s.sign(claims)
}

func (s *Sandbox) claims(t *tenant, issuer, audience string) jwt.MapClaims {
	now := s.now().Unix()
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "iat": fmt.Sprint(now), "exp": now + 300, claimPrefix + "ctx": t.id, claimPrefix + "serial": t.serial,
		claimPrefix + "webapi_url": t.base + "/" + t.id + "/api/", claimPrefix + "netserver_url": t.base + "/" + t.id + "/Remote/Services88/",
	}
	if s.switches.NumericIAT {
		claims["iat"] = now
	}
	if s.switches.AudienceInList {
		claims["aud"] = []string{audience}
	}
	return claims
}

func (s *Sandbox) sign(claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	switch s.switches.TokenKid {
	case "hex":
		token.Header["kid"] = strings.ToUpper(hex.EncodeToString(s.thumbprint()))
	case "base64url":
		token.Header["kid"] = base64.RawURLEncoding.EncodeToString(s.thumbprint())
	default:
		token.Header["x5t"] = base64.RawURLEncoding.EncodeToString(s.thumbprint())
	}
	signed, err := token.SignedString(s.key)
	if err != nil {
		panic(err)
	}
	return signed
}

// serveSystemUser gives a ticket for a system token that the app signed.
func (s *Sandbox) serveSystemUser(w http.ResponseWriter, r *http.Request) {
	var in struct{ SignedSystemToken, ApplicationToken, ContextIdentifier, ReturnTokenType string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in) != nil {
		fault(w, http.StatusBadRequest, "aspnet", "", "The request is invalid.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(message string) {
		writeJSON(w, http.StatusOK, map[string]any{"IsSuccessful": false, "Token": nil, "ErrorMessage": message})
	}
	t := s.tenant(in.ContextIdentifier)
	var app App
	for _, a := range s.apps {
		if same(a.ClientSecret, in.ApplicationToken) {
			app = a
		}
	}
	parts := strings.Split(in.SignedSystemToken, ".")
	switch {
	case t == nil || app.Name == "":
		refuse("The application or the context is not known.")
		return
	case t.consents[app.Name] == "", s.switches.OneRefusal && (len(parts) != 3 || !same(t.consents[app.Name], parts[0])):
		refuse("The consent has expired.")
		return
	case len(parts) != 3 || !same(t.consents[app.Name], parts[0]):
		refuse("The system token is not valid.")
		return
	}
	signed, err := time.Parse("200601021504", parts[1])
	signature, err2 := base64.StdEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if skew := s.now().Sub(signed); err != nil || err2 != nil || skew < -5*time.Minute || skew > 5*time.Minute ||
		rsa.VerifyPKCS1v15(&app.Key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		refuse("The signature is not valid.")
		return
	}
	claims := s.claims(t, "SuperOffice AS", "spn:"+t.serial)
	claims[claimPrefix+"ticket"] = s.issue(holder{kind: "ticket", tenant: t.id, app: app.Name, system: true, user: User{Name: "system", AssociateID: 1}})
	writeJSON(w, http.StatusOK, map[string]any{"IsSuccessful": true, "Token": s.sign(claims), "ErrorMessage": nil})
}
