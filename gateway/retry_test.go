package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// keysRequired has every app take calls with an Idempotency-Key alone.
var keysRequired = gatewaytest.Configure(func(c *gateway.Config) {
	for i := range c.Apps {
		c.Apps[i].KeyRequired = true
	}
})

// insist sends a call again and again, whatever becomes of it, as clients do that repeat every error.
func insist(t *testing.T, g *gatewaytest.Fixture, body string, header http.Header) (answers []string) {
	t.Helper()
	for range 5 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.Site+gatewaytest.TenantPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header.Clone()
		req.Header.Set("Content-Type", "application/json")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			answers = append(answers, "broken")
			continue
		}
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if answers = append(answers, fmt.Sprint(resp.StatusCode)); err == nil && resp.StatusCode == http.StatusOK {
			break
		}
	}
	return answers
}

func TestAClientThatRetriesEverythingRunsNoCallTwice(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, keysRequired)
	key := 0
	for name, fault := range map[string]*sandbox.Answer{
		"well":                        nil,
		"no answer":                   {Abort: true},
		"an answer that breaks off":   {Status: 200, Body: `{"IsOk":true,`, Abort: true},
		"a long one that breaks off":  {Status: 200, Body: `{"IsOk":true,"X":"` + strings.Repeat("x", 2<<20), Abort: true},
		"an error":                    {Status: 500, Body: `{"Message":"x"}`},
		"too many":                    {Status: 429, Header: http.Header{"Retry-After": {"0"}}},
		"a gateway before it":         {Status: 502},
		"unavailable":                 {Status: 503, Header: http.Header{"Retry-After": {"0"}}},
		"a gateway that gave up":      {Status: 504},
		"a time-out":                  {Status: 408},
		"a redirect":                  {Status: 302, Header: http.Header{"Location": {"/login"}}},
		"a page":                      {Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}},
		"a resync that failed":        {Body: `{"IsOk":false,"Status":"Error"}`},
		"an answer too long to keep":  {Status: 500, Body: strings.Repeat("x", 2<<20)},
		"a credential that was taken": {Status: 403, Body: `{"Error":true}`},
	} {
		key++
		g.SO.Answer(func(string, int) *sandbox.Answer { return fault })
		before := len(g.SO.Runs())
		answers := insist(t, g, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, key), keyed(g.Service(), name))
		if n := len(g.SO.Runs()) - before; n != 1 {
			t.Errorf("%s: ran %d times; answers %v", name, n, answers)
		}
	}
}

func TestAnAppCanDemandAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, keysRequired)
	g.Refused(g.Resync(g.Service()), http.StatusBadRequest, "idempotency_key_missing")
	dry := g.Service()
	dry.Set("ErpSync-Dry-Run", "true")
	g.Refused(g.Resync(dry), http.StatusBadRequest, "idempotency_key_missing") // it says what would happen
	if got := g.Resync(keyed(g.Service(), "a")); got.Status != http.StatusOK {
		t.Errorf("with a key: %d %s", got.Status, got.Body)
	}
	status := strings.Replace(gatewaytest.TenantPath, "ForceResync", "GetEngineStatus", 1)
	if got := g.Do(nil, http.MethodPost, status, "", g.Service()); got.Status != http.StatusOK {
		t.Errorf("an operation that moves nothing: %d %s", got.Status, got.Body)
	}
}

func TestTheIdenticalCallIsRefusedWhileTheOneThatWasNotAnsweredMayBeRunning(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*sandbox.Answer{
		"no answer":                        {Abort: true},
		"an answer that breaks off":        {Status: 200, Body: `{"IsOk":true,`, Abort: true},
		"a gateway before it that gave up": {Status: 504},
	} {
		g := gatewaytest.New(t)
		g.SO.Answer(func(string, int) *sandbox.Answer { return fault })
		first := g.Resync(g.Service())
		g.SO.Answer(nil)
		again := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"InternalKeyIds":[230,386,386],"ErpConnectionId":612}`, g.Service())
		if again.Status != http.StatusConflict || !strings.Contains(again.Body, `"reason":"call_running"`) || !strings.Contains(again.Body, first.Header.Get("ErpSync-Request-Id")) || len(again.Header.Get("Retry-After")) < 3 {
			t.Errorf("%s: first %d %s, the same again %d %v %s", name, first.Status, first.Body, again.Status, again.Header, again.Body)
		}
		if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[386]}`, g.Service()); got.Status != http.StatusOK {
			t.Errorf("%s: another call: %d %s", name, got.Status, got.Body)
		}
		if got := g.Resync(keyed(g.Service(), "meant once more")); got.Status != http.StatusOK {
			t.Errorf("%s: with a new key: %d %s", name, got.Status, got.Body)
		}
	}
}

func TestOtherGatewaysOfAStoreKnowThatACallMayBeRunningStill(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	one := gatewaytest.New(t, inRedis(t, server.Address))
	two := one.Beside(inRedis(t, server.Address))
	one.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Abort: true} })
	if got := one.Resync(one.Service()); got.Status != http.StatusFailedDependency {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	one.SO.Answer(nil)
	one.SO.Forget()
	two.Refused(two.Resync(two.Service()), http.StatusConflict, "call_running")
}

func TestAnAnswerThatBreaksOffBeforeAnyOfItWasPassedOnIsToldAsUnknown(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Status: 200, Body: `{"IsOk":true,`, Abort: true}
	})
	got := g.Resync(g.Service())
	if got.Status != http.StatusFailedDependency || !strings.Contains(got.Body, "outcome_unknown") || got.Header.Get("Retry-After") != "" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	gatewaytest.WaitFor(t, func() bool { return g.Logs.FilterMessage("erpsync call").Len() == 1 })
	if line := g.Audited(); line["outcome"] != "unknown" || line["reason"] != "outcome_unknown" || line["decision"] != "allowed" {
		t.Errorf("audit: %v", line)
	}
}
