package report

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// findKeeping returns an app that keeps system tokens.
func (s *Sites) findKeeping(name, environment string) (siteApp, error) {
	app, err := s.find(name, environment)
	if err == nil && app.Registry.Tokens == nil {
		err = fmt.Errorf("app %s keeps no system tokens: it needs call_as system, client_id, client_secret and private_key", name)
	}
	return app, err
}

// Tenants returns the tenants of an app and where their system tokens are from.
func (s *Sites) Tenants(ctx context.Context, name, environment string) (Tenants, error) {
	app, err := s.find(name, environment)
	if err != nil {
		return Tenants{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	tenants, err := app.tenants(ctx)
	list := Tenants{App: app.Name, Environment: app.site.EnvironmentLabel(), Tenants: []KeptTenant{}}
	if err != nil { // those that are known without the storage are listed all the same
		list.Remark = unlisted(err)
		cancel()
	}
	for _, tenant := range tenants {
		t := app.status(ctx, tenant)
		list.Tenants = append(list.Tenants, KeptTenant{Tenant: t.Tenant, Name: t.Name, Granted: t.Granted, Suspended: t.Suspended, Token: t.Token, Since: t.TokenSince, By: t.ApprovedBy})
	}
	return list, nil
}

// Export returns the kept system tokens of an app as they are sealed.
func (s *Sites) Export(ctx context.Context, name, environment string) (Tenants, error) {
	app, err := s.findKeeping(name, environment)
	if err != nil {
		return Tenants{}, err
	}
	tenants, err := app.Registry.Tokens.Tenants(ctx)
	if err != nil {
		return Tenants{}, unavailable(err)
	}
	list := Tenants{App: app.Name, Environment: app.site.EnvironmentLabel(), Tenants: []KeptTenant{}}
	for _, tenant := range tenants {
		kept, found, err := app.Registry.Tokens.Fresh(ctx, tenant)
		if err != nil {
			return Tenants{}, unavailable(fmt.Errorf("%s: %w", tenant, err))
		}
		if found {
			list.Tenants = append(list.Tenants, KeptTenant{Tenant: string(tenant), Name: kept.Name, Granted: app.granted(tenant), Since: when(kept.Since), Sealed: app.Registry.Tokens.Seal(kept)})
		}
	}
	return list, nil
}

// granted reports whether the app may do anything in the tenant.
func (a siteApp) granted(tenant superoffice.Tenant) bool {
	_, ok := a.Registry.Tenant(tenant)
	return ok
}

// Import keeps the system tokens that it is given, if every one of them can be.
func (s *Sites) Import(ctx context.Context, request ImportRequest) (Import, error) {
	app, err := s.findKeeping(request.App, request.Environment)
	if err != nil {
		return Import{}, err
	}
	done := Import{Lines: make([]ImportLine, 0, len(request.Tenants))}
	all, wrong, seen := []systemuser.Kept(nil), false, make(map[superoffice.Tenant]int)
	for _, in := range request.Tenants {
		line := ImportLine{Line: in.Line, Tenant: in.Tenant}
		kept, err := app.imported(in)
		if first, twice := seen[kept.Tenant]; err == nil && twice {
			err = fmt.Errorf("stands in line %d already", first)
		}
		if err == nil {
			seen[kept.Tenant] = in.Line
			if line.Result, err = app.compare(ctx, &kept); err != nil {
				return Import{}, unavailable(err)
			}
		}
		if err != nil {
			line.Problem, wrong = err.Error(), true
		} else if line.Result == "added" || line.Result == "replaced" {
			all = append(all, kept)
		}
		done.Lines = append(done.Lines, line)
	}
	if wrong || request.DryRun {
		return done, nil
	}
	if err := app.Registry.Tokens.KeepAll(ctx, all); err != nil {
		return Import{}, unavailable(err)
	}
	done.Kept = true
	app.site.Platform().Logger.Info("system tokens imported", zap.String("app", app.Name), zap.Int("lines", len(done.Lines)), zap.Int("changed", len(all)))
	return done, nil
}

// signedToken is what a system token looks like when it has been signed for use.
var signedToken = regexp.MustCompile(`\.[0-9]{12}\.[A-Za-z0-9+/=]{100,}$`)

// maxSystemToken bounds a system token, in bytes. Real ones have some forty.
const maxSystemToken = 1024

// imported understands a line of an import. Its errors hold no token.
func (a siteApp) imported(in ImportTenant) (systemuser.Kept, error) {
	tenant, ok := superoffice.ParseTenant(strings.TrimSpace(in.Tenant))
	switch {
	case !ok:
		return systemuser.Kept{}, errors.New("the tenant is not of the form Cust12345")
	case (in.SystemToken == "") == (in.Sealed == ""):
		return systemuser.Kept{}, errors.New("want a system_token, or sealed from an export")
	}
	if in.Sealed != "" {
		kept, err := a.Registry.Tokens.Open(tenant, in.Sealed)
		if err != nil {
			return kept, errors.New("sealed under a key that is not among keys, or for another tenant, client id or environment")
		}
		return kept, nil
	}
	token := strings.TrimSpace(in.SystemToken)
	if token == "" || len(token) > maxSystemToken || strings.IndexFunc(token, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return systemuser.Kept{}, errors.New("the system_token is none: want one printable line")
	}
	if signedToken.MatchString(token) {
		return systemuser.Kept{}, errors.New("the system_token is a signed one: want the token alone, before the time and the signature")
	}
	return systemuser.Kept{Tenant: tenant, Name: strings.TrimSpace(in.Name), Token: auth.NewSecret(token), Since: time.Now().UTC()}, nil
}

// compare returns what keeping it would change.
func (a siteApp) compare(ctx context.Context, kept *systemuser.Kept) (string, error) {
	before, found, err := a.Registry.Tokens.Fresh(ctx, kept.Tenant)
	switch {
	case errors.Is(err, systemuser.ErrUnreadable):
		return "replaced", nil
	case err != nil:
		return "", err
	case !found:
		return "added", nil
	case before.Token.Equal(kept.Token.Reveal()):
		// Who approved, and when, stays: the line brings a name at most.
		kept.Since, kept.By = before.Since, before.By
		if kept.Name == "" || before.Name == kept.Name {
			return "unchanged", nil
		}
	case kept.Since.Before(before.Since): // of a backup
		return "older", nil
	}
	return "replaced", nil
}

// RemoveToken forgets a tenant's system token, and returns the tenant.
func (s *Sites) RemoveToken(ctx context.Context, request RemoveRequest) (superoffice.Tenant, error) {
	app, err := s.findKeeping(request.App, request.Environment)
	if err != nil {
		return "", err
	}
	tenant, ok := superoffice.ParseTenant(request.Tenant)
	if !ok {
		return "", errTenantForm(request.Tenant)
	}
	kept, _, _ := app.Registry.Tokens.Fresh(ctx, tenant)
	found, err := app.Registry.Tokens.Remove(ctx, tenant)
	if err != nil {
		return "", unavailable(err)
	}
	if !found {
		return "", notFound("no system token of %s is kept", tenant)
	}
	app.site.DropTicket(ctx, app.App, tenant, kept.Token)
	app.site.State().ForgetHealth(app.Name, tenant)
	app.site.Platform().Logger.Info("system token removed", zap.String("app", app.Name), zap.String("tenant", string(tenant)))
	return tenant, nil
}
