package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Find looks up which internal key, ERP number and CRM record belong together, with the app's own rights in the tenant.
func (s *Sites) Find(ctx context.Context, request FindRequest) (Found, error) {
	app, err := s.find(request.App, request.Environment)
	if err != nil {
		return Found{}, err
	}
	tenant, err := app.tenantOf(request.Tenant)
	if err != nil {
		return Found{}, err
	}
	lookup, err := request.Lookup()
	if err != nil {
		return Found{}, err
	}
	if app.CallAs == auth.AsUser {
		return Found{}, errors.New("call_as user: the app has no rights of its own, and an operator is no user of SuperOffice; name an app with call_as system or account, or have a person ask at the endpoint lookup")
	}
	found, refusal := app.site.Find(ctx, app.App, tenant, lookup)
	if refusal != nil {
		return Found{}, &Error{refusalStatus(refusal), refusalError(refusal)}
	}
	return found, nil
}

// refusalStatus is what an operator's question is answered with: what upstream did is no answer of the gateway's own.
func refusalStatus(refusal *auth.Refusal) int {
	if refusal.Status >= http.StatusInternalServerError || refusal.Status == http.StatusTooManyRequests {
		return refusal.Status
	}
	return http.StatusConflict
}

// refusalError tells the reason, what was found, and what to do about it.
func refusalError(refusal *auth.Refusal) error {
	text := string(refusal.Reason)
	if cause := refusal.CauseText(); cause != "" {
		text += " (" + cause + ")"
	}
	if refusal.Approve != "" {
		return fmt.Errorf("%s: %s: %s", text, refusal.Reason.Remedy(), refusal.Approve)
	}
	return fmt.Errorf("%s: %s", text, refusal.Reason.Remedy())
}

// tenantOf reads the tenant of a request: Online one is named, onsite none.
func (a siteApp) tenantOf(name string) (superoffice.Tenant, error) {
	if !a.site.Online() {
		if name != "" {
			return superoffice.Onsite, errors.New("tenant: an onsite installation has none")
		}
		return superoffice.Onsite, nil
	}
	tenant, ok := superoffice.ParseTenant(name)
	if !ok {
		return tenant, errTenantForm(name)
	}
	return tenant, nil
}
