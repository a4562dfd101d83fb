package gateway_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// said is what an answer can say, in JSON and in XML, and what is told of it.
var said = []struct {
	name, json, xml string
	status          int
	class, cause    string
}{
	{name: "ok", json: `{"IsOk":true,"Status":"Ok"}`, xml: `<PluginResponse><IsOk>true</IsOk><Status>Ok</Status></PluginResponse>`, class: "ok"},
	{name: "info", json: `{"Status":"OkWithInfo","IsOk":true}`, xml: `<PluginResponse><Status>OkWithInfo</Status><IsOk>true</IsOk></PluginResponse>`, class: "info"},
	{name: "warning", json: `{"IsOk":true,"Status":"Warning"}`, xml: `<PluginResponse><IsOk>true</IsOk><Status>Warn</Status></PluginResponse>`, class: "warning"},
	{name: "error", json: `{"IsOk":false,"UserExplanation":"quo \u00e6","TechExplanation":"quo","ErrorCode":"sunt","Changes":null,"Status":"Error","TableRight":null,"FieldProperties":{"fieldName":{"FieldRight":null,"FieldType":"System.Int32","FieldLength":171}}}`, xml: `<?xml version="1.0"?><PluginResponse xmlns="http://www.superoffice.net/ws/crm/NetServer/Services88"><IsOk>false</IsOk><UserExplanation>quo &#xE6;</UserExplanation><ErrorCode>sunt</ErrorCode><Changes/><Status>Error</Status><TableRight><Mask>1</Mask></TableRight></PluginResponse>`, class: "error"},
	{name: "IsOk alone", json: `{"IsOk":false}`, xml: `<PluginResponse><IsOk>false</IsOk></PluginResponse>`, class: "error"},
	{name: "Status alone", json: `{"Status":"Ok"}`, xml: `<PluginResponse><Status>Ok</Status></PluginResponse>`, class: "ok"},
	{name: "disagreeing", json: `{"IsOk":true,"Status":"Error"}`, xml: `<PluginResponse><IsOk>true</IsOk><Status>Error</Status></PluginResponse>`, class: "contradictory", cause: "status_disagrees"},
	{name: "nothing", json: `null`, xml: `<PluginResponse xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>`, class: "empty"},
	{name: "answer under 400", status: 400, json: `{"IsOk":false,"Status":"Error"}`, xml: `<PluginResponse><IsOk>false</IsOk></PluginResponse>`, class: "contradictory", cause: "plugin_response_under_error_status"},
	{name: "error body", status: 500, json: `{"Error":true,"ErrorType":"T","ErrorMessage":"M","ErrorSource":"S"}`, xml: `<Error><Message>M</Message></Error>`, class: "fault"},
	{name: "the other error body", status: 403, json: `{"Error":true,"ErrorType":"T","Message":"M"}`, xml: `<Error><Message>M</Message><MessageDetail>D</MessageDetail></Error>`, class: "fault"},
	{name: "ASP.NET's error body", status: 404, json: `{"Message":"M","MessageDetail":"D"}`, xml: `<Error><Message>M</Message></Error>`, class: "fault"},
	{name: "error body under 200", json: `{"Message":"M"}`, xml: `<Error><Message>M</Message></Error>`, class: "contradictory", cause: "error_body_under_success"},
	{name: "unknown status", json: `{"IsOk":true,"Status":"Splendid"}`, xml: `<PluginResponse><IsOk>true</IsOk><Status>Splendid</Status></PluginResponse>`, class: "unreadable", cause: "status_unknown"},
	{name: "twice", json: `{"IsOk":false,"IsOk":true}`, xml: `<PluginResponse><IsOk>false</IsOk><IsOk>true</IsOk></PluginResponse>`, class: "unreadable", cause: "duplicate_property"},
	{name: "trailing", json: `{"IsOk":true} {"IsOk":false}`, xml: `<PluginResponse><IsOk>true</IsOk></PluginResponse> more`, class: "unreadable", cause: "not_plugin_response"},
	{name: "cut short", json: `{"IsOk":true,"Status":`, xml: `<PluginResponse><IsOk>true</IsOk>`, class: "unreadable", cause: "cut_short"},
	{name: "something else", json: `{"Name":"x"}`, xml: `<Contact><Name>x</Name></Contact>`, class: "unreadable", cause: "not_plugin_response"},
	{name: "deep", json: `{"X":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"IsOk":true}`, xml: `<PluginResponse>` + strings.Repeat("<a>", 500) + strings.Repeat("</a>", 500) + `<IsOk>true</IsOk></PluginResponse>`, class: "unreadable", cause: "too_deep"},
	{name: "long", json: `{"Changes":{"AddedRecords":[` + strings.Repeat(`{"Tablename":"contact","RecordId":1},`, 5000) + `{}]},"IsOk":false,"Status":"Error"}`, xml: `<PluginResponse><Changes><AddedRecords>` + strings.Repeat("<ChangedRecord><RecordId>1</RecordId></ChangedRecord>", 5001) + `</AddedRecords></Changes><IsOk>false</IsOk><Status>Error</Status></PluginResponse>`, class: "error"},
}

