package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// Certificates are the files of an authority, a server and a client, in PEM.
type Certificates struct{ Authority, Server, ServerKey, Client, ClientKey string }

// NewCertificates makes an authority and what it issues, in files in a folder.
func NewCertificates(t testing.TB, dir string) Certificates {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	template := func(name string, authority bool) *x509.Certificate {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		must(err)
		return &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: authority, BasicConstraintsValid: true,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := template("authority", true)
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	must(err)
	issue := func(name string) (certificate, private string) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		der, err := x509.CreateCertificate(rand.Reader, template(name, false), authority, &own.PublicKey, key)
		must(err)
		raw, err := x509.MarshalPKCS8PrivateKey(own)
		must(err)
		return file(name+".pem", "CERTIFICATE", der), file(name+".key", "PRIVATE KEY", raw)
	}
	c := Certificates{Authority: file("authority.pem", "CERTIFICATE", root)}
	c.Server, c.ServerKey = issue("server")
	c.Client, c.ClientKey = issue("client")
	return c
}

// StartTLS runs the program as Start does, with a port where it speaks TLS with those alone who show a certificate of the
// authority. It returns that port's address.
func (p Program) StartTLS(t testing.TB, c Certificates, args ...string) (server *Server, address string) {
	t.Helper()
	port := strconv.Itoa(testport.Take(t))
	server = p.Start(t, append([]string{"--tls-port", port, "--tls-cert-file", c.Server, "--tls-key-file", c.ServerKey, "--tls-ca-cert-file", c.Authority, "--tls-auth-clients", "yes"}, args...)...)
	return server, net.JoinHostPort("127.0.0.1", port)
}
