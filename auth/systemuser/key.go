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
	case bytes.Contains(raw, []byte("-----BEGIN")):
		key, err = parsePEM(raw)
	case bytes.HasPrefix(raw, []byte("\xff\xfe")), bytes.HasPrefix(raw, []byte("\xfe\xff")), bytes.HasPrefix(raw, []byte("<\x00")), bytes.HasPrefix(raw, []byte("-\x00")):
		return nil, errors.New("saved as UTF-16; save it as plain text (UTF-8)")
	case bytes.HasPrefix(raw, []byte{0x30, 0x82}):
		return nil, errors.New("binary, PKCS #12 or DER; convert it: openssl pkcs12 -in key.pfx -nocerts -nodes -out key.pem, or openssl pkey -inform DER -in key.der -out key.pem")
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
	block, err := privateBlock(raw)
	if err != nil {
		return nil, err
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
		return nil, errNotRSA
	}
	return key, nil
}

var (
	errEncrypted = errors.New("the private key is encrypted, and nobody is there to type its password; write it without one: openssl pkey -in encrypted.pem -out key.pem")
	errNotRSA    = errors.New("the private key is not RSA (EC or another kind), and SuperOffice takes RSA alone; it cannot be converted, so make one and register its public key: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem")
)

// privateBlock returns the block of the private key. What openssl pkcs12 writes before it is skipped: bag attributes,
// certificates, parameters.
func privateBlock(raw []byte) (*pem.Block, error) {
	last := ""
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch last = block.Type; {
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			return nil, errEncrypted
		case block.Type == "EC PRIVATE KEY", block.Type == "DSA PRIVATE KEY":
			return nil, errNotRSA
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, errors.New("the private key is in OpenSSH's form; convert it: ssh-keygen -p -m PEM -N '' -f key")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return block, nil
		}
	}
	if last == "" {
		return nil, errors.New("the PEM block is broken")
	}
	return nil, fmt.Errorf("no private key is in it, only %.40q", last)
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
