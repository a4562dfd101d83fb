package idp

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
)

const (
	// fetchTimeout bounds one attempt to get a provider's keys, discovery included.
	fetchTimeout = 5 * time.Second

	// Keys by URL: refreshed hourly, every minute while that fails, and for an unknown kid at
	// most every ten seconds.
	urlRefresh = time.Hour
	urlRetry   = time.Minute
	urlApart   = 10 * time.Second

	// A file is read again before it is used, at most every second.
	fileApart = time.Second

	// followEvery is how often it is looked whether keys are due.
	followEvery = 15 * time.Second

	// toldEvery is how often keys that stay stale are reported.
	toldEvery = 15 * time.Minute

	// maxNameless bounds the keys that are tried for a token which names none.
	maxNameless = 16
)

// UnavailableError is returned while a provider's keys cannot be had.
type UnavailableError struct {
	// RetryAfter is when they are asked for again.
	RetryAfter time.Duration
	err        error
}

func (e *UnavailableError) Error() string {
	return "the provider's keys cannot be had: " + e.err.Error()
}
func (e *UnavailableError) Unwrap() error { return e.err }

// schedule says how often keys are got.
type schedule struct {
	refresh, retry, apart time.Duration
	// current has due keys got before they are used, rather than beside.
	current bool
}

var urlSchedule = schedule{refresh: urlRefresh, retry: urlRetry, apart: urlApart}

// KeySet holds the signing keys of one issuer, from when they are first needed. It is safe for concurrent use.
type KeySet struct {
	issuer   string
	source   source
	schedule schedule
	maxStale time.Duration
	observer Observer
	now      func() time.Time

	mu sync.Mutex
	// keys are the last valid ones, got at good.
	keys []signingKey
	good time.Time
	// digest is that of what keys were read from.
	digest [sha256.Size]byte
	// tried is when they were last asked for, failed why that failed; nil if it did not.
	tried  time.Time
	failed error
	told   time.Time
	flight *flight // the attempt under way; nil if none is
}

// NewKeySet returns the keys that an issuer publishes at a URL. It makes no network requests. client must follow no
// redirect; a nil now is the system's clock.
func NewKeySet(issuer, url string, client *http.Client, observer Observer, now func() time.Time) *KeySet {
	if now == nil {
		now = time.Now
	}
	return &KeySet{issuer: issuer, source: published{client, url}, schedule: urlSchedule, maxStale: DefaultMaxStale, observer: observer, now: now}
}

// Observer is told of the keys of providers. A nil field is not called.
type Observer struct {
	// Loaded: valid keys were got, usable ones, and others that were skipped with the reason for each.
	Loaded func(issuer string, usable int, skipped []error)
	// Stale: newer keys cannot be had. Those of good stay in force until expires; a zero good says that there are none.
	// It is called at the first failure, and every quarter of an hour while that lasts.
	Stale func(issuer string, good, expires time.Time, err error)
}

// flight is one attempt to get keys, for which all who need them wait.
type flight struct {
	done chan struct{}
	ctx  context.Context //nolint:containedctx // the attempt's own, which bounds those who wait
}

// wait returns when the attempt is over, has taken too long, or the caller has left.
func (f *flight) wait(ctx context.Context) {
	select {
	case <-f.done:
	case <-f.ctx.Done():
	case <-ctx.Done():
	}
}

// Find returns the keys that may have signed a token: the one that kid names, or for "" all that fit the
// algorithm. A kid that is not in the set waits for one fetch, which all share. The error is
// an *UnavailableError if that says nothing about the token.
func (s *KeySet) Find(ctx context.Context, kid, algorithm string) ([]jwt.VerificationKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.match(kid, algorithm)
	if len(keys) > 0 && !(s.schedule.current && s.due()) {
		return keys, nil
	}
	s.await(ctx)
	if keys = s.match(kid, algorithm); len(keys) > 0 {
		return keys, nil
	}
	return nil, s.explain(kid, algorithm)
}

// Renew has the keys got again for a token without a kid that none of the tried ones has signed, if that is not too
// early. It reports whether there are others by now, no matter who got them.
func (s *KeySet) Renew(ctx context.Context, algorithm string, tried []jwt.VerificationKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.await(ctx)
	return !slices.EqualFunc(s.match("", algorithm), tried, samePublic)
}

// samePublic reports whether two public keys are the same.
func samePublic(a, b jwt.VerificationKey) bool {
	public, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b)
}

