package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func oneKey(i int) string {
	return fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, i)
}

func TestFortyCallsAtOnceAreAllServedAtTheVendorsRateIfTheyMayWait(t *testing.T) {
	t.Parallel()
	const perSecond = 20
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Limits.PerSecond, c.Limits.Connection, c.Wait = perSecond, 4, time.Minute
	}))
	if got := g.Resync(g.Service()); got.Status != http.StatusOK { // the ticket is there
		t.Fatal(got.Body)
	}
	var last atomic.Int64
	g.SO.Answer(func(string, int) *sandbox.Answer {
		last.Store(time.Now().UnixNano())
		return nil
	})
	g.SO.Forget()
	began := time.Now() // before any of them is let through, however long it takes to arrive
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(i+1), g.Service()); got.Status != http.StatusOK {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
	group.Wait()
	if n := len(g.Sent()); n != 40 {
		t.Fatalf("%d calls reached SuperOffice", n)
	}
	if took := time.Unix(0, last.Load()).Sub(began); took < (40-perSecond)*time.Second/perSecond {
		t.Errorf("40 calls at %d a second within %s", perSecond, took)
	}
	waited := 0
	for _, line := range g.Logs.FilterMessage("erpsync call").All() {
		if seconds, ok := line.ContextMap()["waited"].(float64); ok && seconds > 0 && seconds < 60 {
			waited++
		}
	}
	families, err := g.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := uint64(0)
	for _, family := range families {
		if family.GetName() == "caddy_erpsync_wait_seconds" {
			counted = family.Metric[0].Histogram.GetSampleCount()
		}
	}
	if waited == 0 || uint64(waited) != counted {
		t.Errorf("%d audit lines and %d samples tell of a wait", waited, counted)
	}
}

func TestACallThatWaitsInVainIsRefusedAndHasTakenNothing(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Limits, c.Wait = guard.Limits{Connection: 1, PerSecond: -1}, 50*time.Millisecond
	}))
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	first := make(chan gatewaytest.Answer, 1)
	go func() { first <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(1), g.Service()) }()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 })
	got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(2), keyed(g.Service(), "k"))
	if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, "in_flight connection") {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	line := g.Audited()
	if waited, _ := line["waited"].(float64); waited <= 0 || waited > line["duration"].(float64) {
		t.Errorf("%v", line)
	}
	release()
	if got := <-first; got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	gatewaytest.WaitFor(t, func() bool { return g.InFlight() == 0 })
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(2), keyed(g.Service(), "k")); got.Status != http.StatusOK || got.Header.Get("ErpSync-Replayed") != "" {
		t.Errorf("its key is used up: %d %s", got.Status, got.Body)
	}
}

func TestACallWhoseCallerLeavesWaitsNoLongerAndAHoldEndsTheWait(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Limits, c.Wait = guard.Limits{Connection: 1, PerSecond: -1}, time.Minute
	}))
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	first := make(chan gatewaytest.Answer, 1)
	go func() { first <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(1), g.Service()) }()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 })

	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.Site+gatewaytest.TenantPath, strings.NewReader(oneKey(2)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = g.Service()
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	gatewaytest.WaitFor(t, func() bool { return g.InFlight() == 2 })
	leave()
	<-gone
	gatewaytest.WaitFor(t, func() bool { return g.Logs.FilterMessage("erpsync call").Len() == 1 })
	if line := g.Audited(); line["reason"] != "too_many_in_flight" {
		t.Errorf("%v", line)
	}

	second := make(chan gatewaytest.Answer, 1)
	go func() { second <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, oneKey(3), g.Service()) }()
	gatewaytest.WaitFor(t, func() bool { return g.InFlight() == 2 })
	putOnHold(t, g, hold.Target{}, time.Time{})
	release()
	if got := <-first; got.Status != http.StatusOK {
		t.Errorf("the call under way: %d %s", got.Status, got.Body)
	}
	if got := <-second; got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "on_hold") {
		t.Errorf("the call that waited: %d %s", got.Status, got.Body)
	}
	if n := len(g.Sent()); n != 1 {
		t.Errorf("%d calls were sent", n)
	}
}
