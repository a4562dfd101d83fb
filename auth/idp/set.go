package idp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// maxToken bounds a token before anything in it is looked at, in bytes.
	maxToken = 16 << 10

	// proofAge is how long a token is not verified again: a service sends the same
	// one for minutes. A key that is taken out of the set counts no longer than this.
	proofAge = 30 * time.Second

	maxProofs = 10_000
)

// Options are what a Set needs of its surroundings.
type Options struct {
	// Transport reaches providers that have no file of authorities of their own.
	Transport http.RoundTripper
	// Client returns a client over a transport, which follows no redirect.
	Client func(http.RoundTripper) *http.Client
	// Observer is told of the providers' keys.
	Observer Observer
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Set proves the tokens of all identity providers. It is safe for concurrent use.
type Set struct {
	providers map[string][]*provider // by issuer
	keys      []*KeySet
	now       func() time.Time

	mu     sync.RWMutex
	proofs map[proofKey]proof
}

// proofKey names what a proof was given for: the same token proves another principal in another tenant's path.
type proofKey struct {
	digest [sha256.Size]byte
	tenant superoffice.Tenant // that the path names
}

// proof is what a token proved, until then.
type proof struct {
	principal auth.Principal
	until     time.Time
}

// NewSet builds a set. It reads files and makes no network requests. Its errors name the issuer and the option.
func NewSet(configs []Config, options Options) (*Set, error) {
	s := &Set{providers: make(map[string][]*provider), now: options.Now, proofs: make(map[proofKey]proof)}
	if s.now == nil {
		s.now = time.Now
	}
	if err := ValidateAll(configs); err != nil {
		return nil, err
	}
	for _, config := range configs {
		blocks := s.providers[config.Issuer]
		var keys *KeySet
		if len(blocks) > 0 {
			keys = blocks[0].keys
		} else {
			var err error
			if keys, err = newKeySet(&config, options, s.now); err != nil {
				return nil, fmt.Errorf("jwt %s: %w", config.Issuer, err)
			}
			s.keys = append(s.keys, keys)
		}
		s.providers[config.Issuer] = append(blocks, newProvider(config, keys, s.now))
	}
	return s, nil
}

// ValidateAll reports what can be seen to be wrong with the blocks of a configuration, alone
// and beside each other, without reading a file or asking anybody.
func ValidateAll(configs []Config) error {
	for i := range configs {
		config := &configs[i]
		if err := config.Validate(); err != nil {
			return fmt.Errorf("jwt %s: %w", config.Issuer, err)
		}
		for j := range configs[:i] {
			if other := &configs[j]; other.Issuer == config.Issuer {
				if err := apart(other, config); err != nil {
					return fmt.Errorf("jwt %s: %w", config.Issuer, err)
				}
			}
		}
	}
	return nil
}

// apart returns why no token could be told which of two blocks of an issuer it belongs to.
func apart(a, b *Config) error {
	if a.JWKS != b.JWKS || a.Trust != b.Trust || a.MaxStale != b.MaxStale {
		return errors.New("its blocks must have the same jwks, trust and max_stale: the keys are the issuer's")
	}
	for _, audience := range a.Audiences {
		if slices.Contains(b.Audiences, audience) {
			return fmt.Errorf("audience %q is in two of its blocks, which are told apart by it", audience)
		}
	}
	for _, client := range a.ClientIDs {
		if slices.Contains(b.ClientIDs, client) {
			return fmt.Errorf("client_id %q is in two of its blocks, which are told apart by it", client)
		}
	}
	return nil
}

func newKeySet(config *Config, options Options, now func() time.Time) (*KeySet, error) {
	keys := &KeySet{issuer: config.Issuer, maxStale: config.MaxStale, observer: options.Observer, now: now}
	if keys.maxStale == 0 {
		keys.maxStale = DefaultMaxStale
	}
	if config.JWKS != "" && !isURL(config.JWKS) {
		keys.source, keys.schedule = file{config.JWKS}, schedule{refresh: fileApart, retry: fileApart, apart: fileApart, current: true}
		return keys, keys.loadFirst()
	}
	transport := options.Transport
	if config.Trust != "" {
		trusted, err := newTrustTransport(config.Trust)
		if err != nil {
			return nil, err
		}
		transport = trusted
	}
	client := options.Client(transport)
	keys.schedule = urlSchedule
	if config.JWKS == "" {
		keys.source = &discovered{client: client, issuer: config.Issuer, now: now}
	} else {
		keys.source = published{client, config.JWKS}
	}
	return keys, nil
}

// Follow keeps the keys that are in use fresh, until ctx ends.
func (s *Set) Follow(ctx context.Context) {
	for _, keys := range s.keys {
		go keys.Follow(ctx)
	}
}

// Prove verifies a token and returns for whom it speaks; pathTenant is the tenant that the request's path
// names. A refusal is CredentialInvalid, or ProofUnavailable while keys cannot be had, or TenantMismatch.
// Its cause names the check that failed, and holds no more of the token than the value that was
// checked, cut.
func (s *Set) Prove(ctx context.Context, token string, pathTenant superoffice.Tenant) (auth.Principal, *auth.Refusal) {
	if len(token) > maxToken {
		return auth.Principal{}, invalid(fmt.Errorf("the token has %d bytes, want at most %d", len(token), maxToken))
	}
	key := proofKey{sha256.Sum256([]byte(token)), pathTenant}
	if principal, found := s.recall(key); found {
		return principal, nil
	}
	header, err := jws.ReadHeader(token)
	if err != nil {
		return auth.Principal{}, invalid(err)
	}
	chosen, err := s.choose(token)
	if err != nil {
		return auth.Principal{}, invalid(err)
	}
	principal, expires, refusal := chosen.prove(ctx, token, header, pathTenant)
	if refusal == nil {
		s.remember(key, principal, expires)
	}
	return principal, refusal
}

// recall returns what a token proved a moment ago.
func (s *Set) recall(key proofKey) (auth.Principal, bool) {
	s.mu.RLock()
	known, found := s.proofs[key]
	s.mu.RUnlock()
	return known.principal, found && s.now().Before(known.until)
}

func (s *Set) remember(key proofKey, principal auth.Principal, expires time.Time) {
	until := s.now().Add(proofAge)
	if expires.Before(until) {
		until = expires
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.proofs) >= maxProofs {
		clear(s.proofs)
	}
	s.proofs[key] = proof{principal, until}
}

// choose returns the block that a token says it is for. Nothing that it reads is verified yet.
func (s *Set) choose(token string) (*provider, error) {
	var unproved claims
	if err := jws.ReadPayload(token, &unproved.members); err != nil {
		return nil, err
	}
	issuer, err := unproved.GetIssuer()
	if err != nil {
		return nil, err
	}
	blocks := s.providers[issuer]
	if len(blocks) == 0 {
		return nil, fmt.Errorf("iss is %s, which no jwt block is for", jws.Excerpt(issuer))
	}
	var chosen *provider
	for _, block := range blocks {
		if !block.takes(&unproved) {
			continue
		}
		if chosen != nil {
			return nil, errors.New("aud fits two jwt blocks of its issuer")
		}
		chosen = block
	}
	if chosen == nil {
		return nil, elsewhere(&unproved, blocks)
	}
	return chosen, nil
}

// elsewhere returns why a token of an issuer belongs to none of its blocks.
func elsewhere(c *claims, blocks []*provider) error {
	var audiences, clients []string
	for _, block := range blocks {
		audiences, clients = append(audiences, block.config.Audiences...), append(clients, block.config.ClientIDs...)
	}
	if c.has("aud") {
		got, err := c.GetAudience()
		switch {
		case err != nil:
			return err
		case len(audiences) == 0:
			return fmt.Errorf("aud is %s, and only tokens without aud are taken (client_id)", quoted(got))
		}
		return fmt.Errorf("aud is %s, want %s", quoted(got), quoted(audiences))
	}
	if len(clients) == 0 {
		return fmt.Errorf("aud is missing, want %s", quoted(audiences))
	}
	client, err := c.text("client_id")
	if err != nil {
		return err
	}
	return fmt.Errorf("aud is missing, and client_id is %s, want %s", jws.Excerpt(client), quoted(clients))
}
