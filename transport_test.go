package erpsync

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestSuperOfficeIsReachedOverTLSWithTheOperatorsTrustAndNoOther(t *testing.T) {
	t.Parallel()
	var so *sandbox.Sandbox
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL)
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

// onsiteApp is the least that is taken.
const onsiteApp = "upstream https://a.example\napp a {\nagents ErpSync\n}\nsuperoffice session\n"

// TestAConnectionIsGivenUpBeforeSuperOfficeClosesIt paces calls so that each meets a server which is just
// closing the connection of the one before. A POST that loses that race cannot be repeated.
func TestAConnectionIsGivenUpBeforeSuperOfficeClosesIt(t *testing.T) {
	t.Parallel()
	const theirs = 500 * time.Millisecond
	lost := make(map[string]int)
	for _, ours := range []string{"20ms", "10m"} {
		var so *sandbox.Sandbox
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
		server.Config.IdleTimeout = theirs
		server.Start()
		t.Cleanup(server.Close)
		so, err := sandbox.New(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		g := newGatewayBefore(t, so, apps+"\ntransport http {\nkeepalive "+ours+"\n}")
		pace := time.NewTicker(theirs + time.Millisecond)
		defer pace.Stop()
		for range 10 {
			if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 {
				lost[ours]++
			}
			<-pace.C
		}
	}
	t.Logf("calls lost of 10 where SuperOffice closes after %s: %v", theirs, lost)
	if lost["20ms"] > 0 {
		t.Errorf("%d calls were lost to a connection that was closing", lost["20ms"])
	}
}
