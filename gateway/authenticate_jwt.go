package gateway

import (
	"net/http"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// jwtAuthenticator proves services by tokens of the partner's own identity providers.
type jwtAuthenticator struct{ providers *idp.Set }

// accessTokenPrefix begins every access token of SuperOffice's; no JWT begins so.
const accessTokenPrefix = "8A:"

func (a jwtAuthenticator) authenticate(r *http.Request, _ Visit, path superoffice.Call) (Caller, bool, *auth.Refusal) {
	scheme, token := authorization(r)
	if !strings.EqualFold(scheme, "bearer") || strings.HasPrefix(token, accessTokenPrefix) {
		return Caller{}, false, nil
	}
	principal, refusal := a.providers.Prove(r.Context(), token, path.Tenant)
	return Caller{Principal: principal}, true, refusal
}
