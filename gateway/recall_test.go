package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// visitor is a person who is signed in, at every gateway of a store.
type visitor struct {
	client *http.Client
	header http.Header
	token  session.Token
}

func visitorOf(t *testing.T, g *gatewaytest.Fixture, name string) visitor {
	t.Helper()
	client, xsrf := g.SignIn(name)
	return visitor{client, http.Header{"X-Xsrf-Token": {xsrf}}, sessionToken(t, g, client)}
}

func (v visitor) call(g *gatewaytest.Fixture, body string, more http.Header) gatewaytest.Answer {
	return g.Do(v.client, http.MethodPost, gatewaytest.TenantPath, body, merged(v.header, more))
}

func (v visitor) signOut(t *testing.T, g *gatewaytest.Fixture) {
	t.Helper()
	if got := g.Do(v.client, http.MethodPost, "/erpsync/sign-out", "", v.header); got.Status != http.StatusOK {
		t.Fatalf("sign-out: %d %s", got.Status, got.Body)
	}
}

// copied is a browser whose cookie a sign-out does not take.
func (v visitor) copied(t *testing.T) visitor {
	t.Helper()
	v.client = &http.Client{Transport: withCookie(gateway.SessionCookie + "=" + v.token.Cookie())}
	return v
}

type withCookie string

func (c withCookie) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Cookie", string(c))
	return http.DefaultTransport.RoundTrip(r)
}

func merged(one, two http.Header) http.Header {
	all := one.Clone()
	for name, values := range two {
		all[name] = values
	}
	return all
}

func portal(change func(*gateway.AppConfig)) gatewaytest.Option {
	return gatewaytest.Configure(func(c *gateway.Config) { change(&c.Apps[0]) })
}

