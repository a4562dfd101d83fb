package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func keyed(header http.Header, key string) http.Header {
	header = header.Clone()
	header.Set("Idempotency-Key", key)
	return header
}

func TestAnIdempotencyKeyIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	first := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a"))
	if first.Status != 200 || first.Header.Get("ErpSync-Replayed") != "" {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	again := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a"))
	if again.Status != 200 || again.Body != first.Body || again.Header.Get("Content-Type") != first.Header.Get("Content-Type") ||
		again.Header.Get("ErpSync-Outcome") != "ok" || again.Header.Get("ErpSync-Replayed") != first.Header.Get("ErpSync-Request-Id") || again.Header.Get("ErpSync-Request-Id") == first.Header.Get("ErpSync-Request-Id") {
		t.Errorf("repeated: %d %v %s", again.Status, again.Header, again.Body)
	}
	if line := g.Audited(); line["decision"] != "replayed" || line["replays"] != first.Header.Get("ErpSync-Request-Id") {
		t.Errorf("audit: %v", line)
	}
	if n := len(g.Sent()); n != 1 {
		t.Errorf("%d sends", n)
	}
	if got := g.Sent()[0].Header.Get("Idempotency-Key"); got != "" {
		t.Error("the key went upstream")
	}
	g.SO.Forget()
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`, keyed(g.Service(), "a")), 422, "idempotency_key_reused")
	// The key stands for the caller's bytes, not for what they mean: a gateway of another version knows them again.
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, " "+gatewaytest.SeedBody, keyed(g.Service(), "a")), 422, "idempotency_key_reused")
	// Another person's key of the same name is another key.
	client, xsrf := g.SignIn("per")
	if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(http.Header{"X-XSRF-TOKEN": {xsrf}}, "a")); got.Status != 200 || got.Header.Get("ErpSync-Replayed") != "" {
		t.Errorf("another principal: %d %v", got.Status, got.Header)
	}
}

func TestWhatBecameOfAKeyedCallDecidesWhatItsRepeatGets(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != 200 { // a ticket is there
		t.Fatal(got.Body)
	}
	for name, c := range map[string]struct {
		answer        *sandbox.Answer
		first, repeat int
		reason        string
		sends         int
	}{
		"a failed resync is an answer":      {&sandbox.Answer{Body: `{"IsOk":false,"Status":"Error"}`}, 200, 200, "", 1},
		"so is an error of SuperOffice's":   {&sandbox.Answer{Status: 500, Body: `{"Message":"x"}`}, 500, 500, "", 1},
		"no answer is known to nobody":      {&sandbox.Answer{Abort: true}, 424, 424, "outcome_unknown", 1},
		"an answer too long is not kept":    {&sandbox.Answer{Body: `{"IsOk":true,"X":"` + strings.Repeat("x", 1<<20) + `"}`}, 200, 409, "answer_not_kept", 1},
		"nor is one that is not passed on":  {&sandbox.Answer{Status: 302}, 502, 424, "outcome_unknown", 1},
		"one that turns the call away runs": {&sandbox.Answer{Status: 425}, 502, 502, "upstream_answer_refused", 2},
	} {
		g.SO.Forget()
		g.SO.Answer(func(string, int) *sandbox.Answer { return c.answer })
		first := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), name))
		repeat := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), name))
		if first.Status != c.first || repeat.Status != c.repeat || !strings.Contains(repeat.Body, c.reason) || len(g.Sent()) != c.sends {
			t.Errorf("%s: %d, then %d %.200s, %d sends", name, first.Status, repeat.Status, repeat.Body, len(g.Sent()))
		}
	}
}

func TestAKeyedCallWhoseCallerLeftIsFinishedAndItsAnswerKept(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	held := make(chan struct{})
	g.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"ErrorCode":"late"}`}
	})
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.Site+gatewaytest.TenantPath, strings.NewReader(gatewaytest.SeedBody))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = keyed(g.Service(), "a")
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	gone := make(chan error)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a")); got.Status != 409 || !strings.Contains(got.Body, "call_running") || !strings.Contains(got.Body, `"same_key":true`) {
		t.Errorf("while it runs: %d %s", got.Status, got.Body)
	}
	close(held)
	gatewaytest.WaitFor(t, func() bool {
		got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a"))
		return got.Status == 200 && strings.Contains(got.Body, "late")
	})
	if n := len(g.Sent()); n != 1 {
		t.Errorf("%d sends", n)
	}
}

