package report_test

import (
	"errors"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

var errDown = errors.New("the disk is gone")

// desk is an operator's place before one gateway.
type desk struct {
	*gatewaytest.Fixture
	t     testing.TB
	sites report.Sites
}

func newDesk(t testing.TB, options ...gatewaytest.Option) *desk {
	t.Helper()
	return before(t, gatewaytest.New(t, options...))
}

func before(t testing.TB, f *gatewaytest.Fixture) *desk {
	t.Helper()
	d := &desk{Fixture: f, t: t}
	d.sites.Add(&report.Site{Gateway: f.Gateway, Probes: f.Probes, Origin: func() string { return "" }})
	return d
}

func (d *desk) status(tenant string) report.TenantStatus {
	d.t.Helper()
	status, err := d.sites.Status(d.t.Context(), "node", tenant)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, app := range status.Apps {
		if app.App == "erp" {
			return app.Tenants[0]
		}
	}
	d.t.Fatalf("no status of %s", tenant)
	return report.TenantStatus{}
}

func (d *desk) check(tenant string) report.Check {
	d.t.Helper()
	check, err := d.sites.Check(d.t.Context(), report.CheckRequest{App: "erp", Tenant: tenant})
	if err != nil {
		d.t.Fatal(err)
	}
	return check
}

func (d *desk) importTokens(dryRun bool, tenants ...report.ImportTenant) report.Import {
	d.t.Helper()
	for i := range tenants {
		tenants[i].Line = i + 1
	}
	done, err := d.sites.Import(d.t.Context(), report.ImportRequest{App: "erp", DryRun: dryRun, Tenants: tenants})
	if err != nil {
		d.t.Fatal(err)
	}
	return done
}

// tokensOf are the app's tokens as another gateway with the same storage and keys has them.
func tokensOf(d *desk) *systemuser.Tokens {
	return systemuser.NewTokens(d.Storage, d.Keys(), d.Config().Environment, d.App("erp").ClientID)
}

// asQuote has the app erp be the registration quote, to which SuperOffice grants no agent.
func asQuote(f *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
	quote := f.SO.App("quote")
	c.Apps[0].ClientID, c.Apps[0].ClientSecret, c.Apps[0].PrivateKey = quote.ClientID, gatewaytest.Secret(quote.ClientSecret), gatewaytest.Secret(string(quote.KeyPEM()))
}

// statusOf returns the HTTP status that an error says; 0 if it says none.
func statusOf(err error) int {
	var own *report.Error
	if errors.As(err, &own) {
		return own.Status
	}
	return 0
}
