package gateway

import (
	"context"
	"errors"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// credential is a way to call on: what goes upstream, and what follows when
// SuperOffice refuses it.
type credential interface {
	// get returns what to call on with now, renewed if that is due.
	get(ctx context.Context) (auth.Credential, *auth.Refusal)
	// replace returns what follows a rejected credential, which may be the same once more if
	// the app's secret was replaced since, as secretReplaced says.
	replace(ctx context.Context, rejected auth.Credential, secretReplaced bool) (auth.Credential, *auth.Refusal)
	// exhausted is the reason that a caller is refused for when there is no other to try.
	exhausted() auth.Reason
}

// credential chooses as whom to call on.
func (a *Admission) credential(ctx context.Context) (credential, *auth.Refusal) {
	g := a.app.gateway
	switch a.app.CallAs {
	case auth.AsSystem:
		tenant, token := a.Principal.Tenant, a.grant.SystemToken
		if a.epochKnown { // the store need not be asked for it once more
			return &sharedCredential{g, g.sharedKeyUnder(a.epoch, a.app, tenant, g.systemParts(a.app, tenant, token)...), &systemUser{g, a.app, tenant, token}}, nil
		}
		return g.systemCredential(ctx, a.app, tenant, token), nil
	case auth.AsAccount:
		if a.epochKnown {
			return &sharedCredential{g, g.sharedKeyUnder(a.epoch, a.app, superoffice.Onsite, g.accountParts(a.app)...), serviceAccount{g, a.app}}, nil
		}
		return g.accountCredential(ctx, a.app), nil
	}
	if a.own == nil {
		return nil, auth.Refuse(auth.CredentialUnavailable, errors.New("call_as user, and the caller is no user of SuperOffice"))
	}
	return a.own, nil
}

// presentedCredential is the caller's own, sent on as it came. It is not the gateway's to renew.
type presentedCredential struct{ auth.Credential }

func (c presentedCredential) get(context.Context) (auth.Credential, *auth.Refusal) {
	return c.Credential, nil
}

func (c presentedCredential) replace(context.Context, auth.Credential, bool) (auth.Credential, *auth.Refusal) {
	return c.Credential, nil
}

func (presentedCredential) exhausted() auth.Reason { return auth.CredentialInvalid }

// swappedCredential is the Bearer of the caller's SuperOffice session.
type swappedCredential struct {
	g       *Gateway
	tenant  superoffice.Tenant
	api     string
	brought auth.Brought
	bearer  auth.Secret
}

func (c *swappedCredential) get(context.Context) (auth.Credential, *auth.Refusal) {
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsUser, Value: c.bearer}, nil
}

// replace asks for the Bearer of the session once more.
func (c *swappedCredential) replace(ctx context.Context, _ auth.Credential, _ bool) (auth.Credential, *auth.Refusal) {
	c.g.prover.Forget(c.api, c.brought, true)
	_, proof, refusal := c.g.proveAt(ctx, c.tenant, c.api, c.brought, auth.Secret{}, true, nil)
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsUser, Value: proof.Bearer}, refusal
}

func (*swappedCredential) exhausted() auth.Reason { return auth.SignInAgain }

// sharedCredential is one that many callers share: minted once, renewed ahead of its end.
type sharedCredential struct {
	g      *Gateway
	key    string
	minter minter
}

// minter makes a shared credential.
type minter interface {
	mint(ctx context.Context, replaces auth.Credential) (auth.Credential, *auth.Refusal)
	// failed is told why none could be had.
	failed(refusal *auth.Refusal)
}

func (c *sharedCredential) get(ctx context.Context) (auth.Credential, *auth.Refusal) {
	if fresh, ok := c.g.state.credentials.Fresh(c.key); ok {
		return fresh, nil
	}
	minted, refusal := c.wait(ctx)
	if refusal != nil {
		c.minter.failed(refusal)
	}
	return minted, refusal
}

// wait returns the credential that is being minted, or is to be.
func (c *sharedCredential) wait(ctx context.Context) (auth.Credential, *auth.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, renewalWait)
	defer cancel()
	return c.g.state.credentials.Get(ctx, c.key, c.g.sharing.Mint(c.key, c.minter.mint))
}

func (c *sharedCredential) replace(ctx context.Context, rejected auth.Credential, secretReplaced bool) (auth.Credential, *auth.Refusal) {
	if !c.g.state.credentials.MarkRejected(c.key, rejected, secretReplaced) {
		return auth.Credential{}, auth.Refuse(c.exhausted(), auth.ErrRefusedAtOnce)
	}
	return c.wait(ctx)
}

func (*sharedCredential) exhausted() auth.Reason { return auth.UpstreamCredentialRefused }
