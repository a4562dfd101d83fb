package report_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/redisstore"
	"github.com/caddy-erpsync/caddy-erpsync/auth/roster"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func openStore(t *testing.T, address string) *redisstore.Store {
	t.Helper()
	store := redisstore.New(redisstore.Config{Addresses: []string{address}, Prefix: "test", Timeout: time.Minute})
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// inRedis keeps what gateways share in a Redis.
func inRedis(t *testing.T, address string) gatewaytest.Option {
	t.Helper()
	return func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, state **gateway.SharedState) {
		store := openStore(t, address)
		*state = gateway.NewSharedState(store.Sessions, store.Leases, store.Values, false)
		(*state).KeepRoster(store.Gateways)
		(*state).ShareHealth(store.Board)
	}
}

func named(node string) gatewaytest.Option {
	return gatewaytest.On(func(p *gateway.Platform) { p.Node = node })
}

// pair are operators' places before two gateways in force with one Redis.
func pair(t *testing.T) (one, two *desk, stopTwo func(), server *redistest.Server) {
	t.Helper()
	server = redistest.Start(t)
	first := gatewaytest.New(t, inRedis(t, server.Address), named("one"))
	second := first.Beside(inRedis(t, server.Address), named("two"))
	one, two = before(t, first), before(t, second)
	gatewaytest.WaitFor(t, func() bool {
		all, err := first.State().Gateways(t.Context())
		return err == nil && len(all) == 2
	})
	return one, two, second.Stop, server
}

func nodes(all []report.GatewayStatus) (names []string) {
	for _, g := range all {
		names = append(names, g.Node)
	}
	slices.Sort(names)
	return names
}

func TestStatusNamesEveryGatewayOfTheStore(t *testing.T) {
	t.Parallel()
	one, two, _, server := pair(t)
	for _, d := range []*desk{one, two} {
		status, err := d.sites.Status(t.Context(), "node", "")
		if err != nil || status.GatewaysUnknown != "" || !slices.Equal(nodes(status.Gateways), []string{"one", "two"}) || len(status.Troubles) > 0 {
			t.Fatalf("%+v %v", status, err)
		}
		for _, g := range status.Gateways {
			if g.Version != build.Read().Version || g.Started.IsZero() || g.Seen.IsZero() || !g.Alive || g.This != (g.Node == d.State().ThisGateway().Node) {
				t.Errorf("%+v", g)
			}
		}
	}
	gatewaytest.WaitFor(t, func() bool { return len(one.State().KnownGateways()) == 2 })
	server.Kill()
	status, err := one.sites.Status(t.Context(), "node", "")
	if err != nil || !slices.Equal(nodes(status.Gateways), []string{"one"}) || !strings.HasPrefix(status.GatewaysUnknown, "not heard: two (") || !strings.Contains(status.GatewaysUnknown, "the store gives no answer") {
		t.Errorf("without the store: %+v %q %v", status.Gateways, status.GatewaysUnknown, err)
	}
}

func TestStatusSaysOfATenantWhatAnyGatewayKnows(t *testing.T) {
	t.Parallel()
	one, two, _, server := pair(t)
	one.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Body: `{"IsOk":false,"Status":"Error","ErrorCode":"E1"}`}
	})
	if got := one.Resync(one.Service()); got.Status != 200 {
		t.Fatal(got)
	}
	one.status("Cust12345") // tells it
	if got := two.status("Cust12345"); got.Failed == nil || got.Failed.ErrorCode != "E1" || got.Attention != "error" {
		t.Errorf("%+v", got)
	}
	server.Kill()
	status, err := two.sites.Status(t.Context(), "node", "Cust12345")
	if err != nil || status.GatewaysUnknown == "" || two.status("Cust12345").Failed == nil {
		t.Errorf("without the store: %q %v", status.GatewaysUnknown, err)
	}
}

