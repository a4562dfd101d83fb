package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// maxJWT bounds a token before anything in it is looked at, in bytes.
	maxJWT = 8 << 10

	// DefaultLeeway is how far the clocks of an identity provider and the gateway may differ.
	DefaultLeeway = 30 * time.Second

	maxSubject = 256
)

// JWTAlgorithms are the algorithms that an issuer can be pinned to. There is no
// HMAC among them: a shared secret that verifies can also sign.
func JWTAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Fixed is a value that the configuration fixes, or the claim that holds it.
type Fixed struct {
	Value string
	Claim string
}

// IssuerConfig describes one identity provider of the partner's.
type IssuerConfig struct {
	// Issuer is the exact iss of its tokens.
	Issuer string
	// Audiences: a token must be meant for at least one of them.
	Audiences []string
	// Algorithms pins the signature algorithms; none means RS256.
	Algorithms []string
	// Subjects limits who may call; none means every subject that the audience was given to.
	Subjects []string
	// App and Tenant name the app and the tenant of a call.
	App    Fixed
	Tenant Fixed
	// Leeway for exp, nbf and iat; zero means DefaultLeeway.
	Leeway time.Duration
	// Keys finds the key that a token was signed with.
	Keys func(ctx context.Context) (jwt.Keyfunc, error)
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Issuer proves the tokens of one identity provider.
type Issuer struct {
	config IssuerConfig
	parser *jwt.Parser

	mu     sync.RWMutex
	proven map[[sha256.Size]byte]provenToken
}

// provenToken is what a token proved, until then.
type provenToken struct {
	principal Principal
	until     time.Time
}

const (
	// provenAge is how long a proven token is not verified again: a service sends the same
	// one for minutes. A key that is taken out of the set counts no longer than this.
	provenAge = 30 * time.Second

	maxProven = 10_000
)

// NewIssuer checks the configuration. Its errors name the option.
func NewIssuer(config IssuerConfig) (*Issuer, error) {
	if config.Issuer == "" {
		return nil, errors.New("jwt: no issuer")
	}
	if len(config.Audiences) == 0 || slices.Contains(config.Audiences, "") {
		return nil, fmt.Errorf("jwt %s: audience is required: without it a token made for any other service would be taken", config.Issuer)
	}
	if len(config.Algorithms) == 0 {
		config.Algorithms = []string{"RS256"}
	}
	for _, algorithm := range config.Algorithms {
		if !slices.Contains(JWTAlgorithms(), algorithm) {
			return nil, fmt.Errorf("jwt %s: algorithms %s: want some of %s", config.Issuer, algorithm, strings.Join(JWTAlgorithms(), " "))
		}
	}
	if config.Leeway == 0 {
		config.Leeway = DefaultLeeway
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(config.Algorithms),
		jwt.WithIssuer(config.Issuer),
		jwt.WithAudience(config.Audiences...),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(config.Leeway),
		jwt.WithStrictDecoding(),
	}
	if config.Now != nil {
		options = append(options, jwt.WithTimeFunc(config.Now))
	}
	return &Issuer{config: config, parser: jwt.NewParser(options...), proven: make(map[[sha256.Size]byte]provenToken)}, nil
}

// Name is the issuer's exact iss.
func (i *Issuer) Name() string { return i.config.Issuer }

// claims holds the registered claims by type and the named ones as they came.
type claims struct {
	jwt.RegisteredClaims
	named map[string]json.RawMessage
}

func (c *claims) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, &c.RegisteredClaims); err != nil {
		return err
	}
	return json.Unmarshal(raw, &c.named)
}

func (c *claims) text(fixed Fixed) string {
	if fixed.Claim == "" {
		return fixed.Value
	}
	var value string
	if json.Unmarshal(c.named[fixed.Claim], &value) != nil {
		return ""
	}
	return value
}

// Prove verifies the token and gives the principal that it speaks for. Every
// refusal is CredentialInvalid, except that keys that cannot be had are ProofUnavailable.
func (i *Issuer) Prove(ctx context.Context, token string) (Principal, *Refusal) {
	digest := sha256.Sum256([]byte(token))
	if principal, ok := i.recall(digest); ok {
		return principal, nil
	}
	return i.prove(ctx, token, digest)
}