// Whatever a call would have been refused for, a person who has signed out elsewhere is asked to sign in, as if nothing were
// remembered; and is told that the store gives no answer where it gives none.
func TestASessionThatIsOnlyRememberedIsRefusedAsIfItWereNot(t *testing.T) {
	t.Parallel()
	running := func(t *testing.T, g *gatewaytest.Fixture, body string) (end func()) {
		t.Helper()
		held := make(chan struct{})
		g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
		other := visitorOf(t, g, "per")
		sent := len(g.Sent())
		var group sync.WaitGroup
		group.Go(func() { other.call(g, body, nil) })
		gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == sent+1 })
		return func() {
			close(held)
			group.Wait()
		}
	}
	for name, c := range map[string]struct {
		options []gatewaytest.Option
		prepare func(*testing.T, *gatewaytest.Fixture) (end func())
		body    string
		header  http.Header
		status  int
		reason  string // "": it is served
	}{
		"served":                      {body: oneKey(1), status: 200},
		"with a key":                  {body: oneKey(1), header: http.Header{"Idempotency-Key": {"k"}}, status: 200},
		"a dry run":                   {body: oneKey(1), header: http.Header{"Erpsync-Dry-Run": {"true"}}, status: 200},
		"beside its connection":       {body: oneKey(1), header: http.Header{"Prefer": {"respond-async"}}, status: 202},
		"the app's token is another":  {body: oneKey(1), header: http.Header{"So-Apptoken": {"x"}}, status: 403, reason: "app_token_mismatch"},
		"suspended":                   {options: []gatewaytest.Option{portal(func(a *gateway.AppConfig) { a.Tenants = auth.Tenants{"Cust12345": {Suspended: true}} })}, body: oneKey(1), status: 403, reason: "tenant_suspended"},
		"not granted":                 {options: []gatewaytest.Option{portal(func(a *gateway.AppConfig) { a.Operations = a.Operations[1:] })}, body: oneKey(1), status: 403, reason: "operation_not_granted"},
		"a body that means nothing":   {body: `{`, status: 400, reason: "body_not_understood"},
		"a body of another type":      {body: `x`, header: http.Header{"Content-Type": {"image/png"}}, status: 415, reason: "media_type_unsupported"},
		"a body that is too long":     {body: strings.Repeat(" ", 5000), status: 413, reason: "body_too_large"},
		"a header that means nothing": {body: oneKey(1), header: http.Header{"Erpsync-Dry-Run": {"maybe"}}, status: 400, reason: "header_not_understood"},
		"everything":                  {body: `{"ErpConnectionId":612}`, status: 403, reason: "resync_all_denied"},
		"on hold": {prepare: func(t *testing.T, g *gatewaytest.Fixture) func() {
			putOnHold(t, g, hold.Target{}, time.Time{})
			return func() {}
		}, body: oneKey(1), status: 503, reason: "on_hold"},
		"no room here": {
			[]gatewaytest.Option{limits(guard.Limits{Connection: 1, PerSecond: -1}, 0)},
			func(t *testing.T, g *gatewaytest.Fixture) func() { return running(t, g, oneKey(9)) },
			oneKey(1), nil, 429, "too_many_in_flight",
		},
		"the same call runs here": {nil, func(t *testing.T, g *gatewaytest.Fixture) func() { return running(t, g, oneKey(1)) }, oneKey(1), nil, 409, "call_running"},
		"over its rate here": {
			[]gatewaytest.Option{limits(guard.Limits{PerSecond: 0.0001}, 0)},
			func(t *testing.T, g *gatewaytest.Fixture) func() {
				other := visitorOf(t, g, "per")
				for i := range 1000 {
					if other.call(g, oneKey(i+10), nil).Status == http.StatusTooManyRequests {
						break
					}
				}
				return func() {}
			}, oneKey(1), nil, 429, "rate_limited",
		},
	} {
		for end, want := range map[string]struct {
			status int
			reason string
		}{"signed out elsewhere": {http.StatusUnauthorized, "sign_in_again"}, "without the store": {http.StatusServiceUnavailable, "session_store_unavailable"}} {
			t.Run(name+", "+end, func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t)
				elsewhere := gatewaytest.New(t, inRedis(t, server.Address))
				g := elsewhere.Beside(append([]gatewaytest.Option{inRedis(t, server.Address)}, c.options...)...)
				for range 100 { // the gateways' requests have different ids
					g.Do(nil, http.MethodGet, "/erpsync/live", "", nil)
				}
				tove := visitorOf(t, elsewhere, "tove")
				if c.prepare != nil {
					defer c.prepare(t, g)()
				}
				first := tove.call(g, c.body, c.header)
				if first.Status != c.status || c.reason != "" && !strings.Contains(first.Body, c.reason) {
					t.Fatalf("while it is there: %d %s", first.Status, first.Body)
				}
				gatewaytest.WaitFor(t, func() bool { return g.Logs.FilterMessage("erpsync call").Len() > 0 }) // of one beside its connection, too
				if line := g.Audited(); line["principal"] != g.SO.User("Cust12345", "tove").UPN {
					t.Errorf("of whom: %v", line)
				}
				sent := len(g.Sent())
				copied := tove.copied(t)
				if end == "without the store" {
					server.Kill()
				} else {
					tove.signOut(t, elsewhere)
				}
				if !g.Sessions().Recalls(tove.token) {
					t.Fatal("it is not remembered")
				}
				got := copied.call(g, c.body, c.header)
				if got.Status != want.status || !strings.Contains(got.Body, want.reason) || got.Header.Get("Accept") != "" || got.Header.Get("ErpSync-Replayed") != "" {
					t.Errorf("%d %s %v", got.Status, got.Body, got.Header)
				}
				if g.Logs.FilterMessage("store unavailable; this gateway holds its part of rate and in_flight by itself").Len() > 0 {
					t.Error("it was decided on without the store")
				}
				for _, field := range []string{"principal", "scheme", "app", "keys_count", "keys", "connection_id", "waited"} {
					if value, told := g.Audited()[field]; told {
						t.Errorf("the audit line names what was not proved: %s %v", field, value)
					}
				}
				if n := len(g.Sent()); n != sent {
					t.Errorf("%d were sent", n-sent)
				}
			})
		}
	}
}

