package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestADryRunThatAsksTellsWhetherTheConnectionIsActiveAndNothingElse(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	ask := g.Service()
	ask.Set("ErpSync-Dry-Run", "ask")
	for _, c := range []struct {
		archive, told string
		connection    int
		note          string
	}{
		{"typed", `"connection_active":true`, 612, "Nothing was run"},
		{"typed", `"connection_active":false`, 614, "Nothing was run"}, // paused
		{"typed", `"connection_active":false`, 615, "Nothing was run"}, // deleted
		{"typed", `"connection_active":false`, 99, "Nothing was run"},
		{"texts", `"connection_active":true`, 612, "Nothing was run"},
		{"texts", `"connection_active":false`, 614, "Nothing was run"},
		{"unfiltered", `"connection_active":true`, 613, "Nothing was run"},
		{"unfiltered", `"connection_active":false`, 99, "Nothing was run"},
		{"403", "", 612, "SuperOffice did not say"},
		{"404", "", 612, "SuperOffice did not say"},
		{"html", "", 612, "SuperOffice did not say"},
		{"typed", "", 0, "names no connection"},
	} {
		g.SO.Switch(func(s *sandbox.Switches) { s.ConnectionArchive = c.archive })
		g.SO.Forget()
		got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, fmt.Sprintf(`{"ErpConnectionId":%d,"InternalKeyIds":[1]}`, c.connection), ask)
		if got.Status != http.StatusOK || !strings.Contains(got.Body, c.told) || c.told == "" && strings.Contains(got.Body, "connection_active") || !strings.Contains(got.Body, c.note) || strings.Contains(got.Body, "Visma") {
			t.Errorf("%s %d: %d %s", c.archive, c.connection, got.Status, got.Body)
		}
		if len(g.Sent()) != 0 || len(g.SO.Runs()) != 0 || g.Audited()["decision"] != "dry_run" {
			t.Errorf("%s %d: %d calls of the agent, audit %v", c.archive, c.connection, len(g.Sent()), g.Audited())
		}
	}
}

func TestADryRunThatAsksIsRefusedAsTheCallWouldBe(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Revoke("erp", "Cust12345")
	ask := g.Service()
	ask.Set("ErpSync-Dry-Run", "ask")
	g.Refused(g.Resync(ask), http.StatusForbidden, "consent_required")
}

func TestAPersonsDryRunAsksWithTheirOwnRights(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	client, xsrf := g.SignIn("per")
	g.SO.Forget()
	got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-XSRF-TOKEN": {xsrf}, "ErpSync-Dry-Run": {"ask"}})
	if got.Status != http.StatusOK || !strings.Contains(got.Body, `"connection_active":true`) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	requests := g.SO.Requests()
	if len(requests) != 1 || !strings.HasPrefix(requests[0].Header.Get("Authorization"), "Bearer 8A:Cust12345.") {
		t.Errorf("%+v", requests)
	}
}
