package idp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const maxSubject = 256

// provider proves the tokens that one Config describes.
type provider struct {
	config Config
	keys   *KeySet
	parser *jwt.Parser
	now    func() time.Time
}

func newProvider(config Config, keys *KeySet, now func() time.Time) *provider {
	if len(config.Algorithms) == 0 {
		config.Algorithms = []string{"RS256"}
	}
	if config.Leeway == 0 {
		config.Leeway = DefaultLeeway
	}
	// Algorithm, issuer and audience have chosen this block already; the library looks at them once more.
	options := []jwt.ParserOption{
		jwt.WithValidMethods(config.Algorithms),
		jwt.WithIssuer(config.Issuer),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(config.Leeway),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	}
	if len(config.Audiences) > 0 {
		options = append(options, jwt.WithAudience(config.Audiences...))
	}
	return &provider{config, keys, jwt.NewParser(options...), now}
}

// takes reports whether a token is meant for this block: by its audience, or by its client_id
// if it has no audience.
func (p *provider) takes(c *claims) bool {
	if c.has("aud") {
		audiences, err := c.GetAudience()
		return err == nil && slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(p.config.Audiences, a) })
	}
	client, err := c.text("client_id")
	return err == nil && slices.Contains(p.config.ClientIDs, client)
}

// prove verifies a token and returns for whom it speaks, and until when. pathTenant is the tenant that the
// request's path names.
func (p *provider) prove(ctx context.Context, token string, header jws.Header, pathTenant superoffice.Tenant) (auth.Principal, time.Time, *auth.Refusal) {
	proven, refusal := p.verify(ctx, token, header)
	if refusal != nil {
		return auth.Principal{}, time.Time{}, refusal
	}
	if err := p.accept(proven); err != nil {
		return auth.Principal{}, time.Time{}, invalid(err)
	}
	principal, refusal := p.principal(proven, pathTenant)
	expires, _ := proven.GetExpirationTime()
	return principal, expires.Time, refusal
}

// verify returns the claims of a token whose signature, issuer, audience and times are right.
func (p *provider) verify(ctx context.Context, token string, header jws.Header) (*claims, *auth.Refusal) {
	if !slices.Contains(p.config.Algorithms, header.Algorithm) {
		return nil, invalid(fmt.Errorf("alg is %s, want %s", jws.Excerpt(header.Algorithm), strings.Join(p.config.Algorithms, " or ")))
	}
	if !tokenType(header.Type) {
		return nil, invalid(fmt.Errorf("typ is %s, want JWT or at+jwt: a token of that kind grants nothing", jws.Excerpt(header.Type)))
	}
	for renewed := false; ; renewed = true {
		keys, err := p.keys.Find(ctx, header.KeyID, header.Algorithm)
		if err != nil {
			return nil, missing(err)
		}
		if header.KeyID == "" && len(keys) > maxNameless {
			return nil, invalid(fmt.Errorf("there is no kid, and the issuer has %d keys for %s", len(keys), header.Algorithm))
		}
		proven := new(claims)
		_, err = p.parser.ParseWithClaims(token, proven, func(*jwt.Token) (any, error) { return jwt.VerificationKeySet{Keys: keys}, nil })
		switch {
		case err == nil:
			return proven, nil
		case header.KeyID == "" && !renewed && errors.Is(err, jwt.ErrTokenSignatureInvalid) && p.keys.Renew(ctx, header.Algorithm, keys):
			continue // without a kid this is how a rotated key shows
		}
		return nil, invalid(p.describe(err, proven, header))
	}
}

// tokenType reports whether a typ is that of a token which is brought to an API; most providers
// write JWT, some at+jwt (RFC 9068), some nothing.
func tokenType(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return true
	}
	return false
}

