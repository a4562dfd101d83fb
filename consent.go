package erpsync

import (
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// The events that Caddy's events app tells its subscribers: a tenant whose consent ended,
// and one whose consent came back. Their data: environment, app, tenant and, for the first, approve.
const (
	eventConsentRequired = "erpsync_consent_required"
	eventConsentGiven    = "erpsync_consent_given"
)

// consentRequired notes that SuperOffice refused the app's system user in the tenant, and tells
// it to those who look after the gateway when it was not so before.
func (h *Handler) consentRequired(app *App, tenant superoffice.Tenant, cause error, message string) {
	if h.common.ledger.Told(app.Name, string(tenant), outcome.ConsentRequired, message) == outcome.ConsentRequired {
		return
	}
	h.logger.Error("system user refused: the tenant's administrator has to approve the app again. If every tenant is refused, its secret or key is wrong",
		zap.String("app", app.Name), zap.String("tenant", string(tenant)), zap.String("approve", h.approveURL(app, tenant)), zap.Error(cause))
	h.emit(eventConsentRequired, app, tenant)
}

// consented notes that SuperOffice takes the app's system user in the tenant, or that its
// administrator approved, and forgets that it was refused.
func (h *Handler) consented(app *App, tenant superoffice.Tenant) {
	if h.common.ledger.Told(app.Name, string(tenant), outcome.Approved, "") != outcome.ConsentRequired {
		return
	}
	h.logger.Info("system user taken again", zap.String("app", app.Name), zap.String("tenant", string(tenant)))
	h.emit(eventConsentGiven, app, tenant)
}

// emit has no call wait for subscribers.
func (h *Handler) emit(event string, app *App, tenant superoffice.Tenant) {
	module, err := h.ctx.AppIfConfigured("events")
	if err != nil {
		return
	}
	data := map[string]any{"environment": h.environment.Name(), "app": app.Name, "tenant": string(tenant)}
	if event == eventConsentRequired {
		data["approve"] = h.approveURL(app, tenant)
	}
	if events, ok := module.(*caddyevents.App); ok {
		go events.Emit(h.ctx, event, data)
	}
}

// offerApproval gives a refusal the link at which the tenant's administrator mends it.
func (c *call) offerApproval(refusal *auth.Refusal) {
	if refusal.Reason == auth.NoSystemToken || refusal.Reason == auth.ConsentRequired {
		refusal.Approve = c.h.approveURL(c.app, c.principal.Tenant)
	}
}
