package idp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

const issuer = "https://idp.example"

// issued is when the tokens of the tests are issued; they end an hour later.
var issued = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// signer is a key of a provider of the tests.
type signer struct {
	kid     string
	private *ecdsa.PrivateKey
}

func newSigner(t testing.TB, kid string) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, private}
}

// jwk is the public key as a member of a set.
func (s signer) jwk(t testing.TB) string {
	t.Helper()
	point, err := s.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	key := map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "x": encode(point[1:33]), "y": encode(point[33:])}
	if s.kid != "" {
		key["kid"] = s.kid
	}
	raw, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func set(t testing.TB, signers ...signer) string {
	t.Helper()
	var keys []string
	for _, s := range signers {
		keys = append(keys, s.jwk(t))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// sign signs a header and a payload as they are written, so that they can hold what no library writes.
func (s signer) sign(t testing.TB, header, payload string) string {
	t.Helper()
	return signWith(t, jwt.SigningMethodES256, s.private, header, payload)
}

func signWith(t testing.TB, method jwt.SigningMethod, private crypto.PrivateKey, header, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(payload))
	signature, err := method.Sign(text, private)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

// header is that of a token of the signer.
func (s signer) header() string {
	if s.kid == "" {
		return `{"alg":"ES256","typ":"JWT"}`
	}
	return `{"alg":"ES256","typ":"JWT","kid":"` + s.kid + `"}`
}

// token is a good token, with further claims or others in place of the usual ones; null takes one away.
func (s signer) token(t testing.TB, claims string) string {
	t.Helper()
	return s.sign(t, s.header(), payload(t, claims))
}

func payload(t testing.TB, claims string) string {
	t.Helper()
	all := map[string]any{"iss": issuer, "aud": "erpsync", "sub": "sync", "iat": issued.Unix(), "exp": issued.Add(time.Hour).Unix(), "tenant": "Cust1"}
	if claims != "" {
		if err := json.Unmarshal([]byte(claims), &all); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range all {
		if value == nil {
			delete(all, name)
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// server answers in a provider's place, after the delay. It counts.
type server struct {
	mu    sync.Mutex
	delay time.Duration
	pages map[string]string // by URL; one that begins with a number of three digits is a status
	asked []string
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.String())
	delay := s.delay
	s.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	body, there := s.pages[r.URL.String()]
	s.mu.Unlock()
	status := http.StatusOK
	if !there {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}, nil
}

func (s *server) put(url, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages == nil {
		s.pages = make(map[string]string)
	}
	s.pages[url] = body
}

func (s *server) drop(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pages, url)
}

func (s *server) takes(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = delay
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// events is what an observer was told.
type events struct {
	loaded, stale, usable int
	skipped               []error
	good, expires         time.Time
	err                   error // of the last time that keys were stale
	issuer                string
	isStale               bool // now
}

// told remembers events.
type told struct {
	mu sync.Mutex
	events
}

func (o *told) seen() events {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.events
}

func (o *told) observer() Observer {
	return Observer{
		Loaded: func(issuer string, usable int, skipped []error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.loaded, o.usable, o.skipped, o.issuer, o.isStale = o.loaded+1, usable, skipped, issuer, false
		},
		Stale: func(issuer string, good, expires time.Time, err error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.stale, o.good, o.expires, o.err, o.issuer, o.isStale = o.stale+1, good, expires, err, issuer, true
		},
	}
}

// block is the usual configuration, with changes.
func block(changes ...func(*Config)) Config {
	c := Config{
		Issuer: issuer, Audiences: []string{"erpsync"}, JWKS: issuer + "/jwks", Algorithms: []string{"ES256"},
		App: Fixed{Value: "erp"}, Tenant: Fixed{Claim: "tenant"},
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}

func newSet(t testing.TB, s *server, now func() time.Time, o Observer, configs ...Config) *Set {
	t.Helper()
	all, err := NewSet(configs, Options{Transport: s, Client: func(rt http.RoundTripper) *http.Client { return &http.Client{Transport: rt} }, Observer: o, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newBlock is the set of one block with the key of one signer, at the time at which tokens are issued.
func newBlock(t testing.TB, changes ...func(*Config)) (*Set, signer) {
	t.Helper()
	key := newSigner(t, "one")
	s := new(server)
	s.put(issuer+"/jwks", set(t, key))
	return newSet(t, s, func() time.Time { return issued }, Observer{}, block(changes...)), key
}

// refused checks reason and cause of a refusal.
func refused(t testing.TB, refusal *auth.Refusal, reason auth.Reason, cause string) {
	t.Helper()
	if refusal == nil {
		t.Errorf("taken, want %s: %s", reason, cause)
		return
	}
	if refusal.Reason != reason || refusal.Cause == nil || !strings.Contains(refusal.Cause.Error(), cause) {
		t.Errorf("%s: %v, want %s: %s", refusal.Reason, refusal.Cause, reason, cause)
	}
	if refusal.Cause != nil && len(refusal.Cause.Error()) > maxCause {
		t.Errorf("a cause of %d bytes", len(refusal.Cause.Error()))
	}
}

func prove(s *Set, token string) (auth.Principal, *auth.Refusal) {
	return s.Prove(context.Background(), token, "Cust1")
}

// maxCause is what a cause may have, in bytes: three values of the token's, cut and escaped, and three of the configuration's.
const maxCause = 1500
