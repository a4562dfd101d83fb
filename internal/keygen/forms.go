// Package keygen makes the keys that a gateway needs: the secrets that it seals under, and the key pair of
// an app's system user.
package keygen

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
)

// sealingBits is the entropy of a sealing key. AES-256 and HMAC-SHA-256 use no more.
const sealingBits = 256

// sealingKey returns a new sealing key as text: files with secrets are trimmed when they are read, so
// raw bytes would not survive.
func sealingKey() []byte {
	raw := make([]byte, sealingBits/8)
	_, _ = rand.Read(raw) // never fails
	return []byte(base64.RawURLEncoding.EncodeToString(raw) + "\n")
}

// privatePEM returns the key as PKCS #8 in PEM.
func privatePEM(key *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// publicPEM returns the public key as PKIX in PEM, and the SHA-256 of the same bytes to compare it by.
func publicPEM(key *rsa.PublicKey) (text []byte, fingerprint string, err error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), nil
}

// privateXML returns the key as .NET's RSA.ToXmlString(true) writes it. .NET refuses numbers that are
// shorter than their place, so each is padded: D to the modulus, the others to half of it.
func privateXML(key *rsa.PrivateKey) []byte {
	key.Precompute()
	whole := key.Size()
	half := (whole + 1) / 2
	return rsaKeyValue(append(publicParts(&key.PublicKey),
		part{"P", key.Primes[0], half}, part{"Q", key.Primes[1], half},
		part{"DP", key.Precomputed.Dp, half}, part{"DQ", key.Precomputed.Dq, half},
		part{"InverseQ", key.Precomputed.Qinv, half}, part{"D", key.D, whole}))
}

// publicXML returns the public key as .NET's RSA.ToXmlString(false) writes it.
func publicXML(key *rsa.PublicKey) []byte { return rsaKeyValue(publicParts(key)) }

// part is one number of an RSAKeyValue and the bytes that it takes.
type part struct {
	name   string
	number *big.Int
	size   int
}

func publicParts(key *rsa.PublicKey) []part {
	exponent := big.NewInt(int64(key.E))
	return []part{{"Modulus", key.N, key.Size()}, {"Exponent", exponent, (exponent.BitLen() + 7) / 8}}
}

func rsaKeyValue(parts []part) []byte {
	var text strings.Builder
	text.WriteString("<RSAKeyValue>")
	for _, p := range parts {
		fmt.Fprintf(&text, "<%s>%s</%[1]s>", p.name, base64.StdEncoding.EncodeToString(p.number.FillBytes(make([]byte, p.size))))
	}
	text.WriteString("</RSAKeyValue>\n")
	return []byte(text.String())
}
