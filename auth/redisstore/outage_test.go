package redisstore

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// aCall asks what a call asks: its session, its epochs, its lease, a kept answer.
func aCall(s *Store) (failed int) {
	ctx := context.Background()
	_, _, sessionErr := s.Sessions.Get(ctx, session.Place{1})
	_, epochErr := s.Sessions.Marks(ctx, func(func(session.Place) bool) {})
	_, leaseErr := s.Leases.Acquire(ctx, "n", "one", time.Second)
	_, _, valueErr := s.Values.Get(ctx, "k")
	for _, err := range []error{sessionErr, epochErr, leaseErr, valueErr} {
		if err != nil {
			failed++
		}
	}
	return failed
}

// silent is an address where connections are taken and nothing is answered.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// The first question of a call waits, for less than a second; the others fail at once.
func TestADeadStoreCostsACallLessThanASecondInSum(t *testing.T) {
	t.Parallel()
	if DefaultTimeout >= time.Second {
		t.Errorf("a question waits %s", DefaultTimeout)
	}
	for name, address := range map[string]string{"silent": silent(t), "refusing": testport.Address(t)} {
		var asked []error
		s := New(Config{Addresses: []string{address}, Prefix: "p", Answered: func(_ Access, err error) { asked = append(asked, err) }})
		began := time.Now()
		if failed := aCall(s); failed != 4 {
			t.Errorf("%s: %d of 4 failed", name, failed)
		}
		t.Logf("%s: the first call waits %s", name, time.Since(began))
		if !s.down.Load() || len(asked) != 2 { // for reading and for writing
			t.Errorf("%s: not given up, or asked again: %v", name, asked)
		}
		_ = s.Close()
	}
}

func TestAStoreThatIsBackIsNoticedBesideTheCalls(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	if failed := aCall(s); failed != 0 {
		t.Fatalf("%d failed", failed)
	}
	server.Kill()
	if failed := aCall(s); failed != 4 {
		t.Errorf("%d of 4 failed without it", failed)
	}
	server.Run()
	for deadline := time.Now().Add(time.Minute); aCall(s) != 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is back, and nobody noticed")
		}
	}
}

// A refusal is an answer: a store whose memory is full answers what it has.
func TestAFullStoreStillAnswersWhatItHas(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	if err := s.Values.Set(t.Context(), "k", "v", time.Minute); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Values.Set(t.Context(), "other", "v", time.Minute); err == nil {
		t.Error("it is full, and took a value")
	}
	if value, found, err := s.Values.Get(t.Context(), "k"); value != "v" || !found || err != nil || s.down.Load() {
		t.Errorf("%q %v %v", value, found, err)
	}
}

// The error of a Sentinel that does not know the master wraps the one for "not there".
func TestASentinelThatDoesNotKnowTheMasterIsNoAnswer(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t, "known", "canary")
	s := New(Config{Addresses: []string{sentinel.Address}, Sentinel: "another", Prefix: "p", Timeout: patience, SentinelPassword: func() string { return "canary" }})
	defer s.Close()
	_, found, err := s.Sessions.Get(t.Context(), session.Place{1})
	if found || err == nil {
		t.Errorf("a session: %v, %v", found, err)
	}
	if value, found, err := s.Values.Get(t.Context(), "k"); found || err == nil {
		t.Errorf("a value: %q %v %v", value, found, err)
	}
	if current, err := s.Leases.Acquire(t.Context(), "n", "one", time.Second); err == nil {
		t.Errorf("a lease: %q", current)
	}
	if err := s.Sessions.Revoke(t.Context(), session.Place{1}, time.Minute); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("a revocation that wrote nothing: %v", err)
	}
}
