package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// accountLifetime is how long a service account's Bearer is used; how long it lives is not published.
const accountLifetime = 5 * time.Minute

// serviceAccount mints Bearers of an onsite service account.
type serviceAccount struct {
	g   *Gateway
	app *App
}

func (g *Gateway) accountCredential(ctx context.Context, app *App) *sharedCredential {
	return &sharedCredential{g, g.sharedKey(ctx, app, superoffice.Onsite, g.accountParts(app)...), serviceAccount{g, app}}
}

func (g *Gateway) accountParts(app *App) []string {
	return []string{"account", g.config.Upstream, app.user}
}

func (s serviceAccount) mint(ctx context.Context, _ auth.Credential) (auth.Credential, *auth.Refusal) {
	g, api := s.g, s.g.config.Upstream
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(s.app.user+":"+s.app.password.Get().Reveal()))
	account := auth.Brought{Scheme: auth.BroughtBasic, Authorization: auth.NewSecret(basic)}
	g.prover.Forget(api, account, true) // or the one that was revoked or refused comes back
	proof, refusal := g.prover.Prove(ctx, api, account, auth.Secret{}, true, nil)
	g.platform.Metrics.Renewal(outcome.AccountBearer, outcome.ResultOf(refusal == nil, refusal != nil && refusal.Status < http.StatusInternalServerError))
	if refusal != nil && refusal.Reason == auth.CredentialInvalid {
		refusal = auth.Refuse(auth.UpstreamCredentialRefused, errors.New("call_as account: SuperOffice refused the user name or the password"))
	}
	if refusal != nil {
		return auth.Credential{}, refusal
	}
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsAccount, Value: proof.Bearer, Expires: time.Now().Add(accountLifetime)}, nil
}

func (serviceAccount) failed(*auth.Refusal) {}
