package idp

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

func TestAConfigurationThatCannotBeRightIsRefusedByItsOption(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"no issuer is named":                              func(c *Config) { c.Issuer = "" },
		"audience is required":                            func(c *Config) { c.Audiences = nil },
		"audience: one is empty":                          func(c *Config) { c.Audiences = []string{"a", ""} },
		"client_id: one is empty":                         func(c *Config) { c.Audiences, c.ClientIDs = nil, []string{""} },
		"audience and client_id exclude each other":       func(c *Config) { c.ClientIDs = []string{"a"} },
		"algorithms HS256: want some of RS256":            func(c *Config) { c.Algorithms = []string{"ES256", "HS256"} },
		"algorithms none":                                 func(c *Config) { c.Algorithms = []string{"none"} },
		"max_stale: below zero":                           func(c *Config) { c.MaxStale = -1 },
		"jwks is required":                                func(c *Config) { c.JWKS, c.Issuer = "", "my-idp" },
		"the issuer is no https URL":                      func(c *Config) { c.JWKS, c.Issuer = "", "http://idp.example" },
		"jwks http://idp.example/jwks: want https":        func(c *Config) { c.JWKS = "http://idp.example/jwks" },
		"jwks http://localhost.attacker.example: want":    func(c *Config) { c.JWKS = "http://localhost.attacker.example" },
		"jwks http://127.0.0.1.attacker.example: want":    func(c *Config) { c.JWKS = "http://127.0.0.1.attacker.example" },
		"jwks HTTP://idp.example: want https":             func(c *Config) { c.JWKS = "HTTP://idp.example" },
		"jwks ftp://idp.example/jwks: want https":         func(c *Config) { c.JWKS = "ftp://idp.example/jwks" },
		"jwks is not the plain URL":                       func(c *Config) { c.JWKS = "https://localhost@idp.example/jwks" },
		"is not the plain URL of a provider":              func(c *Config) { c.JWKS = "https:/jwks" },
		"plain URL of a provider":                         func(c *Config) { c.JWKS = "https://:443/jwks" },
		"trust: the keys come from a file":                func(c *Config) { c.JWKS, c.Trust = "jwks.json", "ca.pem" },
		"everybody can get a token of this issuer":        func(c *Config) { c.Issuer = "https://token.actions.githubusercontent.com" },
		"subjects *: leave subjects out":                  func(c *Config) { c.Subjects = []string{"*"} },
		"subjects: one is empty":                          func(c *Config) { c.Subjects = []string{""} },
		"subjects a*b: * may stand at the end only":       func(c *Config) { c.Subjects = []string{"a*b"} },
		"subjects a**: * may stand at the end only":       func(c *Config) { c.Subjects = []string{"a**"} },
		"require: claim \"\"":                             func(c *Config) { c.Requirements = []Requirement{{"", []string{"a"}}} },
		"require scope: say which values":                 func(c *Config) { c.Requirements = []Requirement{{"scope", nil}} },
		"require role: say which values":                  func(c *Config) { c.Requirements = []Requirement{{"role", []string{""}}} },
		"say which app its tokens call for":               func(c *Config) { c.App = Fixed{} },
		"app claim \"" + strings.Repeat("a", 257):         func(c *Config) { c.App = Fixed{Claim: strings.Repeat("a", 257)} },
		"tenant claim \"a.a.a.a.a.a.a.a.a.a\"":            func(c *Config) { c.Tenant.Claim = "a.a.a.a.a.a.a.a.a.a" },
		"tenant: want one of <CustNNNNN>, path and claim": func(c *Config) { c.TenantFromPath = true },
		"tenant: want one of <CustNNNNN>, path":           func(c *Config) { c.Tenant = Fixed{"Cust1", "tenant"} },
		"tenant \"Kunde\": want the form Cust12345":       func(c *Config) { c.Tenant = Fixed{Value: "Kunde"} },
	} {
		config := block(change)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, change := range []func(*Config){
		func(*Config) {},
		func(c *Config) { c.JWKS = "" },
		func(c *Config) { c.JWKS = "http://localhost:8080/jwks" },
		func(c *Config) { c.JWKS = "http://[::1]/jwks" },
		func(c *Config) { c.JWKS = "/run/jwks.json" },
		func(c *Config) { c.JWKS = `C:\keys\jwks.json` },
		func(c *Config) { c.JWKS, c.Issuer = "", "http://127.0.0.1:9" },
		func(c *Config) { c.Trust = "ca.pem" },
		func(c *Config) { c.Issuer, c.Subjects = "https://accounts.google.com", []string{"1"} },
		func(c *Config) {
			c.Issuer, c.Requirements = "https://token.actions.githubusercontent.com", []Requirement{{"repository_id", []string{"1"}}}
		},
		func(c *Config) { c.Subjects = []string{"a*", "b"} },
		func(c *Config) { c.Tenant = Fixed{} },
		func(c *Config) { c.Tenant, c.TenantFromPath = Fixed{}, true },
		func(c *Config) { c.Audiences, c.ClientIDs = nil, []string{"a"} },
	} {
		config := block(change)
		if err := config.Validate(); err != nil {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

func TestBlocksThatNoTokenTellsApartAreRefused(t *testing.T) {
	t.Parallel()
	other := func(c *Config) { c.Audiences = []string{"other"} }
	client := func(c *Config) { c.Audiences, c.ClientIDs = nil, []string{"client"} }
	for want, configs := range map[string][]Config{
		`audience "erpsync" is in two of its blocks`: {block(), block(func(c *Config) { c.Audiences = []string{"other", "erpsync"} })},
		`client_id "client" is in two of its blocks`: {block(client), block(client)},
		`same jwks, trust and max_stale`:             {block(), block(other, func(c *Config) { c.JWKS = "" })},
		`must have the same jwks, trust`:             {block(), block(other, func(c *Config) { c.Trust = "ca.pem" })},
		`must have the same jwks`:                    {block(), block(other, func(c *Config) { c.MaxStale = time.Hour })},
		`jwt https://b.example: audience`:            {block(), block(func(c *Config) { c.Issuer, c.Audiences = "https://b.example", nil })},
	} {
		if err := ValidateAll(configs); err == nil || !strings.HasPrefix(err.Error(), "jwt https://") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := ValidateAll([]Config{block(), block(other), block(client), block(func(c *Config) { c.Issuer = "https://b.example" })}); err != nil {
		t.Error(err)
	}
}

// A provider inside a cluster has a certificate that no public authority vouches for.
func TestAFileOfAuthoritiesIsTrustedForItsProviderAloneAndFollowed(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "one")
	provider := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set(t, key)) }))
	t.Cleanup(provider.Close)
	provider.Config.ErrorLog = log.New(io.Discard, "", 0)
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: provider.Certificate().Raw}))
	file := filepath.Join(t.TempDir(), "ca.crt")
	now := issued
	open := func() (*Set, error) {
		return NewSet([]Config{block(func(c *Config) { c.JWKS, c.Trust = provider.URL+"/jwks", file })}, Options{
			// Whatever the gateway's own transport trusts does not count.
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}},
			Client:    func(rt http.RoundTripper) *http.Client { return &http.Client{Transport: rt} },
			Now:       func() time.Time { return now },
		})
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "trust: ") {
		t.Errorf("a file that is not there: %v", err)
	}
	put(t, file, "no certificate")
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "holds no certificate in PEM") {
		t.Errorf("a file without a certificate: %v", err)
	}
	put(t, file, foreignAuthority(t))
	all, err := open()
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := prove(all, key.token(t, ""))
	refused(t, refusal, auth.ProofUnavailable, "certificate")
	put(t, file, "\ufeff"+own)
	now = now.Add(10 * time.Second)
	if _, refusal := prove(all, key.token(t, "")); refusal != nil {
		t.Errorf("the file is not followed: %v", refusal)
	}
}

// foreignAuthority is a certificate that signed nothing here.
func foreignAuthority(t *testing.T) string {
	t.Helper()
	key := newSigner(t, "").private
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}
