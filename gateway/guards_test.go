package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

var statusPath = strings.Replace(gatewaytest.TenantPath, "ForceResync", "GetEngineStatus", 1)

func TestAnIdempotencyKeyIsItsCallersOwn(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	for i, name := range []string{"tove", "per"} { // of one app, with one key and one body
		client, xsrf := g.SignIn(name)
		got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(http.Header{"X-Xsrf-Token": {xsrf}}, "a"))
		if got.Status != http.StatusOK || got.Header.Get("ErpSync-Replayed") != "" || len(g.Sent()) != i+1 {
			t.Errorf("%s: %d %v %s, %d calls were sent", name, got.Status, got.Header, got.Body, len(g.Sent()))
		}
	}
}

func TestADryRunNeitherUsesAKeyNorIsAnsweredByOne(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	if got := g.Resync(keyed(g.Service(), "a")); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	header := keyed(g.Service(), "a")
	header.Set("ErpSync-Dry-Run", "true")
	for _, body := range []string{gatewaytest.SeedBody, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`} {
		got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, body, header)
		if got.Status != http.StatusOK || !strings.Contains(got.Body, `"dry_run":true`) || got.Header.Get("ErpSync-Replayed") != "" {
			t.Errorf("%s: %d %v %s", body, got.Status, got.Header, got.Body)
		}
	}
}

func TestQuestionsExcludeNobody(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	held := make(chan struct{})
	g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	answers := make(chan gatewaytest.Answer)
	for range 2 {
		go func() { answers <- g.Do(nil, http.MethodPost, statusPath, "", g.Service()) }()
	}
	var early *gatewaytest.Answer
	gatewaytest.WaitFor(t, func() bool {
		select {
		case got := <-answers:
			early = &got
		default:
		}
		return early != nil || len(g.Sent()) == 2
	})
	close(held)
	if early != nil {
		t.Fatalf("refused while another asks the same: %d %s", early.Status, early.Body)
	}
	for range 2 {
		if got := <-answers; got.Status != http.StatusOK {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
}

func TestAXSRFTokenThatComesTwiceProvesNothing(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	client, xsrf := g.SignIn("tove")
	for _, tokens := range [][]string{{xsrf, xsrf}, {xsrf, "x"}, {"x", xsrf}, {}, {""}} {
		g.Refused(g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": tokens}), http.StatusForbidden, "xsrf_invalid")
	}
	if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestTheSameCallRunsOnceAtAllGatewaysOfAStore(t *testing.T) {
	t.Parallel()
	store := inRedis(t, redistest.Start(t).Address)
	one := gatewaytest.New(t, store)
	two := one.Beside(store)
	two.Do(nil, http.MethodGet, "/erpsync/live", "", nil) // the fixtures count their requests, and no two calls have one id
	held := make(chan struct{})
	one.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	done := make(chan gatewaytest.Answer)
	go func() { done <- one.Resync(one.Service()) }()
	gatewaytest.WaitFor(t, func() bool { return len(one.Sent()) == 1 })
	got := make(chan gatewaytest.Answer, 1)
	go func() { got <- two.Resync(two.Service()) }()
	var twice gatewaytest.Answer
	gatewaytest.WaitFor(t, func() bool {
		select {
		case twice = <-got:
			return true
		default:
			return len(one.Sent()) > 1
		}
	})
	close(held)
	first := <-done
	if twice.Status != http.StatusConflict || !strings.Contains(twice.Body, "call_running") || !strings.Contains(twice.Body, first.Header.Get("ErpSync-Request-Id")) || first.Status != http.StatusOK {
		t.Errorf("first %d, at the other gateway %d %s", first.Status, twice.Status, twice.Body)
	}
	one.SO.Answer(nil)
	if again := two.Resync(two.Service()); again.Status != http.StatusOK {
		t.Errorf("afterwards: %d %s", again.Status, again.Body)
	}
}

var errAway = errors.New("the store is away")

// sharing has gateways keep answers in a store of these parts, in which they count nothing together.
func sharing(locker lease.Locker, kv auth.KV) gatewaytest.Option {
	sessions := session.NewMemory(0, nil)
	return func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		*s = gateway.NewSharedState(sessions, locker, kv, false)
	}
}

// tellsNothing is a store that does not say what it keeps.
type tellsNothing struct{ auth.MemoryKV }

func (*tellsNothing) Get(context.Context, string) (string, bool, error) { return "", false, errAway }

// silent counts nothing: it gives no answer.
type silent struct{}

func (silent) Claim(context.Context, string, *claim.Request) (claim.Result, error) {
	return claim.Result{}, errAway
}

func (silent) Renew(context.Context, string, []claim.Holding) (map[int]string, error) {
	return nil, errAway
}

func (silent) Return(context.Context, string, []claim.Holding) error { return errAway }

func TestAStrictGatewayRunsNothingThatMayBeRunningElsewhere(t *testing.T) {
	t.Parallel()
	for _, isStrict := range []bool{true, false} {
		g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.StrictStore = isStrict }), func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
			*s = gateway.NewSharedState(session.NewMemory(0, nil), new(lease.Memory), new(auth.MemoryKV), false)
			(*s).ShareLimits(silent{})
		})
		got := g.Resync(g.Service())
		if isStrict {
			g.Refused(got, http.StatusServiceUnavailable, "store_unavailable")
		} else if got.Status != http.StatusOK {
			t.Errorf("the operator lets each gateway go on: %d %s", got.Status, got.Body)
		}
	}
}

// dialing fails to connect to the agent, for as long as it is to.
type dialing struct {
	http.RoundTripper
	fails  func(attempt int) error
	agents atomic.Int32
}

func (d *dialing) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/Agents/") {
		if err := d.fails(int(d.agents.Add(1))); err != nil {
			return nil, err
		}
	}
	return d.RoundTripper.RoundTrip(r)
}

type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestWhatWasNotReachedIsTriedOnceMoreAndNothingElseIs(t *testing.T) {
	t.Parallel()
	errRefused := errors.New("connection refused")
	for name, c := range map[string]struct {
		fails    func(*gatewaytest.Fixture, int) error
		status   int
		reason   string
		attempts int32
	}{
		"reached at the second attempt": {func(_ *gatewaytest.Fixture, n int) error {
			if n == 1 {
				return errRefused
			}
			return nil
		}, http.StatusOK, "", 2},
		"not reached":         {func(*gatewaytest.Fixture, int) error { return errRefused }, http.StatusBadGateway, "upstream_unreachable", 2},
		"not reached in time": {func(*gatewaytest.Fixture, int) error { return timeout{errRefused} }, http.StatusGatewayTimeout, "upstream_unreachable", 2},
		"on hold before the second attempt": {func(g *gatewaytest.Fixture, _ int) error {
			putOnHold(t, g, hold.Target{App: "erp"}, time.Time{})
			return errRefused
		}, http.StatusBadGateway, "upstream_unreachable", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var g *gatewaytest.Fixture
			transport := &dialing{fails: func(attempt int) error { return c.fails(g, attempt) }}
			g = gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) { transport.RoundTripper, p.Transport = p.Transport, transport }))
			got := g.Resync(g.Service())
			if got.Status != c.status || !strings.Contains(got.Body, c.reason) || transport.agents.Load() != c.attempts {
				t.Errorf("%d %s after %d attempts", got.Status, got.Body, transport.agents.Load())
			}
		})
	}
}
