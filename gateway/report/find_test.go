package report_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func (d *desk) find(q gateway.LookupRequest) (report.Found, error) {
	d.t.Helper()
	if q.Connection == 0 {
		q.Connection = 612
	}
	return d.sites.Find(d.t.Context(), report.FindRequest{App: "erp", Tenant: "Cust12345", LookupRequest: q})
}

func text(s string) *string { return &s }

// In the sandbox no internal key is the id of a record or a number in the ERP system, so that none can be taken for another.
func TestTheKeyIsFoundFromEverySide(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	uno := superoffice.Match{ERPKey: "100386", Key: 386, Record: superoffice.Record{Table: 5, Name: "contact", ID: 40386}, ActorType: 1}
	for name, q := range map[string]gateway.LookupRequest{
		"ERP number": {ERP: text("100386")}, "internal key": {Key: number(386)}, "company": {Contact: number(40386)},
	} {
		found, err := d.find(q)
		if err != nil || len(found.Matches) != 1 || found.Matches[0] != uno || found.Next != 0 || found.Connection != 612 || !strings.Contains(found.Inferred, "not documented") {
			t.Errorf("by %s: %+v %v", name, found, err)
		}
	}
	found, err := d.find(gateway.LookupRequest{Name: text("uno as")})
	uno.Name = "Uno AS"
	if err != nil || len(found.Matches) != 1 || found.Matches[0] != uno {
		t.Errorf("by name: %+v %v", found, err)
	}
	for name, c := range map[string]struct {
		q   gateway.LookupRequest
		key int32
	}{
		"a person":           {gateway.LookupRequest{Person: number(40231)}, 231},
		"a project":          {gateway.LookupRequest{Project: number(40232)}, 232},
		"another connection": {gateway.LookupRequest{Connection: 613, ERP: text("f-100386")}, 386},
		"no such ERP number": {gateway.LookupRequest{ERP: text("386")}, 0},
		"no such key":        {gateway.LookupRequest{Key: number(40386)}, 0},
		"no such company":    {gateway.LookupRequest{Contact: number(386)}, 0},
		"no such connection": {gateway.LookupRequest{Connection: 99, Key: number(386)}, 0},
		"nobody of the name": {gateway.LookupRequest{Name: text("Nobody's")}, 0},
	} {
		found, err := d.find(c.q)
		switch {
		case err != nil || found.Matches == nil || (len(found.Matches) == 0) != (c.key == 0):
			t.Errorf("%s: %+v %v", name, found, err)
		case c.key != 0 && found.Matches[0].Key != c.key:
			t.Errorf("%s: %+v", name, found)
		}
	}
	for _, r := range d.SO.Requests() {
		if strings.Contains(strings.ToLower(r.URI), "/agents/") || r.Method != http.MethodGet && strings.Contains(r.URI, "/api/v1/") {
			t.Errorf("%s %s", r.Method, r.URI)
		}
		if strings.Contains(r.URI, "/archive/") && (!strings.HasPrefix(r.Header.Get("Authorization"), "SOTicket ") || r.Header.Get("So-Apptoken") == "") {
			t.Errorf("not as the system user: %v", r.Header)
		}
	}
}

func TestCompaniesOfANameArePagedAndNoneIsMissed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var keys []int32
	pages := 0
	for after := int32(0); ; pages++ {
		found, err := d.find(gateway.LookupRequest{Name: text("Company 12"), Limit: 7, After: after})
		if err != nil || len(found.Matches) > 7 {
			t.Fatalf("%+v %v", found, err)
		}
		for _, m := range found.Matches {
			keys = append(keys, m.Key)
			if m.Record.ID != m.Key+40000 || !strings.HasPrefix(m.Name, "Company 12") {
				t.Errorf("%+v", m)
			}
		}
		if after = found.Next; after == 0 {
			break
		}
	}
	if len(keys) != 111 || pages != 15 { // 12, 120 to 129, 1200 to 1299
		t.Errorf("%d keys on %d pages", len(keys), pages+1)
	}
}

