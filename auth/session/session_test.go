package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

func newKey(t testing.TB) []byte {
	t.Helper()
	key := make([]byte, MinKey)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	return key
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func newManager(t testing.TB) (*Manager, *clock) {
	t.Helper()
	keys, err := NewKeys(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{now: time.Now()}
	return &Manager{Keys: keys, Store: NewMemory(0, c.Now), Idle: time.Hour, Lifetime: 3 * time.Hour, Now: c.Now}, c
}

func person() Session {
	return Session{App: "portal", Tenant: "Cust12345", UPN: "tove@uno.example", Access: auth.NewSecret("canary-access"), Refresh: auth.NewSecret("canary-refresh")}
}

func TestASessionIsFoundByItsCookieAlone(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	token, _, err := m.Start(t.Context(), person())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := m.Keys.Parse(token.Cookie())
	if err != nil {
		t.Fatal(err)
	}
	s, found, err := m.Load(t.Context(), parsed)
	if err != nil || !found || s.UPN != "tove@uno.example" || s.Access.Reveal() != "canary-access" {
		t.Fatalf("%v %v", s.UPN, err)
	}
	if _, found, err := m.Load(t.Context(), m.Keys.Issue()); found || err != nil {
		t.Errorf("another token: %v, %v", found, err)
	}
	if err := m.End(t.Context(), parsed); err != nil {
		t.Fatal(err)
	}
	if _, found, err := m.Load(t.Context(), parsed); found || err != nil {
		t.Errorf("after sign-out: %v, %v", found, err)
	}
}

type countingStore struct {
	Store
	gets int
}

func (c *countingStore) Get(ctx context.Context, p Place) (Record, bool, error) {
	c.gets++
	return c.Store.Get(ctx, p)
}

func TestAForgedCookieIsRefusedWithoutAStoreRead(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	store := &countingStore{Store: m.Store}
	m.Store = store
	good := m.Keys.Issue().Cookie()
	foreign, _ := NewKeys(newKey(t))
	for _, cookie := range []string{"", "x", strings.Repeat("A", cookieLength), good[:len(good)-1], good + "A", foreign.Issue().Cookie(), strings.Repeat("é", 35)} {
		if _, err := m.Keys.Parse(cookie); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", cookie, err)
		}
	}
	for i := range good {
		flipped := []byte(good)
		if flipped[i]++; string(flipped) == good {
			continue
		}
		if _, err := m.Keys.Parse(string(flipped)); err == nil {
			t.Errorf("byte %d changed and nobody noticed", i)
		}
	}
	if store.gets != 0 {
		t.Errorf("%d reads of the store for forged cookies", store.gets)
	}
}

func TestASessionEndsWhenIdleAndAtItsLifetime(t *testing.T) {
	t.Parallel()
	m, c := newManager(t)
	idle, _, _ := m.Start(t.Context(), person())
	used, _, _ := m.Start(t.Context(), person())
	for range 3 {
		c.advance(50 * time.Minute)
		if _, found, err := m.Load(t.Context(), used); err != nil || !found {
			t.Fatal(found, err)
		}
	}
	if _, found, err := m.Load(t.Context(), idle); found || err != nil {
		t.Errorf("idle: %v, %v", found, err)
	}
	c.advance(31 * time.Minute)
	if _, found, err := m.Load(t.Context(), used); found || err != nil {
		t.Errorf("past its lifetime: %v, %v", found, err)
	}
}

// Without a refresh token nothing follows the access token, so that no longer life is promised, and none is cut short.
func TestASessionWithoutRefreshTokenEndsWithItsAccessToken(t *testing.T) {
	t.Parallel()
	m, c := newManager(t)
	short, lasting := person(), person()
	short.Refresh = auth.Secret{}
	short.AccessExpires, lasting.AccessExpires = c.Now().Add(10*time.Minute), c.Now().Add(10*time.Minute)
	one, short, _ := m.Start(t.Context(), short)
	two, lasting, _ := m.Start(t.Context(), lasting)
	if got := m.Ends(short); !got.Equal(short.AccessExpires) {
		t.Errorf("without a refresh token it ends at %s, want %s", got, short.AccessExpires)
	}
	if got := m.Ends(lasting); !got.Equal(lasting.Used.Add(time.Hour)) {
		t.Errorf("with one it ends at %s", got)
	}
	c.advance(10*time.Minute - time.Second)
	if _, found, err := m.Load(t.Context(), one); err != nil || !found {
		t.Errorf("before its end: %v, %v", found, err)
	}
	c.advance(2 * time.Second)
	for token, want := range map[Token]bool{one: false, two: true} {
		if _, found, err := m.Load(t.Context(), token); err != nil || found != want {
			t.Errorf("after it: %v, %v, want %v", found, err, want)
		}
	}
}

// A store forgets a session when it was to end as it was written; a configuration that came meanwhile may be stricter.
func TestAShorterIdleHoldsForTheSessionsThatAreThere(t *testing.T) {
	t.Parallel()
	m, c := newManager(t)
	token, _, err := m.Start(t.Context(), person())
	if err != nil {
		t.Fatal(err)
	}
	stricter := *m
	stricter.Idle = 10 * time.Minute
	c.advance(11 * time.Minute)
	if _, found, err := stricter.Load(t.Context(), token); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

// Tickets and kept answers can outlive the sessions of a configuration with a short lifetime.
func TestARevocationIsRememberedForLongerThanASessionLives(t *testing.T) {
	t.Parallel()
	m, c := newManager(t)
	if err := m.RevokePerson(t.Context(), person().Tenant, person().UPN); err != nil {
		t.Fatal(err)
	}
	epoch := func() string {
		t.Helper()
		mark, err := m.RevocationEpoch(t.Context(), "portal", person().Tenant, person().UPN)
		if err != nil {
			t.Fatal(err)
		}
		return mark
	}
	revoked := epoch()
	c.advance(4 * time.Hour)
	for range 4 * sweepAtOnce { // an Add looks for what has ended
		if _, _, err := m.Start(t.Context(), person()); err != nil {
			t.Fatal(err)
		}
	}
	if got := epoch(); revoked == "" || got != revoked {
		t.Errorf("%q, and after a session's life %q", revoked, got)
	}
}

func TestTheXSRFTokenIsBoundToItsSession(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	a, b := m.Keys.Issue(), m.Keys.Issue()
	if !a.CheckXSRF(a.XSRF()) || a.CheckXSRF(b.XSRF()) || a.CheckXSRF("") {
		t.Error("a foreign or empty token passes, or the session's own does not")
	}
}

func TestAFullStoreRefusesNewSessionsAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	m, c := newManager(t)
	m.Store = NewMemory(1, c.Now)
	first, _, err := m.Start(t.Context(), person())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Start(t.Context(), person()); !errors.Is(err, ErrFull) {
		t.Errorf("second: %v", err)
	}
	if _, found, err := m.Load(t.Context(), first); err != nil || !found {
		t.Errorf("first: %v, %v", found, err)
	}
	c.advance(2 * time.Hour)
	if _, _, err := m.Start(t.Context(), person()); err != nil {
		t.Errorf("after the first has expired: %v", err)
	}
}

func TestAKeyIsReplacedByPuttingTheNewOneInFront(t *testing.T) {
	t.Parallel()
	old, fresh := newKey(t), newKey(t)
	before, _ := NewKeys(old)
	during, _ := NewKeys(fresh, old)
	after, _ := NewKeys(fresh)
	cookie := before.Issue().Cookie()
	sealed := before.Seal("p", []string{"a"}, []byte("x"))
	if _, err := during.Parse(cookie); err != nil {
		t.Error(err)
	}
	if got, err := during.Open("p", []string{"a"}, sealed); err != nil || string(got) != "x" {
		t.Error(err)
	}
	if _, err := during.Open("p", []string{"b"}, sealed); err == nil {
		t.Error("opens with other parts")
	}
	if _, err := after.Parse(cookie); err == nil {
		t.Error("a key that is gone still verifies")
	}
	for _, bad := range [][][]byte{{}, {old[:31]}, {old, old}} {
		if _, err := NewKeys(bad...); err == nil {
			t.Error("takes no key, a short key or the same key twice")
		}
	}
}

func FuzzCookie(f *testing.F) {
	keys, _ := NewKeys(bytes.Repeat([]byte("k"), MinKey))
	f.Add(keys.Issue().Cookie())
	f.Add("")
	f.Fuzz(func(t *testing.T, cookie string) {
		if token, err := keys.Parse(cookie); err == nil && token.Cookie() != cookie {
			t.Fatal("two spellings of one cookie")
		}
		_, _ = keys.Open("p", nil, cookie)
	})
}

func BenchmarkLoad(b *testing.B) {
	m, _ := newManager(b)
	token, _, _ := m.Start(b.Context(), person())
	cookie, xsrf := token.Cookie(), token.XSRF()
	b.ReportAllocs()
	for b.Loop() {
		t, err := m.Keys.Parse(cookie)
		if err != nil || !t.CheckXSRF(xsrf) {
			b.Fatal(err)
		}
		if _, _, err := m.Load(b.Context(), t); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAMillionSessions shows that finding one among a million costs what finding the only one does,
// and what each takes of memory.
func BenchmarkAMillionSessions(b *testing.B) {
	for _, n := range []int{1, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, _ := newManager(b)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var token Token
			for i := range n {
				p := person()
				p.UPN = fmt.Sprintf("%d@uno.example", i)
				var err error
				if token, _, err = m.Start(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Load(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/session")
			runtime.KeepAlive(m)
		})
	}
}
