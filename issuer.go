package erpsync

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Issuer is an identity provider of the partner's, whose tokens services bring.
type Issuer struct {
	// The exact iss of its tokens.
	Issuer string `json:"issuer"`
	// A token has to be meant for one of these. Required.
	Audience []string `json:"audience,omitempty"`
	// Where its keys are: an https URL, or a file. Required.
	JWKS string `json:"jwks,omitempty"`
	// The signature algorithms that are taken. Default: RS256. HMAC is never taken.
	Algorithms []string `json:"algorithms,omitempty"`
	// The subjects that may call. None: every subject that gets a token for the audience.
	Subjects []string `json:"subjects,omitempty"`
	// The app that its tokens call for: a name, or the claim that holds the name.
	App      string `json:"app,omitempty"`
	AppClaim string `json:"app_claim,omitempty"`
	// The tenant that its tokens call in: CustNNNNN, or the claim that holds it. Online only.
	Tenant      string `json:"tenant,omitempty"`
	TenantClaim string `json:"tenant_claim,omitempty"`
}

func (h *Handler) provisionIssuers(ctx caddy.Context, client *http.Client) error {
	h.issuers = make(auth.Issuers, len(h.Issuers))
	for _, i := range h.Issuers {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("jwt %s: %w", i.Issuer, fmt.Errorf(format, args...))
		}
		if h.issuers[i.Issuer] != nil {
			return fail("configured twice")
		}
		if i.AppClaim == "" {
			name, err := h.onlyApp(i.App)
			if err != nil {
				return fail("%w", err)
			}
			i.App = name
			if h.apps[name].grants.CallAs == auth.AsUser {
				return fail("app %s has call_as user, and a token of this provider belongs to no SuperOffice user: give the app call_as system, or account onsite", name)
			}
		}
		switch online := h.upstreamAPI == ""; {
		case online && (i.Tenant == "") == (i.TenantClaim == ""):
			return fail("say which tenant its tokens call in: tenant <CustNNNNN>, or tenant claim <claim>")
		case !online && i.Tenant+i.TenantClaim != "":
			return fail("tenant: an onsite installation has none")
		}
		if i.Tenant != "" {
			if _, ok := superoffice.ParseTenant(i.Tenant); !ok {
				return fail("tenant %q: want the form Cust12345", i.Tenant)
			}
		}
		config := auth.IssuerConfig{
			Issuer: i.Issuer, Audiences: i.Audience, Algorithms: i.Algorithms, Subjects: i.Subjects,
			App: auth.Fixed{Value: i.App, Claim: i.AppClaim}, Tenant: auth.Fixed{Value: i.Tenant, Claim: i.TenantClaim},
		}
		failed := func(err error) {
			h.logger.Warn("signing keys not refreshed; the last ones stay in force", zap.String("issuer", i.Issuer), zap.Error(err))
		}
		switch {
		case i.JWKS == "":
			return fail("jwks is required: the URL or the file of its keys")
		case strings.HasPrefix(i.JWKS, "https://"), strings.HasPrefix(i.JWKS, "http://127.0.0.1"), strings.HasPrefix(i.JWKS, "http://localhost"):
			config.Keys = auth.JWKSFromURL(ctx, i.JWKS, client, failed)
		case strings.HasPrefix(i.JWKS, "http://"):
			return fail("jwks %s: want https, or whoever is on the way chooses the keys", i.JWKS)
		default:
			keys, err := auth.JWKSFromFile(i.JWKS, failed)
			if err != nil {
				return fail("%w", err)
			}
			config.Keys = keys
		}
		issuer, err := auth.NewIssuer(config)
		if err != nil {
			return err
		}
		h.issuers[i.Issuer] = issuer
	}
	return nil
}
