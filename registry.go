package erpsync

import (
	"errors"
	"fmt"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// Tenant is a customer that approved the app.
type Tenant struct {
	// CustNNNNN, or * for whichever tenant SuperOffice lets sign in.
	Name string `json:"name"`
	// The system token that the approval brought. Needed with call_as system.
	SystemToken string `json:"system_token,omitempty"`
	// As the app's option of the same name, for this tenant.
	Connections *[]string `json:"connections,omitempty"`
	// As the app's option of the same name, for this tenant.
	ResyncAll string `json:"resync_all,omitempty"`
	// Refuse every call for this tenant.
	Suspended bool `json:"suspended,omitempty"`
}

func (a *App) provisionTenants(ctx caddy.Context, h *Handler, online bool) error {
	if !online {
		if len(a.Tenants) > 0 || a.TenantsFile != "" {
			return errors.New("tenant: an onsite installation has none")
		}
		a.grants.Tenant = func(t superoffice.Tenant) (auth.TenantGrant, bool) {
			return auth.TenantGrant{}, t == superoffice.Onsite
		}
		return nil
	}
	listed := make(auth.Tenants, len(a.Tenants))
	var any *auth.TenantGrant
	for _, t := range a.Tenants {
		if err := resyncAll(t.ResyncAll); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		grant := auth.TenantGrant{ResyncAll: auth.ResyncAll(t.ResyncAll), Suspended: t.Suspended}
		var err error
		if grant.Connections, err = connections(t.Connections); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		if t.SystemToken != "" {
			token, err := newSecret("system_token", t.SystemToken, h.logger)
			if err != nil {
				return fmt.Errorf("tenant %s: %w", t.Name, err)
			}
			grant.SystemToken, _ = token.get()
		}
		if t.Name == "*" {
			if a.grants.CallAs == auth.AsSystem {
				return errors.New("tenant *: call_as system needs each tenant's own system token; list them, or use a tenants file")
			}
			if any != nil {
				return errors.New("tenant *: stands twice")
			}
			any = &grant
			continue
		}
		name, ok := superoffice.ParseTenant(t.Name)
		if !ok {
			return fmt.Errorf("tenant %q: want the form Cust12345, or *", t.Name)
		}
		if _, twice := listed[name]; twice {
			return fmt.Errorf("tenant %s: stands twice", name)
		}
		listed[name] = grant
	}
	var file *auth.TenantsFile
	if a.TenantsFile != "" {
		var err error
		if file, err = auth.OpenTenantsFile(a.TenantsFile); err != nil {
			return err
		}
		go file.Follow(ctx, func(err error) {
			if err != nil {
				h.logger.Error("tenants file not taken over: the last good one stays in force", zap.String("app", a.Name), zap.Error(err))
				return
			}
			h.logger.Info("tenants file taken over", zap.String("app", a.Name), zap.String("file", a.TenantsFile), zap.Int("tenants", file.Len()))
		})
	}
	a.grants.Tenant = func(t superoffice.Tenant) (auth.TenantGrant, bool) {
		if grant, ok := listed[t]; ok {
			return grant, true
		}
		if file != nil {
			if grant, ok := file.Tenant(t); ok {
				return grant, true
			}
		}
		if any != nil && t != superoffice.Onsite {
			return *any, true
		}
		return auth.TenantGrant{}, false
	}
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
