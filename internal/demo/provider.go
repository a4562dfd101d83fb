package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
	return p.TokenOf("nightly-sync", tenant, lifetime)
}

// TokenOf is the token of the service with that subject.
func (p *Provider) TokenOf(subject, tenant string, lifetime time.Duration) string {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": Issuer, "aud": "erpsync", "sub": subject, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "tenant": tenant,
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(p.key)
	if err != nil {
		panic(err)
	}
	return signed
}

// KeyPEM returns the provider's private key, which ParseProvider reads.
func (p *Provider) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		panic(err) // never for a key that was generated
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// ParseProvider returns the provider whose key KeyPEM wrote.
func ParseProvider(text []byte) (*Provider, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the provider's key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the provider's key is not an EC key")
	}
	return &Provider{private}, nil
}