func TestADryRunTellsAndSendsNothing(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	header := g.Service()
	header.Set("ErpSync-Dry-Run", "true")
	header.Set("Idempotency-Key", "a")
	got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header)
	for _, want := range []string{`"dry_run":true`, `"decision":"allowed"`, `"app":"erp"`, `"tenant":"Cust12345"`, `"connection_id":612`, `"keys":2`, `"call_as":"system"`, `"note":"Rights only; SuperOffice was not asked."`} {
		if got.Status != 200 || !strings.Contains(got.Body, want) {
			t.Errorf("no %s in %d %s", want, got.Status, got.Body)
		}
	}
	if g.Audited()["decision"] != "dry_run" || len(g.SO.Requests()) != 0 || g.SO.Mints("ticket") != 0 {
		t.Errorf("%v; %d requests, %d tickets", g.Audited(), len(g.SO.Requests()), g.SO.Mints("ticket"))
	}
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612}`, header), 403, "resync_all_unconfirmed")
	header.Del("ErpSync-Dry-Run")
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header); got.Status != 200 || got.Header.Get("ErpSync-Replayed") != "" {
		t.Errorf("the real call after it: %d %v", got.Status, got.Header)
	}
	g.SO.Forget()
	for name, value := range map[string]string{"ErpSync-Dry-Run": "yes", "Idempotency-Key": "ø"} {
		header := g.Service()
		header.Set(name, value)
		g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header), 400, "header_not_understood")
	}
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Authorization": g.Service()["Authorization"], "Erpsync-Dry-Run": {"false", "true"}}), 400, "header_not_understood")
}

func TestTheSameCallTwiceAtOnceIsRefusedWhateverTheOrderOfItsKeys(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	held := make(chan struct{})
	g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	done := make(chan gatewaytest.Answer)
	go func() { done <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()) }()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 })
	twice := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"InternalKeyIds":[230,386,386],"ErpConnectionId":612}`, g.Service())
	if twice.Status != 409 || !strings.Contains(twice.Body, "call_running") || strings.Contains(twice.Body, "same_key") {
		t.Errorf("%d %s", twice.Status, twice.Body)
	}
	other := make(chan gatewaytest.Answer)
	go func() {
		other <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"InternalKeyIds":[230],"ErpConnectionId":612}`, g.Service())
	}()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 2 })
	close(held)
	first := <-done
	if first.Status != 200 || (<-other).Status != 200 || !strings.Contains(twice.Body, first.Header.Get("ErpSync-Request-Id")) {
		t.Errorf("%d; %s does not name %s", first.Status, twice.Body, first.Header.Get("ErpSync-Request-Id"))
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != 200 {
		t.Errorf("afterwards: %d %s", got.Status, got.Body)
	}
}

func TestLimitsTurnAwayAtOnce(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) {
		config.Limits.PerSecond, config.Limits.Connection, config.CoolDown = 3, 1, time.Hour
	}))
	held := make(chan struct{})
	g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	done := make(chan gatewaytest.Answer)
	go func() { done <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()) }()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 })
	const next = `{"ErpConnectionId":612,"InternalKeyIds":[1]}`
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, next, g.Service()); got.Status != 429 || !strings.Contains(got.Body, "too_many_in_flight") || got.Header.Get("Retry-After") == "" {
		t.Errorf("a second one in flight: %d %s", got.Status, got.Body)
	}
	close(held)
	<-done
	var turned atomic.Int32
	var group sync.WaitGroup
	for range 60 { // as many as a machine would have to work on for twenty seconds to let all through
		group.Go(func() {
			got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, next, g.Service())
			if got.Status == 429 && strings.Contains(got.Body, "rate_limited") && got.Header.Get("Retry-After") == "1" {
				turned.Add(1)
			}
		})
	}
	group.Wait()
	if turned.Load() == 0 {
		t.Error("sixty calls at once went through a limit of three a second")
	}
	g = gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) { config.CoolDown = time.Hour }))
	all := g.Service()
	all.Set("ErpSync-Confirm", "all")
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612}`, all); got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612}`, all); got.Status != 429 || !strings.Contains(got.Body, "cooling_down") || got.Header.Get("Retry-After") == "" {
		t.Errorf("everything again: %d %s", got.Status, got.Body)
	}
	for name, body := range map[string]string{"another connection": `{"ErpConnectionId":613}`, "named keys": gatewaytest.SeedBody} {
		if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, body, all); got.Status != 200 {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}

// trusting takes an origin as one where tenants' APIs may live.
func trusting(t *testing.T, origin string) gatewaytest.Option {
	return gatewaytest.Configure(func(config *gateway.Config) {
		var err error
		if config.Environment, err = superoffice.NewEnvironment(config.Environment.Base(), origin); err != nil {
			t.Fatal(err)
		}
	})
}

func TestATenantThatCannotBeReachedIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	closed := "http://" + testport.Address(t)
	g := gatewaytest.New(t, trusting(t, closed))
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	g.SO.Move("Cust12345", closed)
	gone := func() gatewaytest.Answer {
		return g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	}
	gone() // 421 of the old host sends the gateway to the new one
	g.SO.Forget()
	began, causes := time.Now(), make(map[any]int)
	for range 50 {
		if got := gone(); got.Status == 502 && strings.Contains(got.Body, "upstream_unreachable") {
			causes[g.Audited()["outcome_cause"]]++
		}
	}
	// It is tried again once in half a second at most.
	tried := 1 + int(time.Since(began)/(500*time.Millisecond))
	if n := causes["a_moment_ago"]; n < 50-tried || len(causes) > 2 || n+causes[nil] != 50 {
		t.Errorf("they were told %v in %s", causes, time.Since(began))
	}
}
