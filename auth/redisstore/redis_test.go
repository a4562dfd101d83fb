package redisstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session/storetest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// patience is for servers that are there, on a machine that is busy with other tests.
const patience = time.Minute

func open(t testing.TB, server *redistest.Server, prefix string) *Store {
	t.Helper()
	s := New(Config{Addresses: []string{server.Address}, Prefix: prefix, Timeout: patience})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRedisKeepsWhatStoresPromise(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	storetest.Run(t, func(t *testing.T) session.Store { return open(t, server, rand.Text()).Sessions })
}

func TestASessionOutlivesARestartOfRedisAndADeadRedisIsSaid(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var answered atomic.Bool
	s := New(Config{Addresses: []string{server.Address}, Prefix: "p", Timeout: patience, Answered: func(_ Access, err error) { answered.Store(err == nil) }})
	defer s.Close()
	keys, err := session.NewKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	m := &session.Manager{Keys: keys, Store: s.Sessions}
	token, _, err := m.Start(t.Context(), session.Session{App: "portal", Tenant: "Cust1", UPN: "tove@uno.example", Access: auth.NewSecret("canary-access"), Refresh: auth.NewSecret("canary-refresh")})
	if err != nil || !answered.Load() {
		t.Fatal(err)
	}
	if dump := server.Dump(); strings.Contains(dump, "canary") || strings.Contains(dump, "tove") || !strings.Contains(dump, "portal") {
		t.Errorf("what lies in Redis: %q", dump)
	}
	server.Kill()
	if _, found, err := m.Load(t.Context(), token); err == nil || found || answered.Load() {
		t.Errorf("without Redis: %v, %v", found, err)
	}
	server.Run()
	_, found, err := m.Load(t.Context(), token)
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_, found, err = m.Load(t.Context(), token) // it is asked again beside the calls
	}
	if err != nil || !found || !answered.Load() {
		t.Errorf("after its restart: %v, %v", found, err)
	}
}

func TestALeaseHasOneHolderAndADeadOneBlocksNobodyForLong(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := open(t, server, "p").Leases, open(t, server, "p").Leases
	ctx := t.Context()
	for range 2 { // the holder may ask again
		if current, err := a.Acquire(ctx, "n", "one", time.Minute); current != "one" || err != nil {
			t.Fatal(current, err)
		}
	}
	if current, _ := b.Acquire(ctx, "n", "two", time.Minute); current != "one" {
		t.Errorf("%q holds it, want one", current)
	}
	if ok, _ := b.Extend(ctx, "n", "two", time.Minute); ok {
		t.Error("extended by another")
	}
	if err := b.Release(ctx, "n", "two"); err != nil {
		t.Error(err)
	}
	if ok, _ := a.Extend(ctx, "n", "one", 30*time.Millisecond); !ok {
		t.Error("not extended by its holder")
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // the holder is dead
		if current, _ := b.Acquire(ctx, "n", "two", time.Minute); current == "two" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a dead holder blocks")
		}
	}
	if err := b.Release(ctx, "n", "two"); err != nil {
		t.Error(err)
	}
}

