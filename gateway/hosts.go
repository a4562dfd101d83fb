package gateway

import (
	"context"
	"errors"
	"path"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// hosts knows where each tenant's WebAPI is. Online it is the state service's
// answer, followed when the tenant moves; onsite it is configured.
type hosts struct {
	locator  *superoffice.Locator // nil onsite
	upstream string
}

// find returns the WebAPI of a tenant, up to and with /api.
func (h *hosts) find(ctx context.Context, tenant superoffice.Tenant) (api string, refusal *auth.Refusal) {
	if h.locator == nil {
		return h.upstream, nil
	}
	api, err := h.locator.Locate(ctx, tenant)
	return api, locationRefusal(err)
}

// moved notes that api answered that the tenant does not live there, and finds it again.
func (h *hosts) moved(ctx context.Context, tenant superoffice.Tenant, api string) (string, *auth.Refusal) {
	h.locator.Moved(tenant, api)
	return h.find(ctx, tenant)
}

// proveAt asks SuperOffice whose a credential is, at the tenant's WebAPI and, if the tenant has moved, at its new one, which it
// returns.
func (g *Gateway) proveAt(ctx context.Context, tenant superoffice.Tenant, api string, brought auth.Brought, appToken auth.Secret, swap bool, admit func() *auth.Refusal) (string, auth.Proof, *auth.Refusal) {
	proof, refusal := g.prover.Prove(ctx, api, brought, appToken, swap, admit)
	if refusal == nil || !errors.Is(refusal.Cause, auth.ErrMisdirected) || !g.hosts.follows() {
		return api, proof, refusal
	}
	api, refusal = g.hosts.moved(ctx, tenant, api)
	if refusal != nil {
		return api, auth.Proof{}, refusal
	}
	proof, refusal = g.prover.Prove(ctx, api, brought, appToken, swap, admit)
	return api, proof, refusal
}

// follows reports whether a tenant can move.
func (h *hosts) follows() bool { return h.locator != nil }

// known reports whether a tenant's WebAPI can be found without asking.
func (h *hosts) known(tenant superoffice.Tenant) bool {
	if h.locator == nil {
		return true
	}
	_, known := h.locator.Known(tenant)
	return known
}

// tenantOf returns the tenant of a WebAPI, which ends in /{CustNNNNN}/api; "" onsite.
func (h *hosts) tenantOf(api string) string {
	if h.locator == nil {
		return ""
	}
	return path.Base(path.Dir(api))
}

// locationRefusal translates an error of the locator; nil for nil.
func locationRefusal(err error) *auth.Refusal {
	if err == nil {
		return nil
	}
	var stopped *superoffice.NotRunningError // below, since both are allocated
	var untrusted *superoffice.HostNotTrustedError
	switch {
	case errors.As(err, &stopped):
		return auth.Refuse(auth.TenantNotRunning, err).After(time.Minute)
	case errors.As(err, &untrusted):
		return auth.Refuse(auth.HostNotTrusted, err)
	case errors.Is(err, superoffice.ErrTenantUnknown):
		return auth.Refuse(auth.TenantUnknown, err)
	}
	return auth.Refuse(auth.StateUnavailable, err).After(2 * time.Second)
}

// Location returns what is known of where a tenant lives, without asking.
func (g *Gateway) Location(tenant superoffice.Tenant) (superoffice.Location, bool) {
	if !g.Online() {
		return superoffice.Location{API: g.config.Upstream}, true
	}
	return g.hosts.locator.Known(tenant)
}

// Locate asks the state service where a tenant lives.
func (g *Gateway) Locate(ctx context.Context, tenant superoffice.Tenant) superoffice.Location {
	return g.hosts.locator.Ask(ctx, tenant)
}
