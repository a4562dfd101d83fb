package erpsync

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// BenchmarkCall is the gateway's own part of a call: everything but Caddy's server, the
// connection to SuperOffice, and the writing of the audit lines. What "not ours" costs is
// the benchmark's own: the making of a request.
func BenchmarkCall(b *testing.B) {
	g := newGatewayOver(b, apps, zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)), outcome.RoundTripperFunc(answerInPlace))
	client, xsrf := g.signIn("per")
	var cookies []string
	for _, c := range client.Jar.(*cookiejar.Jar).Cookies(mustParse(b, strings.Replace(g.site, "http://", "https://", 1))) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()) // a ticket is there, and the tenant found
	const answer = jsonAnswer
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		_, err := io.WriteString(w, answer)
		return err
	})
	session, service := http.Header{"Cookie": {strings.Join(cookies, "; ")}, "X-Xsrf-Token": {xsrf}}, g.service()
	for _, header := range []http.Header{session, service} {
		header.Set("Content-Type", "application/json; charset=utf-8")
		header.Set("Accept", "application/json")
	}
	for _, c := range []struct {
		name, path string
		header     http.Header
	}{{"session", tenantPath, session}, {"JWT", tenantPath, service}, {"not ours", "/other", service}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, c.path, strings.NewReader(seedBody))
				if err != nil {
					b.Fatal(err)
				}
				r.Header, r.Host, r.RemoteAddr = c.header, "localhost", "127.0.0.1:1"
				w := &answered{header: make(http.Header, 8)}
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
				if err := g.h.ServeHTTP(w, r, next); err != nil || w.status != http.StatusOK || w.written != len(answer) {
					b.Fatal(w.status, err)
				}
			}
		})
	}
}

func TestHandlersAroundAndTheAccessLineAreToldOfTheCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tenantPath, strings.NewReader(seedBody))
	r.Header = g.service()
	replacer, w := caddy.NewReplacer(), httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, replacer, w, new(caddyhttp.Server))
	if err := g.h.ServeHTTP(w, r, nil); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	id := w.Header().Get("ErpSync-Request-Id")
	const all = "{http.erpsync.app} {http.erpsync.tenant} {http.erpsync.operation} {http.erpsync.outcome} {http.erpsync.reason} {http.erpsync.request_id} {http.erpsync.x} {http.auth.user.id}"
	if got, want := replacer.ReplaceAll(all, ""), "erp Cust12345 ForceResync ok  "+id+"  https://idp.example#nightly-sync"; got != want {
		t.Errorf("placeholders: %q, want %q", got, want)
	}
	core, logs := observer.New(zap.InfoLevel)
	zap.New(core).Info("access", zap.Inline((*recorded)(&outcome.Record{RequestID: id, Reason: "r", Outcome: outcome.Outcome{Class: outcome.OK}})))
	want := map[string]any{"erpsync_outcome": "ok", "erpsync_reason": "r", "erpsync_request_id": id}
	if diff := cmp.Diff(want, logs.All()[0].ContextMap()); diff != "" {
		t.Error(diff)
	}
}

// answered is a ResponseWriter that keeps nothing.
type answered struct {
	header  http.Header
	status  int
	written int
}

func (a *answered) Header() http.Header  { return a.header }
func (a *answered) WriteHeader(code int) { a.status = code }
func (a *answered) Write(p []byte) (int, error) {
	a.written += len(p)
	return len(p), nil
}
