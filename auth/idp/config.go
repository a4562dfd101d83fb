// Package idp proves the tokens of a partner's own identity providers. A provider is an issuer with
// its signing keys; what a token of it may do is said by one or several blocks, which are told
// apart by the token's audience.
package idp

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// DefaultLeeway is how far the clocks of an identity provider and the gateway may differ.
	DefaultLeeway = 30 * time.Second

	// DefaultMaxStale is how long the last valid keys stay in force while newer ones cannot be had.
	DefaultMaxStale = 24 * time.Hour

	maxPath = 256 // of a claim, in bytes
	maxDots = 8   // in it
)

// Algorithms are the signature algorithms that a provider can be pinned to. There is no
// HMAC among them: a shared secret that verifies can also sign.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Fixed is a value that the configuration fixes, or the path of the claim that holds it.
type Fixed struct {
	Value string
	Claim string
}

// Requirement is a claim that must hold at least one of some values.
type Requirement struct {
	Claim  string
	Values []string
}

// Config describes the tokens of one issuer that are meant for one audience, and what they may do.
type Config struct {
	// Issuer is the exact iss of the tokens.
	Issuer string
	// Audiences: a token must be meant for at least one of them.
	Audiences []string
	// ClientIDs stand in place of Audiences for a provider whose tokens have no aud: the claim
	// client_id must be one of them, and a token that has an aud is refused.
	ClientIDs []string

	// JWKS is the URL or the file of the issuer's keys; "" means OpenID discovery at first use.
	JWKS string
	// Trust is a file of the certificate authorities that vouch for the provider; "" means those of the transport.
	Trust string
	// MaxStale is how long the last valid keys stay in force while newer ones cannot be had;
	// zero means DefaultMaxStale.
	MaxStale time.Duration

	// Algorithms pins the signature algorithms; none means RS256.
	Algorithms []string
	// Leeway for exp, nbf and iat; zero means DefaultLeeway.
	Leeway time.Duration
	// Subjects are those that may call, exact or up to a trailing *; none means every subject
	// that gets a token for the audience.
	Subjects []string
	// Requirements must all be met.
	Requirements []Requirement

	// App names the app of a call.
	App Fixed
	// Tenant names the tenant of a call; the zero value, for an onsite installation, none.
	Tenant Fixed
	// TenantFromPath takes the tenant that the request's path names, in place of Tenant.
	TenantFromPath bool
}

// Validate reports what can be seen to be wrong without reading a file or asking anybody.
// Its errors name the option.
func (c *Config) Validate() error {
	if c.Issuer == "" {
		return errors.New("no issuer is named")
	}
	for _, check := range []func() error{c.validateAudience, c.validateKeys, c.validateSubjects, c.validateClaims} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) validateAudience() error {
	switch {
	case len(c.Audiences)+len(c.ClientIDs) == 0:
		return errors.New("audience is required: without it a token made for any other service would be taken")
	case len(c.Audiences) > 0 && len(c.ClientIDs) > 0:
		return errors.New("audience and client_id exclude each other: client_id is for tokens without aud; use require client_id <id> beside an audience")
	case slices.Contains(c.Audiences, ""):
		return errors.New("audience: one is empty")
	case slices.Contains(c.ClientIDs, ""):
		return errors.New("client_id: one is empty")
	}
	return nil
}

func (c *Config) validateKeys() error {
	for _, algorithm := range c.Algorithms {
		if !slices.Contains(Algorithms(), algorithm) {
			return fmt.Errorf("algorithms %s: want some of %s", algorithm, strings.Join(Algorithms(), " "))
		}
	}
	if c.MaxStale < 0 || c.Leeway < 0 {
		return errors.New("max_stale: below zero")
	}
	switch {
	case c.JWKS == "":
		if u, err := parseURL(c.Issuer); err != nil || u.RawQuery != "" {
			return errors.New("jwks is required, the URL or the file of its keys: the issuer is no https URL that could be asked for them")
		}
	case isURL(c.JWKS):
		if _, err := parseURL(c.JWKS); err != nil {
			return fmt.Errorf("jwks %w", err)
		}
	case c.Trust != "":
		return errors.New("trust: the keys come from a file, so that nobody is asked who would have to be trusted")
	}
	return nil
}

// sharedIssuers sign, for anyone who asks, a token for any audience: an audience alone
// would let in everybody who has an account there.
var sharedIssuers = []string{"https://accounts.google.com", "https://token.actions.githubusercontent.com", "https://gitlab.com"}

func (c *Config) validateSubjects() error {
	if slices.Contains(sharedIssuers, c.Issuer) && len(c.Subjects)+len(c.Requirements) == 0 {
		return errors.New("everybody can get a token of this issuer for any audience: say who may call, with subjects or require")
	}
	for _, subject := range c.Subjects {
		switch i := strings.IndexByte(subject, '*'); {
		case subject == "*":
			return errors.New("subjects *: leave subjects out to let in every subject of the audience")
		case subject == "":
			return errors.New("subjects: one is empty")
		case i >= 0 && i < len(subject)-1:
			return fmt.Errorf("subjects %s: * may stand at the end only", subject)
		}
	}
	return nil
}

func (c *Config) validateClaims() error {
	for _, r := range c.Requirements {
		if err := validatePath(r.Claim); err != nil {
			return fmt.Errorf("require: %w", err)
		}
		if len(r.Values) == 0 || slices.Contains(r.Values, "") {
			return fmt.Errorf("require %s: say which values the claim must hold one of", r.Claim)
		}
	}
	if (c.App.Value == "") == (c.App.Claim == "") {
		return errors.New("say which app its tokens call for: app <name>, or app claim <claim>")
	}
	if c.App.Claim != "" {
		if err := validatePath(c.App.Claim); err != nil {
			return fmt.Errorf("app %w", err)
		}
	}
	if c.Tenant.Claim != "" {
		if err := validatePath(c.Tenant.Claim); err != nil {
			return fmt.Errorf("tenant %w", err)
		}
	}
	if c.Tenant != (Fixed{}) && c.TenantFromPath || c.Tenant.Value != "" && c.Tenant.Claim != "" {
		return errors.New("tenant: want one of <CustNNNNN>, path and claim <claim>")
	}
	if _, ok := superoffice.ParseTenant(c.Tenant.Value); c.Tenant.Value != "" && !ok {
		return fmt.Errorf("tenant %q: want the form Cust12345, path, or claim <claim>", c.Tenant.Value)
	}
	return nil
}

func validatePath(path string) error {
	if path == "" || len(path) > maxPath || strings.Count(path, ".") > maxDots {
		return fmt.Errorf("claim %q: want a claim's name, or its path with dots, such as ext.tenant", path)
	}
	return nil
}

// isURL reports whether a place of keys is meant as a URL rather than a file.
func isURL(place string) bool {
	u, err := url.Parse(place)
	return strings.Contains(place, "://") || err == nil && (u.Scheme == "https" || u.Scheme == "http")
}

// parseURL returns the URL of a provider: https, or http on loopback, decided on the host as it
// is parsed. One with a user name is refused: it would stand in logs.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("is not the plain URL of a provider, such as https://idp.example.com/jwks")
	case u.Scheme == "https", u.Scheme == "http" && auth.Loopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%s: want https, or the keys could be replaced on the way", raw)
}