// wrappings are the content codings that an answer can come in.
var wrappings = map[string]func(io.Writer) io.WriteCloser{
	"":              nil,
	"gzip":          func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"br":            func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"deflate":       func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"deflate (raw)": func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 6); return f },
	"zstd":          func(w io.Writer) io.WriteCloser { e, _ := zstd.NewWriter(w); return e },
}

func wrapped(t *testing.T, coding, text string) string {
	t.Helper()
	if wrappings[coding] == nil {
		return text
	}
	var packed bytes.Buffer
	w := wrappings[coding](&packed)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// TestEveryFormOfAnswerPassesAsItIsAndIsTold sends each thing that an answer can say in each
// form that it can take through the whole gateway, and compares the bytes that
// arrive with those that SuperOffice sent.
func TestEveryFormOfAnswerPassesAsItIsAndIsTold(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	caller := g.Service()
	// A client that decompresses nothing by itself.
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	cases := 0
	for _, form := range said {
		for _, kind := range []struct{ media, text string }{
			{"application/json; charset=utf-8", form.json},
			{"text/json", form.json},
			{"application/xml; charset=utf-8", form.xml},
			{"text/xml", form.xml},
		} {
			for coding := range wrappings {
				if coding != "" && strings.HasPrefix(kind.media, "text/") {
					continue
				}
				cases++
				body := wrapped(t, coding, kind.text)
				header := http.Header{"Content-Type": {kind.media}}
				if coding != "" {
					header.Set("Content-Encoding", strings.TrimSuffix(coding, " (raw)"))
				}
				if cases%2 == 0 { // the others are chunked
					header.Set("Content-Length", strconv.Itoa(len(body)))
				}
				g.SO.Answer(func(string, int) *sandbox.Answer {
					return &sandbox.Answer{Status: form.status, Header: header, Body: body}
				})
				got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, caller)
				name := fmt.Sprintf("%s, %s, %s", form.name, kind.media, coding)
				if got.Body != body || got.Header.Get("Content-Type") != kind.media || got.Header.Get("Content-Encoding") != header.Get("Content-Encoding") || got.Header.Get("Content-Length") != header.Get("Content-Length") && cases%2 == 0 {
					t.Errorf("%s: changed on its way: %v", name, got.Header)
				}
				line := g.Audited()
				cause, _ := line["outcome_cause"].(string)
				if line["outcome"] != form.class || cause != form.cause {
					t.Errorf("%s: told as %v (%s), want %s (%s)", name, line["outcome"], cause, form.class, form.cause)
				}
			}
		}
	}
	if cases < 200 {
		t.Errorf("only %d cases", cases)
	}
}