// TestTwoGatewaysMintOnceAndEachForItselfWithoutTheStore has two keepers on one Redis mint the
// same credential for many callers.
func TestTwoGatewaysMintOnceAndEachForItselfWithoutTheStore(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	keys, err := session.NewKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	var mints atomic.Int32
	mint := func(context.Context, auth.Credential) (auth.Credential, *auth.Refusal) {
		n := mints.Add(1)
		time.Sleep(50 * time.Millisecond) // a slow provider
		return auth.Credential{Kind: auth.SOTicket, Value: auth.NewSecret("canary-" + string('0'+n)), Expires: time.Now().Add(time.Hour)}, nil
	}
	type gateway struct {
		keeper  *auth.CredentialCache
		sharing *auth.Sharing
	}
	var gateways []gateway
	for range 2 {
		store := open(t, server, "p")
		gateways = append(gateways, gateway{auth.NewCredentialCache(nil), &auth.Sharing{Locker: store.Leases, KV: store.Values, Sealer: keys}})
	}
	all := func() (values map[string]bool) {
		values = make(map[string]bool)
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 40 {
			group.Go(func() {
				g := gateways[i%2]
				credential, refusal := g.keeper.Get(t.Context(), "key", g.sharing.Mint("key", mint))
				if refusal != nil {
					t.Error(refusal.Reason, refusal.Cause)
				}
				mu.Lock()
				values[credential.Value.Reveal()] = true
				mu.Unlock()
			})
		}
		group.Wait()
		return values
	}
	if values := all(); len(values) != 1 || mints.Load() != 1 {
		t.Fatalf("%d values, %d mints", len(values), mints.Load())
	}
	if dump := server.Dump(); strings.Contains(dump, "canary") {
		t.Error("the credential lies in Redis in clear")
	}
	// One gateway is told that it was refused: it mints, and the other takes that when it is told so.
	for _, g := range gateways {
		credential, _ := g.keeper.Get(t.Context(), "key", g.sharing.Mint("key", mint))
		if !g.keeper.MarkRejected("key", credential, true) {
			t.Fatal("no second attempt")
		}
		if next, refusal := g.keeper.Get(t.Context(), "key", g.sharing.Mint("key", mint)); refusal != nil || next.Same(credential) {
			t.Errorf("%v: the refused one again", refusal)
		}
	}
	if mints.Load() != 2 {
		t.Errorf("%d mints after one was refused by both, want 2", mints.Load())
	}
	server.Kill()
	for _, g := range gateways {
		credential, _ := g.keeper.Get(t.Context(), "key", g.sharing.Mint("key", mint))
		g.keeper.MarkRejected("key", credential, true)
		if _, refusal := g.keeper.Get(t.Context(), "key", g.sharing.Mint("key", mint)); refusal != nil {
			t.Errorf("without the store: %v", refusal.Cause)
		}
	}
	if mints.Load() != 4 {
		t.Errorf("%d mints, want one more of each gateway", mints.Load())
	}
}

func TestAMintThatTakesLongerThanTheLeaseIsStillOne(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	if testing.Short() {
		t.Skip("takes 12 s")
	}
	var works atomic.Int32
	var group sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		store := open(t, server, "p")
		group.Go(func() {
			lease.Do(t.Context(), store.Leases, "n", func(context.Context) bool { return done.Load() }, func(context.Context) {
				works.Add(1)
				<-time.After(lease.TTL + 2*time.Second)
				done.Store(true)
			})
		})
	}
	group.Wait()
	if works.Load() != 1 {
		t.Errorf("%d worked", works.Load())
	}
}

func TestRedisIsReachedOverTLSAsAnACLUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"cert": certificate, "key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := strconv.Itoa(testport.Take(t))
	address := net.JoinHostPort("127.0.0.1", port)
	// The rights that docs/operations.md asks for, and no more.
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", dir+"/cert", "--tls-key-file", dir+"/key", "--tls-auth-clients", "no",
		"--user", "gateway", "on", ">canary", "~{erpsync*", "+@connection", "+@read", "+@write", "+@scripting", "+time", "-@dangerous", "+info")
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	for name, c := range map[string]struct {
		password string
		roots    *x509.CertPool
		well     bool
	}{"right": {"canary", trusted, true}, "wrong password": {"x", trusted, false}, "unknown authority": {"canary", x509.NewCertPool(), false}} {
		s := New(Config{Addresses: []string{address}, Prefix: "erpsync x", Timeout: patience, TLS: &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12}, Credentials: func() (string, string) { return "gateway", c.password }})
		err := errors.Join(s.Sessions.Add(t.Context(), session.Place{1}, session.Record{App: "a", Tenant: "t", Expires: time.Now().Add(time.Minute)}, 1), s.Sessions.Revoke(t.Context(), session.Place{2}, time.Minute))
		if _, acquireErr := s.Leases.Acquire(t.Context(), "n", name, time.Millisecond); err == nil {
			err = acquireErr
		}
		if (err == nil) != c.well || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
	}
}
