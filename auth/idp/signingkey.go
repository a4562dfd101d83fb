package idp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
)

const (
	minRSABits = 2048
	maxRSABits = 8192
	maxRSAExp  = 6 // characters of base64url: four bytes
)

// byteOrderMark is what some editors put at the beginning of a file.
var byteOrderMark = []byte("\ufeff")

// signingKey is a public key that verifies signatures.
type signingKey struct {
	id         string // kid; "" if it has none
	algorithms []string
	public     crypto.PublicKey
}

func (k signingKey) fits(algorithm string) bool { return slices.Contains(k.algorithms, algorithm) }

// parseKeys reads a JWK set (RFC 7517). Keys that verify no signature here are skipped, with the
// reason for each; a set without a usable key is an error.
func parseKeys(raw []byte) (keys []signingKey, skipped []error, err error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := jws.Unmarshal(bytes.TrimPrefix(raw, byteOrderMark), &set); err != nil {
		return nil, nil, fmt.Errorf("not a JWK set: %w", err)
	}
	if set.Keys == nil {
		return nil, nil, errors.New(`not a JWK set: it has no "keys"`)
	}
	for i, raw := range set.Keys {
		key, err := parseKey(raw)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d (kid %s): %w", i+1, jws.Excerpt(key.id), err))
			continue
		}
		keys = append(keys, key)
	}
	switch {
	case len(set.Keys) == 0:
		return nil, nil, errors.New("the JWK set is empty")
	case len(keys) == 0:
		return nil, skipped, fmt.Errorf("none of the %d keys in the JWK set is usable: %w", len(set.Keys), skipped[0])
	}
	return keys, skipped, nil
}

// parseKey returns a key for signatures. Of one that is refused the id may be known.
func parseKey(raw jsontext.Value) (key signingKey, err error) {
	var fields jwkset.JWKMarshal
	if err := jws.Unmarshal(raw, &fields); err != nil {
		return key, err
	}
	key.id = fields.KID
	switch {
	case fields.D != "" || fields.K != "":
		return key, errors.New("it is secret, and has no place in a set of public keys")
	case fields.USE != "" && fields.USE != jwkset.UseSig:
		return key, fmt.Errorf("its use is %s, not sig", jws.Excerpt(string(fields.USE)))
	case len(fields.KEYOPS) > 0 && !slices.Contains(fields.KEYOPS, jwkset.KeyOpsVerify):
		return key, errors.New("its key_ops do not have verify")
	case len(fields.E) > maxRSAExp:
		return key, errors.New("its exponent is too large")
	}
	if fields.KTY == jwkset.KtyRSA && fields.N == "" && len(fields.X5C) > 0 {
		return bareKey(key, fields.X5C[0])
	}
	// What the key itself says is what counts; certificates beside it vouch for nothing here, and
	// one that cannot be read must not make the key useless.
	fields.X5C, fields.X5U, fields.X5T, fields.X5TS256 = nil, "", "", ""
	parsed, err := jwkset.NewJWKFromMarshal(fields, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipAll: true})
	if err != nil {
		return key, fmt.Errorf("not a usable key of kty %s, crv %s", jws.Excerpt(string(fields.KTY)), jws.Excerpt(string(fields.CRV)))
	}
	key.public = parsed.Key()
	fitting, err := algorithmsOf(key.public)
	if err != nil {
		return key, err
	}
	if alg := string(fields.ALG); alg != "" {
		if !slices.Contains(fitting, alg) {
			return key, fmt.Errorf("its alg %s is none of %s", jws.Excerpt(alg), strings.Join(fitting, " "))
		}
		fitting = []string{alg}
	}
	key.algorithms = fitting
	return key, nil
}

// bareKey takes an RSA key out of a certificate, as SuperOffice has published its keys: X.509 v1, signed with SHA-1. Nobody checks
// its signature, since what vouches for the key is the TLS that it came over.
func bareKey(key signingKey, x5c string) (signingKey, error) {
	der, err := base64.StdEncoding.DecodeString(x5c)
	if err != nil {
		return key, errors.New("it has no n, and its certificate is not base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return key, errors.New("it has no n, and its certificate cannot be read")
	}
	key.public = certificate.PublicKey
	key.algorithms, err = algorithmsOf(key.public)
	return key, err
}

// algorithmsOf returns the algorithms that a public key can verify.
func algorithmsOf(public any) ([]string, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits, want %d to %d", bits, minRSABits, maxRSABits)
		}
		if public.E < 3 || public.E%2 == 0 {
			return nil, errors.New("its exponent is none")
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}, nil
		case 384:
			return []string{"ES384"}, nil
		case 521:
			return []string{"ES512"}, nil
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	}
	return nil, errors.New("a key of another kind than signatures need")
}
