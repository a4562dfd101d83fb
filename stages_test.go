package erpsync

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// stage is a whole call or a step of one, ready to be done again and again.
type stage struct {
	name string
	do   func()
}

const (
	jsonAnswer = `{"IsOk":true,"UserExplanation":"","TechExplanation":"","ErrorCode":null,"Changes":{"AddedRecords":[],"UpdatedRecords":[{"Tablename":"contact","RecordId":386,"TableRight":null,"FieldProperties":null},{"Tablename":"contact","RecordId":230,"TableRight":null,"FieldProperties":null}],"DeletedRecords":[]},"Status":"Ok","TableRight":null,"FieldProperties":{}}`
	xmlAnswer  = `<PluginResponse><IsOk>true</IsOk><UserExplanation/><TechExplanation/><Changes><UpdatedRecords><changedRecord><Tablename>contact</Tablename><RecordId>386</RecordId></changedRecord></UpdatedRecords></Changes><Status>Ok</Status></PluginResponse>`
	xmlBody    = `<ForceResync><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds></ForceResync>`
)

// stages are what BenchmarkStage measures and testdata/allocations.json bounds: whole calls through the
// handler with an upstream that answers in place, without a network, and their steps, each alone. The audit
// lines are written as in production, to nowhere.
func stages(t testing.TB) []stage {
	t.Helper()
	so := newSandbox(t)
	provider, err := demo.NewProvider()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := demo.WriteSecrets(dir, so, provider); err != nil {
		t.Fatal(err)
	}
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zapcore.InfoLevel))
	h, err := provisionOver(t, strings.NewReplacer("{base}", so.Base(), "{dir}", dir).Replace(apps), logger, outcome.RoundTripperFunc(answerInPlace))
	if err != nil {
		t.Fatal(err)
	}

	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	manager := h.runtime.gateway.Sessions().Manager
	token, _, err := manager.Start(t.Context(), session.Session{
		App: "portal", Tenant: "Cust12345", UPN: "per@uno.example", FullName: "Per Person", AssociateID: 11, Access: auth.NewSecret(so.AccessToken("portal", "Cust12345", "per")),
		AccessIssued: time.Now(), AccessExpires: time.Now().Add(10 * time.Hour), Refresh: auth.NewSecret(strings.Repeat("r", 40)), API: so.Base() + "/Cust12345/api",
	})
	must(err)
	cookie, xsrf := token.Cookie(), token.XSRF()
	ofSession := http.Header{"Cookie": {gateway.SessionCookie + "=" + cookie}, "X-Xsrf-Token": {xsrf}}
	ofService := http.Header{"Authorization": {"Bearer " + provider.Token("Cust12345", 10*time.Hour)}}
	ofStranger := http.Header{"Authorization": {"Bearer " + provider.Token("Cust54321", 10*time.Hour)}}
	ofTicket := http.Header{"Authorization": {"SOTicket " + so.Ticket("portal", "Cust12345", "per")}}
	call := func(header http.Header, path string, status int) func() { return serving(t, h, header, path, status) }

	providers, err := idp.NewSet(h.runtime.gateway.Config().Issuers, idp.Options{Client: func(http.RoundTripper) *http.Client { return nil }})
	must(err)
	app := h.runtime.gateway.App("erp")
	principal := auth.Principal{Scheme: auth.JWT, App: "erp", Tenant: "Cust12345", ID: "https://idp.example#nightly-sync"}
	arguments, err := superoffice.ReadArguments(superoffice.ForceResync, http.Header{"Content-Type": {"application/json"}}, []byte(seedBody))
	must(err)
	request := auth.Request{Operation: superoffice.ForceResync, PathTenant: "Cust12345", Arguments: arguments}
	plain := []byte(strings.Repeat("p", 300))
	inJSON, inXML := http.Header{"Content-Type": {"application/json; charset=utf-8"}}, http.Header{"Content-Type": {"application/xml"}}
	sealed := manager.Keys.Seal("a purpose", []string{"a part"}, plain)
	record := &outcome.Record{
		RequestID: "5c1e2a3f-7b0d-4f0e-9c55-0d7a5a0c3b11", ClientIP: "127.0.0.1", App: "portal", Tenant: "Cust12345", Principal: "per@uno.example", Scheme: "session", Credential: "user Bearer",
		Operation: superoffice.ForceResync, Arguments: arguments, Understood: true, Granted: true, Decision: "allowed", Upstream: "https://sod.superoffice.com", Status: 200,
		Outcome: outcome.Outcome{Class: outcome.OK, Updated: 2}, Sends: 1, Bytes: int64(len(jsonAnswer)), Node: "node", Environment: "online", Started: time.Now(), Duration: time.Millisecond, Privacy: h.runtime.gateway.Config().Privacy,
	}
	audit := outcome.AuditLog{Logger: logger}
	tap := func(media, body string) func() {
		header, raw := http.Header{"Content-Type": {media}}, []byte(body)
		return func() {
			tap := outcome.NewTap(superoffice.ForceResync, http.StatusOK, header, false)
			_, _ = tap.Write(raw)
			if tap.Outcome(nil).Class != outcome.OK {
				t.Fatal("the answer was not understood")
			}
		}
	}
	return []stage{
		{"call: session", call(ofSession, tenantPath, http.StatusOK)},
		{"call: JWT", call(ofService, tenantPath, http.StatusOK)},
		{"call: the caller's own ticket", call(ofTicket, tenantPath, http.StatusOK)},
		{"call: refused, another tenant", call(ofStranger, tenantPath, http.StatusForbidden)},
		{"call: not ours", call(nil, "/assets/application.3f9a1c.js", http.StatusNoContent)},
		{"match: path and query", func() {
			if _, verdict := h.runtime.gateway.Config().Paths.Read(tenantPath); verdict != superoffice.Canonical {
				t.Fatal(verdict)
			}
			_, err := superoffice.ParseQuery("$select=IsOk,Status,ErrorCode")
			must(err)
		}},
		{"session: cookie", func() {
			_, err := manager.Keys.Parse(cookie)
			must(err)
		}},
		{"session: XSRF", func() {
			if !token.CheckXSRF(xsrf) {
				t.Fatal("not its XSRF token")
			}
		}},
		{"session: load", func() {
			_, _, err := manager.Load(context.Background(), token)
			must(err)
		}},
		{"JWT: one that was proved a moment ago", func() {
			if _, refusal := providers.Prove(context.Background(), strings.TrimPrefix(ofService["Authorization"][0], "Bearer "), "Cust12345"); refusal != nil {
				t.Fatal(refusal)
			}
		}},
		{"registry: decision", func() {
			grant, refusal := app.AuthoriseCall(context.Background(), principal, request)
			if refusal == nil {
				refusal = app.AuthoriseArguments(grant, request)
			}
			if refusal != nil {
				t.Fatal(refusal)
			}
		}},
		{"keys: seal", func() { manager.Keys.Seal("a purpose", []string{"a part"}, plain) }},
		{"keys: open", func() {
			_, err := manager.Keys.Open("a purpose", []string{"a part"}, sealed)
			must(err)
		}},
		{"arguments: JSON", func() {
			_, err := superoffice.ReadArguments(superoffice.ForceResync, inJSON, []byte(seedBody))
			must(err)
		}},
		{"arguments: XML", func() {
			_, err := superoffice.ReadArguments(superoffice.ForceResync, inXML, []byte(xmlBody))
			must(err)
		}},
		{"arguments: the document that is sent", func() {
			if len(superoffice.Document(superoffice.ForceResync, arguments)) != len(seedBody) {
				t.Fatal("another document")
			}
		}},
		{"outcome: JSON", tap("application/json; charset=utf-8", jsonAnswer)},
		{"outcome: XML", tap("application/xml; charset=utf-8", xmlAnswer)},
		{"audit: the two lines of a call", func() {
			audit.Began(record)
			audit.Ended(record)
		}},
	}
}