func TestAGatewayThatIsSilentNeedsAttention(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	besideADeadOne := func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, state **gateway.SharedState) {
		(*state).KeepRoster(silent{openStore(t, server.Address).Gateways})
	}
	d := before(t, gatewaytest.New(t, inRedis(t, server.Address), named("one"), besideADeadOne))
	status, err := d.sites.Status(t.Context(), "node", "")
	if err != nil || len(status.Troubles) != 1 || status.Troubles[0].What != "gateway_silent" || !strings.Contains(status.Troubles[0].Cause, "gone (v0)") || status.Troubles[0].Since == nil {
		t.Errorf("%+v %v", status.Troubles, err)
	}
}

// silent lists one gateway more, which has given no sign of life for a minute.
type silent struct{ roster.Store }

func (s silent) Gateways(ctx context.Context) ([]roster.Gateway, error) {
	all, err := s.Store.Gateways(ctx)
	return append(all, roster.Gateway{ID: "x", Node: "gone", Version: "v0", Seen: time.Now().Add(-time.Minute), Silent: time.Minute}), err
}

func TestAnOrderSaysOnWhichGatewaysItHasTakenEffect(t *testing.T) {
	t.Parallel()
	one, two, stopTwo, server := pair(t)
	by := report.By{Name: "tove"}
	held, err := one.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: report.HoldTarget{Tenant: word("Cust12345")}, Reason: "repair"}, by)
	if err != nil || held.Effect.Unknown != "" || !slices.Equal(nodes(held.Effect.On), []string{"one", "two"}) || len(held.Effect.Missing) > 0 {
		t.Fatalf("%+v %v", held, err)
	}
	if two.State().Holds.Count() != 1 { // it is so, and not only said
		t.Error("two holds nothing")
	}
	released, err := two.sites.Release(t.Context(), report.ReleaseRequest{HoldTarget: report.HoldTarget{Tenant: word("Cust12345")}})
	if err != nil || !slices.Equal(nodes(released.Effect.On), []string{"one", "two"}) || one.State().Holds.Count() != 0 {
		t.Errorf("%+v %v", released, err)
	}
	revoked, err := one.sites.Revoke(t.Context(), report.Revocation{App: word("erp")})
	if err != nil || revoked.Effect.Unknown != "" || !slices.Equal(nodes(revoked.Effect.On), []string{"one", "two"}) {
		t.Errorf("%+v %v", revoked, err)
	}

	// One that no longer follows is named, and so is one that is dead.
	stopTwo()
	gatewaytest.WaitFor(t, func() bool {
		all, err := one.State().Gateways(t.Context())
		return err == nil && len(all) == 1
	})
	stuck := openStore(t, server.Address).Gateways
	if err := stuck.Note(t.Context(), roster.Gateway{ID: "s", Node: "stuck", Version: "v0"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	held, err = one.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: report.HoldTarget{All: true}, Reason: "repair"}, by)
	if err != nil || !slices.Equal(nodes(held.Effect.On), []string{"one"}) || !slices.Equal(nodes(held.Effect.Missing), []string{"stuck"}) {
		t.Errorf("%+v %v", held, err)
	}
	revoked, err = one.sites.Revoke(t.Context(), report.Revocation{App: word("erp")})
	if err != nil || !slices.Equal(nodes(revoked.Effect.Missing), []string{"stuck"}) {
		t.Errorf("%+v %v", revoked, err)
	}
}

func TestAnOrderAtAGatewayOfItsOwnStoreIsInEffectThere(t *testing.T) {
	t.Parallel()
	d := newDesk(t, named("alone"))
	revoked, err := d.sites.Revoke(t.Context(), report.Revocation{App: word("erp")})
	if err != nil || !slices.Equal(nodes(revoked.Effect.On), []string{"alone"}) || len(revoked.Effect.Missing) > 0 || revoked.Effect.Unknown != "" {
		t.Errorf("%+v %v", revoked, err)
	}
}
