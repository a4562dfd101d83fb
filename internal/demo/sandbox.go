package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// Issuer is the identity provider that the sandbox's service tokens name.
const Issuer = "https://idp.example"

// Provider stands for a partner's identity provider: it signs service tokens.
type Provider struct{ key *ecdsa.PrivateKey }

// NewProvider makes a provider with a key of its own.
func NewProvider() (*Provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &Provider{key}, err
}

// JWKS is its public key as a set.
func (p *Provider) JWKS() []byte {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		panic(err) // never for a key that was generated
	}
	text := base64.RawURLEncoding.EncodeToString
	raw, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": text(point[1:33]), "y": text(point[33:]),
	}}})
	if err != nil {
		panic(err)
	}
	return raw
}

// Token is a service's token for a tenant.
func (p *Provider) Token(tenant string, lifetime time.Duration) string {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": Issuer, "aud": "erpsync", "sub": "nightly-sync", "iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "tenant": tenant,
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(p.key)
	if err != nil {
		panic(err)
	}
	return signed
}

// WriteSecrets writes what Caddyfile.example reads: the apps' secrets, the
// tenants file and the provider's keys, readable by the user alone.
func WriteSecrets(dir string, so *sandbox.Sandbox, provider *Provider) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	portal, erp, quote := so.App("portal"), so.App("erp"), so.App("quote")
	var tenants []map[string]any
	for _, tenant := range so.Tenants() {
		tenants = append(tenants, map[string]any{"tenant": tenant, "name": "Sandbox " + tenant, "system_token": so.SystemToken("erp", tenant)})
	}
	file, err := json.MarshalIndent(map[string]any{"tenants": tenants}, "", "\t")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"portal.client_id": []byte(portal.ClientID), "portal.client_secret": []byte(portal.ClientSecret),
		"erp.client_id": []byte(erp.ClientID), "erp.client_secret": []byte(erp.ClientSecret), "erp.private_key": erp.KeyXML(),
		"quote.client_id": []byte(quote.ClientID), "quote.client_secret": []byte(quote.ClientSecret), "quote.private_key": quote.KeyPEM(),
		"tenants.json": file, "jwks.json": provider.JWKS(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func runSandbox(ctx context.Context, out io.Writer, listen, dir string) error {
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen %s: the sandbox is for loopback alone, for example 127.0.0.1:8088", listen)
	}
	so, provider, stop, err := startSandbox(listen)
	if err != nil {
		return err
	}
	defer stop()
	if err := WriteSecrets(dir, so, provider); err != nil {
		return err
	}
	user := so.User("Cust12345", "tove")
	fmt.Fprintf(out, "The sandbox is SuperOffice at %s; its secrets are in %s.\n", so.Base(), dir)
	fmt.Fprintf(out, "Sign in as %s with the password %s, or call with this service token (24 h):\n%s\n", user.UPN, user.Password, provider.Token("Cust12345", 24*time.Hour))
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt)
	defer cancel()
	<-ctx.Done()
	return nil
}

func startSandbox(listen string) (*sandbox.Sandbox, *Provider, func(), error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, nil, nil, err
	}
	so, err := sandbox.New("http://" + listener.Addr().String())
	if err != nil {
		return nil, nil, nil, err
	}
	provider, err := NewProvider()
	if err != nil {
		return nil, nil, nil, err
	}
	server := &http.Server{Handler: so, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
		}
	}()
	return so, provider, func() { _ = server.Close() }, nil
}