func TestWhatASelectLeavesOutIsAskedForUnlessItIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keep               bool
		query, sent, class string
		widened            any
	}{
		{false, "?$select=Changes", "$select=Changes,IsOk,Status,ErrorCode", "error", true},
		{false, "?$select=IsOk,status,ErrorCode", "$select=IsOk,status,ErrorCode", "error", nil},
		{false, "", "", "error", nil},
		{true, "?$select=Changes", "$select=Changes", "masked", nil},
		{true, "?$select=IsOk", "$select=IsOk", "error", nil},
	} {
		t.Run(fmt.Sprint(c.keep, c.query), func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) { config.KeepSelect = c.keep }))
			got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath+c.query, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, g.Service())
			sent := g.Sent()
			if len(sent) != 1 {
				t.Fatalf("%d calls sent: %s", len(sent), got.Body)
			}
			if _, query, _ := strings.Cut(sent[0].URI, "?"); query != c.sent {
				t.Errorf("sent %s", query)
			}
			if line := g.Audited(); line["outcome"] != c.class || line["select_widened"] != c.widened {
				t.Errorf("told %v", line)
			}
		})
	}
}

func TestPeopleStandInTheAuditAsTheOperatorChose(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		privacy outcome.Privacy
		check   func(line map[string]any) bool
	}{
		"full and omit": {outcome.Privacy{Principals: outcome.Full, Explanations: outcome.Omit}, func(line map[string]any) bool {
			return line["principal"] == "https://idp.example#nightly-sync" && line["user_explanation"] == nil && line["tech_explanation"] == nil
		}},
		"omit and full": {outcome.Privacy{Principals: outcome.Omit, Explanations: outcome.Full}, func(line map[string]any) bool {
			return line["principal"] == nil && line["user_explanation"] == "The ERP system did not answer." && line["tech_explanation"] == "Connector timed out."
		}},
		"hashes": {outcome.Privacy{Principals: outcome.Hashed, Explanations: outcome.Hashed, Key: []byte("a key")}, func(line map[string]any) bool {
			principal, _ := line["principal"].(string)
			explanation, _ := line["user_explanation"].(string)
			return strings.HasPrefix(principal, "hmac:") && strings.HasPrefix(explanation, "hmac:") && principal != explanation
		}},
	} {
		g := gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) { config.Privacy = c.privacy }))
		g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, g.Service())
		if line := g.Audited(); !c.check(line) {
			t.Errorf("%s: %v", name, line)
		}
	}
}

func TestTheOutcomeIsSaidInAHeaderAndPagesMayReadIt(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	for body, want := range map[string]string{
		gatewaytest.SeedBody: "ok", `{"ErpConnectionId":613,"InternalKeyIds":[1]}`: "error",
	} {
		header := g.Service()
		header.Set("Origin", "https://pages.example")
		got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, body, header)
		if got.Header.Get("ErpSync-Outcome") != want || !strings.Contains(got.Header.Get("Access-Control-Expose-Headers"), "ErpSync-Outcome") {
			t.Errorf("%s: %v", body, got.Header)
		}
	}
}

// blockingSink is a caller that reads nothing.
type blockingSink struct{ reads chan struct{} }

func (blockingSink) Header() http.Header { return make(http.Header) }
func (blockingSink) WriteHeader(int)     {}
func (s blockingSink) Write(p []byte) (int, error) {
	<-s.reads
	return len(p), nil
}

func TestACallerThatReadsNothingHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Limits.Connection = 1 }))
	g.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok","X":"` + strings.Repeat("x", 200_000) + `"}`}
	})
	sink := blockingSink{make(chan struct{})}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, gatewaytest.TenantPath, strings.NewReader(gatewaytest.SeedBody))
	r.Header = g.Service()
	r.Header.Set("Content-Type", "application/json")
	done := make(chan struct{})
	go func() {
		defer close(done)
		path, verdict := g.Match(r)
		g.ServeCall(sink, r, path, verdict, &gatewaytest.Visit{RequestID: "one"})
	}()
	gatewaytest.WaitFor(t, func() bool { return len(g.Sent()) == 1 && g.CallsInFlight(g.App("erp"), "Cust12345") == 0 })
	if got := g.Resync(g.Service()); got.Status != http.StatusOK {
		t.Errorf("the same call, after SuperOffice has answered the first: %d %.200s", got.Status, got.Body)
	}
	close(sink.reads)
	<-done
}

