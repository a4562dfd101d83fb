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
	"encoding/pem"
	"math/big"
	"time"
)

// oldCertificate is a certificate as SuperOffice's are: X.509 v1, signed with SHA-1 by
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

// KeyPEM is the app's private key in PKCS #8.
func (a App) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		panic(err) // never for an RSA key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// KeyXML is the app's private key as the developer portal gives it out, with a BOM and a prolog.
func (a App) KeyXML() []byte {
	text := func(n *big.Int) string { return base64.StdEncoding.EncodeToString(n.Bytes()) }
	k := a.Key
	return []byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<RSAKeyValue><Modulus>" + text(k.N) + "</Modulus><Exponent>" + text(big.NewInt(int64(k.E))) +
		"</Exponent><P>" + text(k.Primes[0]) + "</P><Q>" + text(k.Primes[1]) + "</Q><DP>" + text(k.Precomputed.Dp) + "</DP><DQ>" + text(k.Precomputed.Dq) +
		"</DQ><InverseQ>" + text(k.Precomputed.Qinv) + "</InverseQ><D>" + text(k.D) + "</D></RSAKeyValue>")
}
