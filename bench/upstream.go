package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const answer = `{"IsOk":true,"UserExplanation":"","TechExplanation":"","ErrorCode":null,"Changes":{"AddedRecords":[],"UpdatedRecords":[{"Tablename":"contact","RecordId":386,"TableRight":null,"FieldProperties":null},{"Tablename":"contact","RecordId":230,"TableRight":null,"FieldProperties":null}],"DeletedRecords":[]},"Status":"Ok","TableRight":null,"FieldProperties":{}}`

// Connections whose calls are answered in another way than all others.
const (
	heldConnection   = 701 // the answer comes after hold
	longConnection   = 702 // 100 MB
	packedConnection = 703 // 10 MB of gzip that unpack to 10 GiB

	hold = 2 * time.Second
)

// upstreamJob says where the upstream listens.
type upstreamJob struct {
	Addr, TLSAddr string
	Dir           string // holds upstream.pem and upstream.key
}

// upstream answers every resync alike and refuses what comes without a credential or app token, so that a
// fast wrong answer shows as an error. It knows every tenant and mints their system users' tickets.
type upstream struct {
	job  upstreamJob
	key  *rsa.PrivateKey
	bomb []byte
}

func serveUpstream(raw string) error {
	var job upstreamJob
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	u := &upstream{job: job, key: key, bomb: bomb()}
	plain := &http.Server{Addr: job.Addr, Handler: u, ReadHeaderTimeout: 10 * time.Second}
	secure := &http.Server{Addr: job.TLSAddr, Handler: u, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 2)
	go func() {
		ended <- secure.ListenAndServeTLS(filepath.Join(job.Dir, "upstream.pem"), filepath.Join(job.Dir, "upstream.key"))
	}()
	go func() { ended <- plain.ListenAndServe() }()
	return <-ended
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	path := strings.ToLower(r.URL.Path)
	switch {
	case strings.HasPrefix(path, "/api/state/"):
		tenant := r.URL.Path[len("/api/state/"):]
		fmt.Fprintf(w, `{"ContextIdentifier":%q,"State":"Running","IsRunning":true,"ValidUntil":%q,"Api":%q}`, tenant, time.Now().UTC().Add(time.Hour).Format(time.RFC3339), "http://"+u.job.Addr+"/"+tenant+"/api")
		return
	case path == "/login/.well-known/jwks":
		text := base64.RawURLEncoding.EncodeToString
		fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","kid":"1","n":%q,"e":%q}]}`, text(u.key.N.Bytes()), text(big.NewInt(int64(u.key.E)).Bytes()))
		return
	case path == "/login/api/partnersystemuser/authenticate":
		u.mint(w, r)
		return
	case strings.HasSuffix(path, "/currentprincipal"): // the proof of a caller's own ticket
		_, _ = io.WriteString(w, `{"EjUserId":0,"Associate":"per","AssociateId":11,"UserType":"InternalAssociate","DatabaseContextIdentifier":"Cust12345","FunctionRights":[]}`)
		return
	}
	// Who reads only the beginning of a long body has read what the answer depends on.
	var head [32]byte
	n, _ := io.ReadFull(r.Body, head[:])
	_, _ = io.Copy(io.Discard, r.Body)
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme != "Bearer" && scheme != "SOTicket" || value == "" || r.Header.Get("SO-AppToken") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	is := func(connection int) bool { return bytes.Contains(head[:n], fmt.Appendf(nil, ":%d", connection)) }
	switch {
	case is(heldConnection):
		time.Sleep(hold)
	case is(longConnection):
		u.answerLong(w)
		return
	case is(packedConnection):
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(u.bomb)
		return
	}
	_, _ = io.WriteString(w, answer)
}

// answerLong says at its end that the call went well, after 100 MB.
func (u *upstream) answerLong(w http.ResponseWriter) {
	const record = `{"Tablename":"contact","RecordId":1234567,"TableRight":null,"FieldProperties":null},`
	part := []byte(strings.Repeat(record, 64<<10/len(record)))
	_, _ = io.WriteString(w, `{"Changes":{"AddedRecords":[`)
	for range 100_000_000 / len(part) {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, strings.TrimSuffix(record, ",")+`]},"IsOk":true,"Status":"Ok"}`)
}

// bomb is a JSON string of 10 GiB in 10 MB of gzip.
func bomb() []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, `{"IsOk":true,"X":"`)
	_ = w.Flush()
	head := packed.Len()
	_ = w.Close()
	prefix := bytes.Clone(packed.Bytes()[:head])
	// A mebibyte of zeros, packed once and flushed, is the same bytes each time.
	packed.Reset()
	w.Reset(&packed)
	_ = w.Flush()
	empty := packed.Len()
	_, _ = w.Write(bytes.Repeat([]byte("0"), 1<<20))
	_ = w.Flush()
	return append(prefix, bytes.Repeat(packed.Bytes()[empty:], 10<<10)...)
}

// mint returns a system user's ticket.
func (u *upstream) mint(w http.ResponseWriter, r *http.Request) {
	var in struct{ SignedSystemToken, ApplicationToken, ContextIdentifier string }
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.SignedSystemToken == "" || in.ApplicationToken == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	const prefix, serial = "http://schemes.superoffice.net/identity/", "1"
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "SuperOffice AS", "aud": "spn:" + serial, "exp": time.Now().Add(5 * time.Minute).Unix(), prefix + "serial": serial, prefix + "ctx": in.ContextIdentifier,
		prefix + "webapi_url": "http://" + u.job.Addr + "/" + in.ContextIdentifier + "/api/", prefix + "ticket": "7T:" + rand.Text(),
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(u.key)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"IsSuccessful": true, "Token": signed})
}

// writeCertificate writes the upstream's certificate, which is its own authority, and its key.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{"upstream.pem": {Type: "CERTIFICATE", Bytes: certificate}, "upstream.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
