package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// fleet is gateways over one Redis, whose requests have different ids.
func fleet(t *testing.T, server *redistest.Server, n int, options ...gatewaytest.Option) []*gatewaytest.Fixture {
	t.Helper()
	gateways := []*gatewaytest.Fixture{gatewaytest.New(t, append([]gatewaytest.Option{inRedis(t, server.Address)}, options...)...)}
	for i := range n - 1 {
		g := gateways[0].Beside(append([]gatewaytest.Option{inRedis(t, server.Address)}, options...)...)
		for range 1000 * (i + 1) {
			g.Do(nil, http.MethodGet, "/erpsync/live", "", nil)
		}
		gateways = append(gateways, g)
	}
	return gateways
}

func limits(l guard.Limits, wait time.Duration) gatewaytest.Option {
	return gatewaytest.Configure(func(c *gateway.Config) { c.Limits, c.Wait = l, wait })
}

// flow counts calls at SuperOffice: all, and those at once.
type flow struct{ calls, now, most atomic.Int32 }

func (f *flow) watch(so *sandbox.Sandbox, takes time.Duration) {
	so.Answer(func(string, int) *sandbox.Answer {
		f.calls.Add(1)
		now := f.now.Add(1)
		for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
		}
		held := make(chan struct{})
		time.AfterFunc(takes, func() {
			f.now.Add(-1)
			close(held)
		})
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`}
	})
}

func TestInFlightHoldsOverAllGatewaysAndCallsThatWaitAreAllServed(t *testing.T) {
	t.Parallel()
	gateways := fleet(t, redistest.Start(t), 2, limits(guard.Limits{Connection: 2, PerSecond: -1}, time.Minute))
	if got := gateways[0].Resync(gateways[0].Service()); got.Status != http.StatusOK {
		t.Fatal(got.Body)
	}
	var f flow
	f.watch(gateways[0].SO, 20*time.Millisecond)
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			g := gateways[i%2]
			if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(i+1), g.Service()); got.Status != http.StatusOK {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
	group.Wait()
	if f.calls.Load() != 30 || f.most.Load() > 2 {
		t.Errorf("%d calls, %d at once through a connection for 2", f.calls.Load(), f.most.Load())
	}
}

func TestARateHoldsOverAllGatewaysAndEachOfThemIsServed(t *testing.T) {
	t.Parallel()
	const perSecond = 10
	gateways := fleet(t, redistest.Start(t), 2, limits(guard.Limits{PerSecond: perSecond}, time.Minute))
	for _, g := range gateways {
		if got := g.Resync(g.Service()); got.Status != http.StatusOK {
			t.Fatal(got.Body)
		}
	}
	gateways[0].SO.Forget()
	var f flow
	f.watch(gateways[0].SO, 0)
	began := time.Now()
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			g := gateways[i%2]
			if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(i+1), g.Service()); got.Status != http.StatusOK {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
	group.Wait()
	if took := time.Since(began); f.calls.Load() != 30 || took < (30-perSecond-1)*time.Second/perSecond {
		t.Errorf("%d calls at %d a second within %s", f.calls.Load(), perSecond, took)
	}
}

func TestLimitsOfAllGatewaysTurnAwayAtOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	gateways := fleet(t, server, 2, limits(guard.Limits{Connection: 1, Tenant: 2, PerSecond: -1}, 0), gatewaytest.Configure(func(c *gateway.Config) { c.CoolDown = time.Hour }))
	one, two := gateways[0], gateways[1]
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	one.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	done := make(chan gatewaytest.Answer, 2)
	go func() {
		done <- one.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(1), keyed(one.Service(), "k"))
	}()
	gatewaytest.WaitFor(t, func() bool { return len(one.Sent()) == 1 })
	full := two.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(2), two.Service())
	if full.Status != http.StatusTooManyRequests || !strings.Contains(full.Body, "in_flight connection") || full.Header.Get("Retry-After") == "" {
		t.Errorf("at the other gateway: %d %s", full.Status, full.Body)
	}
	same := two.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(1), keyed(two.Service(), "k"))
	if same.Status != http.StatusConflict || !strings.Contains(same.Body, `"same_key":true`) {
		t.Errorf("with the key of the call that runs: %d %s", same.Status, same.Body)
	}
	go func() {
		done <- two.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, two.Service())
	}()
	gatewaytest.WaitFor(t, func() bool { return len(one.Sent()) == 2 })
	if got := one.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":614,"InternalKeyIds":[1]}`, one.Service()); got.Status != http.StatusTooManyRequests || !strings.Contains(got.Body, "in_flight tenant") {
		t.Errorf("in the tenant: %d %s", got.Status, got.Body)
	}
	release()
	<-done
	<-done
	one.SO.Answer(nil)
	if got := two.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(1), keyed(two.Service(), "k")); got.Status != http.StatusOK || got.Header.Get("ErpSync-Replayed") == "" {
		t.Errorf("its answer, at the other gateway: %d %s", got.Status, got.Body)
	}
	// A key that was refused a place is not used up, and places are free once more.
	gatewaytest.WaitFor(t, func() bool {
		got := one.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":614,"InternalKeyIds":[1]}`, keyed(one.Service(), "other"))
		return got.Status == http.StatusOK && got.Header.Get("ErpSync-Replayed") == ""
	})
	all := one.Service()
	all.Set("ErpSync-Confirm", "all")
	if got := one.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":615}`, all); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	gatewaytest.WaitFor(t, func() bool {
		got := two.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":615}`, all)
		return got.Status == http.StatusTooManyRequests && strings.Contains(got.Body, "cooling_down") && len(got.Header.Get("Retry-After")) == 4
	})
}

