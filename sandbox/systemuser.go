package sandbox

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// serveSystemUser answers a system token that the app signed with a ticket.
func (s *Sandbox) serveSystemUser(w http.ResponseWriter, r *http.Request) {
	var in struct{ SignedSystemToken, ApplicationToken, ContextIdentifier, ReturnTokenType string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in) != nil {
		fault(w, http.StatusBadRequest, "aspnet", "", "The request is invalid.")
		return
	}
	if fail(w, r, s.Switches().SystemUserFault) {
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
	allowed := s.switches.SystemTokenSkew
	if allowed == 0 {
		allowed = 5 * time.Minute
	}
	signed, err := time.Parse("200601021504", parts[1])
	signature, err2 := base64.StdEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if skew := s.now().Sub(signed).Abs(); err != nil || err2 != nil || skew > allowed ||
		rsa.VerifyPKCS1v15(&app.Key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		refuse("The signature is not valid.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"IsSuccessful": true, "Token": s.systemJWT(t, app), "ErrorMessage": nil})
}

// systemJWT issues the ticket of an app's system user and returns the JWT that brings it; s.mu is held.
func (s *Sandbox) systemJWT(t *tenant, app App) string {
	claims := s.claims(t, "SuperOffice AS", "spn:"+t.serial, s.switches.SystemAPIClaims != "absent")
	claims[claimPrefix+"ticket"] = s.issue(holder{kind: "ticket", tenant: t.id, app: app.Name, system: true, user: User{Name: "system", AssociateID: 1}})
	switch s.switches.SystemJWT {
	case "wrong_issuer":
		claims["iss"] = "Somebody Else"
	case "wrong_audience":
		claims["aud"] = "spn:1"
	case "wrong_tenant":
		claims[claimPrefix+"ctx"] = "Cust99999"
	case "wrong_signature":
		return s.signWrongly(claims)
	}
	return s.sign(claims)
}
