package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
)

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

// oauthErrors are the token endpoint's errors by status, as RFC 6749 section 5.2 has them.
var oauthErrors = map[string]int{
	"invalid_client": http.StatusUnauthorized, "invalid_grant": http.StatusBadRequest, "invalid_request": http.StatusBadRequest,
	"unauthorized_client": http.StatusBadRequest, "unsupported_grant_type": http.StatusBadRequest, "unknown": http.StatusBadRequest,
}

func oauthError(w http.ResponseWriter, code string) {
	writeJSON(w, oauthErrors[code], map[string]string{"error": code})
}

// tokenFault returns the failure that the token endpoint was asked for, "" for none, and counts it.
func (s *Sandbox) tokenFault(grantType string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sw := &s.switches
	at := map[string]string{"authorization_code": "code", "refresh_token": "refresh"}[grantType]
	if sw.TokenError == "" || sw.TokenError == "none" || sw.TokenErrorAt != "" && sw.TokenErrorAt != "any" && sw.TokenErrorAt != at {
		return ""
	}
	failure := sw.TokenError
	countDown(&sw.TokenErrorTimes, &sw.TokenError)
	return failure
}

// countDown ends a failure when it has happened as often as it was asked for; 0 has no end.
func countDown(times *int, failure *string) {
	if *times == 0 {
		return
	}
	if *times--; *times == 0 {
		*failure = ""
	}
}

func (s *Sandbox) serveTokens(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if failure := s.tokenFault(r.PostFormValue("grant_type")); failure != "" {
		switch {
		case failure == "empty":
			w.WriteHeader(http.StatusBadRequest)
		case !fail(w, r, failure):
			oauthError(w, failure)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.client(r)
	if !ok {
		oauthError(w, "invalid_client")
		return
	}
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		s.redeem(w, r, app)
	case "refresh_token":
		s.refresh(w, r, app)
	default:
		oauthError(w, "unsupported_grant_type")
	}
}

// redeem answers a code with tokens; s.mu is held.
func (s *Sandbox) redeem(w http.ResponseWriter, r *http.Request, app App) {
	code := r.PostFormValue("code")
	g, ok := s.codes[code]
	delete(s.codes, code)
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	verified := g.challenge == "" || s.switches.PKCE == "ignored" || same(g.challenge, base64.RawURLEncoding.EncodeToString(sum[:]))
	if !ok || g.app.ClientID != app.ClientID || s.now().After(g.expires) || g.redirect != r.PostFormValue("redirect_uri") || !verified {
		oauthError(w, "invalid_grant")
		return
	}
	h := holder{tenant: g.tenantID, app: app.Name, user: g.user, redirect: g.redirect}
	answer := s.tokenAnswer(h)
	if s.switches.RefreshToken != "withheld" {
		answer["refresh_token"] = s.issueAs(h, "refresh")
	}
	answer["id_token"] = s.idToken(app, g)
	writeJSON(w, http.StatusOK, answer)
}

// refresh answers a refresh token with an access token; s.mu is held.
func (s *Sandbox) refresh(w http.ResponseWriter, r *http.Request, app App) {
	value := r.PostFormValue("refresh_token")
	h, ok := s.tokens[value]
	switch {
	case !ok || h.kind != "refresh" || h.app != app.Name || !s.now().Before(h.expires), s.withdrawnStatus(h) != 0:
		oauthError(w, "invalid_grant")
		return
	case s.switches.RedirectURIAtRefresh == "required" && r.PostFormValue("redirect_uri") != h.redirect:
		oauthError(w, "invalid_request")
		return
	}
	answer := s.tokenAnswer(h)
	if s.switches.RefreshToken == "rotated" {
		delete(s.tokens, value)
		s.changes++
		answer["refresh_token"] = s.issueAs(h, "refresh")
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Sandbox) issueAs(h holder, kind string) string {
	h.kind = kind
	return s.issue(h)
}

// tokenAnswer issues an access token and writes it as the endpoint does; s.mu is held.
func (s *Sandbox) tokenAnswer(h holder) map[string]any {
	answer := map[string]any{"access_token": s.issueAs(h, "access"), "token_type": "Bearer", "expires_in": int(s.accessLifetime().Seconds())}
	if s.switches.ExpiresInText {
		answer["expires_in"] = fmt.Sprint(answer["expires_in"])
	}
	return answer
}

func (s *Sandbox) serveRevoke(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.client(r)
	if !ok {
		oauthError(w, "invalid_client")
		return
	}
	// Another client's token is left alone and answered alike (RFC 7009 section 2.1).
	if h, ok := s.tokens[r.PostFormValue("token")]; ok && h.app == app.Name {
		delete(s.tokens, r.PostFormValue("token"))
		s.changes++
	}
	w.WriteHeader(http.StatusOK)
}
