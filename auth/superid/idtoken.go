package superid

import (
	"context"
	"crypto/subtle"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	maxIDToken = 16 << 10
	leeway     = time.Minute
)

// Identity is who signed in, as the id token says.
type Identity struct {
	Tenant        superoffice.Tenant
	UPN           string
	Email         string
	AssociateID   int
	Administrator bool
	// API is the tenant's WebAPI, under the environment's own domain.
	API string
	// SystemToken comes only when an administrator approved an app with a system user.
	SystemToken auth.Secret
}

// vendorClaims are the claims of SuperOffice's own. Numbers and booleans come as strings.
type vendorClaims struct {
	Nonce         string `json:"nonce"`
	Tenant        string `json:"http://schemes.superoffice.net/identity/ctx"`
	WebAPI        string `json:"http://schemes.superoffice.net/identity/webapi_url"`
	AssociateID   string `json:"http://schemes.superoffice.net/identity/associateid"`
	UPN           string `json:"http://schemes.superoffice.net/identity/upn"`
	Email         string `json:"http://schemes.superoffice.net/identity/email"`
	Administrator string `json:"http://schemes.superoffice.net/identity/is_administrator"`
	SystemToken   string `json:"http://schemes.superoffice.net/identity/system_token"`
	Ticket        string `json:"http://schemes.superoffice.net/identity/ticket"`
	jwt.RegisteredClaims
}

// identify verifies the id token: signed with one of the environment's keys,
// issued by it for this app and this attempt, and about the tenant that the
// access token names too.
func (c *Client) identify(ctx context.Context, idToken, nonce string, access auth.Secret) (Identity, error) {
	var claims vendorClaims
	err := verify(ctx, c.config.Keys, idToken, &claims, c.config.Now,
		jwt.WithIssuer(c.config.Environment.Base()), jwt.WithAudience(c.config.ClientID))
	if err != nil {
		return Identity{}, err
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(claims.Nonce), []byte(nonce)) != 1 {
		return Identity{}, refused("id token", "it answers another attempt")
	}
	tenant, ok := superoffice.ParseTenant(claims.Tenant)
	if !ok {
		return Identity{}, refused("id token", "it names no tenant")
	}
	api, err := c.config.Environment.Trusts(claims.WebAPI, tenant)
	if err != nil {
		return Identity{}, refused("id token", "%w", err)
	}
	if of := TokenTenant(access.Reveal()); of != tenant {
		return Identity{}, refused("id token", "it is about %s and the access token is not", tenant)
	}
	if claims.UPN == "" {
		return Identity{}, refused("id token", "it names no person")
	}
	associate, _ := strconv.Atoi(claims.AssociateID)
	return Identity{
		Tenant: tenant, UPN: claims.UPN, Email: claims.Email, AssociateID: associate, Administrator: claims.Administrator == "True",
		API: api, SystemToken: auth.NewSecret(claims.SystemToken),
	}, nil
}

func verify(ctx context.Context, keys *KeySet, token string, claims *vendorClaims, now func() time.Time, options ...jwt.ParserOption) error {
	if len(token) > maxIDToken {
		return refused("id token", "it is larger than %d bytes", maxIDToken)
	}
	options = append(options, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now))
	if _, err := jwt.NewParser(options...).ParseWithClaims(token, claims, keys.Keyfunc(ctx)); err != nil {
		var down *Error
		if asError(err, &down) && !down.Fatal {
			return down
		}
		return refused("id token", "%w", firstClass(err))
	}
	return nil
}

// TokenTenant reads the tenant out of an access token (8A:CustNNNNN.…), Onsite
// where it names none. It is good for a cross-check, not for trust.
func TokenTenant(token string) superoffice.Tenant {
	rest, ok := strings.CutPrefix(token, "8A:")
	name, _, dot := strings.Cut(rest, ".")
	tenant, valid := superoffice.ParseTenant(name)
	if !ok || !dot || !valid {
		return superoffice.Onsite
	}
	return tenant
}

// SystemTicket is what the system user's JWT holds.
type SystemTicket struct {
	Ticket auth.Secret
	API    string
}

// VerifySystemTicket verifies the JWT that PartnerSystemUser answers: signed with
// one of the environment's keys, issued by "SuperOffice AS", about tenant. Its audience is the tenant's own
// serial number, which nobody knows beforehand and so cannot be asked for.
func VerifySystemTicket(ctx context.Context, env superoffice.Environment, keys *KeySet, token string, tenant superoffice.Tenant, now func() time.Time) (SystemTicket, error) {
	var claims vendorClaims
	if err := verify(ctx, keys, token, &claims, now, jwt.WithIssuer("SuperOffice AS")); err != nil {
		return SystemTicket{}, err
	}
	if len(claims.Audience) != 1 || !strings.HasPrefix(claims.Audience[0], "spn:") {
		return SystemTicket{}, refused("system user", "the token's audience is no installation")
	}
	if of, ok := superoffice.ParseTenant(claims.Tenant); !ok || of != tenant {
		return SystemTicket{}, refused("system user", "the token is not about %s", tenant)
	}
	api, err := env.Trusts(claims.WebAPI, tenant)
	if err != nil {
		return SystemTicket{}, refused("system user", "%w", err)
	}
	if claims.Ticket == "" {
		return SystemTicket{}, refused("system user", "the token holds no ticket")
	}
	return SystemTicket{Ticket: auth.NewSecret(claims.Ticket), API: api}, nil
}
