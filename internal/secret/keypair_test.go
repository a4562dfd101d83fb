package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// pair returns a certificate with this serial number, and its key, in PEM.
func pair(t *testing.T, serial int64) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func TestARenewedKeyPairIsTakenAndHalfOfOneIsNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	first, firstKey := pair(t, 1)
	second, secondKey := pair(t, 2)
	write(t, certificate, first)
	write(t, key, firstKey)
	logs, seen := observer.New(zapcore.WarnLevel)
	p, err := OpenKeyPair("tls_client_auth", certificate, key, zap.New(logs))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		p.looked = time.Time{} // it is time to look again
		leaf, err := x509.ParseCertificate(p.Get().Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("certificate %d", n)
	}
	write(t, certificate, second) // the key is still the old one's
	for range 2 {
		if n := serial(); n != 1 {
			t.Errorf("halfway: certificate %d", n)
		}
	}
	if entries := seen.All(); len(entries) != 1 || !strings.Contains(entries[0].Message, "keeping the last valid one") {
		t.Errorf("%v", entries)
	}
	write(t, key, secondKey)
	if n := serial(); n != 2 {
		t.Errorf("renewed: certificate %d", n)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 2 || seen.Len() != 2 {
		t.Errorf("without its file: certificate %d, %d warnings", n, seen.Len())
	}
}

func TestAKeyPairThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	certificate, key := pair(t, 1)
	_, other := pair(t, 2)
	write(t, in("cert"), certificate)
	write(t, in("key"), key)
	write(t, in("other"), other)
	write(t, in("open"), key)
	for path, mode := range map[string]os.FileMode{in("open"): 0o644, dir: 0o755, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ certificate, key, says string }{
		"no certificate": {in("none"), in("key"), "tls_client_auth: file " + in("none") + ": no such file or directory"},
		"no key":         {in("cert"), in("none"), "tls_client_auth: file " + in("none") + ": no such file or directory"},
		"another's key":  {in("cert"), in("other"), "private key does not match public key"},
		"a key for all":  {in("cert"), in("open"), "tls_client_auth: " + in("open") + " is readable by everybody"},
		"swapped":        {in("key"), in("cert"), "files " + in("key") + " and " + in("cert")},
	} {
		if name == "a key for all" && runtime.GOOS == "windows" {
			continue // access control lists decide there
		}
		if _, err := OpenKeyPair("tls_client_auth", c.certificate, c.key, zap.NewNop()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
