package outcome

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func newMetrics(t *testing.T) (*Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	m, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	return m, registry
}

func TestWhatIsKnownIsCountedFromZero(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	m.KnowApp([]superoffice.Operation{superoffice.ForceResync}, Refusals{Before: []string{"rate_limited"}, After: []string{"outcome_unknown"}})
	m.KnowSystemUser("erp")
	m.KnowTenant("Cust1")
	m.Follow(new(Ledger))
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP caddy_erpsync_requests_total Calls by operation, decision and reason of refusal.
# TYPE caddy_erpsync_requests_total counter
caddy_erpsync_requests_total{decision="allowed",operation="ForceResync",reason=""} 0
caddy_erpsync_requests_total{decision="allowed",operation="ForceResync",reason="outcome_unknown"} 0
caddy_erpsync_requests_total{decision="dry_run",operation="ForceResync",reason=""} 0
caddy_erpsync_requests_total{decision="refused",operation="ForceResync",reason="rate_limited"} 0
caddy_erpsync_requests_total{decision="replayed",operation="ForceResync",reason=""} 0
# HELP caddy_erpsync_renewals_total Credentials minted or renewed, by kind and result.
# TYPE caddy_erpsync_renewals_total counter
caddy_erpsync_renewals_total{kind="system_ticket",result="failed"} 0
caddy_erpsync_renewals_total{kind="system_ticket",result="refused"} 0
caddy_erpsync_renewals_total{kind="system_ticket",result="renewed"} 0
# HELP caddy_erpsync_tenant_calls_total Calls that were granted, by tenant and result: succeeded, accepted (a batch task), or failed for whatever reason.
# TYPE caddy_erpsync_tenant_calls_total counter
caddy_erpsync_tenant_calls_total{result="accepted",tenant="Cust1"} 0
caddy_erpsync_tenant_calls_total{result="failed",tenant="Cust1"} 0
caddy_erpsync_tenant_calls_total{result="succeeded",tenant="Cust1"} 0
# HELP caddy_erpsync_tenants Tenants by app and by what SuperOffice said when it was last asked for a credential of the system user: approved or consent_required.
# TYPE caddy_erpsync_tenants gauge
caddy_erpsync_tenants{app="erp",consent="approved"} 0
caddy_erpsync_tenants{app="erp",consent="consent_required"} 0
# HELP caddy_erpsync_in_flight Calls that SuperOffice has not answered yet.
# TYPE caddy_erpsync_in_flight gauge
caddy_erpsync_in_flight{operation="ForceResync"} 0
`), "caddy_erpsync_requests_total", "caddy_erpsync_renewals_total", "caddy_erpsync_tenant_calls_total", "caddy_erpsync_tenants", "caddy_erpsync_in_flight")
	if err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "caddy_erpsync_outcomes_total"); err != nil || n != len(Classes()) {
		t.Errorf("%d outcomes, %v", n, err)
	}
}

func TestATenantThatNobodyNamedIsCountedFromZeroWhenItsFirstCallBegins(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	m.Began(&Record{Operation: superoffice.ForceResync, Tenant: "Cust1", Granted: true})
	if n, err := testutil.GatherAndCount(registry, "caddy_erpsync_tenant_calls_total"); err != nil || n != 3 {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestABatchTaskIsNeitherASuccessNorAFailure(t *testing.T) {
	t.Parallel()
	m, registry := newMetrics(t)
	ledger := new(Ledger)
	r := &Record{App: "erp", Operation: superoffice.ForceResync, Tenant: "Cust1", Granted: true, Decision: "allowed", Outcome: Outcome{Class: Error}}
	m.Ended(r)
	ledger.Ended(r)
	r.Operation, r.Outcome.Class = superoffice.ForceResyncBatchTask, Accepted
	m.Ended(r)
	ledger.Ended(r)
	if h := ledger.TenantHealth("erp", "Cust1"); !h.Succeeded.IsZero() || h.Failed.Outcome.Class != Error || h.Last.Outcome.Class != Accepted {
		t.Errorf("%+v", h)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP caddy_erpsync_tenant_calls_total Calls that were granted, by tenant and result: succeeded, accepted (a batch task), or failed for whatever reason.
# TYPE caddy_erpsync_tenant_calls_total counter
caddy_erpsync_tenant_calls_total{result="accepted",tenant="Cust1"} 1
caddy_erpsync_tenant_calls_total{result="failed",tenant="Cust1"} 1
caddy_erpsync_tenant_calls_total{result="succeeded",tenant="Cust1"} 0
`), "caddy_erpsync_tenant_calls_total"); err != nil {
		t.Error(err)
	}
}
