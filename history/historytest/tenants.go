package historytest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func tenants(t testing.TB, s history.Store, filter history.TenantFilter) history.TenantPage {
	t.Helper()
	page, err := s.Tenants(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func tenantsAreSearchedSortedAndTurnedByPages(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	of := func(tenant string, class outcome.Class, key int) history.Row {
		r := c.Call(superoffice.ForceResync, class, 612, key)
		r.Tenant = tenant
		return r
	}
	elsewhere := of("Cust3", outcome.OK, 1)
	elsewhere.Environment, elsewhere.App = "stage", "portal"
	Write(t, s, of("Cust2", outcome.OK, 1), of("Cust1", outcome.Error, 1), of("Cust10", outcome.Error, 1), of("Cust10", outcome.OK, 1), of("Cust2", outcome.Error, 2), elsewhere, of("Cust4%", "", 1))
	for name, c := range map[string]struct {
		filter history.TenantFilter
		want   string
		total  int
	}{
		"by name":             {history.TenantFilter{}, "Cust1 Cust10 Cust2 Cust3 Cust4%", 5},
		"the second page":     {history.TenantFilter{Offset: 2, Limit: 2}, "Cust2 Cust3", 5},
		"behind the last":     {history.TenantFilter{Offset: 9}, "", 5},
		"by the last call":    {history.TenantFilter{Order: history.ByLastCall}, "Cust4% Cust2 Cust10 Cust1 Cust3", 5},
		"by the last failure": {history.TenantFilter{Order: history.ByLastFailure, Limit: 3}, "Cust2 Cust10 Cust1", 5},
		"by the last success": {history.TenantFilter{Order: history.ByLastSuccess}, "Cust1 Cust4% Cust3 Cust2 Cust10", 5},
		"search":              {history.TenantFilter{Search: "CUST1"}, "Cust1 Cust10", 2},
		"search for a sign":   {history.TenantFilter{Search: "4%"}, "Cust4%", 1},
		"search for any":      {history.TenantFilter{Search: "_"}, "", 0},
		"search with names":   {history.TenantFilter{Search: "t10", Also: []string{"Cust2", "Cust99"}}, "Cust10 Cust2", 2},
		"an environment":      {history.TenantFilter{Environment: "stage"}, "Cust3", 1},
		"an app":              {history.TenantFilter{App: "portal"}, "Cust3", 1},
		"what fails":          {history.TenantFilter{Failing: true}, "Cust1 Cust2", 2},
	} {
		page := tenants(t, s, c.filter)
		var names []string
		for _, found := range page.Tenants {
			names = append(names, found.Tenant)
			if len(found.Connections) == 0 {
				t.Errorf("%s: %s has no connection", name, found.Tenant)
			}
		}
		if got := strings.Join(names, " "); got != c.want || page.Total != c.total {
			t.Errorf("%s: %s of %d", name, got, page.Total)
		}
	}
	if _, err := s.Tenants(t.Context(), history.TenantFilter{Order: "1; DROP TABLE calls"}); err == nil {
		t.Error("an order that is none")
	}
}

func aTenantIsShownWithItsConnectionsAsTheyAre(t *testing.T, fresh New) {
	s, now := fresh(t).Open(t, ThisNode), time.Now().Truncate(time.Microsecond)
	c := &Calls{}
	at := func(ago time.Duration, class outcome.Class, connection int32, keys ...any) history.Row {
		r := c.Call(superoffice.ForceResync, class, connection, keys...)
		took := r.Ended.Sub(r.Started)
		r.Started = now.Add(-ago)
		r.Sent, r.Ended = r.Started, r.Started.Add(took)
		return r
	}
	const day = 24 * time.Hour
	failure, last := at(2*time.Hour, outcome.Error, 612, 3, 4), at(time.Hour, "", 612)
	last.Decision, last.Reason, last.Sends = "refused", "rate_limited", 0
	success, other := at(3*time.Hour, outcome.Warning, 612, 1), at(time.Minute, outcome.Fault, -1)
	Write(t, s, at(60*day, outcome.OK, 612, 1), at(10*day, outcome.OK, 612, 1, 2), failure, success, last, other)
	page := tenants(t, s, history.TenantFilter{Now: now})
	if len(page.Tenants) != 1 || page.Tenants[0].Tenant != "Cust12345" || page.Tenants[0].Environment != "online" || len(page.Tenants[0].Connections) != 2 || !page.Oldest.Equal(now.Add(-60*day)) || page.Since.IsZero() {
		t.Fatalf("%+v", page)
	}
	crm, erp := page.Tenants[0].Connections[0], page.Tenants[0].Connections[1]
	if crm.Connection != 0 || crm.LastSuccess != nil || crm.LastFailure.RequestID != other.RequestID || crm.Failing != 0 || !crm.Everything {
		t.Errorf("%+v", crm)
	}
	if erp.App != "erp" || erp.Connection != 612 || erp.Failing != 2 || erp.Everything {
		t.Errorf("%+v", erp)
	}
	if l := erp.Last; l.RequestID != last.RequestID || l.Reason != "rate_limited" || l.Outcome != "" || !l.At.Equal(last.Started) {
		t.Errorf("last %+v", l)
	}
	if l := erp.LastFailure; l.RequestID != failure.RequestID || l.Outcome != outcome.Error || l.ErrorCode != "E1" || !l.At.Equal(failure.Started) {
		t.Errorf("last failure %+v", l)
	}
	if l := erp.LastSuccess; l.RequestID != success.RequestID || l.Outcome != outcome.Warning {
		t.Errorf("last success %+v", l)
	}
	if want := (history.Brief{Calls: 3, Keys: 3, Succeeded: 1, Failed: 1, Refused: 1}); erp.Day != want {
		t.Errorf("a day: %+v", erp.Day)
	}
	if want := (history.Brief{Calls: 4, Keys: 5, Succeeded: 2, Failed: 1, Refused: 1}); erp.Month != want {
		t.Errorf("a month: %+v", erp.Month)
	}
}

func theLastFailureIsNoneThatSucceededAfterAll(t *testing.T, fresh New) {
	place, c := fresh(t), NewCalls()
	s := place.Open(t, ThisNode)
	failure, cut := c.Call(superoffice.ForceResync, outcome.Error, 612, 1), c.Call(superoffice.ForceResync, outcome.OK, 612, 2)
	began := cut
	began.Ended, began.Outcome = time.Time{}, ""
	Write(t, s, failure, began)
	lastFailure := func() string {
		u := tenants(t, s, history.TenantFilter{}).Tenants[0].Connections[0]
		return fmt.Sprint(u.LastFailure.RequestID, " ", u.Last.Outcome)
	}
	s = place.Open(t, ThisNode)
	if got := lastFailure(); got != cut.RequestID+" unknown" {
		t.Errorf("nobody saw its end: %s", got)
	}
	Write(t, s, cut)
	if got := lastFailure(); got != failure.RequestID+" ok" {
		t.Errorf("its end came: %s", got)
	}
}
