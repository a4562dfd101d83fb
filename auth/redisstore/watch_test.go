package redisstore

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// told is what a store told of itself last.
type told struct {
	mu          sync.Mutex
	read, write error
	inspection  Inspection
}

func (o *told) config(address string) Config {
	return Config{
		Addresses: []string{address}, Prefix: "p", Timeout: patience,
		Answered: func(access Access, err error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if access == Write {
				o.write = err
			} else {
				o.read = err
			}
		},
		Inspected: func(found Inspection) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.inspection = found
		},
	}
}

func (o *told) now() (found Inspection, read, write error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inspection, o.read, o.write
}

func openTold(t *testing.T, config Config) *Store {
	t.Helper()
	s := New(config)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAStoreThatTakesNothingIsDownForWritesUntilItTakesOne(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := clientOf(t, server)
	var o told
	s := openTold(t, o.config(server.Address))
	client.ConfigSet(t.Context(), "maxmemory", "1")
	if err := s.Values.Set(t.Context(), "k", "v", time.Minute); err == nil {
		t.Fatal("it is full, and took a value")
	}
	if _, _, err := s.Values.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, read, write := o.now(); read != nil || write == nil || !strings.Contains(write.Error(), "OOM") {
		t.Errorf("read %v, write %v", read, write)
	}
	s.look(t.Context()) // finds it as it is
	if _, read, write := o.now(); read != nil || write == nil || s.down.Load() {
		t.Errorf("looked at: read %v, write %v", read, write)
	}
	client.ConfigSet(t.Context(), "maxmemory", "0")
	if _, _, err := s.Values.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, _, write := o.now(); write == nil {
		t.Error("a read makes it good for writes")
	}
	s.look(t.Context())
	if _, read, write := o.now(); read != nil || write != nil {
		t.Errorf("with memory again: read %v, write %v", read, write)
	}
}

// A store that comes back full is read at once.
func TestAStoreThatComesBackFullIsRead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	if err := s.Values.Set(t.Context(), "k", "v", time.Hour); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, _, err := s.Values.Get(t.Context(), "k"); err == nil || !s.down.Load() {
		t.Fatal("it is dead and answers")
	}
	server.Run("--maxmemory", "1")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if value, found, err := s.Values.Get(t.Context(), "k"); err == nil && found && value == "v" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it can be read, and is not asked")
		}
	}
}

func TestAStoreTellsHowItEvictsEvenToAUserWhoMayNotConfigureIt(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory-policy", "volatile-lru",
		"--user", "gateway", "on", ">canary", "~{*", "+@connection", "+@read", "+@write", "+@scripting", "+time", "-@dangerous", "+info",
		"--user", "blind", "on", ">canary", "~{*", "+@connection", "+@read", "+@write", "+@scripting", "+time", "-@dangerous")
	for user, wellTold := range map[string]bool{"gateway": true, "blind": false} {
		var o told
		config := o.config(server.Address)
		config.Credentials = func() (string, string) { return user, "canary" }
		s := openTold(t, config)
		s.look(t.Context())
		found, read, write := o.now()
		if read != nil || write != nil {
			t.Fatalf("%s: read %v, write %v", user, read, write)
		}
		if wellTold && (found.Err != nil || found.Policy != "volatile-lru" || found.Evicted != 0) || !wellTold && found.Err == nil {
			t.Errorf("%s: %+v", user, found)
		}
	}
	client := clientOf(t, server)
	client.ConfigSet(t.Context(), "maxmemory", "3mb")
	for i := range 300 {
		client.Set(t.Context(), strings.Repeat("k", i+1), strings.Repeat("x", 20_000), time.Hour)
	}
	var o told
	s := openTold(t, o.config(server.Address))
	s.look(t.Context())
	if found, _, _ := o.now(); found.Evicted == 0 {
		t.Errorf("%+v", found)
	}
	for _, text := range []string{"", "maxmemory_policy:noeviction\r\n", "maxmemory_policy:x\r\nevicted_keys:many\r\n", "evicted_keys:1\r\n"} {
		if found := inspection(text); found.Err == nil {
			t.Errorf("%q: %+v", text, found)
		}
	}
}

func TestAClusterIsReachedAsOneAndRefusedAsAnythingElse(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 2, false).Masters
	for i, node := range nodes {
		s := openTold(t, Config{Addresses: []string{node.Address}, Cluster: true, Prefix: "p", Timeout: patience})
		place := add(t, s, byte(i))
		if !alivePlace(t, s, place) {
			t.Error("a session is not found")
		}
		for _, scope := range []session.Place{{1}, {3, byte(i)}} { // all are counted, no matter which node is asked
			if n, err := s.Sessions.Count(t.Context(), scope); err != nil || n == 0 {
				t.Errorf("%v: %d, %v", scope[:2], n, err)
			}
		}
		if current, err := s.Leases.Acquire(t.Context(), "n", "one", time.Minute); current != "one" || err != nil {
			t.Error(current, err)
		}
		s.look(t.Context())
	}
	refused := 0
	for _, node := range nodes {
		s := openTold(t, Config{Addresses: []string{node.Address}, Prefix: "p", Timeout: patience})
		if _, _, err := s.Values.Get(t.Context(), "k"); err != nil {
			refused++
			if !strings.Contains(err.Error(), "store redis needs the option cluster") || !redis.HasErrorPrefix(err, "MOVED") || s.down.Load() {
				t.Error(err)
			}
		}
	}
	if refused != 1 {
		t.Errorf("%d nodes of 2 have other slots", refused)
	}
	alone := openTold(t, Config{Addresses: []string{redistest.Start(t).Address}, Cluster: true, Prefix: "p", Timeout: patience})
	if _, _, err := alone.Values.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "take the option cluster out") {
		t.Error(err)
	}
	if errors.Unwrap(alone.explained(errDown)) != nil {
		t.Error("what Redis did not say is explained")
	}
}
