package report_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// newSite is a gateway in force, of the app portal with one tenant, that nobody calls.
func newSite(t *testing.T, origin string, state *gateway.SharedState, tenants ...superoffice.Tenant) *report.Site {
	t.Helper()
	environment, err := superoffice.NewEnvironment("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := outcome.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	granted := make(auth.Tenants)
	for _, tenant := range tenants {
		granted[tenant] = auth.TenantGrant{}
	}
	g, err := gateway.New(gateway.Config{
		Environment: environment, Paths: superoffice.OnlinePaths(), Keys: [][]byte{[]byte(strings.Repeat("test-key", 4))},
		Apps:     []gateway.AppConfig{{Name: "portal", Agents: []string{"ErpSync"}, Operations: []superoffice.Operation{superoffice.ForceResync}, CallAs: auth.AsUser, Tenants: granted}},
		Sessions: &gateway.SessionConfig{App: "portal"},
	}, gateway.Platform{Logger: zap.NewNop(), Audit: zap.NewNop(), Metrics: metrics, Background: context.Background}, state)
	if err != nil {
		t.Fatal(err)
	}
	return &report.Site{Gateway: g, Origin: func() string { return origin }}
}

func word(s string) *string { return &s }

func said(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// uncounted is a store that revokes and does not count.
type uncounted struct{ session.Store }

func (uncounted) Count(context.Context, session.Place) (int, error) {
	return 0, errors.New("the store gives no answer")
}

func TestARevocationSaysWhatItEndedAndWhetherAnybodyIsKnownByThatName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request  report.Revocation
		sessions int
		unknown  string
	}{
		"an app":                {report.Revocation{App: word("portal")}, 3, ""},
		"no app":                {report.Revocation{App: word("portla")}, 0, `no app "portla" is configured, and nobody has a session of it; did you mean portal?`},
		"a tenant":              {report.Revocation{Tenant: word("Cust1")}, 2, ""},
		"a quiet tenant":        {report.Revocation{Tenant: word("Cust2")}, 0, ""},
		"a tenant that left":    {report.Revocation{Tenant: word("Cust3")}, 1, ""},
		"no tenant":             {report.Revocation{Tenant: word("Cust9")}, 0, "no app is granted in Cust9, none was approved there, and nobody of it has a session"},
		"a person":              {report.Revocation{Tenant: word("Cust1"), User: word("TOVE@uno.example")}, 1, ""},
		"a person of elsewhere": {report.Revocation{Tenant: word("Cust2"), User: word("tove@uno.example")}, 0, "nobody called tove@uno.example has a session in Cust2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sites report.Sites
			state := gateway.NewMemoryState()
			site := newSite(t, "", state, "Cust1", "Cust2")
			sites.Add(site)
			sites.Add(newSite(t, "https://other.example", state, "Cust1", "Cust2")) // whose store is the same
			manager := site.Sessions().Manager
			for upn, tenant := range map[string]superoffice.Tenant{"tove@uno.example": "Cust1", "per@uno.example": "Cust1", "ada@tres.example": "Cust3"} {
				if _, _, err := manager.Start(t.Context(), session.Session{App: "portal", Tenant: tenant, UPN: upn, Refresh: auth.NewSecret("x")}); err != nil {
					t.Fatal(err)
				}
			}
			epoch := func() string {
				epoch, err := manager.RevocationEpoch(t.Context(), said(c.request.App), superoffice.Tenant(said(c.request.Tenant)), said(c.request.User))
				if err != nil {
					t.Fatal(err)
				}
				return epoch
			}
			before := epoch()
			got, err := sites.Revoke(t.Context(), c.request)
			if err != nil || got.Sessions == nil || *got.Sessions != c.sessions || got.Unknown != c.unknown || got.Remark != "" {
				t.Errorf("%+v %v", got, err)
			}
			if epoch() == before {
				t.Error("the epoch was not written")
			}
			if again, err := sites.Revoke(t.Context(), c.request); err != nil || *again.Sessions != 0 {
				t.Errorf("they did not end: %+v %v", again, err)
			}
		})
	}
}

func TestAStoreThatDoesNotCountMakesNobodyUnknown(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]report.Revocation{"tenant": {Tenant: word("Cust9")}, "app": {App: word("portla")}, "person": {Tenant: word("Cust1"), User: word("tove@uno.example")}} {
		var sites report.Sites
		state := gateway.NewMemoryState()
		state.Sessions = uncounted{state.Sessions}
		sites.Add(newSite(t, "", state, "Cust1"))
		got, err := sites.Revoke(t.Context(), request)
		if err != nil || got.Unknown != "" || got.Sessions != nil || !strings.Contains(got.Remark, "could not be counted") {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestARevocationWithoutASiteIsRefused(t *testing.T) {
	t.Parallel()
	var refused *report.Error
	if _, err := new(report.Sites).Revoke(t.Context(), report.Revocation{App: word("erp")}); !errors.As(err, &refused) || refused.Status != 409 {
		t.Error(err)
	}
}

func TestAnAppIsListedOnceWithAllItsSitesWhereTheyKnowTheSame(t *testing.T) {
	t.Parallel()
	var sites report.Sites
	state := gateway.NewMemoryState()
	sites.Add(newSite(t, "https://a.example", state, "Cust1", "Cust2"))
	sites.Add(newSite(t, "https://b.example", state, "Cust1", "Cust2"))
	sites.Add(newSite(t, "https://c.example", state, "Cust1"))
	status, err := sites.Status(t.Context(), "node", "")
	if err != nil || len(status.Apps) != 2 {
		t.Fatalf("%+v %v", status, err)
	}
	for i, want := range []string{"https://a.example https://b.example", "https://c.example"} {
		if got := strings.Join(status.Apps[i].Sites, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
