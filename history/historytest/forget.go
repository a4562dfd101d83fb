package historytest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func aTenantIsForgottenAndNothingElse(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	fillTenant := func(environment, tenant, app string, extra int) {
		t.Helper()
		var rows []history.Row
		add := func(r history.Row) {
			r.RequestID = fmt.Sprint(environment, tenant, app, len(rows))
			r.Environment, r.Tenant, r.App = environment, tenant, app
			rows = append(rows, r)
		}
		code := c.Call(superoffice.ForceResync, outcome.Error, 612, 5)
		code.ErrorCode = "closed"
		refused := c.Call(superoffice.ForceResync, "", 612, 9)
		refused.Decision, refused.Reason = "refused", "rate_limited"
		for _, r := range []history.Row{c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2), code, refused, c.Call(superoffice.ForceResync, outcome.Fault, 612, 7)} {
			add(r)
		}
		open := c.Call(superoffice.ForceResync, "", 612, 9)
		open.Ended = time.Time{}
		add(open)
		for range extra {
			add(c.Call(superoffice.ForceResync, outcome.OK, 612, 99))
		}
		Write(t, s, rows...)
		for _, f := range Failures(t, s, history.Filter{Tenant: tenant, App: app}) {
			if f.ErrorCode == "closed" && f.Environment == environment {
				if _, err := s.CloseFailure(t.Context(), f.ID, history.Closure{By: "me", At: time.Now()}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	fillTenant("online", "Cust1", "erp", 1000+10)
	fillTenant("online", "Cust2", "erp", 0)
	fillTenant("stage", "Cust1", "erp", 0)
	fillTenant("https://crm.example.com", "", "erp", 0)
	fillTenant("https://other.example.com", "", "erp", 0)
	rowsOf := func(environment, tenant string) (n int) {
		t.Helper()
		for _, question := range []string{
			"SELECT Count(*) FROM calls WHERE environment = $1 AND tenant = $2", "SELECT Count(*) FROM days WHERE environment = $1 AND tenant = $2", "SELECT Count(*) FROM refusals WHERE environment = $1 AND tenant = $2",
			"SELECT Count(*) FROM latest WHERE environment = $1 AND tenant = $2", "SELECT Count(*) FROM scopes WHERE environment = $1 AND tenant = $2",
			"SELECT Count(*) FROM failures JOIN scopes ON scopes.id = scope WHERE environment = $1 AND tenant = $2", "SELECT Count(*) FROM failing JOIN scopes ON scopes.id = scope WHERE environment = $1 AND tenant = $2", "SELECT Count(*) FROM closures JOIN scopes ON scopes.id = scope WHERE environment = $1 AND tenant = $2",
		} {
			var rows int
			if err := s.QueryRow(t, question, environment, tenant).Scan(&rows); err != nil {
				t.Fatal(err)
			}
			if n += rows; rows == 0 {
				t.Logf("none: %s", question)
			}
		}
		return n
	}
	forget := func(filter history.ForgetFilter, want history.Forgotten) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			filter.DryRun = dry
			before := rowsOf("online", "Cust1")
			if got, err := s.Forget(t.Context(), filter); err != nil || got != want {
				t.Errorf("%+v: %+v, %v", filter, got, err)
			}
			if dry && rowsOf("online", "Cust1") != before {
				t.Error("a dry run removed something")
			}
		}
	}
	small := history.Forgotten{Calls: 5, Failures: 2, FailingKeys: 3, Closures: 1, Days: int64(len(UsageOf(t, s, history.UsageFilter{Tenant: "Cust2"}).Entries))}
	large := small
	large.Calls += 1000 + 10
	large.Days = int64(len(UsageOf(t, s, history.UsageFilter{Tenant: "Cust1", Environment: "online"}).Entries))
	forget(history.ForgetFilter{Tenant: "Cust1", Environment: "online"}, large)
	if n := rowsOf("online", "Cust1"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	left := rowsOf("stage", "Cust1")
	for _, other := range [][2]string{{"online", "Cust2"}, {"https://crm.example.com", ""}, {"https://other.example.com", ""}} {
		if n := rowsOf(other[0], other[1]); n != left || n < 10 {
			t.Errorf("%v has %d rows, want %d", other, n, left)
		}
	}
	forget(history.ForgetFilter{Tenant: "Cust2", App: "another"}, history.Forgotten{})
	if n := rowsOf("online", "Cust2"); n != left {
		t.Errorf("of another app: %d", n)
	}
	onsite := small
	onsite.Days = int64(len(UsageOf(t, s, history.UsageFilter{Environment: "https://crm.example.com"}).Entries))
	forget(history.ForgetFilter{Environment: "https://crm.example.com"}, onsite)
	if n := rowsOf("https://other.example.com", ""); n != left {
		t.Errorf("another installation onsite: %d", n)
	}
	forget(history.ForgetFilter{Tenant: "Cust2", App: "erp"}, small)
	if n := rowsOf("online", "Cust2"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if _, err := s.Forget(t.Context(), history.ForgetFilter{App: "erp"}); !errors.Is(err, history.ErrForgetNothing) {
		t.Errorf("everybody: %v", err)
	}
}
