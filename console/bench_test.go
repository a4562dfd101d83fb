package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// BenchmarkOverviewOfTenThousandTenants is what a page costs beside what is asked for.
func BenchmarkOverviewOfTenThousandTenants(b *testing.B) {
	w, now := newWorld(), time.Now()
	app := &w.statuses.Apps[0]
	app.Tenants, w.used = nil, nil
	for i := range 10_000 {
		tenant := fmt.Sprintf("Cust%d", 30_000+i)
		app.Tenants = append(app.Tenants, report.TenantStatus{Tenant: tenant, Name: fmt.Sprintf("Customer number %d AS", i), Granted: true, Succeeded: &now})
		w.used = append(w.used, console.Usage{Day: now.UTC().Truncate(24 * time.Hour), Environment: "online", App: "erp", Tenant: tenant, Connection: 612, Counts: console.Counts{Succeeded: 90}, LastSuccess: now})
		if i%3 == 0 {
			w.fails.Failures = append(w.fails.Failures, report.Failure{Group: int64(i), Environment: "online", App: "erp", Tenant: tenant, Connection: 612, Outcome: "error", Keys: 1})
		}
	}
	c := console.New(console.Config{Source: w, Logger: zap.NewNop()})
	defer c.Close()
	for b.Loop() {
		rec := httptest.NewRecorder()
		if c.ServeHTTP(rec, request(http.MethodGet, "/")); rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}
