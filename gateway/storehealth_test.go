package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

var errStore = errors.New("the store gives no answer: dial tcp 192.0.2.1:6379: i/o timeout")

// ready asks whether a balancer should send calls.
func ready(g *gatewaytest.Fixture) gatewaytest.Answer {
	return g.Do(nil, http.MethodGet, "/erpsync/ready", "", nil)
}

func strict(c *gateway.Config) { c.StrictStore = true }

func TestAStoreIsDownUntilItDoesWhatFailed(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Start(t.Context())
	check := func(read, write string) {
		t.Helper()
		want := "# HELP caddy_erpsync_dependency_up Whether a dependency gave an answer when it was last asked: 1 or 0. Absent until it is asked.\n# TYPE caddy_erpsync_dependency_up gauge\n" +
			"caddy_erpsync_dependency_up{dependency=\"store_read\"} " + read + "\ncaddy_erpsync_dependency_up{dependency=\"store_write\"} " + write + "\n"
		if err := testutil.GatherAndCompare(g.Metrics, strings.NewReader(want), "caddy_erpsync_dependency_up"); err != nil {
			t.Error(err)
		}
	}
	state := g.State()
	state.StoreAnswered(false, nil)
	for range 3 {
		state.StoreAnswered(true, errStore)
		state.StoreAnswered(false, nil)
	}
	check("1", "0")
	if h := state.StoreHealth(); !h.ReadsFail.IsZero() || h.WritesFail.IsZero() || !errors.Is(h.Cause, errStore) {
		t.Errorf("%+v", h)
	}
	if n := g.Logs.FilterMessage("store unavailable").Len(); n != 1 {
		t.Errorf("%d lines say that it is unavailable", n)
	}
	state.StoreAnswered(true, nil)
	check("1", "1")
	if h := state.StoreHealth(); h != (gateway.StoreHealth{}) || g.Logs.FilterMessage("store available again").Len() != 1 {
		t.Errorf("%+v", h)
	}
}

func TestAStoreThatEvictsIsSaidWithWhatItBreaks(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Start(t.Context())
	state := g.State()
	for range 2 {
		state.StoreEvicts("", 0, errors.New("NOPERM"))
	}
	if n := g.Logs.FilterMessageSnippet("+info").Len(); n != 1 {
		t.Errorf("%d lines name the right that is missing", n)
	}
	state.StoreEvicts("noeviction", 5, nil)
	if n := g.Logs.FilterMessageSnippet("evict").Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
	for _, evicted := range []uint64{7, 7, 10, 2, 2} { // it was started anew before the last two
		state.StoreEvicts("volatile-lru", evicted, nil)
	}
	if n := g.Logs.FilterMessage("the store may evict; set maxmemory-policy noeviction").Len(); n != 1 {
		t.Errorf("%d warnings", n)
	}
	lines := g.Logs.FilterMessage("the store evicts").All()
	if len(lines) != 3 || !strings.Contains(lines[0].ContextMap()["breaks"].(string), "a call may run twice") {
		t.Errorf("%+v", lines)
	}
	if h := state.StoreHealth(); h.Evicted != 7 || h.Policy != "volatile-lru" || time.Since(h.EvictedLast) > time.Minute {
		t.Errorf("%+v", h)
	}
	want := "# HELP caddy_erpsync_store_evicted_keys_total Keys that the shared store has evicted since the gateway first asked it.\n# TYPE caddy_erpsync_store_evicted_keys_total counter\ncaddy_erpsync_store_evicted_keys_total 7\n"
	if err := testutil.GatherAndCompare(g.Metrics, strings.NewReader(want), "caddy_erpsync_store_evicted_keys_total"); err != nil {
		t.Error(err)
	}
}

func TestTheStoreIsWatchedWhileAGatewayIsInForce(t *testing.T) {
	t.Parallel()
	watched, ended := make(chan struct{}), make(chan struct{})
	state := gateway.NewMemoryState()
	state.WatchStore(func(ctx context.Context) {
		close(watched)
		<-ctx.Done()
		close(ended)
	})
	g := gatewaytest.New(t, func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, into **gateway.SharedState) {
		*into = state
	})
	ctx, stop := context.WithCancel(t.Context())
	g.Start(ctx)
	<-watched
	stop()
	<-ended
}

func TestAStrictGatewayRefusesResyncsAndIsNotReadyWithoutItsStore(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	lenient := gatewaytest.New(t, inRedis(t, server.Address))
	g := lenient.Beside(inRedis(t, server.Address), gatewaytest.Configure(strict))
	for _, g := range []*gatewaytest.Fixture{g, lenient} {
		if got := g.Resync(g.Service()); got.Status != http.StatusOK || ready(g).Status != http.StatusOK {
			t.Fatalf("with it: %d %s", got.Status, got.Body)
		}
	}
	server.Kill()
	g.SO.Forget()
	g.Refused(g.Resync(g.Service()), http.StatusServiceUnavailable, "store_unavailable")
	if n := len(g.Sent()); n != 0 {
		t.Errorf("%d sent without the store", n)
	}
	if got := ready(g); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("ready without the store: %d", got.Status)
	}
	if got := lenient.Resync(lenient.Service()); got.Status != http.StatusOK || ready(lenient).Status != http.StatusOK {
		t.Errorf("a gateway that goes on for itself: %d %s", got.Status, got.Body)
	}
	server.Run()
	gatewaytest.WaitFor(t, func() bool { return ready(g).Status == http.StatusOK })
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(7), g.Service()); got.Status != http.StatusOK {
		t.Errorf("with it again: %d %s", got.Status, got.Body)
	}
}

// A full store takes nothing and answers what it has.
func TestAFullStoreReplaysWhatWasAnsweredAndRunsNothingThatItCannotNote(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := gatewaytest.New(t, inRedis(t, server.Address))
	first := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a"))
	if first.Status != http.StatusOK {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	fill(t, server)
	g.SO.Forget()
	again := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a"))
	if again.Status != http.StatusOK || again.Body != first.Body || again.Header.Get("ErpSync-Replayed") == "" {
		t.Errorf("repeated: %d %s", again.Status, again.Body)
	}
	got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "b"))
	g.Refused(got, http.StatusServiceUnavailable, "store_unavailable")
	if !strings.Contains(g.Logs.FilterMessage("call not served").All()[0].ContextMap()["error"].(string), "OOM") {
		t.Error("the log does not say that it is full")
	}
}

func fill(t *testing.T, server *redistest.Server) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
}

func TestAPersonWhoseTokenEndsIsServedFromAFullStoreAndRefusedByTheStoresNameWithoutOne(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := gatewaytest.New(t, inRedis(t, server.Address))
	client, xsrf := g.SignIn("tove")
	token := sessionToken(t, g, client)
	age(t, g, token, -time.Second)
	fill(t, server)
	if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-XSRF-TOKEN": {xsrf}}); got.Status != http.StatusOK {
		t.Errorf("a renewed token that cannot be kept: %d %s", got.Status, got.Body)
	}
	stale, _, err := g.Sessions().Manager.Load(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill() // between the proof of the session and its renewal
	began := time.Now()
	if _, refusal := g.Sessions().Fresh(t.Context(), token, stale); refusal == nil || refusal.Reason != "session_store_unavailable" {
		t.Errorf("%+v", refusal)
	}
	t.Logf("refused after %s", time.Since(began))
	if g.Sessions().RenewalFailed(token) {
		t.Error("SuperID's turn to fail was counted")
	}
}
