package gateway_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// smuggled is a call that nobody judged, in the body of a CONNECT.
const smuggled = "POST " + gatewaytest.TenantPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

// A proxy that follows the gateway would write the body of an HTTP/2 or HTTP/3 CONNECT on a kept connection.
func TestNoConnectReachesTheNextHandler(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	var passed atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, verdict := f.Match(r)
		if verdict == superoffice.NotOurs {
			passed.Add(1)
			return
		}
		f.ServeCall(w, r, path, verdict, &gatewaytest.Visit{RequestID: "connect", Address: "127.0.0.1"})
	})
	for version, start := range map[string]func(*testing.T, http.Handler) (http.RoundTripper, string){"HTTP/2": startHTTP2, "HTTP/3": startHTTP3} {
		transport, address := start(t, handler)
		for name, header := range map[string]http.Header{"plain": nil, "extended": {":protocol": {"connect-udp"}}} {
			if version == "HTTP/3" && name == "extended" {
				continue // its client sends no :protocol
			}
			req := (&http.Request{
				Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: address}, Host: "localhost:443", Header: header.Clone(), Body: io.NopCloser(strings.NewReader(smuggled)), ContentLength: -1,
			}).WithContext(t.Context())
			if req.Header == nil {
				req.Header = make(http.Header)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil { // refused by the server itself
				t.Logf("%s, %s: %v", version, name, err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s, %s: %s", version, name, resp.Status)
			}
		}
	}
	if passed.Load() != 0 || len(f.Sent()) != 0 {
		t.Errorf("%d went on, %d were sent", passed.Load(), len(f.Sent()))
	}
	if line := f.Audited(); line["reason"] != "method_not_allowed" {
		t.Errorf("audit: %v", line)
	}
}

func startHTTP2(t *testing.T, handler http.Handler) (http.RoundTripper, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := &http.Transport{TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return transport, server.Listener.Addr().String()
}

func startHTTP3(t *testing.T, handler http.Handler) (http.RoundTripper, string) {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	t.Cleanup(certified.Close)
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS13})}
	go func() { _ = server.Serve(socket) }()
	transport := &http3.Transport{TLSClientConfig: certified.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	t.Cleanup(func() {
		_ = transport.Close()
		_ = server.Shutdown(context.Background())
		_ = socket.Close()
	})
	return transport, socket.LocalAddr().String()
}

func TestATargetThatIsNoPathIsRefusedAndAWebsocketIsNot(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	for name, c := range map[string]struct {
		r    *http.Request
		want superoffice.Verdict
	}{
		"a path":                     {&http.Request{Method: "GET", Proto: "HTTP/1.1", URL: &url.URL{Path: "/x"}}, superoffice.NotOurs},
		"no path":                    {&http.Request{Method: "GET", Proto: "HTTP/1.1", URL: &url.URL{Scheme: "http", Host: "localhost"}}, superoffice.NotOurs},
		"scheme:opaque":              {&http.Request{Method: "GET", Proto: "HTTP/1.1", URL: &url.URL{Scheme: "x", Opaque: "agents/erpsync"}}, superoffice.NonCanonical},
		"all of the server":          {&http.Request{Method: "OPTIONS", Proto: "HTTP/1.1", URL: &url.URL{Path: "*"}}, superoffice.NotOurs},
		"all of the server, posted":  {&http.Request{Method: "POST", Proto: "HTTP/1.1", URL: &url.URL{Path: "*"}}, superoffice.NonCanonical},
		"a path without a slash":     {&http.Request{Method: "GET", Proto: "HTTP/1.1", URL: &url.URL{Path: "x"}}, superoffice.NonCanonical},
		"a method that is no token":  {&http.Request{Method: "GE T", Proto: "HTTP/2.0", URL: &url.URL{Path: "/x"}}, superoffice.NonCanonical},
		"no method":                  {&http.Request{Method: "", Proto: "HTTP/2.0", URL: &url.URL{Path: "/x"}}, superoffice.NonCanonical},
		"CONNECT":                    {&http.Request{Method: "CONNECT", Proto: "HTTP/2.0", URL: &url.URL{Host: "localhost:443"}}, superoffice.NonCanonical},
		"CONNECT with a path":        {&http.Request{Method: "CONNECT", Proto: "HTTP/2.0", URL: &url.URL{Path: "/x"}}, superoffice.NonCanonical},
		"a websocket, HTTP/2":        {&http.Request{Method: "CONNECT", Proto: "HTTP/2.0", URL: &url.URL{Path: "/x"}, Header: http.Header{":protocol": {"websocket"}}}, superoffice.NotOurs},
		"a websocket, HTTP/3":        {&http.Request{Method: "CONNECT", Proto: "websocket", URL: &url.URL{Path: "/x"}}, superoffice.NotOurs},
		"another protocol, HTTP/3":   {&http.Request{Method: "CONNECT", Proto: "connect-udp", URL: &url.URL{Path: "/x"}}, superoffice.NonCanonical},
		"two protocols":              {&http.Request{Method: "CONNECT", Proto: "HTTP/2.0", URL: &url.URL{Path: "/x"}, Header: http.Header{":protocol": {"websocket", "x"}}}, superoffice.NonCanonical},
		"a websocket without a path": {&http.Request{Method: "CONNECT", Proto: "websocket", URL: &url.URL{}}, superoffice.NonCanonical},
		"a websocket to the agent":   {&http.Request{Method: "CONNECT", Proto: "websocket", URL: &url.URL{Path: gatewaytest.TenantPath}}, superoffice.Canonical}, // and then the method is refused
	} {
		if _, got := f.Match(c.r); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAnOfferOfH2CIsIgnoredAndAnyOtherUpgradeRefused(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	header := f.Service()
	header["Connection"], header["Upgrade"], header["Http2-Settings"] = []string{"Upgrade, HTTP2-Settings"}, []string{"h2c"}, []string{"AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"}
	if got := f.Resync(header); got.Status != http.StatusOK {
		t.Errorf("h2c: %d %s", got.Status, got.Body)
	}
	f.SO.Forget()
	header["Upgrade"] = []string{"websocket"}
	f.Refused(f.Resync(header), http.StatusBadRequest, "upgrade_refused")
}

func TestEverythingIsConfirmedByExactlyOneExactWord(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	for _, values := range [][]string{{"all", "none"}, {"none", "all"}, {"all", "all"}, {"ALL"}, {"all,none"}, {""}} {
		header := f.Service()
		header["Erpsync-Confirm"] = values
		f.Refused(f.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612}`, header), http.StatusBadRequest, "header_not_understood")
	}
}
