package redisstore

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// seen is what looking at a session came to.
func seen(t *testing.T, s *Store, place session.Place) string {
	t.Helper()
	_, found, err := s.Sessions.Get(t.Context(), place)
	switch {
	case err != nil:
		return "error"
	case found:
		return "found"
	}
	return "absent"
}

// While a slot moves, a session may be out of reach for a moment. It is never taken for ended, and a revoked one never for alive.
func TestASlotThatMovesEndsNoSessionAndRevivesNone(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, false)
	s := openTold(t, Config{Addresses: cluster.Addresses(), Cluster: true, Prefix: "p", Timeout: patience})
	s.movingTime = time.Millisecond // what is waited for is the next test's
	alive, revoked := make([]session.Place, 20), make([]session.Place, 20)
	for i := range byte(20) {
		alive[i], revoked[i] = add(t, s, i), add(t, s, 100+i)
		_, r := record(100 + i)
		if err := s.Sessions.Revoke(t.Context(), r.Scopes.Person(), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	counts := make(map[string]int)
	look := func() {
		t.Helper()
		for i := range alive {
			was := seen(t, s, alive[i])
			if counts[was]++; was == "absent" {
				t.Errorf("session %d is signed out", i)
			}
			if was := seen(t, s, revoked[i]); was == "found" {
				t.Errorf("revoked session %d is back", i)
			}
		}
	}
	move := cluster.BeginMove(s.prefix)
	look()
	if counts["error"] > 0 {
		t.Errorf("nothing has moved, and %v", counts)
	}
	// One key at a time, so that every mixture is met.
	record, epoch := s.Sessions.record(alive[0]), s.Sessions.epochPrefix()+string(append([]byte{1}, make([]byte, 31)...))
	move.Keys(1, record)
	if was := seen(t, s, alive[0]); was != "error" { // its epochs are not where it is
		t.Errorf("its record has moved: %s", was)
	}
	move.Keys(1, epoch)
	if was := seen(t, s, alive[1]); was != "error" { // one of its epochs is not where it is
		t.Errorf("the app's epoch has moved: %s", was)
	}
	if current, err := s.Leases.Acquire(t.Context(), "new", "one", time.Hour); current != "one" || err != nil {
		t.Errorf("a lease that is new: %q %v", current, err)
	}
	if set, err := s.Values.SetNX(t.Context(), "new", "v", time.Hour); !set || err != nil {
		t.Errorf("a claim that is new: %v %v", set, err)
	}
	for move.Keys(12) > 0 {
		look()
		if set, err := s.Values.SetNX(t.Context(), "new", "v", time.Hour); set || err != nil {
			t.Errorf("claimed twice: %v %v", set, err)
		}
	}
	move.End()
	before := counts["found"]
	look()
	if counts["found"] != before+len(alive) {
		t.Errorf("the slot has moved, and %d of %d sessions are found", counts["found"]-before, len(alive))
	}
	if set, err := s.Values.SetNX(t.Context(), "new", "v", time.Hour); set || err != nil {
		t.Errorf("claimed twice: %v %v", set, err)
	}
	t.Logf("while the slot moved: %v", counts)
}

// A slot that moves in between two tries is waited for.
func TestAScriptIsRunAgainOnceItsKeysAreTogether(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 2, false)
	s := openTold(t, Config{Addresses: cluster.Addresses(), Cluster: true, Prefix: "p", Timeout: patience})
	place := add(t, s, 1)
	move := cluster.BeginMove(s.prefix)
	move.Keys(1, s.Sessions.record(place))
	var group sync.WaitGroup
	group.Go(func() {
		if was := seen(t, s, place); was != "found" {
			t.Errorf("it is %s", was)
		}
	})
	// The source says how often the script was stopped.
	source := cluster.Client(cluster.Masters[cluster.Holder(s.prefix)])
	for deadline := time.Now().Add(time.Minute); !strings.Contains(source.Info(t.Context(), "errorstats").Val(), "errorstat_ERR:"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			break
		}
	}
	move.End()
	group.Wait()
}

// The slot's master is killed and its replica takes over: what was there is there, and until then there is an error.
func TestAReplicaThatTakesOverHasEverything(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, true)
	s := openTold(t, Config{Addresses: cluster.Addresses(), Cluster: true, Prefix: "p", Timeout: 800 * time.Millisecond})
	place := add(t, s, 1)
	revoked := add(t, s, 2)
	_, r := record(2)
	if err := s.Sessions.Revoke(t.Context(), r.Scopes.Person(), time.Hour); err != nil {
		t.Fatal(err)
	}
	cluster.KillMaster(s.prefix)
	replica := cluster.Client(cluster.Replicas[cluster.Holder(s.prefix)])
	began, promoted := time.Now(), time.Time{}
	refused := 0
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if promoted.IsZero() && strings.Contains(replica.Info(t.Context(), "replication").Val(), "role:master") {
			promoted = time.Now()
		}
		was := seen(t, s, place)
		if was == "absent" {
			t.Fatal("a session is taken for ended")
		}
		if was == "found" {
			break
		}
		if refused++; time.Now().After(deadline) {
			t.Fatal("no replica takes over")
		}
	}
	t.Logf("%d questions failed in %s, the last %s after the replica had taken over", refused, time.Since(began), time.Since(promoted))
	if time.Since(promoted) > 40*time.Second { // the client by itself looks once a minute
		t.Error("the new master was not looked for")
	}
	if was := seen(t, s, revoked); was != "absent" || refused == 0 {
		t.Errorf("the revoked one: %s; refused: %d", was, refused)
	}
	add(t, s, 3) // it takes writes
}

func TestWhatAClusterSaysIsExplained(t *testing.T) {
	t.Parallel()
	cluster := New(Config{Addresses: []string{"127.0.0.1:1"}, Cluster: true})
	alone := New(Config{Addresses: []string{"127.0.0.1:1"}})
	t.Cleanup(func() { _, _ = cluster.Close(), alone.Close() })
	for _, c := range []struct {
		store     *Store
		err, says string
	}{
		{cluster, "CLUSTERDOWN Hash slot not served", "a slot of the Cluster moves, or has no master"},
		{cluster, "TRYAGAIN Multiple keys request during rehashing of slot", "a slot of the Cluster moves, or has no master"},
		{cluster, "ERR Error running script: Script attempted to access a non local key in a cluster node", "a slot of the Cluster moves, or has no master"},
		{alone, "CLUSTERDOWN Hash slot not served", "needs the option cluster"},
		{alone, "MOVED 1 127.0.0.1:2", "needs the option cluster"},
	} {
		if got := c.store.explained(said(c.err)); !strings.Contains(got.Error(), c.says) || !errors.Is(got, said(c.err)) {
			t.Errorf("%s: %v", c.err, got)
		}
	}
}

// said is an error that Redis answered.
type said string

func (s said) Error() string { return string(s) }
func (s said) RedisError()   {}