// accept returns why verified claims are not let in; nil if they are.
func (p *provider) accept(c *claims) error {
	switch {
	case c.has("cnf"):
		return errors.New("cnf binds the token to a key of its holder, which cannot be checked here")
	case c.has("events"):
		return errors.New("events: a security event or logout token grants nothing")
	}
	subject, err := c.GetSubject()
	switch {
	case err != nil:
		return err
	case subject == "":
		return errors.New("sub is missing")
	case len(subject) > maxSubject:
		return fmt.Errorf("sub is longer than %d bytes", maxSubject)
	case len(p.config.Subjects) > 0 && !slices.ContainsFunc(p.config.Subjects, func(s string) bool { return matches(s, subject) }):
		return fmt.Errorf("sub is %s, want %s", jws.Excerpt(subject), quoted(p.config.Subjects))
	}
	for _, requirement := range p.config.Requirements {
		if err := c.unmet(requirement); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether a subject is the configured one, or begins like one that ends in *.
func matches(pattern, subject string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(subject, prefix)
	}
	return pattern == subject
}

// principal returns for whom accepted claims speak.
func (p *provider) principal(c *claims, pathTenant superoffice.Tenant) (auth.Principal, *auth.Refusal) {
	subject, _ := c.GetSubject()
	principal := auth.Principal{Scheme: auth.JWT, App: p.config.App.Value, Tenant: superoffice.Onsite, ID: p.config.Issuer + "#" + subject}
	if p.config.App.Claim != "" {
		app, err := c.one(p.config.App.Claim)
		if err != nil {
			return auth.Principal{}, invalid(fmt.Errorf("app: %w", err))
		}
		principal.App = app
	}
	switch {
	case p.config.TenantFromPath && pathTenant == superoffice.Onsite:
		refusal := auth.Refuse(auth.TenantMismatch, errors.New("jwt: tenant path: the path names no tenant"))
		refusal.Detail = "The path names no tenant, and this credential calls in the tenant that the path names."
		return principal, refusal
	case p.config.TenantFromPath:
		principal.Tenant, principal.TenantFromPath = pathTenant, true
	case p.config.Tenant.Value != "":
		principal.Tenant, _ = superoffice.ParseTenant(p.config.Tenant.Value)
	case p.config.Tenant.Claim != "":
		name, err := c.one(p.config.Tenant.Claim)
		if err != nil {
			return auth.Principal{}, invalid(fmt.Errorf("tenant: %w", err))
		}
		tenant, ok := superoffice.ParseTenant(name)
		if !ok {
			return auth.Principal{}, invalid(fmt.Errorf("tenant: claim %q is %s, want the form Cust12345", p.config.Tenant.Claim, jws.Excerpt(name)))
		}
		principal.Tenant = tenant
	}
	return principal, nil
}

// describe returns why the library refused a token, in words of its own: the library's text can quote claims.
func (p *provider) describe(err error, c *claims, header jws.Header) error {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && header.KeyID != "":
		return fmt.Errorf("the signature is not of the key that kid %s names", jws.Excerpt(header.KeyID))
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return errors.New("the signature is of none of the issuer's keys")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return errors.New("malformed")
	case !c.has("exp"):
		return errors.New("exp is missing")
	}
	now := p.now()
	for _, name := range []string{"exp", "nbf", "iat"} {
		at, malformed := c.date(name)
		switch {
		case malformed != nil:
			return malformed
		case at == nil:
		case name == "exp" && errors.Is(err, jwt.ErrTokenExpired):
			return fmt.Errorf("expired %s ago", interval(now.Sub(at.Time)))
		case name == "nbf" && errors.Is(err, jwt.ErrTokenNotValidYet):
			return fmt.Errorf("not valid for another %s (nbf)", interval(at.Sub(now)))
		case name == "iat" && errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
			return fmt.Errorf("issued %s in the future (iat)", interval(at.Sub(now)))
		}
	}
	return errors.New("not valid")
}

// interval writes a time span as people say it.
func interval(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// invalid refuses a token.
func invalid(err error) *auth.Refusal {
	return auth.Refuse(auth.CredentialInvalid, fmt.Errorf("jwt: %w", err))
}

// missing refuses a token whose key was not found.
func missing(err error) *auth.Refusal {
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		return auth.Refuse(auth.ProofUnavailable, fmt.Errorf("jwt: %w", err)).After(unavailable.RetryAfter)
	}
	return invalid(err)
}
