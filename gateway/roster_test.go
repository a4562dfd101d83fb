package gateway_test

import (
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

func TestTheGatewaysOfAStoreKnowEachOther(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	named := func(node string) gatewaytest.Option {
		return gatewaytest.On(func(p *gateway.Platform) { p.Node = node })
	}
	one := gatewaytest.New(t, inRedis(t, server.Address), named("one"))
	two := one.Beside(inRedis(t, server.Address), named("two"))
	gatewaytest.WaitFor(t, func() bool {
		all, err := one.State().Gateways(t.Context())
		return err == nil && len(all) == 2
	})
	all, _ := two.State().Gateways(t.Context())
	for i, node := range []string{"one", "two"} {
		if all[i].Node != node || all[i].Version != build.Read().Version || all[i].Started.IsZero() || all[i].Seen.IsZero() || !all[i].Alive() {
			t.Errorf("%+v", all[i])
		}
	}
	if all[1].ID != two.State().ThisGateway().ID || all[0].ID == all[1].ID {
		t.Errorf("%+v", all)
	}
	two.Stop()
	gatewaytest.WaitFor(t, func() bool {
		all, err := one.State().Gateways(t.Context())
		return err == nil && len(all) == 1 && all[0].Node == "one"
	})
	server.Kill()
	if all, err := one.State().Gateways(t.Context()); err == nil {
		t.Errorf("without the store: %+v", all)
	}
	alone := gatewaytest.New(t, named("alone"))
	if all, err := alone.State().Gateways(t.Context()); err != nil || len(all) != 1 || all[0].Node != "alone" {
		t.Errorf("%+v %v", all, err)
	}
}