func (i *Issuer) now() time.Time {
	if i.config.Now != nil {
		return i.config.Now()
	}
	return time.Now()
}

// recall gives what the token of that digest proved to this issuer a moment ago.
func (i *Issuer) recall(digest [sha256.Size]byte) (Principal, bool) {
	i.mu.RLock()
	known, ok := i.proven[digest]
	i.mu.RUnlock()
	return known.principal, ok && i.now().Before(known.until)
}

func (i *Issuer) prove(ctx context.Context, token string, digest [sha256.Size]byte) (Principal, *Refusal) {
	principal, expires, refusal := i.verify(ctx, token)
	if refusal != nil {
		return principal, refusal
	}
	until := i.now().Add(provenAge)
	if expires.Before(until) {
		until = expires
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.proven) >= maxProven {
		clear(i.proven)
	}
	i.proven[digest] = provenToken{principal, until}
	return principal, nil
}

func (i *Issuer) verify(ctx context.Context, token string) (Principal, time.Time, *Refusal) {
	none := time.Time{}
	keys, err := i.config.Keys(ctx)
	if err != nil {
		return Principal{}, none, Refuse(ProofUnavailable, err).After(5 * time.Second)
	}
	var proven claims
	parsed, err := i.parser.ParseWithClaims(token, &proven, keys)
	if err != nil {
		return Principal{}, none, Refuse(CredentialInvalid, describeJWT(err))
	}
	if _, critical := parsed.Header["crit"]; critical {
		return Principal{}, none, Refuse(CredentialInvalid, errors.New("jwt: a critical header that is not known"))
	}
	if proven.Subject == "" || len(proven.Subject) > maxSubject {
		return Principal{}, none, Refuse(CredentialInvalid, errors.New("jwt: no usable sub"))
	}
	if len(i.config.Subjects) > 0 && !slices.Contains(i.config.Subjects, proven.Subject) {
		return Principal{}, none, Refuse(CredentialInvalid, errors.New("jwt: sub is not among the subjects"))
	}
	tenant := superoffice.Onsite
	if i.config.Tenant != (Fixed{}) {
		var ok bool
		if tenant, ok = superoffice.ParseTenant(proven.text(i.config.Tenant)); !ok {
			return Principal{}, none, Refuse(CredentialInvalid, fmt.Errorf("jwt: claim %q names no tenant", i.config.Tenant.Claim))
		}
	}
	app := proven.text(i.config.App)
	if app == "" {
		return Principal{}, none, Refuse(CredentialInvalid, fmt.Errorf("jwt: claim %q names no app", i.config.App.Claim))
	}
	return Principal{Scheme: JWT, App: app, Tenant: tenant, ID: i.config.Issuer + "#" + proven.Subject}, proven.ExpiresAt.Time, nil
}

// describeJWT keeps to the library's classes of failure: its full text can quote the token's claims.
func describeJWT(err error) error {
	for _, class := range []error{
		jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer,
		jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenUnverifiable, jwt.ErrTokenMalformed,
	} {
		if errors.Is(err, class) {
			return fmt.Errorf("jwt: %w", class)
		}
	}
	return errors.New("jwt: not valid")
}

// Issuers finds the issuer that a token says it is of.
type Issuers map[string]*Issuer

// Prove reads the token's unproved iss to choose the issuer, and lets that one prove everything. A token
// that one of them proved a moment ago is not read again.
func (all Issuers) Prove(ctx context.Context, token string) (Principal, *Refusal) {
	if len(token) > maxJWT {
		return Principal{}, Refuse(CredentialInvalid, errors.New("jwt: too long"))
	}
	digest := sha256.Sum256([]byte(token))
	for _, issuer := range all {
		if principal, ok := issuer.recall(digest); ok {
			return principal, nil
		}
	}
	issuer := all[unprovedIssuer(token)]
	if issuer == nil {
		return Principal{}, Refuse(CredentialInvalid, errors.New("jwt: of no issuer that is configured"))
	}
	return issuer.prove(ctx, token, digest)
}

func unprovedIssuer(token string) string {
	_, rest, ok := strings.Cut(token, ".")
	payload, _, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 {
		return ""
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return ""
	}
	var unproved struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(raw, &unproved) != nil {
		return ""
	}
	return unproved.Issuer
}
