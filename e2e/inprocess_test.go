package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-erpsync/caddy-erpsync"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

// inProcess is Caddy in this process: there is one at a time.
type inProcess struct {
	so       *sandbox.Sandbox
	provider *demo.Provider
	server   *httptest.Server // the sandbox's
	dir      string
	site     string
	client   *http.Client
	calls    atomic.Int32 // each call is one of its own
}

func newInProcess(t *testing.T) *inProcess {
	t.Helper()
	g := &inProcess{dir: t.TempDir(), client: &http.Client{}}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.so.ServeHTTP(w, r) }))
	t.Cleanup(g.server.Close)
	var err error
	if g.so, err = sandbox.New(g.server.URL, sandboxtest.Keys()); err != nil {
		t.Fatal(err)
	}
	if g.provider, err = demo.NewProvider(); err != nil {
		t.Fatal(err)
	}
	if err := demo.WriteSecrets(g.dir, g.so, g.provider); err != nil {
		t.Fatal(err)
	}
	g.site = fmt.Sprintf("http://localhost:%d", testport.Take(t))
	return g
}

// load has Caddy take a configuration: people at portal, services at erp, with further global options, options of browser and of the handler.
func (g *inProcess) load(t *testing.T, global, browser, handler string) {
	t.Helper()
	config := strings.NewReplacer("{dir}", g.dir, "{base}", g.so.Base(), "{site}", g.site, "{global}", global, "{browser}", browser, "{handler}", handler).Replace(`{
	admin off
	persist_config off
	storage file_system {dir}/storage
	log default {
		level ERROR
	}
	{global}
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
			{browser}
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
		{handler}
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

// call makes a call of its own and gives the status.
func (g *inProcess) call(t *testing.T, header http.Header) int {
	t.Helper()
	status, err := g.try(t, header)
	if err != nil {
		t.Error(err)
	}
	return status
}

// callAfterReload is call while Caddy may still be closing the servers before: what it took there and has not read is reset.
func (g *inProcess) callAfterReload(t *testing.T, header http.Header) (status int) {
	t.Helper()
	eventually(t, func() (answered bool) {
		var err error
		status, err = g.try(t, header)
		return err == nil
	})
	return status
}

func (g *inProcess) try(t *testing.T, header http.Header) (status int, err error) {
	t.Helper()
	body := fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, g.calls.Add(1))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.site+resync, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