// A caller that has left must not turn a moved tenant's new host into a failure.
func TestATenantThatMovedIsFollowedForACallerThatHasLeft(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	moved := false
	g := gatewaytest.New(t, gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if moved || !strings.Contains(r.URL.Path, "/Agents/") {
			return false
		}
		moved = true
		leave()
		w.WriteHeader(http.StatusMisdirectedRequest)
		return true
	}))
	g.Do(nil, http.MethodPost, strings.Replace(gatewaytest.TenantPath, "ForceResync", "GetEngineStatus", 1), "", g.Service())
	moved = false
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, gatewaytest.TenantPath, strings.NewReader(gatewaytest.SeedBody))
	r.Header = g.Service()
	r.Header.Set("Content-Type", "application/json")
	path, verdict := g.Match(r)
	g.ServeCall(httptest.NewRecorder(), r, path, verdict, &gatewaytest.Visit{RequestID: "one"})
	if line := g.Audited(); line["outcome"] != "ok" || ctx.Err() == nil {
		t.Errorf("%v", line)
	}
}

// A fault of ours after a call was sent must not free its Idempotency-Key.
func TestAPanicAfterSendingKeepsTheKeyAsUnknown(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	header := keyed(g.Service(), "once")
	header.Set("Content-Type", "application/json")
	func() {
		defer func() { _ = recover() }()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, gatewaytest.TenantPath, strings.NewReader(gatewaytest.SeedBody))
		r.Header = header.Clone()
		path, verdict := g.Match(r)
		g.ServeCall(panickingSink{}, r, path, verdict, &gatewaytest.Visit{RequestID: "one"})
	}()
	if n := len(g.Sent()); n != 1 {
		t.Fatalf("%d sent", n)
	}
	got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header)
	if n := len(g.Sent()); n != 1 || got.Status != http.StatusOK && got.Status != http.StatusConflict {
		t.Errorf("%d sends; %d %s", n, got.Status, got.Body)
	}
}

// panickingSink fails as our own code might, once the answer is there.
type panickingSink struct{}

func (panickingSink) Header() http.Header       { return make(http.Header) }
func (panickingSink) WriteHeader(int)           { panic("a fault of ours") }
func (panickingSink) Write([]byte) (int, error) { panic("a fault of ours") }

func TestAServiceAccountIsForThoseWhomUsersNames(t *testing.T) {
	t.Parallel()
	app := auth.App{
		Name: "office", Agents: []string{"ErpSync"}, Operations: []superoffice.Operation{superoffice.ForceResync}, CallAs: auth.AsAccount, Users: auth.Users{Named: []string{"tove", "associate:12"}},
		Tenant: func(superoffice.Tenant) (auth.TenantGrant, bool) { return auth.TenantGrant{}, true },
	}
	for name, c := range map[string]struct {
		principal auth.Principal
		admitted  bool
	}{
		"named":          {auth.Principal{Scheme: auth.WebClientSession, ID: "Tove"}, true},
		"by id":          {auth.Principal{Scheme: auth.WebClientSession, ID: "per", AssociateID: 12}, true},
		"another":        {auth.Principal{Scheme: auth.WebClientSession, ID: "per", AssociateID: 11}, false},
		"administrator":  {auth.Principal{Scheme: auth.BroughtBasic, ID: "admin", Administrator: true}, false},
		"a service":      {auth.Principal{Scheme: auth.JWT, ID: "https://idp#sync"}, true},
		"nobody's id, 0": {auth.Principal{Scheme: auth.WebClientSession, ID: "associate:0"}, false},
	} {
		_, refusal := app.AuthoriseCall(t.Context(), c.principal, auth.Request{Operation: superoffice.ForceResync})
		if (refusal == nil) != c.admitted {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}
