package erpsync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// keepingApp finds an app that keeps system tokens.
func keepingApp(name, environment string) (runningApp, error) {
	app, err := running.find(name, environment)
	if err == nil && app.registry.kept == nil {
		err = fmt.Errorf("app %s keeps no system tokens: it needs call_as system, client_id, client_secret and private_key", name)
	}
	return app, err
}

func notFound(format string, args ...any) error {
	return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf(format, args...)}
}

// adminTenants lists the tenants of an app and where their system tokens are from.
func adminTenants(r *http.Request) (any, error) {
	app, err := running.find(r.URL.Query().Get("app"), r.URL.Query().Get("environment"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	tenants, err := app.tenants(ctx)
	told := operator.Tenants{App: app.Name, Environment: app.h.place(), Tenants: []operator.KeptTenant{}}
	if err != nil { // those that are known without the storage are told all the same
		told.Remark = unlisted(err)
		cancel()
	}
	for _, tenant := range tenants {
		t := app.status(ctx, tenant)
		told.Tenants = append(told.Tenants, operator.KeptTenant{Tenant: t.Tenant, Name: t.Name, Granted: t.Granted, Suspended: t.Suspended, Token: t.Token, Since: t.TokenSince, By: t.ApprovedBy})
	}
	return told, nil
}

// adminExport gives the kept system tokens as they are sealed.
func adminExport(r *http.Request) (any, error) {
	app, err := keepingApp(r.URL.Query().Get("app"), r.URL.Query().Get("environment"))
	if err != nil {
		return nil, err
	}
	tenants, err := app.registry.kept.Tenants(r.Context())
	if err != nil {
		return nil, unavailable(err)
	}
	told := operator.Tenants{App: app.Name, Environment: app.h.place(), Tenants: []operator.KeptTenant{}}
	for _, tenant := range tenants {
		kept, there, err := app.registry.kept.Fresh(r.Context(), tenant)
		if err != nil {
			return nil, unavailable(fmt.Errorf("%s: %w", tenant, err))
		}
		if there {
			told.Tenants = append(told.Tenants, operator.KeptTenant{Tenant: string(tenant), Name: kept.Name, Granted: app.grantsTenant(tenant), Since: when(kept.Since), Sealed: app.registry.kept.Seal(kept)})
		}
	}
	return told, nil
}

func (a runningApp) grantsTenant(tenant superoffice.Tenant) bool {
	_, ok := a.registry.tenant(tenant)
	return ok
}

// adminImport keeps the system tokens that it is given, if every one of them can be.
func adminImport(r *http.Request) (any, error) {
	var request operator.ImportRequest
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	app, err := keepingApp(request.App, request.Environment)
	if err != nil {
		return nil, err
	}
	done := operator.Import{Lines: make([]operator.ImportLine, 0, len(request.Tenants))}
	all, wrong, seen := []systemuser.Kept(nil), false, make(map[superoffice.Tenant]int)
	for _, in := range request.Tenants {
		line := operator.ImportLine{Line: in.Line, Tenant: in.Tenant}
		kept, err := app.imported(in)
		if first, twice := seen[kept.Tenant]; err == nil && twice {
			err = fmt.Errorf("stands in line %d already", first)
		}
		if err == nil {
			seen[kept.Tenant] = in.Line
			if line.Result, err = app.differs(r.Context(), &kept); err != nil {
				return nil, unavailable(err)
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
	if err := app.registry.kept.KeepAll(r.Context(), all); err != nil {
		return nil, unavailable(err)
	}
	done.Kept = true
	app.h.logger.Info("system tokens imported", zap.String("app", app.Name), zap.Int("lines", len(done.Lines)), zap.Int("changed", len(all)))
	return done, nil
}

// signedToken is what a system token looks like when it has been signed for use.
var signedToken = regexp.MustCompile(`\.[0-9]{12}\.[A-Za-z0-9+/=]{100,}$`)

// maxSystemToken bounds a system token, in bytes. Real ones have some forty.
const maxSystemToken = 1024

// imported understands a line of an import. Its errors hold no token.
func (a runningApp) imported(in operator.ImportTenant) (systemuser.Kept, error) {
	tenant, ok := superoffice.ParseTenant(strings.TrimSpace(in.Tenant))
	switch {
	case !ok:
		return systemuser.Kept{}, errors.New("the tenant is not of the form Cust12345")
	case (in.SystemToken == "") == (in.Sealed == ""):
		return systemuser.Kept{}, errors.New("want a system_token, or sealed from an export")
	}
	if in.Sealed != "" {
		kept, err := a.registry.kept.Open(tenant, in.Sealed)
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

// differs tells what keeping it would do.
func (a runningApp) differs(ctx context.Context, kept *systemuser.Kept) (string, error) {
	before, there, err := a.registry.kept.Fresh(ctx, kept.Tenant)
	switch {
	case errors.Is(err, systemuser.ErrUnreadable):
		return "replaced", nil
	case err != nil:
		return "", err
	case !there:
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

// adminRemove forgets a tenant's system token.
func adminRemove(r *http.Request) (any, error) {
	var request operator.RemoveRequest
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	app, err := keepingApp(request.App, request.Environment)
	if err != nil {
		return nil, err
	}
	tenant, ok := superoffice.ParseTenant(request.Tenant)
	if !ok {
		return nil, fmt.Errorf("tenant %q: want the form Cust12345", request.Tenant)
	}
	kept, _, _ := app.registry.kept.Fresh(r.Context(), tenant)
	there, err := app.registry.kept.Remove(r.Context(), tenant)
	if err != nil {
		return nil, unavailable(err)
	}
	if !there {
		return nil, notFound("no system token of %s is kept", tenant)
	}
	app.h.common.credentials.Forget(app.h.systemKey(r.Context(), app.App, tenant, kept.Token))
	app.h.common.ledger.Forget(func(a, t string) bool { return a == app.Name && t == string(tenant) })
	app.h.logger.Info("system token removed", zap.String("app", app.Name), zap.String("tenant", string(tenant)))
	return map[string]string{"removed": string(tenant)}, nil
}