// answerInPlace stands for SuperOffice where the agent is called: it takes the body and answers without a network.
func answerInPlace(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.URL.Path, "/Agents/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: io.NopCloser(strings.NewReader(jsonAnswer)), Request: r,
	}, nil
}

// serving returns a function that serves one request with what Caddy's server puts into its context. Request and
// writer are made once: what they take is not the handler's.
func serving(t testing.TB, h *Handler, header http.Header, path string, status int) func() {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(seedBody))
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("Accept", "application/json")
	vars, logged := make(map[string]any), new(caddyhttp.ExtraLogFields)
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars)
	ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, logged)
	r = r.WithContext(context.WithValue(ctx, caddy.ReplacerCtxKey, caddyhttp.NewTestReplacer(r.WithContext(ctx))))
	w := &writer{header: make(http.Header)}
	body := &struct {
		*strings.Reader
		io.Closer
	}{strings.NewReader(seedBody), io.NopCloser(nil)}
	r.Body = body
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	return func() {
		body.Reset(seedBody)
		clear(vars)
		vars[caddyhttp.ClientIPVarKey] = "127.0.0.1"
		*logged = caddyhttp.ExtraLogFields{}
		clear(w.header)
		w.status = 0
		if err := h.ServeHTTP(w, r, next); err != nil || w.status != status {
			t.Fatalf("%v, status %d, want %d", err, w.status, status)
		}
	}
}

// writer takes an answer and can what a server's can.
type writer struct {
	header http.Header
	status int
}

func (w *writer) Header() http.Header             { return w.header }
func (w *writer) WriteHeader(status int)          { w.status = status }
func (w *writer) Write(p []byte) (int, error)     { return len(p), nil }
func (w *writer) FlushError() error               { return nil }
func (w *writer) SetReadDeadline(time.Time) error { return nil }

// BenchmarkStage measures every stage; bench writes the figures into docs/performance.md.
func BenchmarkStage(b *testing.B) {
	for _, s := range stages(b) {
		b.Run(s.name, func(b *testing.B) {
			s.do() // caches are filled before the clock starts
			b.ReportAllocs()
			for b.Loop() {
				s.do()
			}
		})
	}
}
