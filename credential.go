package erpsync

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// owned is a credential with the way to replace it.
type owned struct {
	auth.Credential
	// renew gives the one that follows after SuperOffice refused this one; changed
	// tells that the app's secret is another meanwhile. nil: it is not ours to renew.
	renew func(ctx context.Context, changed bool) (auth.Credential, *auth.Refusal)
	// spent is what the caller is told when there is no other to try.
	spent auth.Reason
}

// accountLifetime is how long a service account's Bearer is kept; how long it lives is not published.
const accountLifetime = 5 * time.Minute

// credential finds as whom to call on.
func (c *call) credential() (refusal *auth.Refusal) {
	switch {
	case c.app.grants.CallAs == auth.AsSystem:
		refusal = c.systemTicket()
	case c.app.grants.CallAs == auth.AsAccount:
		refusal = c.accountBearer()
	case c.principal.Scheme == auth.BrowserSession:
		refusal = c.sessionBearer()
	case c.principal.Scheme == auth.WebClientSession:
		c.owned = owned{Credential: auth.Credential{Kind: auth.Bearer, Value: c.proof.Bearer}, spent: auth.SignInAgain, renew: c.swapAgain}
	case c.principal.Scheme == auth.JWT:
		return auth.Refuse(auth.CredentialUnavailable, errors.New("call_as user and a caller who is no user of SuperOffice"))
	default:
		kind, value, _ := strings.Cut(c.brought.Authorization.Reveal(), " ")
		c.owned = owned{Credential: auth.Credential{Kind: auth.CredentialKind(kind), Value: auth.NewSecret(value)}, spent: auth.CredentialInvalid}
	}
	if refusal != nil {
		return refusal
	}
	if c.h.locator != nil {
		c.owned.AppToken = c.app.appToken()
	}
	if c.owned.Owner == "" {
		c.owned.Owner = auth.AsUser
	}
	c.record.Credential = string(c.owned.Owner) + " " + string(c.owned.Kind)
	if c.api == "" {
		return c.locate(c.principal.Tenant)
	}
	return nil
}

// systemTicket takes the tenant's system user's ticket, which all callers share.
func (c *call) systemTicket() *auth.Refusal {
	h, app, tenant, token := c.h, c.app, c.principal.Tenant, c.grant.SystemToken
	refusal := c.keep(h.systemKey(c.r.Context(), app, tenant, token), func(ctx context.Context, _ auth.Credential) (auth.Credential, *auth.Refusal) {
		return h.mintTicket(ctx, app, tenant, token)
	}, auth.UpstreamCredentialRefused)
	if refusal != nil && refusal.Reason == auth.ConsentRequired && app.registry.kept != nil {
		app.registry.kept.Doubt(tenant) // another gateway may keep a later approval
	}
	return refusal
}

// systemKey names the ticket that the token is good for until app or tenant are revoked.
func (h *Handler) systemKey(ctx context.Context, app *App, tenant superoffice.Tenant, token auth.Secret) string {
	return h.named(ctx, app, tenant, h.systemParts(app, tenant, token)...)
}

func (h *Handler) systemParts(app *App, tenant superoffice.Tenant, token auth.Secret) []string {
	return []string{"system", h.environment.Base(), app.clientID, string(tenant), token.Reveal()}
}

// mintTicket asks SuperOffice for a ticket of the tenant's system user, and notes whether it gave one.
func (h *Handler) mintTicket(ctx context.Context, app *App, tenant superoffice.Tenant, token auth.Secret) (auth.Credential, *auth.Refusal) {
	ticket, err := app.system.Mint(ctx, tenant, token)
	var refused *systemuser.RefusedError
	if errors.As(err, &refused) && app.registry.kept != nil {
		// Another gateway may have kept a later approval meanwhile.
		if kept, there, keptErr := app.registry.kept.Fresh(ctx, tenant); keptErr == nil && there && !kept.Token.Equal(token.Reveal()) {
			ticket, err = app.system.Mint(ctx, tenant, kept.Token)
		}
	}
	isRefused := errors.As(err, &refused)
	h.metrics.Renewal(outcome.SystemTicket, outcome.ResultOf(err == nil, isRefused))
	switch {
	case isRefused:
		h.consentRequired(app, tenant, err, refused.Message)
		return auth.Credential{}, auth.Refuse(auth.ConsentRequired, err)
	case err != nil:
		return auth.Credential{}, auth.Refuse(auth.CredentialUnavailable, err).After(2 * time.Second)
	}
	h.consented(app, tenant)
	return auth.Credential{Kind: auth.SOTicket, Owner: auth.AsSystem, Value: ticket.Value, Expires: ticket.Expires, API: ticket.API}, nil
}

