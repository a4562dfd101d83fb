package report_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func TestAProbeIsBegunForATenantThatTheAppIsGrantedInAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t, gatewaytest.ApprovalsAndSignIn())
	for request, want := range map[report.ProbeRequest]string{
		{App: "nobody", Tenant: "Cust12345"}:  `no app "nobody"`,
		{App: "portal", Tenant: "12345"}:      "want the form Cust12345",
		{App: "portal"}:                       "want the form Cust12345",
		{App: "portal", Tenant: "Cust99999"}:  "tenant_not_granted: ",
		{App: "erp", Tenant: "Cust54321"}:     "tenant_suspended: ",
		{App: "portal", Environment: "stage"}: "in environment stage",
	} {
		if _, err := d.sites.Probe(request); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", request, err)
		}
	}
	begun, err := d.sites.Probe(report.ProbeRequest{App: "portal", Tenant: "cust12345"})
	if err != nil || !strings.HasPrefix(begun.Address, "/erpsync/probe?code=") || strings.Contains(begun.Address, begun.ID) || begun.Until.IsZero() {
		t.Fatalf("%+v %v", begun, err)
	}
	if got := d.Do(nil, http.MethodGet, begun.Address, "", nil); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	for range 3 {
		if _, err := d.sites.Probe(report.ProbeRequest{App: "portal", Tenant: "Cust12345"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.sites.Probe(report.ProbeRequest{App: "portal", Tenant: "Cust12345"}); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("%v", err)
	}
	if _, err := d.sites.Probed(t.Context(), "nobody's"); statusOf(err) != http.StatusNotFound {
		t.Errorf("%v", err)
	}
}

func TestAProbeOfAnAppThatNobodySignsInToIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, gatewaytest.Configure(func(c *gateway.Config) { c.Sessions, c.Links.SignIn = nil, "" }))
	if _, err := d.sites.Probe(report.ProbeRequest{App: "portal", Tenant: "Cust12345"}); err == nil || !strings.Contains(err.Error(), "call_as system") {
		t.Error(err)
	}
	onsite := before(t, gatewaytest.Onsite(t, "/crm7"))
	if _, err := onsite.sites.Probe(report.ProbeRequest{App: "erp", Tenant: "Cust12345"}); err == nil || !strings.Contains(err.Error(), "onsite") {
		t.Error(err)
	}
}
