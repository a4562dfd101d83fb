package gateway

import (
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Events that the server publishes: a tenant whose consent ended, and one whose consent
// came back. Their data: environment, app, tenant and, for the first, approve.
const (
	eventConsentRequired = "erpsync_consent_required"
	eventConsentGiven    = "erpsync_consent_given"
)

// consentLost records that SuperOffice refused the app's system user in the tenant, and
// says so to operators if it was not so before.
func (g *Gateway) consentLost(app *App, tenant superoffice.Tenant, cause error, message string) {
	g.tellConsent(app, tenant, false)
	if g.state.health.SetConsent(app.Name, string(tenant), outcome.ConsentRequired, message) == outcome.ConsentRequired {
		return
	}
	g.platform.Logger.Error("system user refused: the tenant's administrator must approve the app again; if every tenant is refused, check the app's secret and key",
		zap.String("app", app.Name), zap.String("tenant", string(tenant)), zap.String("approve", g.ApproveURL(app, tenant)), zap.Error(cause))
	data := g.consentEvent(app, tenant)
	data["approve"] = g.ApproveURL(app, tenant)
	g.platform.Emit(eventConsentRequired, data)
}

// Consented records that SuperOffice takes the app's system user in the tenant, or that its
// administrator approved, and forgets that it was refused.
func (g *Gateway) Consented(app *App, tenant superoffice.Tenant) {
	g.tellConsent(app, tenant, true)
	if g.state.health.SetConsent(app.Name, string(tenant), outcome.Approved, "") != outcome.ConsentRequired {
		return
	}
	g.platform.Logger.Info("system user taken again", zap.String("app", app.Name), zap.String("tenant", string(tenant)))
	g.platform.Emit(eventConsentGiven, g.consentEvent(app, tenant))
}

func (g *Gateway) consentEvent(app *App, tenant superoffice.Tenant) map[string]any {
	return map[string]any{"environment": g.config.Environment.Name(), "app": app.Name, "tenant": string(tenant)}
}
