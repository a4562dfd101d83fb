package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"go.uber.org/goleak"

	_ "github.com/caddy-erpsync/caddy-erpsync"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// TestAReloadLosesNothingAndAStopLeavesNothingBehind has Caddy itself load configurations one
// after the other, with a call under way, and looks for goroutines when it has stopped.
func TestAReloadLosesNothingAndAStopLeavesNothingBehind(t *testing.T) {
	for _, store := range []string{"memory", "redis"} {
		t.Run(store, func(t *testing.T) { reload(t, store) })
	}
}

func reload(t *testing.T, store string) {
	options := "store memory"
	if store == "redis" {
		options = "store redis {\n\taddress " + redistest.Start(t).Address + "\n}\nkeys 0123456789abcdef0123456789abcdef"
	}
	before := goleak.IgnoreCurrent()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	so, err := sandbox.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := demo.NewProvider()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := demo.WriteSecrets(dir, so, provider); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	site := fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	listener.Close()
	load := func(durations string) {
		t.Helper()
		config := strings.NewReplacer("{dir}", dir, "{base}", so.Base(), "{site}", site, "{durations}", durations, "{store}", options).Replace(`{
	admin off
	persist_config off
	storage file_system {dir}/storage
	log default {
		level ERROR
	}
}
{site} {
	erpsync {
		environment {base}
		app portal {
			client_id {file.{dir}/portal.client_id}
			client_secret {file.{dir}/portal.client_secret}
			agents ErpSync
			tenant *
		}
		browser {
			app portal
			{durations}
		}
		app erp {
			client_id {file.{dir}/erp.client_id}
			client_secret {file.{dir}/erp.client_secret}
			private_key {file.{dir}/erp.private_key}
			agents ErpSync
			tenants file {dir}/tenants.json
			call_as system
		}
		jwt https://idp.example {
			audience erpsync
			algorithms ES256
			jwks {dir}/jwks.json
			app erp
			tenant claim tenant
		}
		{store}
	}
}`)
		adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load(adapted, true); err != nil {
			t.Fatal(err)
		}
	}
	load("idle 1h")
	client, xsrf, err := demo.SignIn(t.Context(), site, so, "Cust12345", "tove")
	if err != nil {
		t.Fatal(err)
	}
	var keys atomic.Int32 // each call is one of its own
	call := func(header http.Header) int {
		t.Helper()
		body := fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, keys.Add(1))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+"/Cust12345/api/v1/Agents/ErpSync/ForceResync", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0
		}
		req.Header = header.Clone()
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	person := http.Header{"X-Xsrf-Token": {xsrf}}
	service := http.Header{"Authorization": {"Bearer " + provider.Token("Cust12345", time.Hour)}}
	if person, service := call(person), call(service); person != 200 || service != 200 {
		t.Fatal(person, service)
	}
	held := make(chan struct{})
	so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	so.Forget()
	during := make(chan int, 1)
	go func() { during <- call(person) }()
	eventually(t, func() bool { return agentCalls(so) == 1 })
	for _, durations := range []string{"idle 2h", "idle 30m\n\t\t\tlifetime 12h", "idle 1h\n\t\t\tsessions 3"} {
		load(durations)
	}
	so.Answer(nil)
	mints := so.Mints("ticket")
	if person, service := call(person), call(service); person != 200 || service != 200 {
		t.Errorf("after three reloads: %d for the person, %d for the service", person, service)
	}
	if n := so.Mints("ticket"); n != mints {
		t.Errorf("%d tickets, %d before the reloads", n, mints)
	}
	close(held)
	if status := <-during; status != 200 {
		t.Errorf("the call that went on over the reloads: %d", status)
	}
	client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	// Caddy's own: its certificate cache and event loops live as long as the process.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*Cache).maintainAssets"), goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}
