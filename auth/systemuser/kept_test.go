package systemuser_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// shelf is a storage that does what a test wants of it.
type shelf struct {
	mu     sync.Mutex
	values map[string][]byte
	down   bool
	loaded func()          // after each reading, before it is told
	wrote  func(int) error // after each writing, by number from 1
	writes int
}

var errDown = errors.New("the disk is gone")

func newShelf() *shelf {
	return &shelf{values: map[string][]byte{}, loaded: func() {}, wrote: func(int) error { return nil }}
}

func (s *shelf) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	value, ok := s.values[key]
	down, loaded := s.down, s.loaded
	s.mu.Unlock()
	loaded()
	switch {
	case down:
		return nil, errDown
	case !ok:
		return nil, fs.ErrNotExist
	}
	return value, nil
}

func (s *shelf) Store(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = value
	s.writes++
	return s.wrote(s.writes)
}

func (s *shelf) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return nil
}

func (s *shelf) List(context.Context, string, bool) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.values)), nil
}

const oldKey, newKey = "old-key-old-key-old-key-old-key-", "new-key-new-key-new-key-new-key-"

// tokensOf are an app's tokens as one gateway sees them.
func tokensOf(t *testing.T, s *shelf, app string, keys ...string) *systemuser.Tokens {
	t.Helper()
	if keys == nil {
		keys = []string{newKey}
	}
	var raw [][]byte
	for _, key := range keys {
		raw = append(raw, []byte(key))
	}
	ring, err := session.NewKeys(raw...)
	if err != nil {
		t.Fatal(err)
	}
	online, err := superoffice.NewEnvironment("online")
	if err != nil {
		t.Fatal(err)
	}
	return systemuser.NewTokens(s, ring, online, app)
}

func keep(t *testing.T, tokens *systemuser.Tokens, tenant superoffice.Tenant, token string) {
	t.Helper()
	if err := tokens.Keep(context.Background(), systemuser.Kept{Tenant: tenant, Token: auth.NewSecret(token)}); err != nil {
		t.Error(err)
	}
}

// found is what get gives for Cust1, in words.
func found(t *testing.T, get func(context.Context, superoffice.Tenant) (systemuser.Kept, bool, error)) string {
	t.Helper()
	kept, there, err := get(t.Context(), "Cust1")
	switch {
	case err != nil:
		return err.Error()
	case !there:
		return "none"
	}
	return kept.Token.Reveal()
}

func TestTheLastGoodTokenStaysForAsLongAsTheStorageErrs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		tokens := tokensOf(t, s, "erp")
		keep(t, tokens, "Cust1", "good")
		s.down = true
		for _, wait := range []time.Duration{31 * time.Second, time.Second, 31 * time.Second, 10 * time.Minute, 2 * time.Second, 31 * time.Second} {
			time.Sleep(wait)
			if got := found(t, tokens.Get); got != "good" {
				t.Errorf("after %v more: %s", wait, got)
			}
			synctest.Wait()
		}
		s.down = false
		keep(t, tokensOf(t, s, "erp"), "Cust1", "later")
		time.Sleep(time.Hour)
		if got := found(t, tokens.Get); got != "later" {
			t.Errorf("after the storage came back: %s", got)
		}
	})
}

func TestATokenThatAnotherGatewayRemovedIsNotGivenForEver(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{10 * time.Second, 5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			here, there := tokensOf(t, s, "erp"), tokensOf(t, s, "erp")
			keep(t, there, "Cust1", "removed")
			if got := found(t, here.Get); got != "removed" {
				t.Fatal(got)
			}
			if ok, err := there.Remove(t.Context(), "Cust1"); !ok || err != nil {
				t.Fatal(ok, err)
			}
			for range max(1, int(time.Minute/pause)) {
				time.Sleep(pause)
				_ = found(t, here.Get)
				synctest.Wait()
			}
			if got := found(t, here.Get); got != "none" {
				t.Errorf("asked every %v: %s", pause, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // the first who asks after a long while has it looked at
		s := newShelf()
		here := tokensOf(t, s, "erp")
		keep(t, here, "Cust1", "removed")
		if _, err := tokensOf(t, s, "erp").Remove(t.Context(), "Cust1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := found(t, here.Get); got != "none" {
			t.Errorf("a minute later: %s", got)
		}
	})
}

func TestADoubtedTokenIsLookedAtAfterTwoSecondsHoweverOftenItIsDoubted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		here := tokensOf(t, s, "erp")
		keep(t, here, "Cust1", "refused")
		keep(t, tokensOf(t, s, "erp"), "Cust1", "approved at another gateway")
		for range 4 {
			here.Doubt("Cust1")
			if got := found(t, here.Get); got != "refused" {
				t.Errorf("at once: %s", got)
			}
			time.Sleep(500 * time.Millisecond)
		}
		_ = found(t, here.Get) // has it looked at beside the call
		synctest.Wait()
		if got := found(t, here.Get); got != "approved at another gateway" {
			t.Error(got)
		}
		here.Doubt("Cust2") // of which nothing is known
	})
}