func TestEachGatewayHoldsItsPartOfTheLimitsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	gateways := fleet(t, server, 2, limits(guard.Limits{Connection: 4, PerSecond: -1}, 0))
	for _, g := range gateways {
		if got := g.Resync(g.Service()); got.Status != http.StatusOK {
			t.Fatal(got.Body)
		}
	}
	one := gateways[0]
	gatewaytest.WaitFor(t, func() bool { return one.State().AliveGateways() == 2 })
	server.Kill()
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	one.SO.Forget()
	one.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	answers := make(chan gatewaytest.Answer, 8)
	for i, g := range gateways {
		for range 2 {
			sent := len(one.Sent())
			go func() {
				answers <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(sent+10), g.Service())
			}()
			gatewaytest.WaitFor(t, func() bool { return len(one.Sent()) == sent+1 })
		}
		if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(100+i), g.Service()); got.Status != http.StatusTooManyRequests || !strings.Contains(got.Body, "in_flight connection") {
			t.Errorf("a third of gateway %d, whose part is 2: %d %s", i, got.Status, got.Body)
		}
	}
	if said := one.Logs.FilterMessage("store unavailable; this gateway holds its part of rate and in_flight by itself"); said.Len() != 1 || said.All()[0].ContextMap()["gateways"] != int64(2) {
		t.Errorf("the log says it %d times", said.Len())
	}
	divided := func() float64 {
		families, err := one.Metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "caddy_erpsync_limits_divided_by" {
				return family.Metric[0].GetGauge().GetValue()
			}
		}
		return -1
	}
	if got := divided(); got != 2 {
		t.Errorf("the metric says %g", got)
	}
	// When it is back, the four that run are counted again.
	server.Run()
	gatewaytest.WaitFor(t, func() bool { return divided() == 0 })
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	gatewaytest.WaitFor(t, func() bool {
		n, _ := client.ZCard(t.Context(), "{test}f"+auth.Key("in flight", "erp", "Cust12345", "612")).Result()
		return n == 4
	})
	if got := one.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(200), one.Service()); got.Status != http.StatusTooManyRequests {
		t.Errorf("a fifth: %d %s", got.Status, got.Body)
	}
	release()
	for range 4 {
		if got := <-answers; got.Status != http.StatusOK {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
	if one.Logs.FilterMessage("store available again; rate and in_flight hold over all gateways").Len() != 1 {
		t.Error("the log does not say that the limits hold again")
	}
}

// What a gateway that died held is free when its lease is over.
func TestAPlaceOfADeadGatewayIsFreeAfterItsLease(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := gatewaytest.New(t, inRedis(t, server.Address), limits(guard.Limits{Connection: 1, PerSecond: -1}, 2*claim.TTL+time.Minute))
	var dead *gateway.SharedState
	inRedis(t, server.Address)(nil, nil, nil, &dead)
	place := auth.Key("in flight", "erp", "Cust12345", "612")
	if result, err := dead.Claim(t.Context(), &claim.Request{ID: "dead", Places: []claim.Place{{Name: place, Most: 1}}}); err != nil || result.Refused != claim.Granted {
		t.Fatal(result, err)
	}
	began := time.Now()
	if got := g.Resync(g.Service()); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if took := time.Since(began); took < claim.TTL/2 {
		t.Errorf("it had its place after %s", took)
	}
}

// monitor lists the commands that a Redis is sent, without those of scripts and of new connections, and without what gateways
// read from time to time.
func monitor(t *testing.T, server *redistest.Server) (seen func() []string) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "MONITOR\r\n")
	lines := bufio.NewReader(conn)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { client.Close() })
	var mu sync.Mutex
	n := 0
	return func() (commands []string) {
		mu.Lock()
		defer mu.Unlock()
		n++
		marker := fmt.Sprintf("marker %d", n)
		if err := client.Echo(t.Context(), marker).Err(); err != nil {
			t.Error(err)
			return nil
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Error(err)
				return commands
			}
			if strings.Contains(line, marker) {
				return commands
			}
			if strings.Contains(line, "[0 lua]") || strings.Contains(line, `] "hello"`) || strings.Contains(line, `] "client"`) || strings.Contains(line, `] "echo"`) || strings.Contains(line, `"get" "{test}vholds"`) {
				continue
			}
			commands = append(commands, line)
		}
	}
}

