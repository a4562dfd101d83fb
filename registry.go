package erpsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Tenant is a customer that approved the app.
type Tenant struct {
	// CustNNNNN, or * for whichever tenant SuperOffice lets sign in; with call_as system,
	// for whichever tenant's administrator approves.
	Name string `json:"name"`
	// The system token that an approval brought, with call_as system. One that an approval through
	// {prefix}/approve or an import brought goes before it.
	SystemToken string `json:"system_token,omitempty"`
	// As the app's option of the same name, for this tenant.
	Connections *[]string `json:"connections,omitempty"`
	// As the app's option of the same name, for this tenant.
	ResyncAll string `json:"resync_all,omitempty"`
	// Refuse every call for this tenant.
	Suspended bool `json:"suspended,omitempty"`
}

// registry says in which tenants an app may do what.
type registry struct {
	listed auth.Tenants       // in the configuration
	file   *auth.TenantsFile  // nil: none
	any    *auth.TenantGrant  // of whichever tenant; nil: only those that are named
	kept   *systemuser.Tokens // what approvals and imports brought; nil: the app has no system user
}

func (r *registry) tenant(t superoffice.Tenant) (auth.TenantGrant, bool) {
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

// named are the tenants that the configuration and the tenants file name.
func (r *registry) named() auth.Tenants {
	all := make(auth.Tenants, len(r.listed))
	if r.file != nil {
		maps.Copy(all, r.file.All())
	}
	maps.Copy(all, r.listed)
	return all
}

// systemToken gives the token that an approval or an import brought, or else the configured one,
// which may be zero. While the storage gives no answer the configured one is used.
func (r *registry) systemToken(ctx context.Context, tenant superoffice.Tenant, configured auth.Secret) (auth.Secret, *auth.Refusal) {
	kept, there, err := r.kept.Get(ctx, tenant)
	switch {
	case err == nil && there:
		return kept.Token, nil
	case err == nil, !configured.IsZero():
		return configured, nil
	case errors.Is(err, systemuser.ErrUnreadable):
		return auth.Secret{}, auth.Refuse(auth.CredentialUnavailable, fmt.Errorf("%s: %w", tenant, err))
	}
	return auth.Secret{}, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
}

func (a *App) provisionTenants(ctx caddy.Context, h *Handler, online bool) error {
	a.registry = &registry{}
	a.grants.Tenant = a.registry.tenant
	if !online {
		if len(a.Tenants) > 0 || a.TenantsFile != "" {
			return errors.New("tenant: an onsite installation has none")
		}
		a.registry.listed = auth.Tenants{superoffice.Onsite: {}}
		return nil
	}
	if a.system != nil && a.clientID != "" {
		a.registry.kept = systemuser.NewTokens(h.storage, h.ring, h.environment, a.clientID)
		a.grants.SystemToken = a.registry.systemToken
	}
	a.registry.listed = make(auth.Tenants, len(a.Tenants))
	for _, t := range a.Tenants {
		if err := a.registry.list(t, h.logger); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
	}
	return a.provisionTenantsFile(ctx, h)
}

// list takes a tenant of the configuration.
func (r *registry) list(t *Tenant, logger *zap.Logger) error {
	if err := resyncAll(t.ResyncAll); err != nil {
		return err
	}
	grant := auth.TenantGrant{ResyncAll: auth.ResyncAll(t.ResyncAll), Suspended: t.Suspended}
	var err error
	if grant.Connections, err = connections(t.Connections); err != nil {
		return err
	}
	if t.SystemToken != "" {
		token, err := newSecret("system_token", t.SystemToken, logger)
		if err != nil {
			return err
		}
		grant.SystemToken, _ = token.get()
	}
	if t.Name == "*" {
		switch {
		case r.any != nil:
			return errors.New("stands twice")
		case t.SystemToken != "":
			return errors.New("a system token belongs to one tenant: name it")
		}
		r.any = &grant
		return nil
	}
	name, ok := superoffice.ParseTenant(t.Name)
	if !ok {
		return errors.New("want the form Cust12345, or *")
	}
	if _, twice := r.listed[name]; twice {
		return errors.New("stands twice")
	}
	r.listed[name] = grant
	return nil
}

func (a *App) provisionTenantsFile(ctx caddy.Context, h *Handler) (err error) {
	if a.TenantsFile == "" {
		return nil
	}
	file, err := auth.OpenTenantsFile(a.TenantsFile)
	if err != nil {
		return err
	}
	a.registry.file = file
	go file.Follow(ctx, func(err error) {
		if err != nil {
			h.logger.Error("tenants file not taken over: the last good one stays in force", zap.String("app", a.Name), zap.Error(err))
			return
		}
		h.forgetOthers()
		h.logger.Info("tenants file taken over", zap.String("app", a.Name), zap.String("file", a.TenantsFile), zap.Int("tenants", file.Len()))
	})
	return nil
}

func resyncAll(s string) error {
	switch auth.ResyncAll(s) {
	case "", auth.Deny, auth.Confirm, auth.Allow:
		return nil
	}
	return fmt.Errorf("resync_all %q: want deny, confirm or allow", s)
}

func connections(list *[]string) (*auth.Connections, error) {
	if list == nil {
		return nil, nil //nolint:nilnil // no list is a value: every connection
	}
	c := &auth.Connections{}
	for _, item := range *list {
		if item == "crm" {
			c.CRM = true
			continue
		}
		var id int32
		if _, err := fmt.Sscanf(item, "%d", &id); err != nil || id <= 0 || fmt.Sprint(id) != item {
			return nil, fmt.Errorf("connections %q: want a connection's number, or crm", item)
		}
		c.IDs = append(c.IDs, id)
	}
	return c, nil
}
