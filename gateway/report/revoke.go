package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	revokeTimeout = 10 * time.Second
	// countTimeout bounds the counting before, of which nothing depends.
	countTimeout = 3 * time.Second
)

// Revoke ends sessions, tickets and kept answers at every site, and returns what it ended. Whether anybody is
// known by that name is another question: what a gateway does not know, another may, and a revocation
// that was typed in an emergency is not refused.
func (s *Sites) Revoke(ctx context.Context, request Revocation) (Revoked, error) {
	what, err := parseRevocation(request)
	if err != nil {
		return Revoked{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	sites := s.list()
	if len(sites) == 0 {
		return Revoked{}, &Error{http.StatusConflict, errors.New("no erpsync handler is configured")}
	}
	done := s.count(ctx, sites, what)
	for _, site := range sites {
		err = errors.Join(err, site.Revoke(ctx, what))
	}
	if err != nil {
		return Revoked{}, unavailable(fmt.Errorf("not everything was revoked, try again: %w", err))
	}
	done.Revoked = describe(what)
	done.Effect = s.everywhere(ctx, revokedEverywhere)
	return done, nil
}

// count finds out what a revocation is about to end, and whether anybody is known by that name. What fails is
// remarked: it keeps nobody from revoking.
func (s *Sites) count(ctx context.Context, sites []*Site, what gateway.Revocation) (found Revoked) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	sessions, err := countSessions(ctx, sites, what)
	if err == nil {
		found.Sessions = &sessions
	} else {
		found.Remark = "the sessions could not be counted: " + err.Error()
	}
	if what.User != "" {
		if err == nil && sessions == 0 {
			found.Unknown = fmt.Sprintf("nobody called %s has a session in %s", what.User, what.Tenant)
		}
		return found
	}
	known, dropped := sessions > 0, make(map[cachedTicket]bool)
	for _, app := range s.apps() {
		if what.App != "" && app.Name != what.App {
			continue
		}
		knowsTenant, listErr := app.tickets(ctx, what.Tenant, dropped)
		known = known || what.App != "" || knowsTenant
		if listErr != nil {
			err, found.Remark = listErr, unlisted(listErr)
		}
	}
	found.Tickets = len(dropped)
	if !known && err == nil { // an error is no absence
		found.Unknown = s.unknown(what)
	}
	return found
}

// countSessions counts each store once.
func countSessions(ctx context.Context, sites []*Site, what gateway.Revocation) (all int, err error) {
	var counted []*gateway.SharedState
	for _, site := range sites {
		if slices.Contains(counted, site.State()) {
			continue
		}
		counted = append(counted, site.State())
		n, err := site.CountSessions(ctx, what)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// cachedTicket names a ticket of the system user; sites that share a state have it together.
type cachedTicket struct {
	state  *gateway.SharedState
	app    string
	tenant superoffice.Tenant
}

// tickets adds the tickets that are cached for the app, in one tenant or, with "", in all that called since the
// gateway began. known reports whether the registry or the storage names the tenant, or it called.
func (a siteApp) tickets(ctx context.Context, only superoffice.Tenant, into map[cachedTicket]bool) (known bool, err error) {
	var tenants []superoffice.Tenant
	if only == superoffice.Onsite {
		for _, tenant := range a.site.State().HealthTenants(a.Name) {
			tenants = append(tenants, superoffice.Tenant(tenant))
		}
	} else {
		var all []superoffice.Tenant
		if all, err = a.tenants(ctx); slices.Contains(all, only) {
			known, tenants = true, append(tenants, only)
		}
	}
	if a.CallAs != auth.AsSystem {
		return known, err
	}
	for _, tenant := range tenants {
		grant, _ := a.Registry.Tenant(tenant)
		token := grant.SystemToken
		if a.Registry.Tokens != nil {
			if kept, found, keptErr := a.Registry.Tokens.Get(ctx, tenant); keptErr == nil && found {
				token = kept.Token
			}
		}
		if _, ok := a.site.Ticket(a.App, tenant, token); ok {
			into[cachedTicket{a.site.State(), a.Name, tenant}] = true
		}
	}
	return known, err
}

// unknown says that nobody knows an app or a tenant.
func (s *Sites) unknown(what gateway.Revocation) string {
	if what.App == "" {
		return fmt.Sprintf("no app is granted in %s, none was approved there, and nobody of it has a session", what.Tenant)
	}
	var names []string
	for _, app := range s.apps() {
		names = append(names, app.Name)
	}
	return fmt.Sprintf("no app %q is configured, and nobody has a session of it%s", what.App, nearest.Hint(what.App, names))
}

// parseRevocation refuses what names too little or too much. A word that is there and empty is a mistake: who wanted to
// end one person must not end a whole tenant.
func parseRevocation(request Revocation) (what gateway.Revocation, err error) {
	for name, value := range map[string]*string{"app": request.App, "tenant": request.Tenant, "user": request.User} {
		if value != nil && *value == "" {
			return what, fmt.Errorf("%s: is empty; leave it out, or say which", name)
		}
	}
	if (request.App == nil) == (request.Tenant == nil) || request.User != nil && request.Tenant == nil {
		return what, errors.New("want an app, a tenant, or a tenant and a user of it")
	}
	if request.App != nil {
		what.App = *request.App
		return what, nil
	}
	tenant, ok := superoffice.ParseTenant(*request.Tenant)
	if !ok {
		return what, errTenantForm(*request.Tenant)
	}
	what.Tenant = tenant
	if request.User != nil {
		what.User = *request.User
	}
	return what, nil
}

func describe(what gateway.Revocation) string {
	switch {
	case what.App != "":
		return "app " + what.App
	case what.User != "":
		return what.User + " in " + string(what.Tenant)
	}
	return "tenant " + string(what.Tenant)
}
