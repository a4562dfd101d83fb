package gateway_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// counted returns the values of a metric, by the labels in the order of their names.
func counted(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 {
		return nil
	}
	values := make(map[string]float64)
	for _, metric := range families[i].Metric {
		labels := ""
		for _, pair := range metric.Label {
			labels += pair.GetValue() + " "
		}
		values[labels] = metric.Counter.GetValue()
	}
	return values
}

func TestTheFirstFailureIsAnIncrease(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	outcomes, renewals := counted(t, f.Metrics, "caddy_erpsync_outcomes_total"), counted(t, f.Metrics, "caddy_erpsync_renewals_total")
	tenants, requests := counted(t, f.Metrics, "caddy_erpsync_tenant_calls_total"), counted(t, f.Metrics, "caddy_erpsync_requests_total")
	if len(outcomes) != 3*len(outcome.Classes()) {
		t.Errorf("%v", outcomes)
	}
	for _, kind := range []string{"session_token", "system_ticket"} {
		if n, ok := renewals[kind+" refused "]; !ok || n != 0 {
			t.Errorf("%s: %v", kind, renewals)
		}
	}
	if _, ok := renewals["account_bearer refused "]; ok {
		t.Error("a credential is counted that no app has")
	}
	if n, ok := tenants["failed Cust12345 "]; !ok || n != 0 {
		t.Errorf("%v", tenants)
	}
	for _, reason := range auth.Reasons() {
		if _, ok := requests["refused ForceResync "+string(reason)+" "]; !ok {
			t.Errorf("refused for %s begins with its first", reason)
		}
	}
	if _, ok := requests["allowed ForceResync outcome_unknown "]; !ok {
		t.Error("an unknown outcome begins with its first")
	}

	// A tenant that the file names later begins at 0 too, and a suspended one has no series.
	path := filepath.Join(f.Dir, "tenants.json")
	if err := os.WriteFile(path, []byte(`{"tenants":[{"tenant":"Cust777"},{"tenant":"Cust888","suspended":true}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	gatewaytest.WaitFor(t, func() bool {
		_, ok := counted(t, f.Metrics, "caddy_erpsync_tenant_calls_total")["failed Cust777 "]
		return ok
	})
	if _, ok := counted(t, f.Metrics, "caddy_erpsync_tenant_calls_total")["failed Cust888 "]; ok {
		t.Error("a suspended tenant is counted")
	}
}
