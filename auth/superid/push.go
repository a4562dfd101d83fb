package superid

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// MaxPush bounds the body of a tenant status push, in bytes.
const MaxPush = 64 << 10

// longestPush is how long after it was signed a push is taken, whatever its token says: for so long it is remembered.
const longestPush = 24 * time.Hour

// PushBody is the body of a push, of which nothing is proved.
type PushBody struct {
	Change      *superoffice.Change `json:"ChangeType"`
	Context     string              `json:"ContextIdentifier"`
	Endpoint    string              `json:"PublicEndpoint"`
	VersionName string              `json:"VersionName"`
	Token       string              `json:"Token"`
}

// ParsePush reads the body of a push: JSON with exact names, each of which may occur once. Names that are not known
// are passed over. It makes no network requests.
func ParsePush(raw []byte) (PushBody, error) {
	var body PushBody
	if len(raw) > MaxPush {
		return body, fmt.Errorf("it is larger than %d bytes", MaxPush)
	}
	if err := jws.Unmarshal(raw, &body); err != nil {
		return body, err
	}
	switch _, ok := superoffice.ParseTenant(body.Context); {
	case body.Token == "":
		return body, errors.New("there is no Token")
	case body.Change == nil:
		return body, errors.New("there is no ChangeType")
	case !ok:
		return body, errors.New("its ContextIdentifier is no tenant")
	}
	return body, nil
}

// Push is a tenant status push that SuperOffice signed.
type Push struct {
	Tenant superoffice.Tenant
	Change superoffice.Change
	// TenantBound and ChangeBound report whether the signed token says so too. What it does not say anybody could have
	// written who has seen a token: it is a hint.
	TenantBound, ChangeBound bool
	// Audience are the client ids of the apps that it is for; empty: the token does not say.
	Audience []string
	// ID names the token, and Until is when it is not taken any more.
	ID    string
	Until time.Time
	// VersionName is what the tenant is upgraded to, cleaned; "" says nothing. It is a hint always.
	VersionName string
}

// Bound reports whether the signed token says all that counts.
func (p Push) Bound() bool { return p.TenantBound && p.ChangeBound }

// pushClaims are the claims of a push's token. Which ones SuperOffice sends is documented nowhere.
type pushClaims struct {
	Tenant   string              `json:"http://schemes.superoffice.net/identity/ctx"`
	Context  string              `json:"ContextIdentifier"`
	Change   *superoffice.Change `json:"ChangeType"`
	Endpoint string              `json:"PublicEndpoint"`

	// What tokens of people and of system users have, which SuperID's keys sign as well.
	Nonce       jsontext.Value `json:"nonce"`
	AssociateID jsontext.Value `json:"http://schemes.superoffice.net/identity/associateid"`
	UPN         jsontext.Value `json:"http://schemes.superoffice.net/identity/upn"`
	Email       jsontext.Value `json:"http://schemes.superoffice.net/identity/email"`
	SystemToken jsontext.Value `json:"http://schemes.superoffice.net/identity/system_token"`
	Ticket      jsontext.Value `json:"http://schemes.superoffice.net/identity/ticket"`
	jwt.RegisteredClaims
}

// UnmarshalJSON takes claims over by their exact names, each of which may occur once.
func (c *pushClaims) UnmarshalJSON(raw []byte) error {
	type plain pushClaims
	return jws.Unmarshal(raw, (*plain)(c))
}

// VerifyPush verifies the token of a push with the environment's keys, and that the body says nothing else than the token
// where the token says anything. Beyond the keys, which are fetched at most every ten seconds, it makes no network
// requests. Errors are *Error: Outage while the keys cannot be had, else Ended.
func VerifyPush(ctx context.Context, env superoffice.Environment, keys *idp.KeySet, body PushBody, now func() time.Time) (Push, error) {
	var claims pushClaims
	if err := verify(ctx, keys, body.Token, &claims, now); err != nil {
		return Push{}, err
	}
	until, err := claims.until(now())
	if err == nil {
		err = claims.kind(env)
	}
	if err != nil {
		return Push{}, refused("push", "%w", err)
	}
	tenant, _ := superoffice.ParseTenant(body.Context)
	p := Push{Tenant: tenant, Change: *body.Change, ChangeBound: claims.Change != nil, Audience: claims.Audience, Until: until, VersionName: Clean(body.VersionName)}
	for _, said := range []string{claims.Tenant, claims.Context} {
		if said == "" {
			continue
		}
		if of, ok := superoffice.ParseTenant(said); !ok || of != tenant {
			return Push{}, refused("push", "%w: the token is about %s, the body about %s", ErrOtherTenant, jws.Excerpt(said), tenant)
		}
		p.TenantBound = true
	}
	if p.ChangeBound && *claims.Change != p.Change {
		return Push{}, refused("push", "the token says %s, the body %s", *claims.Change, p.Change)
	}
	if claims.Endpoint != "" && !strings.EqualFold(strings.TrimSuffix(claims.Endpoint, "/"), strings.TrimSuffix(body.Endpoint, "/")) {
		return Push{}, refused("push", "the token names another PublicEndpoint than the body")
	}
	signed := body.Token[:strings.LastIndexByte(body.Token, '.')] // whatever the body says beside it, the token is good once
	sum := sha256.Sum256([]byte(signed))
	p.ID = base64.RawURLEncoding.EncodeToString(sum[:16])
	return p, nil
}

// until returns when the token is not taken any more: it has to say when it expires, or when it was signed. Its expiry
// has been checked.
func (c *pushClaims) until(now time.Time) (until time.Time, err error) {
	if c.ExpiresAt == nil && c.IssuedAt == nil {
		return until, errors.New("it says neither when it was signed nor when it expires")
	}
	if c.ExpiresAt != nil {
		until = c.ExpiresAt.Add(leeway)
	}
	if c.IssuedAt == nil {
		if until.Sub(now) > longestPush {
			return until, fmt.Errorf("it expires in more than %s, and does not say when it was signed", longestPush)
		}
		return until, nil
	}
	if c.IssuedAt.After(now.Add(leeway)) {
		return until, errors.New("it is signed in the future")
	}
	if last := c.IssuedAt.Add(longestPush); until.IsZero() || last.Before(until) {
		until = last
	}
	if now.After(until) {
		return until, fmt.Errorf("it was signed more than %s ago", longestPush)
	}
	return until, nil
}

// kind returns an error if the token is of another kind: a person's id token must not pass for a word of SuperOffice's.
func (c *pushClaims) kind(env superoffice.Environment) error {
	if c.Issuer != "" && c.Issuer != env.Base() && c.Issuer != systemIssuer {
		return errors.New("its iss is not SuperOffice's")
	}
	for name, value := range map[string]jsontext.Value{
		"nonce": c.Nonce, "associateid": c.AssociateID, "upn": c.UPN, "email": c.Email, "system_token": c.SystemToken, "ticket": c.Ticket,
	} {
		if len(value) > 0 {
			return fmt.Errorf("it has the claim %s, so that it is the token of a person or of a system user", name)
		}
	}
	return nil
}
