package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what SuperOffice's certificates are signed with
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// RotateSigningKey has SuperID sign with another key from now on. The old one stays published
// if keep is set; otherwise what it signed is void for everybody who asks for the keys again.
func (s *Sandbox) RotateSigningKey(keep bool) error {
	key, err := s.newKey()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !keep {
		s.keys = nil
	}
	s.keys = append([]*rsa.PrivateKey{key}, s.keys...)
	s.changes++
	return nil
}

// serveKeys is SuperID's JWKS.
func (s *Sandbox) serveKeys(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	failure, certificates, keys := s.switches.JWKSFault, s.switches.KeysInCertificates, s.keys
	s.mu.Unlock()
	if fail(w, r, failure) {
		return
	}
	set := []map[string]any{}
	for _, key := range keys {
		print := thumbprint(key)
		switch {
		case failure == "empty":
		case certificates:
			set = append(set, map[string]any{"kty": "RSA", "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(oldCertificate(key))}})
		default:
			set = append(set, map[string]any{
				"kty": "RSA", "use": "sig", "kid": strings.ToUpper(hex.EncodeToString(print)), "x5t": base64.RawURLEncoding.EncodeToString(print),
				"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
			})
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": set})
}

// sign signs claims as SuperID does, with the names of keys that have been seen; s.mu is held.
func (s *Sandbox) sign(claims jwt.MapClaims) string { return s.signWith(claims, s.keys[0]) }

// signWith is sign with any key, under the name of the one that is in force; s.mu is held.
func (s *Sandbox) signWith(claims jwt.MapClaims, key *rsa.PrivateKey) string {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	print := thumbprint(s.keys[0])
	switch s.switches.TokenKid {
	case "hex":
		token.Header["kid"] = strings.ToUpper(hex.EncodeToString(print))
	case "base64url":
		token.Header["kid"] = base64.RawURLEncoding.EncodeToString(print)
	default:
		token.Header["x5t"] = base64.RawURLEncoding.EncodeToString(print)
	}
	signed, err := token.SignedString(key)
	if err != nil {
		panic(err)
	}
	return signed
}

// signWrongly signs with a key that is published nowhere; s.mu is held.
func (s *Sandbox) signWrongly(claims jwt.MapClaims) string {
	key, err := s.newKey()
	if err != nil {
		panic(err) // never with the system's source
	}
	return s.signWith(claims, key)
}

// thumbprint stands for the SHA-1 of the signing certificate.
func thumbprint(key *rsa.PrivateKey) []byte {
	sum := sha1.Sum(key.N.Bytes()) //nolint:gosec // names a key
	return sum[:]
}

// oldCertificate returns a certificate as SuperOffice's are: X.509 v1, signed with SHA-1 by
// its own key. It is written by hand because the standard library makes v3 alone.
func oldCertificate(key *rsa.PrivateKey) []byte {
	name := pkix.Name{CommonName: "SuperOffice sandbox"}.ToRDNSequence()
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err) // never for an RSA key
	}
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, Parameters: asn1.NullRawValue}
	body, err := asn1.Marshal(struct {
		Serial    int64
		Algorithm pkix.AlgorithmIdentifier
		Issuer    pkix.RDNSequence
		Validity  struct{ From, To time.Time }
		Subject   pkix.RDNSequence
		PublicKey asn1.RawValue
	}{1, algorithm, name, struct{ From, To time.Time }{time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)}, name, asn1.RawValue{FullBytes: public}})
	if err != nil {
		panic(err)
	}
	sum := sha1.Sum(body) //nolint:gosec // see above
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA1, sum[:])
	if err != nil {
		panic(err)
	}
	der, err := asn1.Marshal(struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: body}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		panic(err)
	}
	return der
}
