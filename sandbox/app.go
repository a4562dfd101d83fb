package sandbox

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
)

// App is a registration in SuperOffice's developer portal.
type App struct {
	Name         string
	ClientID     string
	ClientSecret string
	Key          *rsa.PrivateKey
	// Agents are the restricted agents that SuperOffice granted.
	Agents []string
	// RedirectURIs are compared exactly; none admits any on loopback.
	RedirectURIs []string
	// SystemUser reports whether administrators approve a system user with the app.
	SystemUser bool
}

// registrations returns the sandbox's apps, still without secrets.
func registrations() []App {
	return []App{
		{Name: "portal", Agents: []string{"ErpSync"}},
		{Name: "erp", Agents: []string{"ErpSync"}, SystemUser: true},
		{Name: "quote", SystemUser: true},
	}
}

// App returns a registration by name; the zero App if there is none.
func (s *Sandbox) App(name string) App {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app := s.app(name); app != nil {
		return *app
	}
	return App{}
}

// app finds by name; s.mu is held.
func (s *Sandbox) app(name string) *App {
	for i := range s.apps {
		if s.apps[i].Name == name {
			return &s.apps[i]
		}
	}
	return nil
}

// RotateSecret gives the app another client secret; the old one is void at once, as at SuperOffice.
func (s *Sandbox) RotateSecret(app string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.app(app)
	if a == nil {
		return ""
	}
	a.ClientSecret = random(24)
	s.changes++
	return a.ClientSecret
}

// RotateKey gives the app another private key; the old one is void at once, as at SuperOffice.
func (s *Sandbox) RotateKey(app string) error {
	key, err := s.newKey()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.app(app); a != nil {
		a.Key = key
		s.changes++
	}
	return nil
}

// granted reports whether SuperOffice granted the app the ErpSync agent; s.mu is held.
func (s *Sandbox) granted(app string) bool {
	a := s.app(app)
	return a != nil && slices.Contains(a.Agents, "ErpSync")
}

// admits reports whether the app may be answered at redirect.
func (a App) admits(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Fragment != "" {
		return false
	}
	if len(a.RedirectURIs) > 0 {
		return slices.Contains(a.RedirectURIs, redirect)
	}
	return isLoopback(u.Hostname())
}

// isLoopback reports whether host is this machine by its name alone: an address of loopback, localhost or a name under it.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// KeyPEM returns the app's private key in PKCS #8.
func (a App) KeyPEM() []byte { return keyPEM(a.Key) }

func keyPEM(key *rsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // never for an RSA key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// KeyXML returns the app's private key as the developer portal gives it out, with a BOM and a prolog.
func (a App) KeyXML() []byte {
	text := func(n *big.Int) string { return base64.StdEncoding.EncodeToString(n.Bytes()) }
	k := a.Key
	return []byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<RSAKeyValue><Modulus>" + text(k.N) + "</Modulus><Exponent>" + text(big.NewInt(int64(k.E))) +
		"</Exponent><P>" + text(k.Primes[0]) + "</P><Q>" + text(k.Primes[1]) + "</Q><DP>" + text(k.Precomputed.Dp) + "</DP><DQ>" + text(k.Precomputed.Dq) +
		"</DQ><InverseQ>" + text(k.Precomputed.Qinv) + "</InverseQ><D>" + text(k.D) + "</D></RSAKeyValue>")
}
