// Package systemuser turns an app's system token into a ticket of the tenant's
// system user.
package systemuser

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

const minRSABits = 2048

// ParsePrivateKey reads the app's private key as SuperOffice gives it out: XML
// <RSAKeyValue>, with or without BOM and prolog, or as PEM (PKCS #1 or #8). Errors never hold any of it.
func ParsePrivateKey(raw []byte) (*rsa.PrivateKey, error) {
	raw = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(raw), []byte("\xef\xbb\xbf")))
	var key *rsa.PrivateKey
	var err error
	switch {
	case bytes.HasPrefix(raw, []byte("<")):
		key, err = parseXML(raw)
	case bytes.HasPrefix(raw, []byte("-----BEGIN")):
		key, err = parsePEM(raw)
	default:
		return nil, errors.New("want PEM or <RSAKeyValue> XML")
	}
	if err != nil {
		return nil, err
	}
	if key.N.BitLen() < minRSABits {
		return nil, fmt.Errorf("the RSA key has %d bits, want at least %d", key.N.BitLen(), minRSABits)
	}
	if key.Validate() != nil {
		return nil, errors.New("the parts of the RSA key do not belong together")
	}
	return key, nil
}

func parsePEM(raw []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("the PEM block is broken")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the PEM block %.40q is no private key in PKCS #1 or #8", block.Type)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is not RSA")
	}
	return key, nil
}

func parseXML(raw []byte) (*rsa.PrivateKey, error) {
	var value struct {
		XMLName              xml.Name `xml:"RSAKeyValue"`
		Modulus, Exponent, D string
		P, Q                 string
	}
	decoder := xml.NewDecoder(bytes.NewReader(raw))
	decoder.Strict = true
	if err := decoder.Decode(&value); err != nil {
		return nil, errors.New("the XML is no <RSAKeyValue>")
	}
	var numbers [5]*big.Int
	for i, text := range []string{value.Modulus, value.Exponent, value.D, value.P, value.Q} {
		bin, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil || len(bin) == 0 || len(bin) > 1024 {
			return nil, errors.New("the <RSAKeyValue> lacks a part of the private key (Modulus, Exponent, D, P and Q are needed)")
		}
		numbers[i] = new(big.Int).SetBytes(bin)
	}
	if numbers[1].BitLen() > 31 {
		return nil, errors.New("the <RSAKeyValue> has an Exponent that is too large")
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: numbers[0], E: int(numbers[1].Int64())},
		D:         numbers[2],
		Primes:    []*big.Int{numbers[3], numbers[4]},
	}
	if key.Validate() != nil {
		return nil, errors.New("the parts of the RSA key do not belong together")
	}
	key.Precompute()
	return key, nil
}
