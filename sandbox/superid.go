package sandbox

import (
	"io"
	"net/http"
	"strings"
)

// serveLogin is everything below /login, which SuperOffice writes with a small
// and a capital letter.
func (s *Sandbox) serveLogin(w http.ResponseWriter, r *http.Request, route []string) {
	oauth := len(route) == 3 && route[1] == "oauth"
	switch path := strings.Join(route, "/"); {
	case path == ".well-known/openid-configuration":
		s.serveDiscovery(w)
	case path == ".well-known/jwks":
		s.serveKeys(w, r)
	case path == "api/partnersystemuser/authenticate" && r.Method == http.MethodPost:
		s.serveSystemUser(w, r)
	case path == "logout":
		s.serveLogout(w, r)
	case oauth && route[2] == "authorize":
		s.serveAuthorize(w, r, route[0])
	case oauth && route[2] == "tokens" && r.Method == http.MethodPost:
		s.serveTokens(w, r)
	case oauth && route[2] == "revoke" && r.Method == http.MethodPost && s.Switches().Revocation != "absent":
		s.serveRevoke(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Sandbox) serveDiscovery(w http.ResponseWriter) {
	document := map[string]any{
		"issuer": s.base, "authorization_endpoint": s.base + "/login/common/oauth/authorize", "token_endpoint": s.base + "/login/common/oauth/tokens",
		"jwks_uri": s.base + "/login/.well-known/jwks", "end_session_endpoint": s.base + "/login/logout", "revocation_endpoint": s.base + "/login/common/oauth/revoke",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported": []string{"openid"}, "code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
	}
	switches := s.Switches()
	if iss := switches.CallbackIss; iss == "present" || iss == "wrong" {
		document["authorization_response_iss_parameter_supported"] = true
	}
	if switches.Revocation == "absent" {
		delete(document, "revocation_endpoint")
	}
	writeJSON(w, http.StatusOK, document)
}

// serveLogout is the end-session endpoint.
func (s *Sandbox) serveLogout(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	target := query.Get("post_logout_redirect_uri")
	s.mu.Lock()
	admitted := target != ""
	if admitted {
		admitted = false
		for _, app := range s.apps {
			admitted = admitted || app.admits(target)
		}
	}
	switch s.switches.Logout {
	case "page":
		admitted = false
	case "hint":
		admitted = admitted && s.signed(query.Get("id_token_hint"))
	}
	s.mu.Unlock()
	if !admitted {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Signed out</title><p>You are signed out of SuperOffice (sandbox).</p>")
		return
	}
	if state := query.Get("state"); state != "" {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + "state=" + escape(state)
	}
	http.Redirect(w, r, target, http.StatusFound)
}
