package gateway_test

import (
	"fmt"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// ordered is a call that an operator orders.
func ordered(g *gatewaytest.Fixture, operator string, n int) *gateway.OperatorCall {
	return &gateway.OperatorCall{
		App: g.App("erp"), Tenant: "Cust12345", Operation: superoffice.ForceResync, Operator: operator, RequestID: fmt.Sprintf("%s-%d", operator, n), IdempotencyKey: "retry of r", Retries: "r",
		Arguments: superoffice.Arguments{Connection: 612, Keys: []int32{386, 230}, Stated: superoffice.InternalKeys.Properties()},
	}
}

func TestAnOperatorsCallGoesTheWayOfEveryCall(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t) // whose users are administrators: an operator is no user
	call := ordered(g, "tove", 1)
	if refusal := g.CheckOperatorCall(t.Context(), call); refusal != nil || len(g.Sent()) != 0 || g.Logs.FilterMessage("erpsync call").Len() != 0 {
		t.Fatalf("%+v", refusal)
	}
	result := g.ServeOperatorCall(call)
	sent := g.Sent()
	if result.Refusal != nil || !result.Sent || result.Outcome.Class != outcome.OK || result.Before != "" || len(sent) != 1 || string(sent[0].Body) != `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}` {
		t.Fatalf("%+v, %+v", result, sent)
	}
	for _, message := range []string{"erpsync call started", "erpsync call"} {
		lines := g.Logs.FilterMessage(message).All()
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines", message, len(lines))
		}
		if fields := lines[0].ContextMap(); fields["scheme"] != "operator" || fields["principal"] != "tove" || fields["retries"] != "r" || fields["request_id"] != "tove-1" {
			t.Errorf("%s: %v", message, fields)
		}
	}
}

func TestOperatorsShareTheIdempotencyKeysOfTheirCalls(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	if result := g.ServeOperatorCall(ordered(g, "tove", 1)); result.Outcome.Class != outcome.OK {
		t.Fatalf("%+v", result)
	}
	again := g.ServeOperatorCall(ordered(g, "per", 2))
	if again.Sent || again.Before != "tove-1" || again.Outcome.Class != outcome.OK || again.Refusal != nil || len(g.Sent()) != 1 {
		t.Errorf("%+v, %d sent", again, len(g.Sent()))
	}
	if fields := g.Audited(); fields["decision"] != "replayed" || fields["replays"] != "tove-1" || fields["principal"] != "per" {
		t.Errorf("%v", fields)
	}
	other := ordered(g, "per", 3)
	other.Arguments.Keys = []int32{1}
	if result := g.ServeOperatorCall(other); result.Refusal == nil || result.Refusal.Reason != auth.IdempotencyKeyReused || len(g.Sent()) != 1 {
		t.Errorf("%+v", result)
	}
}

func TestAnOperatorMayNotDoWhatTheAppMayNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*gatewaytest.Fixture, *gateway.OperatorCall)
		reason auth.Reason
	}{
		"another tenant": {func(_ *gatewaytest.Fixture, c *gateway.OperatorCall) { c.Tenant = "Cust99999" }, auth.TenantNotGranted},
		"an operation":   {func(_ *gatewaytest.Fixture, c *gateway.OperatorCall) { c.Operation = superoffice.SyncAll }, auth.OperationNotGranted},
		"everything": {func(_ *gatewaytest.Fixture, c *gateway.OperatorCall) {
			c.Arguments.Keys, c.Arguments.Everything = nil, true
		}, auth.ResyncAllUnconfirmed},
		"as users": {func(f *gatewaytest.Fixture, c *gateway.OperatorCall) { c.App = f.App("portal") }, auth.CredentialUnavailable},
	} {
		g := gatewaytest.New(t)
		call := ordered(g, "tove", 1)
		c.change(g, call)
		if refusal := g.CheckOperatorCall(t.Context(), call); refusal == nil || refusal.Reason != c.reason {
			t.Errorf("%s: %+v", name, refusal)
		}
		result := g.ServeOperatorCall(call)
		if result.Refusal == nil || result.Refusal.Reason != c.reason || result.Sent || len(g.Sent()) != 0 {
			t.Errorf("%s: %+v", name, result)
		}
		if fields := g.Audited(); fields["decision"] != "refused" || fields["reason"] != string(c.reason) || fields["cause"] == nil {
			t.Errorf("%s: %v", name, fields)
		}
	}
}
