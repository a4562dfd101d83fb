package adminapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/adminapi"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

// newAPI is an admin API without a site, and what it records.
func newAPI(t *testing.T) (adminapi.API, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	return adminapi.API{Sites: new(report.Sites), Node: func() string { return "node" }, Audit: func() *zap.Logger { return zap.New(core) }}, logs
}

func TestTheUserAtTheOtherEndOfTheSocketIsTheActorWhateverTheClientSays(t *testing.T) {
	t.Parallel()
	if !adminapi.PeersAreKnown {
		t.Skip("this system names no peers")
	}
	api, logs := newAPI(t)
	dir, err := os.MkdirTemp("", "erpsync") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.Listen(listener, zap.NewNop())
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	send := func(body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gateway"+report.RevokePath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []string{"Authorization", "From", "X-Forwarded-User", "Actor"} {
			req.Header.Set(header, "mallory")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	if status, answer := send(`{"app":"erp"}`); status != http.StatusConflict || !strings.Contains(answer, `{"error":"no erpsync handler`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := send(`{"app":"erp","actor":"mallory"}`); status != http.StatusBadRequest {
		t.Errorf("a name that the client asserts is read: %d", status)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range logs.All() {
		fields := line.ContextMap()
		if line.Message != adminapi.Message || fields["actor"] != me.Username || fields["actor_proof"] != "unix_peer" || fmt.Sprint(fields["actor_uid"]) != me.Uid || fields["act"] != "revoke" || fields["result"] != "failed" || fields["node"] != "node" {
			t.Errorf("%s %v", line.Message, fields)
		}
		if strings.Contains(fmt.Sprint(fields), "mallory") {
			t.Errorf("what the client says of itself is recorded: %v", fields)
		}
	}
	if logs.Len() != 2 {
		t.Errorf("%d lines", logs.Len())
	}
	client.CloseIdleConnections()
	server.Stop(t.Context())
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket is open still")
	}
}

func TestACertificateNamesItsHolderOnlyWhenTLSVerifiedIt(t *testing.T) {
	t.Parallel()
	asserted := &x509.Certificate{Subject: pkix.Name{CommonName: "mallory"}, SerialNumber: big.NewInt(1)}
	uri, err := url.Parse("spiffe://example/ops")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		state       *tls.ConnectionState
		want, proof string
	}{
		"plain":                {nil, "unidentified", "none"},
		"without one":          {&tls.ConnectionState{}, "unidentified", "none"},
		"not verified":         {&tls.ConnectionState{PeerCertificates: []*x509.Certificate{asserted}}, "unidentified", "none"},
		"by its subject":       {verified(&x509.Certificate{Subject: pkix.Name{CommonName: "ops"}, DNSNames: []string{"other"}}), "ops", "client_certificate"},
		"by its first name":    {verified(&x509.Certificate{DNSNames: []string{"ops.example", "b"}}), "ops.example", "client_certificate"},
		"by its address":       {verified(&x509.Certificate{EmailAddresses: []string{"ops@example"}}), "ops@example", "client_certificate"},
		"by its URI":           {verified(&x509.Certificate{URIs: []*url.URL{uri}}), "spiffe://example/ops", "client_certificate"},
		"by its serial number": {verified(&x509.Certificate{SerialNumber: big.NewInt(7)}), "serial 7", "client_certificate"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, report.RevokePath, http.NoBody)
		r.TLS = c.state
		if got := adminapi.ActorOf(r); got.Name != c.want || string(got.Proof) != c.proof || got.UID != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func verified(certificate *x509.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}}
}

func TestEveryRouteThatActsLeavesALineAndNoOther(t *testing.T) {
	t.Parallel()
	api, logs := newAPI(t)
	bodies := map[string]string{
		report.CheckPath: `{"app":"erp"}`, report.ProbePath: `{"app":"erp","tenant":"Cust1"}`, report.ImportPath: `{"app":"erp","tenants":[{"tenant":"Cust1","system_token":"canary"}]}`,
		report.FindPath: `{"app":"erp","tenant":"Cust1","connection":612,"name":"Canary AS"}`,
		report.HoldPath: `{"tenant":"Cust1","reason":"r","for":"1h"}`, report.ReleasePath: `{"all":true,"unreadable":true}`,
		report.ImportHistoryPath: `{"calls":[{"request_id":"r"}]}`, report.CloseFailurePath: `{"group":7,"reason":"repaired by hand"}`,
		report.RetryPath: `{"all":true}`, report.RetryPlanPath: `{"all":true}`,
		report.ForgetPath: `{"tenant":"Cust1"}`,
		report.RemovePath: `{"app":"erp","tenant":"Cust1"}`, report.RevokePath: `{"tenant":"Cust1","user":"tove@uno.example"}`,
		report.NotifyTestPath: `{"kind":"failing"}`,
	}
	acts := map[string]string{
		report.CheckPath: "check", report.FindPath: "find", report.ProbePath: "probe", report.ExportPath: "tenants_export", report.ImportPath: "tenants_import", report.RemovePath: "tenants_remove",
		report.RevokePath: "revoke", report.HoldPath: "hold", report.ReleasePath: "release", report.CloseFailurePath: "failures_close", report.ImportHistoryPath: "history_import",
		report.RetryPath:      "retry",
		report.ForgetPath:     "history_forget",
		report.NotifyTestPath: "notify_test",
	}
	for _, route := range api.Routes() {
		before := logs.Len()
		r := httptest.NewRequestWithContext(t.Context(), route.Method, route.Path+"?app=erp", strings.NewReader(bodies[route.Path]))
		if _, err := api.Serve(route, httptest.NewRecorder(), r); err == nil && acts[route.Path] != "" {
			t.Errorf("%s: no error without a site", route.Path)
		}
		switch act := acts[route.Path]; {
		case act == "" && logs.Len() != before:
			t.Errorf("%s is recorded", route.Path)
		case act != "":
			if logs.Len() != before+1 {
				t.Fatalf("%s: %d lines", route.Path, logs.Len()-before)
			}
			if fields := logs.All()[before].ContextMap(); fields["act"] != act || fields["actor"] != "unidentified" || fields["result"] != "failed" || fields["cause"] == nil {
				t.Errorf("%s: %v", route.Path, fields)
			} else if unreadable, _ := fields["unreadable"].(bool); unreadable != (act == "release") {
				t.Errorf("%s: what could not be read was given up: %t", route.Path, unreadable)
			}
		}
	}
	if text := fmt.Sprint(logs.All()); strings.Contains(strings.ToLower(text), "canary") || strings.Contains(text, "tove") {
		t.Error("a secret, or a person whom no site lets be named, is recorded")
	}
}

func TestABodyWithoutAnEndIsNotReadToIt(t *testing.T) {
	t.Parallel()
	api, _ := newAPI(t)
	for _, route := range api.Routes() {
		if route.Path != report.RevokePath {
			continue
		}
		body := strings.NewReader(`{"tenant":"` + strings.Repeat("x", 33<<20) + `"}`)
		status, err := api.Serve(route, httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), route.Method, route.Path, body))
		if status != http.StatusRequestEntityTooLarge || body.Len() == 0 {
			t.Errorf("%d %v, and %d bytes were left", status, err, body.Len())
		}
	}
}

