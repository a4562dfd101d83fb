package report_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestACheckGoesStepByStepAndSaysWhatToDoWhereItEnds(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	at := func(tenant, step, found, remedy string) {
		t.Helper()
		c := g.check(tenant)
		last := c.Steps[len(c.Steps)-1]
		if c.OK != (remedy == "") || last.Name != step || !strings.Contains(last.Found, found) || !strings.Contains(last.Remedy, remedy) {
			t.Errorf("%s: %+v", tenant, c)
		}
	}
	at("Cust54321", "registry", "tenant_suspended", "suspended")
	at("Cust99999", "state", "tenant_unknown", "check the environment")
	at("cust12345", "token", "no_system_token", "/erpsync/approve?app=erp&tenant=Cust12345")
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-wrong"})
	at("Cust12345", "credential", "consent_required", "/erpsync/approve?app=erp&tenant=Cust12345")
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: g.SO.SystemToken("erp", "Cust12345"), Name: "Uno AS"})
	at("Cust12345", "connections", "612 Visma, 613 Failing ERP", "")
	if c := g.check("Cust12345"); c.Calls != 4 || len(c.Steps) != 6 {
		t.Errorf("%d calls, %d steps", c.Calls, len(c.Steps))
	}
	mints := g.SO.Mints("ticket")
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != http.StatusOK {
		t.Errorf("after the check: %d %s", got.Status, got.Body)
	}
	if g.SO.Mints("ticket") != mints {
		t.Error("the call did not use the ticket that the check minted")
	}
	g.SO.SetState("Cust12345", "Suspended")
	at("Cust12345", "state", "tenant_not_running (Suspended)", "ask SuperOffice")
	g.SO.SetState("Cust12345", "Running")
	g.SO.Move("Cust12345", "http://elsewhere.example")
	at("Cust12345", "state", "host_not_trusted", "report it")
}

func TestACheckOfNothingThatThereIsSaysWhatToName(t *testing.T) {
	t.Parallel()
	d := newDesk(t, gatewaytest.Approvals())
	for request, want := range map[report.CheckRequest]string{
		{App: "erb", Tenant: "Cust12345"}:     `no app "erb" is configured; did you mean erp?`,
		{App: "nightly", Tenant: "Cust12345"}: `no app "nightly" is configured`,
		{App: "erp"}:                          "in which tenant? name one, such as caddy erpsync check erp Cust12345, or write --all",
		{App: "erp", Tenant: "12345"}:         `tenant "12345": want the form Cust12345`,
	} {
		if _, err := d.sites.Check(t.Context(), request); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", request, err, want)
		}
	}
}

func TestACheckFindsThatSuperOfficeDoesNotGrantTheAgent(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals(), asQuote)
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: g.SO.SystemToken("quote", "Cust12345")})
	for _, how := range []string{"error", "message", "aspnet", "empty", "unauthorized"} {
		g.SO.Switch(func(s *sandbox.Switches) { s.Refusal = how })
		c := g.check("Cust12345")
		if last := c.Steps[len(c.Steps)-1]; c.OK || last.Name != "agent" || !strings.Contains(last.Remedy, "app manager") {
			t.Errorf("%s: %+v", how, c)
		}
	}
}

func TestACheckAsksOnDemandWhetherTheERPSystemsAreAlive(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Configure(func(c *gateway.Config) { c.Apps[1].Connections = &auth.Connections{IDs: []int32{612, 614, 615}} }))
	erp := func() report.Check {
		t.Helper()
		check, err := g.sites.Check(t.Context(), report.CheckRequest{App: "erp", Tenant: "Cust12345", ERP: true})
		if err != nil {
			t.Fatal(err)
		}
		return check
	}
	last := func(c report.Check) report.Step { return c.Steps[len(c.Steps)-1] }
	if c := g.check("Cust12345"); last(c).Name != "connections" {
		t.Errorf("asked without being told to: %+v", c)
	}
	c := erp()
	if said := last(c); !c.OK || said.Name != "erp" || said.Found != "612 Visma: the ERP system answers, never synchronised; 614 Paused ERP: not active, never synchronised" {
		t.Errorf("%+v", c)
	}
	for _, run := range g.SO.Runs() { // questions alone, and of no connection that is another's
		if run.Connection == 613 || run.Operation != "GetEngineStatus" && run.Operation != "GetErpSyncConnectionSummary" && run.Operation != "TestConnectionById" {
			t.Errorf("%+v", run)
		}
	}
	if got := g.Resync(g.Service()); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if said := last(erp()); !strings.Contains(said.Found, "612 Visma: the ERP system answers, last synchronised 20") {
		t.Errorf("%+v", said)
	}
	g.SO.Switch(func(s *sandbox.Switches) { s.ERP = "gone" })
	if c := erp(); c.OK || last(c).Name != "erp" || !strings.Contains(last(c).Found, "the ERP system does not answer") || last(c).Remedy == "" {
		t.Errorf("gone: %+v", c)
	}
	for answer, want := range map[string]sandbox.Answer{"answered HTTP 500": {Status: 500, Body: "x"}, "in JSON": {Body: "<html>"}} {
		g.SO.Answer(func(operation string, _ int) *sandbox.Answer {
			if operation == "GetEngineStatus" {
				return nil
			}
			return &want
		})
		if c := erp(); c.OK || !strings.Contains(last(c).Found, "connection 612 cannot be asked about") || !strings.Contains(last(c).Found, answer) {
			t.Errorf("%s: %+v", answer, c)
		}
	}
}

func TestCallersCannotAskHowAnERPSystemIs(t *testing.T) {
	t.Parallel()
	g := newDesk(t)
	for _, operation := range []string{"GetErpSyncConnectionSummary", "TestConnectionById"} {
		g.Refused(g.Do(nil, http.MethodPost, "/Cust12345/api/v1/Agents/ErpSync/"+operation, `{"ErpConnectionId":612}`, g.Service()), http.StatusForbidden, "operation_not_granted")
	}
}