func TestACallAsksTheStoreOnceForAllThatBoundsItAndForASessionThatWasNotSeenLately(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := gatewaytest.New(t, inRedis(t, server.Address), gatewaytest.Configure(func(c *gateway.Config) { c.CoolDown = time.Minute }))
	client, xsrf := g.SignIn("tove")
	person := http.Header{"X-Xsrf-Token": {xsrf}}
	all := g.Service()
	all.Set("ErpSync-Confirm", "all")
	for i, warm := range []http.Header{person, g.Service()} { // scripts are loaded, a ticket is minted
		c := client
		if i == 1 {
			c = nil
		}
		if got := g.Do(c, http.MethodPost, gatewaytest.TenantPath, oneKey(i+1), warm); got.Status != http.StatusOK {
			t.Fatal(got.Body)
		}
	}
	two := g.Beside(inRedis(t, server.Address))
	for range 1000 { // the gateways' requests have different ids
		two.Do(nil, http.MethodGet, "/erpsync/live", "", nil)
	}
	gatewaytest.WaitFor(t, func() bool { return two.State().AliveGateways() == 2 })
	seen := monitor(t, server)
	gatewaytest.WaitFor(t, func() bool { return len(seen()) == 0 }) // what was held is given back
	for name, c := range map[string]struct {
		at            *gatewaytest.Fixture
		client        *http.Client
		path, body    string
		header        http.Header
		before, after int
	}{
		"a person's":                           {g, client, gatewaytest.TenantPath, oneKey(3), person, 1, 1},
		"a person's who was not seen lately":   {two, client, gatewaytest.TenantPath, oneKey(7), person, 2, 1},
		"a service's":                          {g, nil, gatewaytest.TenantPath, oneKey(4), g.Service(), 1, 1},
		"a service's with an Idempotency-Key":  {g, nil, gatewaytest.TenantPath, oneKey(5), keyed(g.Service(), "k"), 1, 2},
		"a service's of everything, cooling":   {g, nil, gatewaytest.TenantPath, `{"ErpConnectionId":613}`, all, 1, 1},
		"a service's that resynchronises none": {g, nil, statusPath, "", g.Service(), 1, 1},
		"a person's with an Idempotency-Key":   {g, client, gatewaytest.TenantPath, oneKey(6), keyed(person, "k"), 1, 2},
		"a service's whose answer is kept":     {g, nil, gatewaytest.TenantPath, oneKey(5), keyed(g.Service(), "again"), 1, 2},
	} {
		var before []string
		g.SO.Answer(func(string, int) *sandbox.Answer {
			before = seen()
			return nil
		})
		if got := c.at.Do(c.client, http.MethodPost, c.path, c.body, c.header); got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		var after []string
		gatewaytest.WaitFor(t, func() bool {
			after = append(after, seen()...)
			return len(after) >= c.after
		})
		if after = append(after, seen()...); len(before) != c.before || len(after) != c.after {
			t.Errorf("%s: before it was sent\n%safter\n%s", name, strings.Join(before, ""), strings.Join(after, ""))
		}
	}
}
