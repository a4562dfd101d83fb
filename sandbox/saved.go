package sandbox

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// saved is what a sandbox takes over from an earlier one so that a gateway before it goes on: its keys, the apps'
// secrets, people's passwords, consents, and the credentials that are out. States, moves and switches begin anew.
type saved struct {
	SigningKeys []string                `json:"signing_keys"`
	Apps        map[string]savedApp     `json:"apps"`
	Tenants     map[string]savedTenant  `json:"tenants"`
	Credentials map[string]savedHolding `json:"credentials"`
}

type savedApp struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Key          string `json:"private_key"`
}

type savedTenant struct {
	Passwords map[string]string `json:"passwords"` // by logon name
	Consents  map[string]string `json:"consents"`
	Withdrawn []string          `json:"withdrawn,omitempty"`
}

type savedHolding struct {
	Kind     string    `json:"kind"`
	Tenant   string    `json:"tenant"`
	App      string    `json:"app,omitempty"`
	User     string    `json:"user"`
	System   bool      `json:"system,omitempty"`
	XSRF     string    `json:"xsrf,omitempty"`
	Redirect string    `json:"redirect,omitempty"`
	Minted   time.Time `json:"minted"`
	Expires  time.Time `json:"expires"`
}

// WithSaved has the sandbox take over what Save returned for an earlier one.
func WithSaved(raw []byte) Option { return func(s *Sandbox) { s.saved = raw } }

// OnChange has f called when a request has changed what Save returns, before its answer is complete, so that what
// was given out is never lost. That a ticket was used is not told.
func (s *Sandbox) OnChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = f
}

// Save returns what WithSaved takes over. It holds every secret of the sandbox. The same state is the same bytes.
func (s *Sandbox) Save() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := saved{Apps: map[string]savedApp{}, Tenants: map[string]savedTenant{}, Credentials: map[string]savedHolding{}}
	for _, key := range s.keys {
		out.SigningKeys = append(out.SigningKeys, string(keyPEM(key)))
	}
	for _, app := range s.apps {
		out.Apps[app.Name] = savedApp{app.ClientID, app.ClientSecret, string(app.KeyPEM())}
	}
	for _, t := range s.tenants {
		kept := savedTenant{Passwords: map[string]string{}, Consents: t.consents}
		for _, u := range t.users {
			kept.Passwords[u.Name] = u.Password
		}
		for _, app := range s.apps {
			if t.withdrawn[app.Name] {
				kept.Withdrawn = append(kept.Withdrawn, app.Name)
			}
		}
		out.Tenants[t.id] = kept
	}
	for value, h := range s.tokens {
		if !s.now().Before(h.expires) {
			continue
		}
		out.Credentials[value] = savedHolding{h.kind, h.tenant, h.app, h.user.Name, h.system, h.xsrf, h.redirect, h.minted, h.expires}
	}
	return json.MarshalIndent(out, "", "\t")
}

func (s *Sandbox) restore(raw []byte) error {
	var in saved
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("not a sandbox's saved state: %w", err)
	}
	for _, text := range in.SigningKeys {
		key, err := parseKey(text)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 {
		return errors.New("the saved state has no signing key")
	}
	for _, app := range registrations() {
		kept, ok := in.Apps[app.Name]
		if !ok {
			return fmt.Errorf("the saved state lacks the app %s", app.Name)
		}
		key, err := parseKey(kept.Key)
		if err != nil {
			return err
		}
		app.ClientID, app.ClientSecret, app.Key = kept.ClientID, kept.ClientSecret, key
		s.apps = append(s.apps, app)
	}
	s.addTenants()
	for _, t := range s.tenants {
		kept, ok := in.Tenants[t.id]
		if !ok {
			continue // there were fewer
		}
		t.consents = kept.Consents
		if t.consents == nil {
			t.consents = map[string]string{}
		}
		for _, app := range kept.Withdrawn {
			t.withdrawn[app] = true
		}
		for i, u := range t.users {
			if password := kept.Passwords[u.Name]; password != "" {
				t.users[i].Password = password
			}
		}
	}
	for value, h := range in.Credentials {
		t := s.tenant(h.Tenant)
		if t == nil {
			continue
		}
		user := User{Name: "system", AssociateID: 1}
		for _, u := range t.users {
			if u.Name == h.User && !h.System {
				user = u
			}
		}
		s.tokens[value] = holder{h.Kind, h.Tenant, h.App, user, h.System, h.XSRF, h.Redirect, h.Minted, h.Expires}
	}
	return nil
}

func parseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the saved state has a private key that is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the saved state has a private key that cannot be read: %w", err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the saved state has a private key that is not RSA")
	}
	return private, nil
}
