package health

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

func execute(t *testing.T, args ...string) error {
	t.Helper()
	cmd := healthCommand()
	cmd.SilenceErrors = true
	cmd.SetOut(io.Discard)
	cmd.SetArgs(args)
	return cmd.ExecuteContext(t.Context())
}

func TestOnlyA200IsHealthy(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /erpsync/live", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(proof, "1") })
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/no-content", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(proof, "1")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/erpsync/live", http.StatusPermanentRedirect)
	})
	hang := make(chan struct{})
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-hang })
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(hang)
	closed := "http://" + testport.Address(t)

	for _, c := range []struct{ name, url, want string }{
		{"alive", server.URL + "/erpsync/live", ""},
		{"another 2xx", server.URL + "/no-content", "answered 204 instead of 200"},
		{"what Caddy answers for a host that no site has", server.URL + "/empty", "not erpsync"},
		{"an error", server.URL + "/broken", "answered 503"},
		{"not there", server.URL + "/other", "answered 404"},
		{"a redirect, even to what is alive", server.URL + "/moved", "redirects to /erpsync/live"},
		{"nobody listens", closed, "connect"},
		{"no answer", server.URL + "/hang", "deadline exceeded"},
		{"another scheme", "ftp://127.0.0.1/", "invalid url"},
		{"no host", "/erpsync/live", "invalid url"},
	} {
		timeout := "--timeout=10s"
		if c.name == "no answer" {
			timeout = "--timeout=100ms"
		}
		err := execute(t, c.url, timeout)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := execute(t, server.URL+"/erpsync/live", "--timeout=0s"); err == nil || !strings.Contains(err.Error(), "--timeout") {
		t.Errorf("no time at all: %v", err)
	}
}

func TestTheSitesNameIsKeptWhereTheConnectionGoesElsewhere(t *testing.T) {
	t.Parallel()
	var host string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		w.Header().Set(proof, "1")
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := execute(t, "http://erpsync.example.com/erpsync/live", "--connect", address.Host); err != nil || host != "erpsync.example.com" {
		t.Errorf("%v, asked for %q", err, host)
	}

	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	local := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}} //nolint:gosec // a test's server
	local.Start()
	defer local.Close()
	if err := execute(t, "http://over.socket/erpsync/live", "--connect", "unix/"+socket); err != nil || host != "over.socket" {
		t.Errorf("%v, asked for %q", err, host)
	}
}

func TestACertificateIsVerifiedForTheSitesName(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	err := execute(t, "https://erpsync.example.com/erpsync/live", "--connect", server.Listener.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "certificate") && !strings.Contains(err.Error(), x509.UnknownAuthorityError{}.Error()) {
		t.Errorf("an unknown certificate was taken: %v", err)
	}
}

func TestTheProxyOfTheEnvironmentIsNotAsked(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if transport, ok := (probe{}).transport().(*http.Transport); !ok || transport.Proxy != nil {
		t.Error("a proxy would be asked")
	}
}

func TestAPasswordInTheURLIsNotPrinted(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, address := range []string{strings.TrimPrefix(server.URL, "http://"), "127.0.0.1:1"} {
		if err := execute(t, "http://name:hunter2@"+address+"/"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
