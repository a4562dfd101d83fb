package superid

import (
	"context"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // a thumbprint names a key, it proves nothing
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	minRSABits = 2048
	maxKeys    = 16

	// A key that is not in the set has it fetched again at most this often.
	refetchEvery = 10 * time.Second
	maxKeyAge    = 24 * time.Hour
)

// KeySet holds the environment's signing keys, fetched when they are first needed.
// The last set stays in force while SuperOffice is down.
type KeySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	flight  singleflight.Group
	mu      sync.Mutex
	keys    []signingKey
	fetched time.Time
	tried   time.Time
}

type signingKey struct {
	names  []string // kid and thumbprints, in one spelling
	public *rsa.PublicKey
}

// NewKeySet makes the key set of an environment. A nil now is the system's clock.
func NewKeySet(env superoffice.Environment, client *http.Client, now func() time.Time) *KeySet {
	if now == nil {
		now = time.Now
	}
	return &KeySet{url: env.Base() + "/login/.well-known/jwks", client: client, now: now}
}

// Keyfunc gives the keys that may have signed the token: the one that its kid or
// x5t names, or else all. SuperOffice signs with x5t and no kid, and writes
// the kid of the same key sometimes in base64url and sometimes in hex.
func (s *KeySet) Keyfunc(ctx context.Context) jwt.Keyfunc {
	return func(token *jwt.Token) (any, error) {
		named := ""
		for _, header := range []string{"kid", "x5t"} {
			if name, ok := token.Header[header].(string); ok && named == "" {
				named = thumbprint(name)
			}
		}
		if keys := s.find(named); keys.Keys != nil {
			return keys, nil
		}
		if err := s.fetch(ctx); err != nil && len(s.find("").Keys) == 0 {
			return nil, err
		}
		if keys := s.find(named); keys.Keys != nil {
			return keys, nil
		}
		// A name in no spelling that is known: the signature decides.
		return s.find(""), nil
	}
}

// find gives the key of that name, or all for "". A set that is too old finds nothing, so that it is fetched.
func (s *KeySet) find(name string) (set jwt.VerificationKeySet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "" && s.now().Sub(s.fetched) > maxKeyAge {
		return set
	}
	for _, key := range s.keys {
		match := name == ""
		for _, n := range key.names {
			match = match || n == name
		}
		if match {
			set.Keys = append(set.Keys, key.public)
		}
	}
	return set
}

func (s *KeySet) fetch(ctx context.Context) error {
	_, err, _ := s.flight.Do("", func() (any, error) {
		s.mu.Lock()
		wait := s.now().Sub(s.tried) < refetchEvery && !s.tried.IsZero() && len(s.keys) > 0
		if !wait {
			s.tried = s.now()
		}
		s.mu.Unlock()
		if wait {
			return nil, nil
		}
		var set struct {
			Keys []struct {
				Kty, Use, Kid, N, E, X5t string
				X5c                      []string
			}
		}
		if err := getJSON(context.WithoutCancel(ctx), s.client, s.url, &set); err != nil {
			return nil, err
		}
		var keys []signingKey
		for _, k := range set.Keys[:min(len(set.Keys), maxKeys)] {
			key := signingKey{names: []string{thumbprint(k.Kid), thumbprint(k.X5t)}}
			if k.N != "" {
				key.public = rsaKey(k.N, k.E)
			} else if len(k.X5c) > 0 {
				var print string
				key.public, print = bareKey(k.X5c[0])
				key.names = append(key.names, print)
			}
			if key.public != nil && key.public.N.BitLen() >= minRSABits {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return nil, passing("signing keys", errors.New("the key set holds no RSA key of 2048 bits or more"))
		}
		s.mu.Lock()
		s.keys, s.fetched = keys, s.now()
		s.mu.Unlock()
		return nil, nil
	})
	return err
}

// thumbprint brings a key's name into one spelling: forty hex digits are a SHA-1
// thumbprint that is written in base64url elsewhere.
func thumbprint(name string) string {
	if len(name) == 2*sha1.Size {
		if raw, err := hex.DecodeString(name); err == nil {
			return base64.RawURLEncoding.EncodeToString(raw)
		}
	}
	return strings.TrimRight(name, "=")
}

func rsaKey(n, e string) *rsa.PublicKey {
	modulus, err1 := base64.RawURLEncoding.DecodeString(strings.TrimRight(n, "="))
	exponent, err2 := base64.RawURLEncoding.DecodeString(strings.TrimRight(e, "="))
	if err1 != nil || err2 != nil || len(exponent) > 4 || len(modulus) > 1024 {
		return nil
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}
}

// bareKey takes the key out of a certificate whose own signature nobody checks:
// SuperOffice's are X.509 v1 with SHA-1, and what vouches for the key is the TLS it came over.
func bareKey(x5c string) (*rsa.PublicKey, string) {
	der, err := base64.StdEncoding.DecodeString(x5c)
	if err != nil {
		return nil, ""
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, ""
	}
	public, _ := certificate.PublicKey.(*rsa.PublicKey)
	sum := sha1.Sum(der) //nolint:gosec // see above
	return public, base64.RawURLEncoding.EncodeToString(sum[:])
}

func getJSON(ctx context.Context, client *http.Client, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return passing("signing keys", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return passing("signing keys", fmt.Errorf("HTTP %d", resp.StatusCode))
	}
	return json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxAnswer)).Decode(into)
}
