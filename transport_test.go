package erpsync

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

func TestSuperOfficeIsReachedOverTLSWithTheOperatorsTrustAndNoOther(t *testing.T) {
	t.Parallel()
	var so *sandbox.Sandbox
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, sandboxtest.Keys())
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, apps) // for its provider and listener; the handler is replaced
	dir := g.dir
	write(t, dir+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	erp := so.App("erp")
	write(t, dir+"/erp.client_id", erp.ClientID)
	write(t, dir+"/erp.client_secret", erp.ClientSecret)
	write(t, dir+"/erp.private_key", string(erp.KeyPEM()))
	write(t, dir+"/tenants.json", `{"tenants":[{"tenant":"Cust12345","system_token":"`+so.SystemToken("erp", "Cust12345")+`"}]}`)
	config := strings.NewReplacer("{base}", so.Base(), "{dir}", dir).Replace(apps)
	for trust, want := range map[string]int{"": 503, "\ntransport http {\ntls_trust_pool file " + dir + "/ca.pem\n}": 200} {
		h, err := provision(t, config+trust, g.h.runtime.logger)
		if err != nil {
			t.Fatal(err)
		}
		g.h = h
		if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != want {
			t.Errorf("with %q: %d %s", trust, got.status, got.body)
		}
	}
}

// A POST on a connection that SuperOffice is just closing is lost, and cannot be repeated: so the gateway closes it first.
func TestAConnectionIsGivenUpBeforeSuperOfficeClosesIt(t *testing.T) {
	t.Parallel()
	var so *sandbox.Sandbox
	var opened, closed atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed: // by the gateway: this server closes none that is idle
			closed.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, sandboxtest.Keys())
	if err != nil {
		t.Fatal(err)
	}
	g := newGatewayBefore(t, so, apps+"\ntransport http {\nkeepalive 20ms\n}")
	for i := range int32(5) {
		if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
		waitFor(t, func() bool { return closed.Load() == opened.Load() })
		if n := opened.Load(); n <= i {
			t.Fatalf("%d connections after %d calls: one is kept for longer", n, i+1)
		}
	}
}
