package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// systemUser mints tickets of an app's system user in one tenant.
type systemUser struct {
	g      *Gateway
	app    *App
	tenant superoffice.Tenant
	token  auth.Secret
}

func (g *Gateway) systemCredential(ctx context.Context, app *App, tenant superoffice.Tenant, token auth.Secret) *sharedCredential {
	return &sharedCredential{g, g.systemKey(ctx, app, tenant, token), &systemUser{g, app, tenant, token}}
}

// systemKey returns the key of the ticket that the token is good for until app or tenant are revoked.
func (g *Gateway) systemKey(ctx context.Context, app *App, tenant superoffice.Tenant, token auth.Secret) string {
	return g.sharedKey(ctx, app, tenant, g.systemParts(app, tenant, token)...)
}

func (g *Gateway) systemParts(app *App, tenant superoffice.Tenant, token auth.Secret) []string {
	return []string{"system", g.config.Environment.Base(), app.ClientID, string(tenant), token.Reveal()}
}

// mint asks SuperOffice for a ticket, and records whether the tenant's consent holds.
func (u *systemUser) mint(ctx context.Context, _ auth.Credential) (auth.Credential, *auth.Refusal) {
	g, app, tenant := u.g, u.app, u.tenant
	ticket, err := app.system.Mint(ctx, tenant, u.token)
	var refused *systemuser.RefusedError
	if errors.As(err, &refused) && app.Registry.Tokens != nil {
		// Another gateway may have kept a later approval meanwhile.
		if kept, found, keptErr := app.Registry.Tokens.Fresh(ctx, tenant); keptErr == nil && found && !kept.Token.Equal(u.token.Reveal()) {
			ticket, err = app.system.Mint(ctx, tenant, kept.Token)
		}
	}
	isRefused := errors.As(err, &refused)
	g.platform.Metrics.Renewal(outcome.SystemTicket, outcome.ResultOf(err == nil, isRefused))
	switch {
	case isRefused:
		g.consentLost(app, tenant, err, refused.Message)
		return auth.Credential{}, auth.Refuse(auth.ConsentRequired, err)
	case err != nil:
		return auth.Credential{}, auth.Refuse(auth.CredentialUnavailable, err).After(2 * time.Second)
	}
	g.Consented(app, tenant)
	return auth.Credential{Kind: auth.SOTicket, Owner: auth.AsSystem, Value: ticket.Value, Expires: ticket.Expires, API: ticket.API}, nil
}

func (u *systemUser) failed(refusal *auth.Refusal) {
	if refusal.Reason == auth.ConsentRequired && u.app.Registry.Tokens != nil {
		u.app.Registry.Tokens.Doubt(u.tenant) // another gateway may keep a later approval
	}
}

// MintTicket has a new ticket minted at once, for calls to use from now on.
func (g *Gateway) MintTicket(ctx context.Context, app *App, tenant superoffice.Tenant, token auth.Secret) (auth.Credential, *auth.Refusal) {
	return g.mintNow(ctx, g.systemCredential(ctx, app, tenant, token))
}

// MintAccountBearer has a new Bearer of the service account minted at once, for calls to use from now on.
func (g *Gateway) MintAccountBearer(ctx context.Context, app *App) (auth.Credential, *auth.Refusal) {
	return g.mintNow(ctx, g.accountCredential(ctx, app))
}

func (g *Gateway) mintNow(ctx context.Context, shared *sharedCredential) (auth.Credential, *auth.Refusal) {
	minted, refusal := shared.minter.mint(ctx, auth.Credential{})
	if refusal == nil {
		g.state.credentials.Set(shared.key, minted)
	}
	return minted, refusal
}

// Ticket returns the cached ticket that a system token is good for, without asking anything. found is
// false if there is none that is valid.
func (g *Gateway) Ticket(app *App, tenant superoffice.Tenant, token auth.Secret) (ticket auth.Credential, found bool) {
	return g.state.credentials.Peek(auth.Key(append(g.systemParts(app, tenant, token), g.lastEpoch(app, tenant))...))
}

// DropTicket drops the cached ticket of a system token, and a refusal that was remembered in its place.
func (g *Gateway) DropTicket(ctx context.Context, app *App, tenant superoffice.Tenant, token auth.Secret) {
	g.state.credentials.Delete(g.systemKey(ctx, app, tenant, token))
}
