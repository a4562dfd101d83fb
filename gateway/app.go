package gateway

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
)

// App is a registration at work: its grants, its tenants, and its clients at SuperOffice.
type App struct {
	auth.App
	// ClientID is the registration's client id; "" if it has none.
	ClientID string
	// Registry says in which tenants the app may do what.
	Registry *Registry
	// SuperID signs people in; nil where the app has no client id and secret.
	SuperID *superid.Client

	notices  *TenantStatusConfig // nil: it takes none
	gateway  *Gateway
	secret   auth.SecretSource // nil: none
	system   *systemuser.Client
	user     string // of a service account
	password auth.SecretSource

	misconfigured misconfiguration
}

func (g *Gateway) newApp(config *AppConfig, client *http.Client, keys *idp.KeySet) (*App, error) {
	a := &App{
		App: auth.App{
			Name: config.Name, Agents: config.Agents, Operations: config.Operations, Connections: config.Connections,
			Users: config.Users, ResyncAll: config.ResyncAll, CallAs: config.CallAs, KeyRequired: config.KeyRequired, Lookups: config.Lookups,
		},
		ClientID: config.ClientID, notices: config.TenantStatus, gateway: g, secret: config.ClientSecret, user: config.AccountUser, password: config.AccountPassword,
	}
	if config.CallAs == auth.AsSystem {
		a.system = &systemuser.Client{Environment: g.config.Environment, AppToken: config.ClientSecret.Reload, PrivateKey: privateKey(config.PrivateKey), HTTP: client, Keys: keys}
		if _, err := a.system.PrivateKey(); err != nil {
			return nil, fmt.Errorf("app %s: private_key: %w", a.Name, err)
		}
	}
	if g.Online() && a.ClientID != "" && a.secret != nil {
		a.SuperID = superid.New(superid.Config{Environment: g.config.Environment, ClientID: a.ClientID, ClientSecret: a.secret.Reload, Client: client, Keys: keys, WithoutPKCE: config.WithoutPKCE})
	}
	var err error
	if a.Registry, err = g.newRegistry(config, a.system != nil); err != nil {
		return nil, fmt.Errorf("app %s: %w", a.Name, err)
	}
	a.Tenant, a.Lists = a.Registry.Tenant, a.Registry.Lists
	if a.Registry.Tokens != nil {
		a.SystemToken = a.Registry.systemToken
	}
	return a, nil
}

func privateKey(source auth.SecretSource) func() (*rsa.PrivateKey, error) {
	return func() (*rsa.PrivateKey, error) { return systemuser.ParsePrivateKey([]byte(source.Reload().Reveal())) }
}

// TakesApprovals reports whether administrators can approve the app at this gateway.
func (a *App) TakesApprovals() bool { return a.Registry.Tokens != nil && a.SuperID != nil }

// TakesNotices reports whether SuperOffice sends notices of tenants here for the app.
func (a *App) TakesNotices() bool { return a.notices != nil }

// AppToken returns what goes upstream as SO-AppToken; zero onsite, where SuperOffice ignores it.
func (a *App) AppToken() auth.Secret {
	if a.secret == nil || !a.gateway.Online() {
		return auth.Secret{}
	}
	return a.secret.Get()
}

// follow takes over changes of the app's tenants file until ctx ends.
func (a *App) follow(ctx context.Context) {
	file, logger := a.Registry.file, a.gateway.platform.Logger.With(zap.String("app", a.Name))
	if file == nil {
		return
	}
	go file.Follow(ctx, func(err error) {
		if err != nil {
			logger.Error("reloading tenants file failed; keeping the last valid version", zap.Error(err))
			return
		}
		a.gateway.forgetUngranted()
		a.countTenantsFromZero()
		logger.Info("tenants file reloaded", zap.Int("tenants", file.Len()))
	})
}
