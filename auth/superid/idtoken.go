package superid

import (
	"context"
	"crypto/subtle"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	maxIDToken = 16 << 10
	leeway     = time.Minute
)

// Identity is who signed in, as the id token says.
type Identity struct {
	Tenant superoffice.Tenant
	// UPN is "" where the id token has none; AssociateID is known then.
	UPN           string
	Email         string
	AssociateID   int
	Administrator bool
	// API is the tenant's WebAPI, under the environment's own domain; "" where the id token does not say, as SuperOffice has
	// announced: the state service tells then.
	API string
	// SystemToken comes to administrators alone, of an app with a system user: when they approve it, and perhaps
	// whenever they sign in.
	SystemToken auth.Secret
}

// Person names the person within the tenant: by UPN, or else as associate:<id>.
func (i Identity) Person() string { return auth.PersonName(i.UPN, i.AssociateID) }

// vendorClaims are the claims of SuperOffice's own. Numbers and booleans come as strings.
type vendorClaims struct {
	Nonce         string `json:"nonce"`
	Tenant        string `json:"http://schemes.superoffice.net/identity/ctx"`
	WebAPI        string `json:"http://schemes.superoffice.net/identity/webapi_url"`
	Serial        string `json:"http://schemes.superoffice.net/identity/serial"`
	AssociateID   string `json:"http://schemes.superoffice.net/identity/associateid"`
	UPN           string `json:"http://schemes.superoffice.net/identity/upn"`
	Email         string `json:"http://schemes.superoffice.net/identity/email"`
	Administrator string `json:"http://schemes.superoffice.net/identity/is_administrator"`
	SystemToken   string `json:"http://schemes.superoffice.net/identity/system_token"`
	Ticket        string `json:"http://schemes.superoffice.net/identity/ticket"`
	jwt.RegisteredClaims
}

// UnmarshalJSON takes claims over by their exact names, each of which may occur once.
func (c *vendorClaims) UnmarshalJSON(raw []byte) error {
	type plain vendorClaims
	return jws.Unmarshal(raw, (*plain)(c))
}

// identify verifies the id token: signed with one of the environment's keys,
// issued by it for this app and this attempt, and about the tenant that the
// access token names too.
func (c *Client) identify(ctx context.Context, idToken string, s SignIn, access auth.Secret) (Identity, error) {
	var claims vendorClaims
	err := verify(ctx, c.config.Keys, idToken, &claims, c.config.Now,
		jwt.WithExpirationRequired(), jwt.WithIssuer(c.config.Environment.Base()), jwt.WithAudience(c.config.ClientID))
	if err != nil {
		return Identity{}, err
	}
	if err := checkNonce(claims.Nonce, s); err != nil {
		return Identity{}, err
	}
	tenant, ok := superoffice.ParseTenant(claims.Tenant)
	if !ok {
		return Identity{}, refused("id token", "it names no tenant")
	}
	api, err := claims.api(c.config.Environment, tenant)
	if err != nil {
		return Identity{}, refused("id token", "%w", err)
	}
	if of := TokenTenant(access.Reveal()); of != tenant {
		return Identity{}, refused("id token", "it is about %s and the access token is not", tenant)
	}
	associate, _ := strconv.Atoi(claims.AssociateID)
	if claims.UPN == "" && associate <= 0 || auth.IsAssociate(claims.UPN) {
		return Identity{}, refused("id token", "it names no person")
	}
	return Identity{
		Tenant: tenant, UPN: claims.UPN, Email: claims.Email, AssociateID: associate, Administrator: claims.Administrator == "True",
		API: api, SystemToken: auth.NewSecret(claims.SystemToken),
	}, nil
}

// checkNonce returns an error if the id token answers another attempt. Without PKCE nothing but the nonce tells. With PKCE the
// code is bound to the attempt already, so that a provider which does not repeat the nonce is let be; another nonce never is.
func checkNonce(got string, s SignIn) error {
	switch {
	case got == "" && s.Verifier != "":
		return nil
	case got == "":
		return refused("id token", "it has no nonce, which is required without PKCE; set pkce on, or have SuperOffice send the nonce")
	case s.Nonce == "" || subtle.ConstantTimeCompare([]byte(got), []byte(s.Nonce)) != 1:
		return refused("id token", "its nonce is another attempt's")
	}
	return nil
}

// api returns the tenant's WebAPI as the token tells, "" if it does not; an error if it is not the environment's.
func (c *vendorClaims) api(env superoffice.Environment, tenant superoffice.Tenant) (string, error) {
	if c.WebAPI == "" {
		return "", nil
	}
	return env.Trusts(c.WebAPI, tenant)
}

// systemIssuer is the issuer of the system user's JWT.
const systemIssuer = "SuperOffice AS"

// verify checks a token's signature, by one of the keys, and its times, and reads its claims.
func verify[C any, P interface {
	*C
	jwt.Claims
}](ctx context.Context, keys *idp.KeySet, token string, claims P, now func() time.Time, options ...jwt.ParserOption) error {
	if len(token) > maxIDToken {
		return refused("id token", "it is larger than %d bytes", maxIDToken)
	}
	if _, err := jws.ReadHeader(token); err != nil {
		return refused("id token", "%w", err)
	}
	options = append(options, jwt.WithValidMethods([]string{algorithm}), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now))
	parser := jwt.NewParser(options...)
	err := withKeys(ctx, keys, func(find jwt.Keyfunc) error {
		*claims = *new(C)
		_, err := parser.ParseWithClaims(token, claims, find)
		return err
	})
	if err == nil || errors.As(err, new(*Error)) {
		return err
	}
	return refused("id token", "%w", firstClass(err))
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
	API    string // as Identity.API
}

// VerifySystemTicket verifies the JWT that PartnerSystemUser answers: signed with
// one of the environment's keys, issued by systemIssuer, about tenant. Its audience is spn: and the serial number that it
// carries itself, which nobody knows beforehand.
func VerifySystemTicket(ctx context.Context, env superoffice.Environment, keys *idp.KeySet, token string, tenant superoffice.Tenant, now func() time.Time) (SystemTicket, error) {
	var claims vendorClaims
	if err := verify(ctx, keys, token, &claims, now, jwt.WithExpirationRequired(), jwt.WithIssuer(systemIssuer)); err != nil {
		return SystemTicket{}, err
	}
	if claims.Serial == "" || len(claims.Audience) != 1 || claims.Audience[0] != "spn:"+claims.Serial {
		return SystemTicket{}, refused("system user", "the token's audience is not spn: and its serial")
	}
	if of, ok := superoffice.ParseTenant(claims.Tenant); !ok || of != tenant {
		return SystemTicket{}, refused("system user", "the token is not about %s", tenant)
	}
	api, err := claims.api(env, tenant)
	if err != nil {
		return SystemTicket{}, refused("system user", "%w", err)
	}
	if claims.Ticket == "" {
		return SystemTicket{}, refused("system user", "the token holds no ticket")
	}
	return SystemTicket{Ticket: auth.NewSecret(claims.Ticket), API: api}, nil
}
