package erpsync

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// App is one registration in SuperOffice's developer portal; onsite just a name with grants.
type App struct {
	// The name that the rest of the configuration, logs and metrics use.
	Name string `json:"name"`
	// The client id of the registration. Online only, and needed for browser.
	ClientID string `json:"client_id,omitempty"`
	// The client secret, which is the SO-AppToken too. A placeholder ({file.*},
	// {env.*}) keeps it out of the configuration; files are read again while running.
	ClientSecret string `json:"client_secret,omitempty"`
	// The private key that signs system tokens, PEM or RSAKeyValue XML, as a placeholder.
	// With call_as system and a client_id, administrators approve at {prefix}/approve?app=&tenant=.
	PrivateKey string `json:"private_key,omitempty"`
	// The restricted agents that SuperOffice granted to the app. None: nothing passes.
	Agents []string `json:"agents,omitempty"`
	// The operations that may be called. Default: ForceResync.
	Operations []string `json:"operations,omitempty"`
	// The ERP connections that may be resynchronised, by number; crm for calls
	// from the CRM to all. Absent: every one. Empty: none.
	Connections *[]string `json:"connections,omitempty"`
	// The tenants that approved the app; onsite none is needed.
	Tenants []*Tenant `json:"tenants,omitempty"`
	// A file with further tenants, in JSON, followed while running.
	TenantsFile string `json:"tenants_file,omitempty"`
	// Who may call through a credential that is not their own: administrators
	// (default), all, or UPNs.
	Users []string `json:"users,omitempty"`
	// What becomes of a call that resynchronises everything: deny (default),
	// confirm (needs the header ErpSync-Confirm: all) or allow.
	ResyncAll string `json:"resync_all,omitempty"`
	// As whom to call on: user (default), system, or account (onsite).
	CallAs string `json:"call_as,omitempty"`
	// With call_as account: user name and password.
	AccountUser     string `json:"account_user,omitempty"`
	AccountPassword string `json:"account_password,omitempty"`

	clientID string
	registry *registry
	grants   auth.App
	secret   *secret
	password *secret
	superid  *superid.Client
	system   *systemuser.Client
}

func (a *App) provision(ctx caddy.Context, h *Handler, client *http.Client, keys *superid.KeySet) error {
	online := h.upstreamAPI == ""
	a.grants = auth.App{Name: a.Name, Agents: a.Agents, ResyncAll: auth.ResyncAll(a.ResyncAll), CallAs: auth.CallAs(a.CallAs)}
	if a.CallAs == "" {
		a.grants.CallAs = auth.AsUser
	}
	if err := resyncAll(a.ResyncAll); err != nil {
		return err
	}
	if len(a.Operations) == 0 {
		a.Operations = []string{superoffice.ForceResync.String()}
	}
	for _, name := range a.Operations {
		operation, ok := superoffice.ParseOperation(name)
		if !ok {
			return fmt.Errorf("operations: %s cannot be granted; want some of %v", name, superoffice.Operations())
		}
		a.grants.Operations = append(a.grants.Operations, operation)
	}
	var err error
	if a.grants.Connections, err = connections(a.Connections); err != nil {
		return err
	}
	switch {
	case slices.Equal(a.Users, []string{"all"}):
		a.grants.Users.All = true
	case len(a.Users) > 0 && !slices.Equal(a.Users, []string{"administrators"}):
		a.grants.Users.Named = a.Users
	}
	if a.ClientID != "" {
		id, err := resolve(a.ClientID)
		if err != nil {
			return fmt.Errorf("client_id: %w", err)
		}
		a.clientID = id.Reveal()
	}
	if a.ClientSecret != "" {
		if a.secret, err = newSecret("client_secret", a.ClientSecret, h.logger); err != nil {
			return err
		}
	}
	if err := a.provisionCallAs(h, client, keys, online); err != nil {
		return err
	}
	if online && a.clientID != "" && a.secret != nil {
		a.superid = superid.New(superid.Config{Environment: h.environment, ClientID: a.clientID, ClientSecret: a.secret.latest, Client: client, Keys: keys})
	}
	return a.provisionTenants(ctx, h, online)
}

func (a *App) provisionCallAs(h *Handler, client *http.Client, keys *superid.KeySet, online bool) (err error) {
	switch a.grants.CallAs {
	case auth.AsUser:
	case auth.AsSystem:
		if !online {
			return errors.New("call_as system: the system user is Online's; onsite, use call_as account")
		}
		if a.secret == nil || a.PrivateKey == "" {
			return errors.New("call_as system needs client_secret and private_key")
		}
		key, err := newSecret("private_key", a.PrivateKey, h.logger)
		if err != nil {
			return err
		}
		parse := func() (*rsa.PrivateKey, error) {
			value, err := key.latest()
			if err != nil {
				return nil, err
			}
			return systemuser.ParsePrivateKey([]byte(value.Reveal()))
		}
		if _, err := parse(); err != nil {
			return fmt.Errorf("private_key: %w", err)
		}
		a.system = &systemuser.Client{Environment: h.environment, AppToken: a.secret.latest, PrivateKey: parse, HTTP: client, Keys: keys}
	case auth.AsAccount:
		if online {
			return errors.New("call_as account: SuperOffice Online takes no service account; use call_as user or system")
		}
		if a.AccountUser == "" || a.AccountPassword == "" || strings.Contains(a.AccountUser, ":") {
			return errors.New("call_as account needs a user name without a colon and a password")
		}
		if a.password, err = newSecret("call_as account", a.AccountPassword, h.logger); err != nil {
			return err
		}
	default:
		return fmt.Errorf("call_as %q: want user, system or account", a.CallAs)
	}
	return nil
}

// appToken is what goes upstream as SO-AppToken; none onsite.
func (a *App) appToken() auth.Secret {
	if a.secret == nil {
		return auth.Secret{}
	}
	token, err := a.secret.get()
	if err != nil {
		return auth.Secret{}
	}
	return token
}