func TestWhoIsSignedOutAtOneGatewayIsRefusedByTheNextCallAtAnotherThatRemembers(t *testing.T) {
	t.Parallel()
	for name, out := range map[string]func(*testing.T, *gatewaytest.Fixture, visitor){
		"signed out": func(t *testing.T, g *gatewaytest.Fixture, v visitor) { v.signOut(t, g) },
		"the person, at every gateway": func(t *testing.T, g *gatewaytest.Fixture, v visitor) {
			if got := g.Do(v.client, http.MethodPost, "/erpsync/sign-out?everywhere=true", "", v.header); got.Status != http.StatusOK {
				t.Fatal(got.Body)
			}
		},
		"the person": func(t *testing.T, g *gatewaytest.Fixture, _ visitor) {
			revoke(t, g, gateway.Revocation{Tenant: "Cust12345", User: g.SO.User("Cust12345", "tove").UPN})
		},
		"the tenant": func(t *testing.T, g *gatewaytest.Fixture, _ visitor) {
			revoke(t, g, gateway.Revocation{Tenant: "Cust12345"})
		},
		"the app": func(t *testing.T, g *gatewaytest.Fixture, _ visitor) { revoke(t, g, gateway.Revocation{App: "portal"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gateways := fleet(t, redistest.Start(t), 2)
			elsewhere, g := gateways[0], gateways[1]
			tove := visitorOf(t, elsewhere, "tove")
			if got := tove.call(g, oneKey(1), nil); got.Status != http.StatusOK {
				t.Fatal(got.Body)
			}
			copied := tove.copied(t)
			g.SO.Forget()
			out(t, elsewhere, tove)
			if !g.Sessions().Recalls(tove.token) {
				t.Fatal("it is not remembered")
			}
			g.Refused(copied.call(g, oneKey(2), nil), http.StatusUnauthorized, "sign_in_again")
			g.Refused(copied.call(g, oneKey(2), nil), http.StatusUnauthorized, "sign_in_again")
			if g.Sessions().Recalls(tove.token) {
				t.Error("what has ended is remembered")
			}
			if again := visitorOf(t, g, "tove"); again.call(g, oneKey(2), nil).Status != http.StatusOK {
				t.Error("the call that was refused holds something")
			}
		})
	}
}

// What is no call reads the session anew each time.
func TestWhatIsNoCallIsNotAnsweredFromMemory(t *testing.T) {
	t.Parallel()
	gateways := fleet(t, redistest.Start(t), 2, withLookups()...)
	elsewhere, g := gateways[0], gateways[1]
	for name, ask := range map[string]func(visitor) gatewaytest.Answer{
		"the session": func(v visitor) gatewaytest.Answer {
			return g.Do(v.client, http.MethodGet, "/erpsync/session", "", v.header)
		},
		"a look-up": func(v visitor) gatewaytest.Answer {
			return g.Do(v.client, http.MethodPost, lookupPath, `{"connection":612,"erp":"1"}`, v.header)
		},
		"a call's answer": func(v visitor) gatewaytest.Answer {
			return g.Do(v.client, http.MethodGet, callsPath, "", merged(v.header, http.Header{"Idempotency-Key": {"k"}, "Origin": {g.Site}}))
		},
	} {
		tove := visitorOf(t, g, "tove")
		if got := tove.call(g, oneKey(1), nil); got.Status != http.StatusOK {
			t.Fatal(got.Body)
		}
		copied := tove.copied(t)
		if got := ask(copied); got.Status == http.StatusUnauthorized {
			t.Fatalf("%s: %d %s", name, got.Status, got.Body)
		}
		tove.signOut(t, elsewhere)
		if !g.Sessions().Recalls(tove.token) {
			t.Fatal("it is not remembered")
		}
		if got := ask(copied); got.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}

func TestATokenThatAnotherGatewayRenewedIsSentByTheNextCall(t *testing.T) {
	t.Parallel()
	gateways := fleet(t, redistest.Start(t), 2)
	elsewhere, g := gateways[0], gateways[1]
	tove := visitorOf(t, elsewhere, "tove")
	bearer := func(g *gatewaytest.Fixture, i int) string {
		t.Helper()
		g.SO.Forget()
		if got := tove.call(g, oneKey(i), nil); got.Status != http.StatusOK {
			t.Fatal(got.Body)
		}
		return g.Sent()[0].Header.Get("Authorization")
	}
	before := bearer(g, 1)
	age(t, elsewhere, tove.token, -time.Second)
	renewed := bearer(elsewhere, 2)
	if renewed == before {
		t.Fatal("it was not renewed")
	}
	if got := bearer(g, 3); got != renewed {
		t.Error("the old token was sent")
	}
}

// A sign-out ends a call that waits for its turn, where it waits at this gateway and where it waits for another's.
func TestASignOutElsewhereEndsTheWaitOfACall(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1} {
		gateways := fleet(t, redistest.Start(t), 2, limits(guard.Limits{Connection: 1, PerSecond: -1}, time.Minute))
		elsewhere, g := gateways[0], gateways[1]
		tove, per := visitorOf(t, g, "tove"), visitorOf(t, g, "per")
		if got := tove.call(g, oneKey(1), nil); got.Status != http.StatusOK {
			t.Fatal(got.Body)
		}
		held := make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		t.Cleanup(release)
		g.SO.Forget()
		g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
		runs := make(chan gatewaytest.Answer, 1)
		go func() { runs <- per.call(gateways[at], oneKey(2), nil) }()
		gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 })
		waits := make(chan gatewaytest.Answer, 1)
		copied := tove.copied(t)
		already := g.InFlight()
		go func() { waits <- copied.call(g, oneKey(3), nil) }()
		gatewaytest.WaitFor(t, func() bool { return g.InFlight() == already+1 })
		tove.signOut(t, elsewhere)
		release()
		if got := <-runs; got.Status != http.StatusOK {
			t.Errorf("the call under way: %d %s", got.Status, got.Body)
		}
		if got := <-waits; got.Status != http.StatusUnauthorized {
			t.Errorf("the call that waited: %d %s", got.Status, got.Body)
		}
		if n := len(g.Sent()); n != 1 {
			t.Errorf("%d calls were sent", n)
		}
	}
}

