package sandbox

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
)

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
