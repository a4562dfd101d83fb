package erpsync

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestAStoreThatIsDownSignsNobodyOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "canary")
	dir := t.TempDir()
	write(t, dir+"/password", "canary")
	write(t, dir+"/key", strings.Repeat("k", 32))
	g := newGateway(t, apps+"\nstore redis {\naddress "+server.Address+"\npassword {file."+dir+"/password}\n}\nkeys {file."+dir+"/key}")
	client, xsrf := g.signIn("tove")
	header := http.Header{"X-XSRF-TOKEN": {xsrf}}
	server.Kill()
	for method, path := range map[string]string{http.MethodPost: tenantPath, http.MethodGet: "/erpsync/session"} {
		got := g.do(client, method, path, seedBody, header)
		if got.status != 503 || !strings.Contains(got.body, "session_store_unavailable") || got.header.Get("Retry-After") == "" || len(got.header["Set-Cookie"]) != 0 {
			t.Errorf("%s without the store: %d %v %s", path, got.status, got.header, got.body)
		}
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 {
		t.Errorf("a service without the store: %d %s", got.status, got.body)
	}
	server.Run()
	waitFor(t, func() bool {
		return g.do(client, http.MethodPost, tenantPath, seedBody, header).status == 200
	})
	for _, entry := range g.logs.All() {
		if strings.Contains(entry.Message+entry.Entry.Caller.String(), "canary") {
			t.Error("the password is in the log")
		}
	}
}

// A gateway signs people in over every way to a store that the configuration has.
func TestAStoreIsReachedOverASocketAndByACertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/key", strings.Repeat("k", 32))
	c := redistest.NewCertificates(t, dir)
	_, address := redistest.Redis.StartTLS(t, c)
	short, err := os.MkdirTemp("", "redis") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	socket := redistest.Redis.Start(t, "--unixsocket", short+"/s")
	for name, way := range map[string]string{
		"a socket":      "address unix/" + short + "/s",
		"a certificate": "address " + address + "\ntls " + c.Authority + "\ntls_client_auth " + c.Client + " " + c.ClientKey,
	} {
		g := newGateway(t, apps+"\nstore redis {\n"+way+"\ntimeout 5s\n}\nkeys {file."+dir+"/key}")
		client, xsrf := g.signIn("tove")
		if got := g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}}); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if !strings.Contains(socket.Dump(), "portal") {
		t.Error("the store at the socket is empty")
	}
}

// The table in docs/production.md is what Redis says of a gateway that was called.
func TestTheSizesOfTheDocsAreWhatTheStoreUses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	dir := t.TempDir()
	write(t, dir+"/key", strings.Repeat("k", 32))
	g := newGateway(t, apps+"\nstore redis {\naddress "+server.Address+"\ntimeout 5s\n}\nkeys {file."+dir+"/key}")
	client, xsrf := g.signIn("tove")
	held := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"UserExplanation":"2 keys were synchronised","TechExplanation":"","ErrorCode":"","Changes":[],"Status":"Ok"}`}
	})
	done := make(chan answer)
	go func() {
		done <- g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}, "Idempotency-Key": {"k"}})
	}()
	store := redis.NewClient(&redis.Options{Addr: server.Address})
	defer store.Close()
	sizes := func() map[string]int64 {
		all := make(map[string]int64)
		for keys := store.Scan(t.Context(), 0, "*", 1000).Iterator(); keys.Next(t.Context()); {
			_, rest, _ := strings.Cut(keys.Val(), "}")
			n, err := store.MemoryUsage(t.Context(), keys.Val(), 0).Result() // of all its fields: a few of them say nothing of the others
			if err != nil || rest == "" {
				continue // it has ended
			}
			all[rest[:1]] = max(all[rest[:1]], n)
		}
		return all
	}
	var during map[string]int64
	waitFor(t, func() bool {
		during = sizes()
		return during["l"] > 0
	})
	close(held)
	if got := <-done; got.status != 200 || len(got.body) != 121 {
		t.Fatalf("%d %s (%d bytes)", got.status, got.body, len(got.body))
	}
	after := sizes()
	page, err := os.ReadFile("docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, used := range map[string]int64{
		"a session":                        after["s"],
		"a person who has sessions":        after["p"],
		"a revocation epoch":               after["r"],
		"a kept answer of 121 bytes":       after["v"],
		"a lease, while a call is running": during["l"],
	} {
		row := regexp.MustCompile(`(?m)^\| ` + what + ` \| (\d+) bytes`).FindStringSubmatch(string(page))
		if row == nil {
			t.Errorf("%s: %d bytes, and docs/production.md has no row for it", what, used)
			continue
		}
		t.Logf("%s: %d bytes", what, used)
		if said, _ := strconv.ParseFloat(row[1], 64); float64(used) > said*1.1 || float64(used) < said*0.7 {
			t.Errorf("%s: docs/production.md says %s bytes, it is %d", what, row[1], used)
		}
	}
}