// A store that takes nothing tells what it has: those who are signed in go on.
func TestARememberedPersonIsServedFromAFullStore(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := gatewaytest.New(t, inRedis(t, server.Address))
	tove := visitorOf(t, g, "tove")
	fill(t, server)
	if !g.Sessions().Recalls(tove.token) {
		t.Fatal("it is not remembered")
	}
	if got := tove.call(g, oneKey(1), nil); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestAReloadKeepsWhatIsRememberedOfTheStore(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, inRedis(t, redistest.Start(t).Address))
	tove := visitorOf(t, g, "tove")
	next := g.Beside(func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, state **gateway.SharedState) {
		*state = g.State()
	})
	if !next.Sessions().Recalls(tove.token) {
		t.Error("it is not remembered")
	}
	if got := tove.call(next, oneKey(1), nil); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	other := g.Beside(func(_ *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, state **gateway.SharedState) {
		*state = g.State()
		c.Sessions.Idle, c.Sessions.Lifetime = time.Nanosecond, time.Nanosecond
	})
	if other.Sessions().Recalls(tove.token) {
		t.Error("it lasts longer than its configuration says")
	}
}

func TestWhatIsDueIsLoadedAndNotRecalled(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, inRedis(t, redistest.Start(t).Address))
	tove := visitorOf(t, g, "tove")
	age(t, g, tove.token, 30*time.Second)
	if g.Sessions().Recalls(tove.token) {
		t.Error("its token is to be renewed")
	}
	other := g.Beside(func(_ *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, state **gateway.SharedState) {
		*state = g.State()
		c.Sessions.App = "erp"
	})
	age(t, g, tove.token, time.Hour)
	if !g.Sessions().Recalls(tove.token) || other.Sessions().Recalls(tove.token) {
		t.Error("it is of another app")
	}
}

// unconfirming is a claim.Store that finds every session changed.
type unconfirming struct {
	silent
	mu      sync.Mutex
	asked   int
	changes func()
}

func (u *unconfirming) Claim(_ context.Context, _ string, r *claim.Request) (claim.Result, error) {
	if r.Session.Version == 0 {
		return claim.Result{}, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.asked++; u.changes != nil {
		u.changes()
	}
	return claim.Result{Refused: claim.BySession}, nil
}

func TestASessionThatChangesAllTheTimeIsNotAskedForForEver(t *testing.T) {
	t.Parallel()
	store := new(unconfirming)
	g := gatewaytest.New(t, func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		*s = gateway.NewSharedState(session.NewMemory(0, nil), new(lease.Memory), new(auth.MemoryKV), false)
		(*s).ShareLimits(store)
	})
	tove := visitorOf(t, g, "tove")
	g.Refused(tove.call(g, oneKey(1), nil), http.StatusServiceUnavailable, "session_store_unavailable")
	if store.asked < 2 || store.asked > 5 {
		t.Errorf("asked %d times", store.asked)
	}
}

// What was judged is what is sent: a session that became another person's meanwhile was not judged.
func TestASessionThatIsAnothersMeanwhileIsNotSent(t *testing.T) {
	t.Parallel()
	gateways := fleet(t, redistest.Start(t), 2)
	elsewhere, g := gateways[0], gateways[1]
	tove := visitorOf(t, g, "tove")
	if _, _, err := elsewhere.Sessions().Manager.Update(t.Context(), tove.token, func(s *session.Session) { s.Administrator = !s.Administrator }); err != nil {
		t.Fatal(err)
	}
	g.Refused(tove.call(g, oneKey(1), nil), http.StatusServiceUnavailable, "session_store_unavailable")
	if got := tove.call(g, oneKey(1), nil); got.Status != http.StatusOK {
		t.Errorf("judged as it is now: %d %s", got.Status, got.Body)
	}
}

// However a decision is made, it leaves no session unconfirmed.
func TestADecisionWithoutAClaimHasTheSessionLoaded(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	recent := session.NewRecent(0)
	g.Sessions().Manager.Recent = recent
	tove := visitorOf(t, g, "tove")
	copied := tove.copied(t)
	other := *g.Sessions().Manager
	other.Recent = nil
	if err := other.End(t.Context(), tove.token); err != nil {
		t.Fatal(err)
	}
	if !g.Sessions().Recalls(tove.token) {
		t.Fatal("it is not remembered")
	}
	g.Refused(copied.call(g, oneKey(1), nil), http.StatusUnauthorized, "sign_in_again")
}
