package sandbox

import (
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

const claimPrefix = "http://schemes.superoffice.net/identity/"

// idToken says who signed in, in the odd ways that have been seen; s.mu is held.
func (s *Sandbox) idToken(app App, g grant) string {
	t := s.tenant(g.tenantID)
	admin := "False"
	if g.user.Administrator {
		admin = "True"
	}
	claims := s.claims(t, s.base, app.ClientID, s.switches.APIClaims != "absent")
	claims["sub"], claims[claimPrefix+"upn"] = g.user.UPN, g.user.UPN
	claims[claimPrefix+"associateid"], claims[claimPrefix+"email"] = fmt.Sprint(g.user.AssociateID), g.user.UPN
	claims[claimPrefix+"is_administrator"] = admin
	if s.switches.UPN == "absent" {
		delete(claims, claimPrefix+"upn")
		claims["sub"] = fmt.Sprint(g.user.AssociateID)
	}
	switch {
	case s.switches.Nonce == "wrong":
		claims["nonce"] = random(8)
	case s.switches.Nonce != "absent" && g.nonce != "":
		claims["nonce"] = g.nonce
	}
	if app.SystemUser && g.user.Administrator && (g.approved || !s.switches.TokenOnApprovalOnly) {
		claims[claimPrefix+"system_token"] = t.consents[app.Name]
	}
	return s.sign(claims)
}

// claims are those that every token of SuperID has; s.mu is held.
func (s *Sandbox) claims(t *tenant, issuer, audience string, withAPI bool) jwt.MapClaims {
	now := s.now().Unix()
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "iat": fmt.Sprint(now), "exp": now + 300, claimPrefix + "ctx": t.id, claimPrefix + "serial": t.serial}
	if withAPI {
		claims[claimPrefix+"webapi_url"] = s.api(t) + "/"
		claims[claimPrefix+"netserver_url"] = t.base + "/" + s.path(t) + "/Remote/Services88/"
	}
	if s.switches.NumericIAT {
		claims["iat"] = now
	}
	if s.switches.AudienceInList {
		claims["aud"] = []string{audience}
	}
	return claims
}

// signed reports whether SuperID signed the token, expired or not; s.mu is held.
func (s *Sandbox) signed(token string) bool {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	for _, key := range s.keys {
		if _, err := parser.Parse(token, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }); err == nil {
			return true
		}
	}
	return false
}
