package erpsync

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
)

// issuers returns the configured identity providers, judged by the text of the configuration alone.
func (h *Handler) issuers() ([]idp.Config, error) {
	configs := make([]idp.Config, 0, len(h.Issuers))
	for _, issuer := range h.Issuers {
		config, err := issuer.config(h)
		if err != nil {
			return nil, fmt.Errorf("jwt %s: %w", issuer.Issuer, err)
		}
		configs = append(configs, config)
	}
	return configs, idp.ValidateAll(configs)
}

func (i *Issuer) config(h *Handler) (idp.Config, error) {
	config := idp.Config{
		Issuer: i.Issuer, Audiences: i.Audience, ClientIDs: i.ClientID, JWKS: i.JWKS, Trust: i.Trust, MaxStale: time.Duration(i.MaxStale),
		Algorithms: i.Algorithms, Subjects: i.Subjects, TenantFromPath: i.TenantFromPath,
		App: idp.Fixed{Value: i.App, Claim: i.AppClaim}, Tenant: idp.Fixed{Value: i.Tenant, Claim: i.TenantClaim},
	}
	for _, r := range i.Require {
		config.Requirements = append(config.Requirements, idp.Requirement{Claim: r.Claim, Values: r.Values})
	}
	named := i.Tenant != "" || i.TenantClaim != "" || i.TenantFromPath
	switch online := h.Upstream == ""; {
	case online && !named:
		return config, errors.New("say which tenant its tokens call in: tenant <CustNNNNN>, tenant claim <claim>, or tenant path")
	case !online && named:
		return config, errors.New("tenant: an onsite installation has none")
	case i.AppClaim != "":
		return config, nil
	}
	app, err := h.onlyApp(i.App)
	if err != nil {
		return config, err
	}
	if auth.CallAs(app.CallAs) == auth.AsUser || app.CallAs == "" {
		return config, fmt.Errorf("app %s has call_as user, and a token of this provider belongs to no SuperOffice user: give the app call_as system, or account onsite", app.Name)
	}
	if i.TenantFromPath && !app.listsTenants() {
		return config, fmt.Errorf("tenant path: app %s lists no tenant by name, so that every call would be refused: add tenant <CustNNNNN> or tenants file <path> to it", app.Name)
	}
	config.App.Value = app.Name
	return config, nil
}

// listsTenants reports whether an app may be granted some tenants by their names.
func (a *App) listsTenants() bool {
	for _, t := range a.Tenants {
		if t.Name != "*" {
			return true
		}
	}
	return a.TenantsFile != ""
}
