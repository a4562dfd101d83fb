package redisstore

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/roster"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session/storetest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// rights is the line of docs/operations.md that makes the gateways' user, as arguments.
func rights(t *testing.T) []any {
	t.Helper()
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER (.*)$`).FindStringSubmatch(string(raw))
	if line == nil {
		t.Fatal("docs/operations.md has no line ACL SETUSER")
	}
	args := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(line[1]) {
		if strings.HasPrefix(word, ">") {
			word = ">canary"
		}
		args = append(args, word)
	}
	return args
}

// asTheDocsSay gives a server the user of the docs.
func asTheDocsSay(t *testing.T, server *redistest.Server) (admin *redis.Client) {
	t.Helper()
	admin = clientOf(t, server)
	if err := admin.Do(t.Context(), rights(t)...).Err(); err != nil {
		t.Fatal(err)
	}
	return admin
}

func gatewayUser() (user, password string) { return "gateway", "canary" }

func clientTLS(t *testing.T, c redistest.Certificates) *tls.Config {
	t.Helper()
	raw, err := os.ReadFile(c.Authority)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.Client, c.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
}

// kinds are the stores that the docs name, each with how it is reached.
var kinds = map[string]func(t *testing.T) Config{
	"Redis": func(t *testing.T) Config {
		return Config{Addresses: []string{redistest.Redis.Start(t).Address}}
	},
	"Valkey": func(t *testing.T) Config {
		return Config{Addresses: []string{redistest.Valkey.Start(t).Address}}
	},
	"Redis that a Sentinel watches": func(t *testing.T) Config {
		return Config{
			Addresses: []string{redistest.StartSentinel(t, "erpsync", "canary").Address}, Sentinel: "erpsync",
			Credentials: func() (string, string) { return "", "canary" },
		}
	},
	"the user of the docs, at a Cluster of three nodes": func(t *testing.T) Config {
		c := redistest.StartCluster(t, 3, false)
		for _, node := range c.Masters {
			asTheDocsSay(t, node)
		}
		return Config{Addresses: c.Addresses()[:1], Cluster: true, Credentials: gatewayUser}
	},
	"a unix socket": func(t *testing.T) Config {
		dir, err := os.MkdirTemp("", "redis") // the path of a socket is short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		path := filepath.Join(dir, "s")
		redistest.Redis.Start(t, "--unixsocket", path)
		return Config{Addresses: []string{path}}
	},
	"the user of the docs, over TLS with a certificate, at Redis": func(t *testing.T) Config {
		c := redistest.NewCertificates(t, t.TempDir())
		server, address := redistest.Redis.StartTLS(t, c)
		asTheDocsSay(t, server)
		return Config{Addresses: []string{address}, TLS: clientTLS(t, c), Credentials: gatewayUser}
	},
	"the user of the docs, over TLS with a certificate, at Valkey": func(t *testing.T) Config {
		c := redistest.NewCertificates(t, t.TempDir())
		server, address := redistest.Valkey.StartTLS(t, c)
		asTheDocsSay(t, server)
		return Config{Addresses: []string{address}, TLS: clientTLS(t, c), Credentials: gatewayUser}
	},
}

func TestEveryKindOfStoreKeepsWhatStoresPromise(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := kind(t)
			config.Timeout = patience
			of := func(t *testing.T) *Store {
				t.Helper()
				own := config
				own.Prefix = "erpsync " + rand.Text()
				s := New(own)
				t.Cleanup(func() { _ = s.Close() })
				return s
			}
			s := of(t)
			t.Log(version(t, s))
			t.Run("sessions", func(t *testing.T) {
				storetest.Run(t, func(t *testing.T) session.Store { return of(t).Sessions })
			})
			leasesKeepTheirPromise(t, of(t).Leases)
			valuesKeepTheirPromise(t, of(t).Values)
			gatewaysKeepTheirPromise(t, of(t).Gateways)
			boardKeepsItsPromise(t, of(t).Board)
			claimsKeepTheirPromise(t, of(t))
			var found Inspection
			s.inspected = func(i Inspection) { found = i }
			if s.look(t.Context()); found.Err != nil || found.Policy == "" {
				t.Errorf("how it evicts: %+v", found)
			}
		})
	}
}

// version returns what a server says it is.
func version(t *testing.T, s *Store) string {
	t.Helper()
	node, err := s.node(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(node.Info(t.Context(), "server").Val()) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"redis_version", "valkey_version", "redis_mode"}, name) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, " ")
}

func leasesKeepTheirPromise(t *testing.T, l Leases) {
	t.Helper()
	if current, err := l.Acquire(t.Context(), "n", "one", time.Minute); current != "one" || err != nil {
		t.Errorf("%q %v, free", current, err)
	}
	if current, err := l.Acquire(t.Context(), "n", "two", time.Minute); current != "one" || err != nil {
		t.Errorf("%q %v, held by one", current, err)
	}
	if ok, err := l.Extend(t.Context(), "n", "two", time.Minute); ok || err != nil {
		t.Errorf("extended by another: %v %v", ok, err)
	}
	if ok, err := l.Extend(t.Context(), "n", "one", time.Minute); !ok || err != nil {
		t.Errorf("not extended by its holder: %v %v", ok, err)
	}
	if err := l.Release(t.Context(), "n", "one"); err != nil {
		t.Error(err)
	}
	if current, err := l.Acquire(t.Context(), "n", "two", time.Minute); current != "two" || err != nil {
		t.Errorf("%q %v, free", current, err)
	}
}

func gatewaysKeepTheirPromise(t *testing.T, g Gateways) {
	t.Helper()
	for _, id := range []string{"one", "two"} {
		if err := g.Note(t.Context(), roster.Gateway{ID: id}, time.Hour); err != nil {
			t.Error(err)
		}
	}
	if err := g.Forget(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	if all, err := g.Gateways(t.Context()); err != nil || len(all) != 1 || all[0].ID != "two" {
		t.Errorf("%+v %v", all, err)
	}
}

func valuesKeepTheirPromise(t *testing.T, v Values) {
	t.Helper()
	if value, found, err := v.Get(t.Context(), "k"); found || err != nil {
		t.Errorf("%q %v %v, never set", value, found, err)
	}
	for i, want := range []bool{true, false} {
		if set, err := v.SetNX(t.Context(), "k", "claimed", time.Minute); set != want || err != nil {
			t.Errorf("claim %d: %v %v", i+1, set, err)
		}
	}
	if err := v.Set(t.Context(), "k", "v", time.Minute); err != nil {
		t.Error(err)
	}
	if value, found, err := v.Get(t.Context(), "k"); value != "v" || !found || err != nil {
		t.Errorf("%q %v %v", value, found, err)
	}
	if err := v.Delete(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if _, found, err := v.Get(t.Context(), "k"); found || err != nil {
		t.Errorf("deleted: %v %v", found, err)
	}
}

// A server that wants a certificate is not reached without one, or with another authority's.
func TestAStoreThatWantsACertificateIsReachedWithItAlone(t *testing.T) {
	t.Parallel()
	c := redistest.NewCertificates(t, t.TempDir())
	_, address := redistest.Redis.StartTLS(t, c)
	without, with := clientTLS(t, c), clientTLS(t, c)
	without.GetClientCertificate = nil
	stranger, err := tls.LoadX509KeyPair(redistest.NewCertificates(t, t.TempDir()).Client, c.ClientKey)
	if err == nil {
		t.Fatal(stranger)
	}
	others := redistest.NewCertificates(t, t.TempDir())
	if stranger, err = tls.LoadX509KeyPair(others.Client, others.ClientKey); err != nil {
		t.Fatal(err)
	}
	another := clientTLS(t, c)
	another.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
	for name, c := range map[string]struct {
		config *tls.Config
		well   bool
	}{"with it": {with, true}, "without": {without, false}, "another authority's": {another, false}} {
		s := openTold(t, Config{Addresses: []string{address}, Prefix: "p", Timeout: patience, TLS: c.config})
		if err := s.Values.Set(t.Context(), "k", "v", time.Minute); (err == nil) != c.well {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The user of the docs is refused everything that no gateway does, and every key that is none of theirs.
func TestTheUserOfTheDocsMayDoNothingElse(t *testing.T) {
	t.Parallel()
	for _, program := range []redistest.Program{redistest.Redis, redistest.Valkey} {
		t.Run(string(program), func(t *testing.T) {
			t.Parallel()
			server := program.Start(t)
			admin := asTheDocsSay(t, server)
			user := redis.NewClient(&redis.Options{Addr: server.Address, Username: "gateway", Password: "canary"})
			defer user.Close()
			if err := user.Set(t.Context(), "{erpsync x}v", "v", time.Minute).Err(); err != nil {
				t.Error(err)
			}
			for _, command := range [][]any{
				{"GET", "other"},
				{"SET", "other", "v"},
				{"GET", "erpsync"},
				{"EVAL", "return redis.call('GET', 'other')", "0"},
				{"KEYS", "*"},
				{"FLUSHALL"},
				{"FLUSHDB"},
				{"CONFIG", "GET", "*"},
				{"CONFIG", "SET", "maxmemory", "1"},
				{"ACL", "LIST"},
				{"ACL", "WHOAMI"},
				{"MONITOR"},
				{"SHUTDOWN"},
				{"REPLICAOF", "NO", "ONE"},
				{"SCRIPT", "FLUSH"},
				{"FUNCTION", "LIST"},
				{"CLIENT", "LIST"},
				{"CLIENT", "KILL", "ID", "1"},
				{"SAVE"},
				{"CLUSTER", "RESET"},
				{"MIGRATE", "127.0.0.1", "1", "{erpsync x}v", "0", "1"},
				{"RENAME", "{erpsync x}v", "other"},
				{"DUMP", "{erpsync x}v"},
				{"RESTORE", "{erpsync x}w", "0", "x"},
				{"PUBLISH", "c", "m"},
				{"SUBSCRIBE", "c"},
				{"XADD", "{erpsync x}s", "*", "a", "b"},
				{"SORT", "{erpsync x}v"},
				{"SWAPDB", "0", "1"},
				{"SELECT", "1"},
			} {
				if err := user.Do(t.Context(), command...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't access at least one of the keys") && !strings.Contains(err.Error(), "No permissions to access a key") {
					t.Errorf("%v: %v", command, err)
				}
			}
			if n, err := admin.DBSize(t.Context()).Result(); n != 1 || err != nil {
				t.Errorf("%d keys, %v", n, err)
			}
		})
	}
}

// The line of the docs has no right that nothing needs.
func TestTheUserOfTheDocsMayDoNoMoreThanIsDone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := asTheDocsSay(t, server)
	s := openTold(t, Config{Addresses: []string{server.Address}, Prefix: "erpsync x", Timeout: patience, Credentials: gatewayUser})
	t.Run("all", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) session.Store {
			return openTold(t, Config{Addresses: []string{server.Address}, Prefix: "erpsync " + rand.Text(), Timeout: patience, Credentials: gatewayUser}).Sessions
		})
	})
	leasesKeepTheirPromise(t, s.Leases)
	valuesKeepTheirPromise(t, s.Values)
	gatewaysKeepTheirPromise(t, s.Gateways)
	boardKeepsItsPromise(t, s.Board)
	claimsKeepTheirPromise(t, s)
	s.look(t.Context())
	stats := admin.Info(t.Context(), "commandstats").Val()
	for _, right := range rights(t) {
		command, is := strings.CutPrefix(right.(string), "+")
		if is && !slices.Contains([]string{"auth", "cluster|slots", "asking"}, command) && !strings.Contains(stats, "cmdstat_"+command+":") { // HELLO has the password; the others are for a Cluster
			t.Errorf("nothing calls %s", command)
		}
	}
	if refused := admin.Do(t.Context(), "ACL", "LOG").Val(); len(refused.([]any)) > 0 {
		t.Errorf("refused: %v", refused)
	}
}

// What scripts call is in the line of the docs, also where no test reaches it.
func TestTheLineOfTheDocsNamesEveryCommandOfTheScripts(t *testing.T) {
	t.Parallel()
	line := rights(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	called := make(map[string]bool)
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, command := range regexp.MustCompile(`redis\.p?call\(["'](\w+)["']`).FindAllStringSubmatch(string(raw), -1) {
			called["+"+strings.ToLower(command[1])] = true
		}
	}
	for command := range called {
		if !slices.Contains(line, any(command)) {
			t.Errorf("docs/operations.md lacks %s", command)
		}
	}
	if len(called) < 10 {
		t.Errorf("only %d commands were found: %v", len(called), called)
	}
}

func TestAUserWithoutARightIsSaidToLackIt(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--user", "gateway", "on", ">canary", "~{*", "+@connection", "+get")
	s := openTold(t, Config{Addresses: []string{server.Address}, Prefix: "p", Timeout: patience, Credentials: gatewayUser})
	if err := s.Values.Set(t.Context(), "k", "v", time.Minute); err == nil || !strings.Contains(err.Error(), "docs/operations.md") || s.down.Load() {
		t.Error(err)
	}
}
