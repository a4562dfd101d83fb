package report_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestStatusNamesWhatIsWrongWithATenantAndWhatToDo(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: g.SO.SystemToken("erp", "Cust12345"), Name: "Uno AS"})
	if s := g.status("Cust12345"); s.Attention != "" || s.Token != "import" || s.Name != "Uno AS" || s.Consent != "" || s.TicketSince != nil || s.Last != nil {
		t.Errorf("before any call: %+v", s)
	}
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	s := g.status("cust12345")
	if s.Attention != "" || s.Consent != "approved" || s.TicketSince == nil || s.Last == nil || s.Last.Outcome != "ok" || s.State != "Running" || !strings.HasSuffix(g.SO.Base(), s.Host) {
		t.Errorf("after a call: %+v", s)
	}
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, g.Service())
	if s := g.status("Cust12345"); s.Attention != "error" || s.Failed.ErrorCode != "CONNECTOR_TIMEOUT" || !strings.Contains(s.Remedy, "ERP connection") {
		t.Errorf("after a failed resync: %+v", s)
	}
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	if s := g.status("Cust12345"); s.Attention != "" || s.Failed == nil {
		t.Errorf("after one that succeeded: %+v", s)
	}
	if s := g.status("Cust54321"); !s.Suspended || s.Attention != "" {
		t.Errorf("suspended: %+v", s)
	}

	// A call in flight is counted, and a consent that ended has a way back.
	held := make(chan struct{})
	g.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	done := make(chan gatewaytest.Answer, 1)
	go func() {
		done <- g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[7]}`, g.Service())
	}()
	gatewaytest.WaitFor(t, func() bool { return g.status("Cust12345").InFlight == 1 })
	close(held)
	<-done
	gatewaytest.WaitFor(t, func() bool { return g.status("Cust12345").InFlight == 0 })
	g.SO.Answer(nil)
	g.SO.Revoke("erp", "Cust12345")
	g.check("Cust12345")
	if s := g.status("Cust12345"); s.Attention != "consent_required" || s.Approve != "/erpsync/approve?app=erp&tenant=Cust12345" || !strings.Contains(s.Message, "consent") || s.ConsentSince == nil {
		t.Errorf("after the consent ended: %+v", s)
	}
	g.Approve("erp", "Cust12345", "tove")
	if s := g.status("Cust12345"); s.Attention != "" || s.Token != "approval" || s.ApprovedBy != "tove@uno.example" {
		t.Errorf("after it was given again: %+v", s)
	}
}

func TestAnApprovalThatBringsTheSameTokenCountsAtOnceAfterARefusal(t *testing.T) {
	t.Parallel()
	refuse := make(chan struct{}, 1)
	g := newDesk(t, gatewaytest.Approvals(), gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/Authenticate") {
			return false
		}
		select {
		case <-refuse:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"IsSuccessful":false,"Token":null,"ErrorMessage":"The consent has expired."}`))
			return true
		default:
			return false
		}
	}))
	g.Approve("erp", "Cust12345", "tove")
	refuse <- struct{}{}
	g.Refused(g.Resync(g.Service()), http.StatusForbidden, "consent_required")
	g.Approve("erp", "Cust12345", "tove") // the consent is there: the token is the same one
	if s := g.status("Cust12345"); s.Attention != "" || s.Consent == "consent_required" {
		t.Errorf("status after the approval: %+v", s)
	}
	if got := g.Resync(g.Service()); got.Status != http.StatusOK {
		t.Errorf("after the approval: %d %s", got.Status, got.Body)
	}
}

func TestAStorageThatIsDownIsToldAsThatAndNotAsAMissingApproval(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	g.Storage.SetDown(errDown)
	if s := g.status("Cust12345"); s.Attention != "store_unavailable" || s.Token != "unknown" || s.Approve != "" {
		t.Errorf("status: %+v", s)
	}
	_, err := g.sites.Import(t.Context(), report.ImportRequest{App: "erp", Tenants: []report.ImportTenant{{Line: 1, Tenant: "Cust12345", SystemToken: "x"}}})
	if statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("import: %v", err)
	}
}

func TestSuspendedHoldsForATenantThatTheCaddyfileNames(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/tenants.json"
	gatewaytest.WriteFile(t, file, `{"tenants":[{"tenant":"Cust12345","suspended":true}]}`)
	g := newDesk(t, gatewaytest.Approvals(), gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[0].AnyTenant, c.Apps[0].Tenants, c.Apps[0].TenantsFile = nil, auth.Tenants{"Cust12345": {}}, file
	}))
	g.Refused(g.Resync(g.Service()), http.StatusForbidden, "tenant_suspended")
}

func TestACallSucceedsWithTheTokenThatAnotherGatewayKeptMeanwhile(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-ended"})
	if err := tokensOf(g).Keep(t.Context(), systemuser.Kept{Tenant: "Cust12345", Token: auth.NewSecret(g.SO.SystemToken("erp", "Cust12345")), Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := g.Resync(g.Service()); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestAResyncWhoseEndNobodyKnowsStaysInViewUntilItIsCovered(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: g.SO.SystemToken("erp", "Cust12345"), Name: "Uno AS"})
	g.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Abort: true} })
	lost := g.Resync(g.Service()).Header.Get("ErpSync-Request-Id")
	g.SO.Answer(nil)
	fails := `{"ErpConnectionId":613,"InternalKeyIds":[1]}`
	inView := func(when, attention string) {
		t.Helper()
		s := g.status("Cust12345")
		if s.Attention != attention || s.Unknown == nil || s.Unknown.RequestID != lost || s.Unknowns != 1 || !strings.Contains(s.Remedy, lost) {
			t.Errorf("%s: %+v", when, s)
		}
	}
	inView("at once", "outcome_unknown")
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, fails, g.Service())
	inView("after the next failure", "outcome_unknown")
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`, g.Service())
	inView("after a success that does not cover it", "outcome_unknown")
	g.SO.Revoke("erp", "Cust12345")
	g.check("Cust12345")
	inView("while the consent has ended", "consent_required")
	g.Approve("erp", "Cust12345", "tove")
	again := g.Service()
	again.Set("Idempotency-Key", "meant once more")
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[9,386,230]}`, again); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if s := g.status("Cust12345"); s.Attention != "" || s.Unknown != nil {
		t.Errorf("once it is covered: %+v", s)
	}
}
