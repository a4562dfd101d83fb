package gateway_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestATenantsHealthIsKnownAtEveryGatewayAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	one := gatewaytest.New(t, inRedis(t, server.Address))
	two := one.Beside(inRedis(t, server.Address))
	exchange := func(f *gatewaytest.Fixture) {
		t.Helper()
		if err := f.State().ExchangeHealth(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	one.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Body: `{"IsOk":false,"Status":"Error","ErrorCode":"E1"}`}
	})
	if got := one.Resync(one.Service()); got.Status != 200 {
		t.Fatal(got)
	}
	failed := one.State().Health("erp", "Cust12345").Failed
	if failed.RequestID == "" {
		t.Fatal("the call did not fail")
	}
	exchange(one)
	exchange(two)
	if got := two.State().Health("erp", "Cust12345").Failed; got.RequestID != failed.RequestID || got.Outcome.ErrorCode != "E1" {
		t.Errorf("the other gateway knows %+v", got)
	}
	two.SO.Answer(nil)
	if got := two.Resync(two.Service()); got.Status != 200 {
		t.Fatal(got)
	}
	exchange(two)
	exchange(one)
	if got := one.State().Health("erp", "Cust12345"); got.Succeeded.IsZero() || got.Failed.RequestID != failed.RequestID {
		t.Errorf("%+v", got)
	}
	if dump := server.Dump(); strings.Contains(dump, failed.RequestID) || strings.Contains(dump, "E1\"") || !strings.Contains(dump, "Cust12345") {
		t.Error("what gateways tell each other lies in the store in clear, or not at all")
	}

	// Both end without another exchange, and a gateway that starts then knows it from the first exchange on.
	one.Stop()
	two.Stop()
	anew := one.Beside(inRedis(t, server.Address))
	gatewaytest.WaitFor(t, func() bool { return anew.State().Health("erp", "Cust12345").Failed.RequestID == failed.RequestID })

	// A store that lost everything is told it again.
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	client.FlushAll(t.Context())
	gatewaytest.WaitFor(t, func() bool { return strings.Contains(server.Dump(), "Cust12345") })

	// What is forgotten is so for those who come later.
	anew.State().ForgetHealth("erp", "Cust12345")
	exchange(anew)
	last := one.Beside(inRedis(t, server.Address))
	exchange(last)
	if got := last.State().Health("erp", "Cust12345"); got.Last.RequestID != "" {
		t.Errorf("%+v", got)
	}

	server.Kill()
	if err := anew.State().ExchangeHealth(t.Context()); err == nil {
		t.Error("without the store nothing is missing")
	}
	if err := gatewaytest.New(t).State().ExchangeHealth(t.Context()); err != nil {
		t.Error("a gateway of its own store:", err)
	}
}

// Another gateway of the store that has other apps or keys says nothing here.
func TestHealthIsTakenFromGatewaysOfTheSameKeysForGrantedTenantsAlone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	one := gatewaytest.New(t, inRedis(t, server.Address))
	if got := one.Resync(one.Service()); got.Status != 200 {
		t.Fatal(got)
	}
	if err := one.State().ExchangeHealth(t.Context()); err != nil {
		t.Fatal(err)
	}
	strange := one.Beside(inRedis(t, server.Address), gatewaytest.Configure(func(c *gateway.Config) { c.Keys = [][]byte{[]byte(strings.Repeat("other-key", 4))} }))
	_ = strange.State().ExchangeHealth(t.Context()) // says so, unless the first exchange has
	if got := strange.State().Health("erp", "Cust12345"); got.Last.RequestID != "" {
		t.Errorf("sealed under another key: %+v", got)
	}
	others := one.Beside(inRedis(t, server.Address), gatewaytest.Configure(func(c *gateway.Config) { c.Apps = c.Apps[:1] }))
	if err := others.State().ExchangeHealth(t.Context()); err != nil || len(others.State().HealthTenants("erp")) != 0 {
		t.Errorf("an app that is not here: %v %v", others.State().HealthTenants("erp"), err)
	}
}
