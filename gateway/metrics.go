package gateway

import (
	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// failuresAfterSending are the reasons for which a call fails once it was sent.
var failuresAfterSending = []auth.Reason{
	auth.OutcomeUnknown, auth.UpstreamAnswerRefused, auth.UpstreamUnreachable, auth.UpstreamCredentialRefused,
	auth.ConsentRequired, auth.CredentialUnavailable, auth.SignInAgain, auth.StoreUnavailable, auth.Internal,
}

// countFromZero creates the metrics' series of every app of the configuration and of the tenants that it names.
func (g *Gateway) countFromZero() {
	metrics := g.platform.Metrics
	refusals := outcome.Refusals{Before: labels(auth.Reasons()), After: labels(failuresAfterSending)}
	for _, app := range g.Apps() {
		metrics.KnowApp(app.Operations, refusals)
		metrics.KnowAsync(app.Name)
		switch app.CallAs {
		case auth.AsSystem:
			metrics.KnowSystemUser(app.Name)
		case auth.AsAccount:
			metrics.KnowRenewals(outcome.AccountBearer)
		}
		if app.TakesNotices() {
			metrics.KnowTenantStatus()
		}
		app.countTenantsFromZero()
	}
	if g.sessions != nil {
		metrics.KnowRenewals(outcome.SessionToken)
	}
}

// countTenantsFromZero creates the series of the tenants that the registry names. One that tenant * admits
// has its own from the first call that is granted.
func (a *App) countTenantsFromZero() {
	for tenant, grant := range a.Registry.Named() {
		if !grant.Suspended {
			a.gateway.platform.Metrics.KnowTenant(string(tenant))
		}
	}
}

func labels(reasons []auth.Reason) []string {
	texts := make([]string, len(reasons))
	for i, reason := range reasons {
		texts[i] = string(reason)
	}
	return texts
}
