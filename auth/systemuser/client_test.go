package systemuser_test

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func newSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return so
}

func newClient(t *testing.T, so *sandbox.Sandbox, app string) *systemuser.Client {
	t.Helper()
	env, err := superoffice.NewEnvironment(so.Base())
	if err != nil {
		t.Fatal(err)
	}
	registration := so.App(app)
	return &systemuser.Client{
		Environment: env,
		AppToken:    func() (auth.Secret, error) { return auth.NewSecret(registration.ClientSecret), nil },
		PrivateKey:  func() (*rsa.PrivateKey, error) { return systemuser.ParsePrivateKey(registration.KeyXML()) },
		HTTP:        http.DefaultClient,
		Keys:        superid.NewKeySet(env, http.DefaultClient, nil),
	}
}

func TestASystemTokenBecomesATicketWhateverTheTokensKidLooksLike(t *testing.T) {
	t.Parallel()
	so := newSandbox(t)
	for _, kid := range []string{"", "hex", "base64url"} {
		so.Switch(func(s *sandbox.Switches) { s.TokenKid = kid })
		ticket, err := newClient(t, so, "erp").Mint(t.Context(), "Cust12345", auth.NewSecret(so.SystemToken("erp", "Cust12345")))
		if err != nil {
			t.Fatalf("kid %q: %v", kid, err)
		}
		if !strings.HasPrefix(ticket.Value.Reveal(), "7T:") || ticket.API != so.Base()+"/Cust12345/api" {
			t.Errorf("ticket %.3s at %s", ticket.Value.Reveal(), ticket.API)
		}
	}
}

func TestAWrongSystemTokenIsRefusedForGood(t *testing.T) {
	t.Parallel()
	so := newSandbox(t)
	client := newClient(t, so, "erp")
	_, err := client.Mint(t.Context(), "Cust12345", auth.NewSecret("canary-token"))
	var refused *systemuser.RefusedError
	if !errors.As(err, &refused) || strings.Contains(err.Error(), "canary") {
		t.Errorf("wrong token: %v", err)
	}
	token := auth.NewSecret(so.SystemToken("erp", "Cust12345"))
	if _, err := client.Mint(t.Context(), "Cust54321", token); !errors.As(err, &refused) {
		t.Errorf("another tenant's token: %v", err)
	}
	so.Revoke("erp", "Cust12345")
	if _, err := client.Mint(t.Context(), "Cust12345", token); !errors.As(err, &refused) {
		t.Errorf("revoked: %v", err)
	}
}

func TestAPrivateKeyIsReadAsXMLAndAsPEM(t *testing.T) {
	t.Parallel()
	app := newSandbox(t).App("erp")
	for name, raw := range map[string][]byte{
		"XML": app.KeyXML(), "bare XML": bytes.TrimPrefix(app.KeyXML(), []byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n")), "PEM": app.KeyPEM(), "PEM with blanks": append([]byte("\n"), app.KeyPEM()...),
	} {
		key, err := systemuser.ParsePrivateKey(raw)
		if err != nil || !key.Equal(app.Key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, raw := range map[string]string{
		"nothing": "", "a path": "/etc/key.pem", "public XML": "<RSAKeyValue><Modulus>AQAB</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>",
		"other XML": "<x/>", "broken PEM": "-----BEGIN PRIVATE KEY-----\nAAAA", "mixed parts": strings.Replace(string(app.KeyXML()), "<D>", "<D>AQAB", 1),
	} {
		if _, err := systemuser.ParsePrivateKey([]byte(raw)); err == nil {
			t.Errorf("%s passes for a private key", name)
		}
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	f.Add([]byte("<RSAKeyValue><Modulus>AQAB</Modulus><Exponent>AQAB</Exponent><D>AQ==</D><P>AQ==</P><Q>AQ==</Q></RSAKeyValue>"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = systemuser.ParsePrivateKey(raw) })
}
