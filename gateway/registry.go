package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Registry says in which tenants an app may do what.
type Registry struct {
	// Tokens are the system tokens that approvals and imports brought; nil if the app has no system user.
	Tokens *systemuser.Tokens

	listed auth.Tenants      // in the configuration
	file   *auth.TenantsFile // nil: none
	any    *auth.TenantGrant // of every other tenant; nil: only those that are named
}

func (g *Gateway) newRegistry(config *AppConfig, system bool) (*Registry, error) {
	if !g.Online() {
		return &Registry{listed: auth.Tenants{superoffice.Onsite: {}}}, nil
	}
	r := &Registry{listed: config.Tenants, any: config.AnyTenant}
	if system && config.ClientID != "" {
		r.Tokens = systemuser.NewTokens(g.platform.Storage, g.keys, g.config.Environment, config.ClientID)
	}
	if config.TenantsFile == "" {
		return r, nil
	}
	file, err := auth.OpenTenantsFile(config.TenantsFile)
	r.file = file
	return r, err
}

// Tenant returns what the app may do in a tenant, and whether it is granted anything there.
func (r *Registry) Tenant(t superoffice.Tenant) (auth.TenantGrant, bool) {
	var inFile auth.TenantGrant
	var filed bool
	if r.file != nil {
		inFile, filed = r.file.Tenant(t)
	}
	if grant, ok := r.listed[t]; ok {
		grant.Suspended = grant.Suspended || inFile.Suspended // wherever it is written, it holds
		return grant, true
	}
	if filed {
		return inFile, true
	}
	if r.any != nil && t != superoffice.Onsite {
		return *r.any, true
	}
	return auth.TenantGrant{}, false
}

// Lists reports whether the configuration or the tenants file names a tenant.
func (r *Registry) Lists(t superoffice.Tenant) bool {
	if _, listed := r.listed[t]; listed {
		return true
	}
	if r.file == nil {
		return false
	}
	_, filed := r.file.Tenant(t)
	return filed
}

// Named returns the tenants that the configuration and the tenants file name.
func (r *Registry) Named() auth.Tenants {
	all := make(auth.Tenants, len(r.listed))
	if r.file != nil {
		maps.Copy(all, r.file.All())
	}
	maps.Copy(all, r.listed)
	return all
}

// systemToken returns the token that an approval or an import brought, or else the configured one,
// which may be zero. While the storage gives no answer the configured one is used.
func (r *Registry) systemToken(ctx context.Context, tenant superoffice.Tenant, configured auth.Secret) (auth.Secret, *auth.Refusal) {
	kept, found, err := r.Tokens.Get(ctx, tenant)
	switch {
	case err == nil && found:
		return kept.Token, nil
	case err == nil, !configured.IsZero():
		return configured, nil
	case errors.Is(err, systemuser.ErrUnreadable):
		return auth.Secret{}, auth.Refuse(auth.CredentialUnavailable, fmt.Errorf("%s: %w", tenant, err))
	}
	return auth.Secret{}, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
}

// HasSystemToken reports whether a system token of the tenant can be had.
func (r *Registry) HasSystemToken(ctx context.Context, tenant superoffice.Tenant) bool {
	grant, _ := r.Tenant(tenant)
	token, refusal := r.systemToken(ctx, tenant, grant.SystemToken)
	return refusal == nil && !token.IsZero()
}
