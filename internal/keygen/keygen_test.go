package keygen

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
)

func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := keygenCommand()
	cmd.SilenceErrors = true
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestTheGatewayReadsEveryKeyThatIsMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	if _, err := execute(t, "sealing", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := execute(t, "sealing", "--dir", dir, "--name", "sealing-2.key"); err != nil {
		t.Fatal(err)
	}
	first, second := read(t, dir, "sealing.key"), read(t, dir, "sealing-2.key")
	if raw, err := base64.RawURLEncoding.DecodeString(string(bytes.TrimSpace(first))); err != nil || len(raw) != sealingBits/8 {
		t.Errorf("%v: %d bytes", err, len(raw))
	}
	if _, err := session.NewKeys(bytes.TrimSpace(first), bytes.TrimSpace(second)); err != nil {
		t.Error("two keys that were made are no ring:", err)
	}

	out, err := execute(t, "system-user", "erp", "--dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	inPEM, err := systemuser.ParsePrivateKey(read(t, dir, "erp.private_key"))
	if err != nil {
		t.Fatal(err)
	}
	inXML := read(t, dir, "erp.private_key.xml")
	for name, raw := range map[string][]byte{
		"as it is": inXML, "with a BOM": append([]byte("\xef\xbb\xbf"), inXML...),
		"with a prolog": append([]byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n"), inXML...),
	} {
		if key, err := systemuser.ParsePrivateKey(raw); err != nil || !key.Equal(inPEM) {
			t.Errorf("the XML, %s: %v, or another key than the PEM", name, err)
		}
	}
	block, _ := pem.Decode(read(t, dir, "erp.public_key.pem"))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil || !inPEM.PublicKey.Equal(public) {
		t.Errorf("%v: the public key is not the private one's", err)
	}
	if inPEM.N.BitLen() != 2048 {
		t.Errorf("%d bits", inPEM.N.BitLen())
	}

	// What is printed is what goes to the vendor: the public key, and nothing of the private ones.
	for _, want := range []string{string(read(t, dir, "erp.public_key.pem")), string(read(t, dir, "erp.public_key.xml")), "SHA256:", "private_key {file." + filepath.Join(dir, "erp.private_key") + "}", "appdev@superoffice.com"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	for _, number := range []*big.Int{inPEM.D, inPEM.Primes[0], inPEM.Primes[1]} {
		if strings.Contains(out, base64.StdEncoding.EncodeToString(number.Bytes())) {
			t.Error("the output holds a part of the private key")
		}
	}
	if strings.Contains(out, "PRIVATE KEY") {
		t.Error("the output holds the private key")
	}
}

// .NET's FromXmlString refuses a number with fewer bytes than its place has. About one key in a hundred has one.
func TestNumbersInTheXMLFillTheirPlace(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key.D = big.NewInt(3) // stands for a D with leading zeros
	key.Primes[1] = big.NewInt(5)
	raw := rsaKeyValue(append(publicParts(&key.PublicKey), part{"Q", key.Primes[1], 128}, part{"D", key.D, 256}))
	var short struct{ Q, D byte64 }
	if err := xml.Unmarshal(raw, &short); err != nil || len(short.D) != 256 || len(short.Q) != 128 {
		t.Fatalf("%v: D has %d bytes", err, len(short.D))
	}

	other, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	var value struct {
		XMLName                                      xml.Name `xml:"RSAKeyValue"`
		Modulus, Exponent, P, Q, DP, DQ, InverseQ, D byte64
	}
	if err := xml.Unmarshal(privateXML(other), &value); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  byte64
		want *big.Int
		size int
	}{
		"Modulus": {value.Modulus, other.N, 384}, "Exponent": {value.Exponent, big.NewInt(65537), 3},
		"P": {value.P, other.Primes[0], 192}, "Q": {value.Q, other.Primes[1], 192},
		"DP": {value.DP, other.Precomputed.Dp, 192}, "DQ": {value.DQ, other.Precomputed.Dq, 192},
		"InverseQ": {value.InverseQ, other.Precomputed.Qinv, 192}, "D": {value.D, other.D, 384},
	} {
		if len(c.got) != c.size || new(big.Int).SetBytes(c.got).Cmp(c.want) != 0 {
			t.Errorf("%s is another number, or has %d bytes instead of %d", name, len(c.got), c.size)
		}
	}
	if text := string(publicXML(&other.PublicKey)); strings.Contains(text, "<D>") || strings.Contains(text, "<P>") || !strings.HasPrefix(text, "<RSAKeyValue><Modulus>") {
		t.Error("the public XML holds more than the public key")
	}
}

type byte64 []byte

func (b *byte64) UnmarshalText(text []byte) (err error) {
	*b, err = base64.StdEncoding.DecodeString(string(text))
	return err
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	for _, existing := range []string{"erp.private_key", "erp.private_key.xml", "erp.public_key.pem", "erp.public_key.xml"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, existing), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := execute(t, "system-user", "erp", "--dir", dir); err == nil || !strings.Contains(err.Error(), existing) || !strings.Contains(err.Error(), "never overwritten") {
			t.Errorf("%s: %v", existing, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || string(read(t, dir, existing)) != "mine" {
			t.Errorf("%s: %v, and %d files after the refusal", existing, err, len(entries))
		}
	}
	dir := t.TempDir()
	if _, err := execute(t, "sealing", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir, "sealing.key")
	if _, err := execute(t, "sealing", "--dir", dir); err == nil {
		t.Error("a second key was made over the first")
	}
	if out, err := execute(t, "sealing", "--dir", dir, "--keep"); err != nil || !strings.HasPrefix(out, "Kept ") {
		t.Errorf("--keep: %v %q", err, out)
	}
	if !bytes.Equal(before, read(t, dir, "sealing.key")) {
		t.Error("the key is another one")
	}
}

func TestALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "sealing.key")); err != nil {
		t.Skip("no links here: ", err)
	}
	if _, err := execute(t, "sealing", "--dir", dir); err == nil {
		t.Error("a link in the key's place was followed")
	}
	if _, err := execute(t, "sealing", "--dir", dir, "--keep"); err == nil {
		t.Error("--keep took a link that leads nowhere for a key")
	}
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("a key was written elsewhere")
	}
}

func TestKeepTakesNoKeyThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"sealing.key": "short", "erp.private_key": "-----BEGIN PRIVATE KEY-----\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := execute(t, "sealing", "--dir", dir, "--keep"); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Error(err)
	}
	if _, err := execute(t, "system-user", "erp", "--dir", dir, "--keep"); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Error(err)
	}
}

func TestKeepExplainsThePortalsKey(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "erp.private_key"), privateXML(key), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := execute(t, "system-user", "erp", "--dir", dir, "--keep")
	public, fingerprint, _ := publicPEM(&key.PublicKey)
	if err != nil || !strings.Contains(out, string(public)) || !strings.Contains(out, fingerprint) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPermissionsAreRightFromTheStart(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("mode bits say nothing on Windows")
	}
	dir := filepath.Join(t.TempDir(), "new", "secrets")
	if _, err := execute(t, "sealing", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := execute(t, "system-user", "erp", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, "sealing.key": 0o600, "erp.private_key": 0o600, "erp.private_key.xml": 0o600} {
		stat, err := os.Stat(filepath.Join(dir, name))
		if err != nil || stat.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", name, err, stat.Mode().Perm(), want)
		}
	}

	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	if _, err := execute(t, "sealing", "--dir", dir, "--name", "other.key"); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("a folder that everybody may write to was taken: %v", err)
	}
}

func TestAFailedWriteLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := folder(dir).write(file{name: "one", content: []byte("1")}, file{name: "missing/two", content: []byte("2")})
	if err == nil {
		t.Fatal("written into a folder that there is not")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v: %d files are left", err, len(entries))
	}
}

func TestNamesLeadNowhereElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"../evil", "a/b", `a\b`, ".hidden", "", "-x", "a b", "C:evil"} {
		if _, err := execute(t, "sealing", "--dir", dir, "--name="+name); err == nil || !strings.Contains(err.Error(), "invalid --name") {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := execute(t, "system-user", "--dir", dir, "--", name); err == nil || !strings.Contains(err.Error(), "invalid app") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := execute(t, "system-user", "erp", "--dir", dir, "--bits", "1024"); err == nil || !strings.Contains(err.Error(), "--bits") {
		t.Errorf("1024 bits: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v: %d files", err, len(entries))
	}
}

func TestWindowsIsToldAboutPermissions(t *testing.T) {
	t.Parallel()
	for goos, want := range map[string]bool{"windows": true, "linux": false, "darwin": false} {
		var out strings.Builder
		p := place{dir: t.TempDir(), out: &out, goos: goos}
		if err := p.sealing("sealing.key"); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "icacls") != want {
			t.Errorf("%s: %s", goos, out.String())
		}
	}
}
