package systemuser_test

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func newSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, sandboxtest.Keys())
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
		AppToken:    func() auth.Secret { return auth.NewSecret(registration.ClientSecret) },
		PrivateKey:  func() (*rsa.PrivateKey, error) { return systemuser.ParsePrivateKey(registration.KeyXML()) },
		HTTP:        http.DefaultClient,
		Keys:        superid.NewKeySet(env, http.DefaultClient, idp.Observer{}, nil),
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

// TestAPrivateKeyAsPeopleSaveItIsReadOrNamed logs the table of spellings and messages.
func TestAPrivateKeyAsPeopleSaveItIsReadOrNamed(t *testing.T) {
	t.Parallel()
	app := newSandbox(t).App("erp")
	key := string(app.KeyPEM())
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(app.Key)
	if err != nil {
		t.Fatal(err)
	}
	curve8, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, headers map[string]string, content []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: content}))
	}
	certificate := block("CERTIFICATE", nil, []byte("certificate"))
	const bag = "Bag Attributes\n    friendlyName: erp\n    localKeyID: 54 69\nKey Attributes: <No Attributes>\n"
	const encrypted = "the private key is encrypted, and nobody is there to type its password; write it without one: openssl pkey -in encrypted.pem -out key.pem"
	const notRSA = "the private key is not RSA (EC or another kind), and SuperOffice takes RSA alone; it cannot be converted, so make one and register its public key: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem"
	for _, c := range []struct{ name, raw, says string }{
		{"PEM", key, ""},
		{"a byte order mark", "\ufeff" + key, ""},
		{"bag attributes of openssl pkcs12", bag + key, ""},
		{"a certificate before the key", bag + certificate + bag + key, ""},
		{"the key before its certificate", key + certificate, ""},
		{"lines of Windows", strings.ReplaceAll(key, "\n", "\r\n"), ""},
		{"encrypted, PKCS #8", block("ENCRYPTED PRIVATE KEY", nil, der), encrypted},
		{"encrypted, PKCS #1", block("RSA PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, der), encrypted},
		{"EC, PKCS #8", block("PRIVATE KEY", nil, curve8), notRSA},
		{"EC, with its parameters", block("EC PARAMETERS", nil, []byte("x")) + block("EC PRIVATE KEY", nil, []byte("x")), notRSA},
		{"OpenSSH", block("OPENSSH PRIVATE KEY", nil, []byte("x")), "the private key is in OpenSSH's form; convert it: ssh-keygen -p -m PEM -N '' -f key"},
		{"a certificate alone", certificate, `no private key is in it, only "CERTIFICATE"`},
		{"a public key", block("PUBLIC KEY", nil, []byte("x")), `no private key is in it, only "PUBLIC KEY"`},
		{"PKCS #12 or DER", string(der), "binary, PKCS #12 or DER; convert it: openssl pkcs12 -in key.pfx -nocerts -nodes -out key.pem, or openssl pkey -inform DER -in key.der -out key.pem"},
		{"UTF-16", "\xff\xfe-\x00-\x00", "saved as UTF-16; save it as plain text (UTF-8)"},
	} {
		got, err := systemuser.ParsePrivateKey([]byte(c.raw))
		switch {
		case c.says == "" && (err != nil || !got.Equal(app.Key)):
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || err.Error() != c.says):
			t.Errorf("%s: %v, want %s", c.name, err, c.says)
		}
		t.Logf("| private key: %s | %s |", c.name, cmp.Or(c.says, "taken"))
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	f.Add([]byte("<RSAKeyValue><Modulus>AQAB</Modulus><Exponent>AQAB</Exponent><D>AQ==</D><P>AQ==</P><Q>AQ==</Q></RSAKeyValue>"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = systemuser.ParsePrivateKey(raw) })
}