func TestAnAnswerThatCannotBeTrustedIsAnErrorAndNeverNothingFound(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, how := range []string{"unfiltered", "403", "404", "html"} {
		d.SO.Switch(func(s *sandbox.Switches) { s.KeyArchives = how })
		for name, q := range map[string]gateway.LookupRequest{"by ERP number": {ERP: text("100386")}, "by name": {Name: text("Uno")}, "what there is not": {ERP: text("nothing")}} {
			_, err := d.find(q)
			var own *report.Error
			if !errors.As(err, &own) || own.Status != http.StatusBadGateway || !strings.Contains(err.Error(), "lookup_failed") {
				t.Errorf("%s %s: %v", how, name, err)
			}
		}
	}
	d.SO.Switch(func(s *sandbox.Switches) { s.KeyArchives = "unordered" })
	if _, err := d.find(gateway.LookupRequest{Name: text("Company 12")}); err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("unordered: %v", err)
	}
	d.SO.Switch(func(s *sandbox.Switches) { s.KeyArchives = "texts" })
	if found, err := d.find(gateway.LookupRequest{ERP: text("100386")}); err != nil || len(found.Matches) != 1 || found.Matches[0].Key != 386 {
		t.Errorf("texts: %+v %v", found, err)
	}
	for _, fault := range []string{"429", "500", "503", "cut", "abort"} {
		d.SO.Switch(func(s *sandbox.Switches) { s.Fault, s.FaultAt = fault, "api" })
		if _, err := d.find(gateway.LookupRequest{ERP: text("nothing")}); err == nil || !strings.Contains(err.Error(), "lookup_failed") || strings.Contains(err.Error(), "erpexternalkey") {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

func TestALookupRenewsWhatIsRefusedAndFollowsTheTenantOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"401", "421"} {
		d := newDesk(t)
		d.SO.Switch(func(s *sandbox.Switches) { s.Fault, s.FaultAt, s.FaultTimes = fault, "api", 1 })
		if found, err := d.find(gateway.LookupRequest{ERP: text("100386")}); err != nil || len(found.Matches) != 1 {
			t.Errorf("%s once: %+v %v", fault, found, err)
		}
		d.SO.Switch(func(s *sandbox.Switches) { s.Fault, s.FaultAt, s.FaultTimes = fault, "api", 0 })
		if found, err := d.find(gateway.LookupRequest{ERP: text("nothing")}); err == nil {
			t.Errorf("%s for good: %+v", fault, found)
		}
	}
}

func TestALookupHasTheAppsOwnRightsAndNoMore(t *testing.T) {
	t.Parallel()
	d := newDesk(t, gatewaytest.ApprovalsAndSignIn(), gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[1].Connections = &auth.Connections{IDs: []int32{612}}
		c.Limits.PerSecond = 1000
	}))
	at := func(app, tenant string, connection int32, status int, want string) {
		t.Helper()
		_, err := d.sites.Find(t.Context(), report.FindRequest{App: app, Tenant: tenant, LookupRequest: gateway.LookupRequest{Connection: connection, Key: number(386)}})
		var own *report.Error
		if err == nil || !strings.Contains(err.Error(), want) || status != 0 && (!errors.As(err, &own) || own.Status != status) {
			t.Errorf("%s in %s: %v", app, tenant, err)
		}
	}
	at("portal", "Cust12345", 612, 0, "call_as user")
	at("erp", "Cust54321", 612, http.StatusConflict, "tenant_suspended")
	at("erp", "Cust12345", 612, http.StatusConflict, "/erpsync/approve?app=erp&tenant=Cust12345")
	d.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: d.SO.SystemToken("erp", "Cust12345")})
	at("erp", "Cust12345", 613, http.StatusConflict, "connection_not_granted")
	at("erp", "", 612, 0, "want the form")
	at("erp", "Cust12345", 0, 0, "connection: want")
	at("nobody", "Cust12345", 612, http.StatusNotFound, "nobody")
	if n := len(d.SO.Requests()); n != 0 {
		for _, r := range d.SO.Requests() {
			if strings.Contains(r.URI, "archive") {
				t.Error("an archive was asked")
			}
		}
	}
	if _, err := d.find(gateway.LookupRequest{Key: number(1), ERP: text("1")}); err == nil || !strings.Contains(err.Error(), "want one of") {
		t.Errorf("two questions: %v", err)
	}
	if found, err := d.find(gateway.LookupRequest{Key: number(386)}); err != nil || len(found.Matches) != 1 {
		t.Errorf("%+v %v", found, err)
	}
}

func TestLookupsAreChargedToTheAppsRate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, gatewaytest.Configure(func(c *gateway.Config) { c.Limits.PerSecond = 0.001 }))
	if _, err := d.find(gateway.LookupRequest{Key: number(386)}); err != nil {
		t.Fatal(err)
	}
	_, err := d.find(gateway.LookupRequest{Key: number(386)})
	var own *report.Error
	if !errors.As(err, &own) || own.Status != http.StatusTooManyRequests {
		t.Errorf("%v", err)
	}
	if got := d.Resync(d.Service()); got.Status != http.StatusTooManyRequests {
		t.Errorf("a call beside it: %d", got.Status)
	}
}

func TestOnsiteTheServiceAccountLooksUp(t *testing.T) {
	t.Parallel()
	d := before(t, gatewaytest.Onsite(t, "/so"))
	q := gateway.LookupRequest{Connection: 612, ERP: text("100386")}
	found, err := d.sites.Find(t.Context(), report.FindRequest{App: "erp", LookupRequest: q})
	if err != nil || len(found.Matches) != 1 || found.Matches[0].Key != 386 {
		t.Errorf("%+v %v", found, err)
	}
	if _, err := d.sites.Find(t.Context(), report.FindRequest{App: "erp", Tenant: "Cust12345", LookupRequest: q}); err == nil || !strings.Contains(err.Error(), "has none") {
		t.Errorf("%v", err)
	}
}