func TestATokenThatIsWrittenWhileTheStorageIsReadWins(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*systemuser.Tokens){
		"kept":    func(tokens *systemuser.Tokens) { keep(t, tokens, "Cust1", "kept") },
		"removed": func(tokens *systemuser.Tokens) { _, _ = tokens.Remove(context.Background(), "Cust1") },
	} {
		s := newShelf()
		tokens := tokensOf(t, s, "erp")
		keep(t, tokens, "Cust1", "old")
		s.loaded = func() {
			s.loaded = func() {} // Remove reads too
			write(tokens)
		}
		want := map[string]string{"kept": "kept", "removed": "none"}[name]
		if told, remembered := found(t, tokens.Fresh), found(t, tokens.Get); told != want || remembered != want {
			t.Errorf("%s while it was read: told %s, remembered %s", name, told, remembered)
		}
	}
}

func TestFreshTellsTheStoragesWordThoughAnotherTenantsTokenIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	s := newShelf()
	here, there := tokensOf(t, s, "erp"), tokensOf(t, s, "erp")
	keep(t, here, "Cust1", "old")
	keep(t, there, "Cust1", "approved at another gateway")
	readings := 0
	s.loaded = func() {
		readings++
		keep(t, here, superoffice.Tenant(fmt.Sprint("Cust2", readings)), "x")
	}
	if got := found(t, here.Fresh); got != "approved at another gateway" || readings != 1 {
		t.Errorf("%s after %d readings", got, readings)
	}
}

func TestSealingAnewWritesOverNoLaterToken(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]func(reading int, here, there *systemuser.Tokens) <-chan struct{}{
		"another gateway's": func(reading int, _, there *systemuser.Tokens) <-chan struct{} {
			if reading == 1 {
				keep(t, there, "Cust1", "later")
			}
			return nil
		},
		"its own": func(reading int, here, _ *systemuser.Tokens) <-chan struct{} {
			if reading != 2 {
				return nil
			}
			done := make(chan struct{})
			go func() {
				keep(t, here, "Cust1", "later")
				close(done)
			}()
			for range 1000 { // it would be written now, if it had not to wait
				runtime.Gosched()
			}
			return done
		},
	} {
		s := newShelf()
		keep(t, tokensOf(t, s, "erp", oldKey), "Cust1", "old")
		here, there := tokensOf(t, s, "erp", newKey, oldKey), tokensOf(t, s, "erp", oldKey)
		readings := 0
		var done <-chan struct{}
		s.loaded = func() {
			readings++
			if waits := later(readings, here, there); waits != nil {
				done = waits
			}
		}
		if _, err := here.Reseal(t.Context()); err != nil {
			t.Error(err)
		}
		if done != nil {
			<-done
		}
		s.loaded = func() {}
		if got := found(t, here.Fresh); got != "later" {
			t.Errorf("%s is written over: %s", name, got)
		}
	}
}

func TestWhatIsKeptTogetherIsTakenBackTogetherThoughAWritingFailedAfterItWasDone(t *testing.T) {
	t.Parallel()
	s := newShelf()
	tokens := tokensOf(t, s, "erp")
	keep(t, tokens, "Cust1", "before")
	s.wrote = func(n int) error {
		if n == 3 {
			return errDown
		}
		return nil
	}
	var all []systemuser.Kept
	for _, tenant := range []superoffice.Tenant{"Cust1", "Cust2", "Cust3"} {
		all = append(all, systemuser.Kept{Tenant: tenant, Token: auth.NewSecret("imported")})
	}
	if err := tokens.KeepAll(t.Context(), all); !errors.Is(err, errDown) || strings.Contains(err.Error(), "is not as it was before") {
		t.Errorf("%v", err)
	}
	for _, gateway := range []*systemuser.Tokens{tokens, tokensOf(t, s, "erp")} {
		if tenants, err := gateway.Tenants(t.Context()); fmt.Sprint(tenants) != "[Cust1]" || err != nil {
			t.Errorf("%v, %v", tenants, err)
		}
		if got := found(t, gateway.Get); got != "before" {
			t.Error(got)
		}
		if _, there, err := gateway.Get(t.Context(), "Cust2"); there || err != nil {
			t.Errorf("the one whose writing failed: %v, %v", there, err)
		}
	}
}

func TestASealedTokenOpensForItsOwnAppAndTenantAlone(t *testing.T) {
	t.Parallel()
	s := newShelf()
	erp, quote := tokensOf(t, s, "erp"), tokensOf(t, s, "quote")
	sealed := erp.Seal(systemuser.Kept{Tenant: "Cust1", Token: auth.NewSecret("canary")})
	if kept, err := erp.Open("Cust1", sealed); err != nil || kept.Token.Reveal() != "canary" || strings.Contains(sealed, "canary") {
		t.Errorf("its own: %v", err)
	}
	if _, err := quote.Open("Cust1", sealed); !errors.Is(err, systemuser.ErrUnreadable) {
		t.Errorf("another app's: %v", err)
	}
	if _, err := erp.Open("Cust2", sealed); !errors.Is(err, systemuser.ErrUnreadable) {
		t.Errorf("another tenant's: %v", err)
	}
}