func TestAnActsLineIsBounded(t *testing.T) {
	t.Parallel()
	api, _ := newAPI(t)
	var line bytes.Buffer
	api.Audit = func() *zap.Logger {
		return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&line), zapcore.InfoLevel))
	}
	app := strings.Repeat("a", 1<<20)
	body, err := json.Marshal(report.Revocation{App: &app})
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range api.Routes() {
		if route.Path == report.RevokePath {
			_, _ = api.Serve(route, httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), route.Method, route.Path, bytes.NewReader(body)))
		}
	}
	if line.Len() == 0 || line.Len() > 2048 {
		t.Errorf("%d bytes", line.Len())
	}
}

func TestALookupsLineHasItsKindAndItsCountAndNotWhatWasSearchedFor(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	sites := new(report.Sites)
	sites.Add(&report.Site{Gateway: f.Gateway, Origin: func() string { return "" }})
	api := adminapi.API{Sites: sites, Node: func() string { return "node" }}
	for _, route := range api.Routes() {
		if route.Path != report.FindPath {
			continue
		}
		r := httptest.NewRequestWithContext(t.Context(), route.Method, route.Path, strings.NewReader(`{"app":"erp","tenant":"Cust12345","connection":612,"name":"Uno AS"}`))
		w := httptest.NewRecorder()
		if _, err := api.Serve(route, w, r); err != nil || !strings.Contains(w.Body.String(), `"key":386`) {
			t.Fatalf("%v %s", err, w.Body)
		}
	}
	lines := f.Logs.FilterMessage(adminapi.Message).All()
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	fields := lines[0].ContextMap()
	if fields["act"] != "find" || fields["question"] != "name" || fmt.Sprint(fields["found"]) != "1" || fmt.Sprint(fields["connection"]) != "612" || fields["tenant"] != "Cust12345" || fields["result"] != "done" {
		t.Errorf("%v", fields)
	}
	if strings.Contains(fmt.Sprint(f.Logs.All()), "Uno") {
		t.Error("the name that was searched for is logged")
	}
}
