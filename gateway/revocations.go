package gateway

import (
	"context"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Revocation says whose sessions, tickets and kept answers end: those of an app, of
// a tenant, or of one person of a tenant.
type Revocation struct {
	App    string
	Tenant superoffice.Tenant
	User   string
}

// Revoke ends what was made before now.
func (g *Gateway) Revoke(ctx context.Context, what Revocation) (err error) {
	switch {
	case what.App != "":
		err = g.sessionManager().RevokeApp(ctx, what.App)
	case what.User != "":
		err = g.sessionManager().RevokePerson(ctx, what.Tenant, what.User)
	default:
		err = g.sessionManager().RevokeTenant(ctx, what.Tenant)
	}
	if err == nil {
		g.platform.Logger.Info("revoked sessions, tickets and kept answers", zap.String("app", what.App), zap.String("tenant", string(what.Tenant)), zap.String("user", g.config.Privacy.Principal(what.User)))
	}
	return err
}

// CountSessions returns how many sessions a revocation would end.
func (g *Gateway) CountSessions(ctx context.Context, what Revocation) (int, error) {
	switch {
	case what.App != "":
		return g.sessionManager().CountApp(ctx, what.App)
	case what.User != "":
		return g.sessionManager().CountPerson(ctx, what.Tenant, what.User)
	}
	return g.sessionManager().CountTenant(ctx, what.Tenant)
}

// sessionManager returns the manager that reads and writes revocation epochs.
func (g *Gateway) sessionManager() *session.Manager {
	if g.sessions != nil {
		return g.sessions.Manager // it knows how long sessions live
	}
	return &session.Manager{Keys: g.keys, Store: g.state.Sessions}
}

// epochOf names an app in a tenant.
type epochOf struct {
	app    string
	tenant superoffice.Tenant
}

// sharedKey returns the key under which a credential that callers share is cached. It
// is made of what the credential is made of and of the revocation epoch of its app and tenant, which
// changes whenever one of them is revoked, so that nothing from before is found. While the store gives no
// answer the last known epoch holds: services go on then, and nothing can be revoked.
func (g *Gateway) sharedKey(ctx context.Context, app *App, tenant superoffice.Tenant, parts ...string) string {
	now, err := g.sessionManager().RevocationEpoch(ctx, app.Name, tenant, "")
	if err != nil {
		now = g.lastEpoch(app, tenant)
	}
	return g.sharedKeyUnder(now, app, tenant, parts...)
}

// sharedKeyUnder is sharedKey under an epoch that the store told a moment ago.
func (g *Gateway) sharedKeyUnder(now string, app *App, tenant superoffice.Tenant, parts ...string) string {
	if last := g.lastEpoch(app, tenant); now != last {
		g.state.epochs.Store(epochOf{app.Name, tenant}, now)
		g.state.credentials.Delete(auth.Key(append(parts, last)...))
	}
	return auth.Key(append(parts, now)...)
}

// lastEpoch returns the epoch that the store answered last; "" before it was asked.
func (g *Gateway) lastEpoch(app *App, tenant superoffice.Tenant) string {
	epoch, _ := g.state.epochs.Load(epochOf{app.Name, tenant})
	text, _ := epoch.(string)
	return text
}
