package erpsync

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

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
	grants   auth.App
	secret   *secret
	password *secret
	superid  *superid.Client
	system   *systemuser.Client
}

// Tenant is a customer that approved the app.
type Tenant struct {
	// CustNNNNN, or * for whichever tenant SuperOffice lets sign in.
	Name string `json:"name"`
	// The system token that the approval brought. Needed with call_as system.
	SystemToken string `json:"system_token,omitempty"`
	// As the app's option of the same name, for this tenant.
	Connections *[]string `json:"connections,omitempty"`
	// As the app's option of the same name, for this tenant.
	ResyncAll string `json:"resync_all,omitempty"`
	// Refuse every call for this tenant.
	Suspended bool `json:"suspended,omitempty"`
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

func (a *App) provisionTenants(ctx caddy.Context, h *Handler, online bool) error {
	if !online {
		if len(a.Tenants) > 0 || a.TenantsFile != "" {
			return errors.New("tenant: an onsite installation has none")
		}
		a.grants.Tenant = func(t superoffice.Tenant) (auth.TenantGrant, bool) {
			return auth.TenantGrant{}, t == superoffice.Onsite
		}
		return nil
	}
	listed := make(auth.Tenants, len(a.Tenants))
	var any *auth.TenantGrant
	for _, t := range a.Tenants {
		if err := resyncAll(t.ResyncAll); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		grant := auth.TenantGrant{ResyncAll: auth.ResyncAll(t.ResyncAll), Suspended: t.Suspended}
		var err error
		if grant.Connections, err = connections(t.Connections); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		if t.SystemToken != "" {
			token, err := newSecret("system_token", t.SystemToken, h.logger)
			if err != nil {
				return fmt.Errorf("tenant %s: %w", t.Name, err)
			}
			grant.SystemToken, _ = token.get()
		}
		if t.Name == "*" {
			if a.grants.CallAs == auth.AsSystem {
				return errors.New("tenant *: call_as system needs each tenant's own system token; list them, or use a tenants file")
			}
			if any != nil {
				return errors.New("tenant *: stands twice")
			}
			any = &grant
			continue
		}
		name, ok := superoffice.ParseTenant(t.Name)
		if !ok {
			return fmt.Errorf("tenant %q: want the form Cust12345, or *", t.Name)
		}
		if _, twice := listed[name]; twice {
			return fmt.Errorf("tenant %s: stands twice", name)
		}
		listed[name] = grant
	}
	var file *auth.TenantsFile
	if a.TenantsFile != "" {
		var err error
		if file, err = auth.OpenTenantsFile(a.TenantsFile); err != nil {
			return err
		}
		go file.Follow(ctx, func(err error) {
			if err != nil {
				h.logger.Error("tenants file not taken over: the last good one stays in force", zap.String("app", a.Name), zap.Error(err))
				return
			}
			h.logger.Info("tenants file taken over", zap.String("app", a.Name), zap.String("file", a.TenantsFile), zap.Int("tenants", file.Len()))
		})
	}
	a.grants.Tenant = func(t superoffice.Tenant) (auth.TenantGrant, bool) {
		if grant, ok := listed[t]; ok {
			return grant, true
		}
		if file != nil {
			if grant, ok := file.Tenant(t); ok {
				return grant, true
			}
		}
		if any != nil && t != superoffice.Onsite {
			return *any, true
		}
		return auth.TenantGrant{}, false
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

func resyncAll(s string) error {
	switch auth.ResyncAll(s) {
	case "", auth.Deny, auth.Confirm, auth.Allow:
		return nil
	}
	return fmt.Errorf("resync_all %q: want deny, confirm or allow", s)
}

func connections(list *[]string) (*auth.Connections, error) {
	if list == nil {
		return nil, nil //nolint:nilnil // no list is a value: every connection
	}
	c := &auth.Connections{}
	for _, item := range *list {
		if item == "crm" {
			c.CRM = true
			continue
		}
		var id int32
		if _, err := fmt.Sscanf(item, "%d", &id); err != nil || id <= 0 || fmt.Sprint(id) != item {
			return nil, fmt.Errorf("connections %q: want a connection's number, or crm", item)
		}
		c.IDs = append(c.IDs, id)
	}
	return c, nil
}

// secretAge is how long the value of a placeholder is used before it is looked up again.
const secretAge = 2 * time.Second

// secret is a configured value that may be a placeholder. A file's content is
// read again while running, so that a secret can be replaced; while it cannot be
// read, the last good value stays.
type secret struct {
	raw string

	mu     sync.Mutex
	value  auth.Secret
	looked time.Time
}

func newSecret(option, raw string, logger *zap.Logger) (*secret, error) {
	s := &secret{raw: raw}
	value, err := resolve(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	if !strings.Contains(raw, "{") {
		logger.Warn("a secret stands in the configuration; write it as {file./path} or {env.NAME}", zap.String("option", option))
	}
	if path, ok := strings.CutPrefix(raw, "{file."); ok {
		if stat, err := os.Stat(strings.TrimSuffix(path, "}")); err == nil && stat.Mode().Perm()&0o004 != 0 {
			return nil, fmt.Errorf("%s: %s is readable by everybody: chmod o-r it", option, strings.TrimSuffix(path, "}"))
		}
	}
	s.value, s.looked = value, time.Now()
	return s, nil
}

func (s *secret) get() (auth.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) > secretAge {
		s.look()
	}
	return s.value, nil
}

// again reads the secret at once, however short ago it was read.
func (s *secret) again() auth.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	return s.value
}

// latest is again for those who can do with an error.
func (s *secret) latest() (auth.Secret, error) { return s.again(), nil }

func (s *secret) look() {
	s.looked = time.Now()
	if value, err := resolve(s.raw); err == nil {
		s.value = value
	}
}

// resolve looks a placeholder up. Its errors name the placeholder, never a value.
func resolve(raw string) (auth.Secret, error) {
	value, err := caddy.NewReplacer().ReplaceOrErr(raw, true, true)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("the placeholder in it has no value (is the variable set, or the file there?): %w", err)
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return auth.Secret{}, errors.New("empty")
	}
	return auth.NewSecret(value), nil
}