// await waits for an attempt to get keys, one under way or a new one; it returns at once if it is
// too early for a new one. s.mu is held before and after.
func (s *KeySet) await(ctx context.Context) {
	attempt := s.begin()
	if attempt == nil {
		return
	}
	s.mu.Unlock()
	attempt.wait(ctx)
	s.mu.Lock()
}

// match returns the keys in force that fit. s.mu is held.
func (s *KeySet) match(kid, algorithm string) (keys []jwt.VerificationKey) {
	if !s.inForce() {
		return nil
	}
	for _, key := range s.keys {
		if (kid == "" || key.id == kid) && key.fits(algorithm) {
			keys = append(keys, key.public)
		}
	}
	return keys
}

// inForce reports whether there are keys that are not too old. s.mu is held.
func (s *KeySet) inForce() bool { return len(s.keys) > 0 && s.now().Sub(s.good) < s.maxStale }

// due reports whether keys should be got again. s.mu is held.
func (s *KeySet) due() bool {
	since := s.now().Sub(s.tried)
	return since >= s.schedule.refresh || s.failed != nil && since >= s.schedule.retry
}

// explain returns why no key was found. s.mu is held.
func (s *KeySet) explain(kid, algorithm string) error {
	if err := s.failed; err != nil || !s.inForce() {
		if err == nil {
			err = errors.New("no answer in time")
		}
		return &UnavailableError{max(time.Second, s.schedule.apart-s.now().Sub(s.tried)), err}
	}
	for _, key := range s.keys {
		if kid != "" && key.id == kid {
			return fmt.Errorf("kid %s is a key for another algorithm than %s", jws.Excerpt(kid), algorithm)
		}
	}
	if kid == "" {
		return fmt.Errorf("no key of the issuer's %d is for %s", len(s.keys), algorithm)
	}
	return fmt.Errorf("kid %s not found among the issuer's %d keys", jws.Excerpt(kid), len(s.keys))
}

// begin returns the attempt under way, or a new one; nil if it is too early for that. s.mu is held.
func (s *KeySet) begin() *flight {
	if s.flight != nil {
		return s.flight
	}
	if !s.tried.IsZero() && s.now().Sub(s.tried) < s.schedule.apart {
		return nil
	}
	s.tried = s.now()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	attempt := &flight{done: make(chan struct{}), ctx: ctx}
	s.flight = attempt
	go func() {
		defer cancel()
		s.load(ctx)
		close(attempt.done)
	}()
	return attempt
}

// load gets the keys, and reports what came of it.
func (s *KeySet) load(ctx context.Context) {
	report := s.take(s.source.load(ctx))
	if report != nil {
		report()
	}
	s.mu.Lock()
	s.flight = nil
	s.mu.Unlock()
}

// loadFirst gets the keys before any are needed. It returns an error if there are none.
func (s *KeySet) loadFirst() error {
	s.tried = s.now()
	report := s.take(s.source.load(context.Background()))
	if s.failed != nil {
		return s.failed
	}
	report()
	return nil
}

// take puts a JWK set in force. One without a usable key is a failure, not an answer: the last valid
// keys stay. It returns what the observer is to be told, nil for nothing new.
func (s *KeySet) take(raw []byte, err error) (report func()) {
	digest := sha256.Sum256(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.failed == nil && len(s.keys) > 0 && digest == s.digest {
		s.good = s.now()
		return nil
	}
	var keys []signingKey
	var skipped []error
	if err == nil {
		keys, skipped, err = parseKeys(raw)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.source, err)
	}
	if err == nil {
		s.keys, s.good, s.digest, s.failed = keys, s.now(), digest, nil
		return func() {
			if s.observer.Loaded != nil {
				s.observer.Loaded(s.issuer, len(keys), skipped)
			}
		}
	}
	first := s.failed == nil || s.now().Sub(s.told) >= toldEvery
	s.failed = err
	if !first {
		return nil
	}
	s.told = s.now()
	good, expires := s.good, s.good.Add(s.maxStale)
	return func() {
		if s.observer.Stale != nil {
			s.observer.Stale(s.issuer, good, expires, err)
		}
	}
}

// Follow keeps keys that are in use fresh, until ctx ends.
func (s *KeySet) Follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.mu.Lock()
			if used := !s.tried.IsZero(); used && s.due() {
				s.begin()
			}
			s.mu.Unlock()
		}
	}
}