// accountBearer takes the token of the onsite service account.
func (c *call) accountBearer() *auth.Refusal {
	h, app := c.h, c.app
	return c.keep(h.accountKey(c.r.Context(), app), func(ctx context.Context, _ auth.Credential) (auth.Credential, *auth.Refusal) {
		return h.mintAccountBearer(ctx, app)
	}, auth.UpstreamCredentialRefused)
}

func (h *Handler) accountKey(ctx context.Context, app *App) string {
	return h.named(ctx, app, superoffice.Onsite, "account", h.upstreamAPI, app.AccountUser)
}

// mintAccountBearer asks SuperOffice for a Bearer of the service account.
func (h *Handler) mintAccountBearer(ctx context.Context, app *App) (auth.Credential, *auth.Refusal) {
	password, err := app.password.get()
	if err != nil {
		return auth.Credential{}, auth.Refuse(auth.CredentialUnavailable, err)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(app.AccountUser+":"+password.Reveal()))
	account := auth.Brought{Scheme: auth.BroughtBasic, Authorization: auth.NewSecret(basic)}
	h.prover.Forget(h.upstreamAPI, account, true) // or the one that was revoked or refused comes back
	proof, refusal := h.prover.Prove(ctx, h.upstreamAPI, account, auth.Secret{}, true)
	h.metrics.Renewal(outcome.AccountBearer, outcome.ResultOf(refusal == nil, refusal != nil && refusal.Status < http.StatusInternalServerError))
	if refusal != nil && refusal.Reason == auth.CredentialInvalid {
		refusal = auth.Refuse(auth.UpstreamCredentialRefused, errors.New("call_as account: SuperOffice refused the user name or the password"))
	}
	if refusal != nil {
		return auth.Credential{}, refusal
	}
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsAccount, Value: proof.Bearer, Expires: time.Now().Add(accountLifetime)}, nil
}

// renewalWait is how long a caller waits for a credential that is being minted.
const renewalWait = 20 * time.Second

// shared is a credential that many callers share, with the way to mint it.
type shared struct {
	key  string
	mint auth.Mint
}

// keep takes the credential that is kept under key, which is minted if there is none that is good.
func (c *call) keep(key string, mint auth.Mint, spent auth.Reason) (refusal *auth.Refusal) {
	c.shared = shared{key, mint}
	credential, good := c.h.common.credentials.Good(key)
	if !good {
		credential, refusal = c.minted(c.r.Context())
	}
	c.owned = owned{Credential: credential, spent: spent, renew: c.renewShared}
	return refusal
}

// minted waits for the shared credential that is being minted, or is to be.
func (c *call) minted(ctx context.Context) (auth.Credential, *auth.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, renewalWait)
	defer cancel()
	return c.h.common.credentials.Get(ctx, c.shared.key, c.h.sharing.Mint(c.shared.key, c.shared.mint))
}

// renewShared has the shared credential minted anew that SuperOffice did not take.
func (c *call) renewShared(ctx context.Context, changed bool) (auth.Credential, *auth.Refusal) {
	refused := c.owned.Credential
	refused.AppToken = auth.Secret{} // what is kept has none
	if !c.h.common.credentials.Refused(c.shared.key, refused, changed) {
		return auth.Credential{}, auth.Refuse(c.owned.spent, nil)
	}
	return c.minted(ctx)
}

// sessionBearer takes the signed-in person's own token.
func (c *call) sessionBearer() (refusal *auth.Refusal) {
	c.session, refusal = c.h.Browser.fresh(c.r.Context(), c.token, c.session, auth.Secret{})
	c.owned = owned{Credential: bearer(c.session), spent: auth.SignInAgain, renew: c.renewSession}
	return refusal
}

// renewSession renews the token that SuperOffice did not take.
func (c *call) renewSession(ctx context.Context, _ bool) (auth.Credential, *auth.Refusal) {
	next, refusal := c.h.Browser.fresh(ctx, c.token, c.session, c.session.Access)
	return bearer(next), refusal
}

func bearer(s session.Session) auth.Credential {
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsUser, Value: s.Access, Expires: s.AccessExpires}
}

// swapAgain asks for the Bearer of the caller's SuperOffice session once more.
func (c *call) swapAgain(ctx context.Context, _ bool) (auth.Credential, *auth.Refusal) {
	c.h.prover.Forget(c.api, c.brought, true)
	proof, refusal := c.h.prover.Prove(ctx, c.api, c.brought, auth.Secret{}, true)
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsUser, Value: proof.Bearer}, refusal
}
