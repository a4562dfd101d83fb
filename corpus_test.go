package erpsync

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
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
	g := newGateway(t, apps)
	caller := g.service()
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
				g.so.Answer(func(string, int) *sandbox.Answer {
					return &sandbox.Answer{Status: form.status, Header: header, Body: body}
				})
				got := g.do(client, http.MethodPost, tenantPath, seedBody, caller)
				name := fmt.Sprintf("%s, %s, %s", form.name, kind.media, coding)
				if got.body != body || got.header.Get("Content-Type") != kind.media || got.header.Get("Content-Encoding") != header.Get("Content-Encoding") || got.header.Get("Content-Length") != header.Get("Content-Length") && cases%2 == 0 {
					t.Errorf("%s: changed on its way: %v", name, got.header)
				}
				line := g.outcome()
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
		audit, query, sent, class string
		widened                   any
	}{
		{"", "?$select=Changes", "$select=Changes,IsOk,Status,ErrorCode", "error", true},
		{"", "?$select=IsOk,status,ErrorCode", "$select=IsOk,status,ErrorCode", "error", nil},
		{"", "", "", "error", nil},
		{"audit {\nkeep_select\n}", "?$select=Changes", "$select=Changes", "masked", nil},
		{"audit {\nkeep_select\n}", "?$select=IsOk", "$select=IsOk", "error", nil},
	} {
		t.Run(c.audit+c.query, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, apps+"\n"+c.audit)
			got := g.do(nil, http.MethodPost, tenantPath+c.query, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, g.service())
			sent := g.sent()
			if len(sent) != 1 {
				t.Fatalf("%d calls sent: %s", len(sent), got.body)
			}
			if _, query, _ := strings.Cut(sent[0].URI, "?"); query != c.sent {
				t.Errorf("sent %s", query)
			}
			if line := g.outcome(); line["outcome"] != c.class || line["select_widened"] != c.widened {
				t.Errorf("told %v", line)
			}
		})
	}
}

func TestPeopleStandInTheAuditAsTheOperatorChose(t *testing.T) {
	t.Parallel()
	for how, check := range map[string]func(line map[string]any) bool{
		"": func(line map[string]any) bool {
			return line["principal"] == "https://idp.example#nightly-sync" && line["user_explanation"] == nil && line["tech_explanation"] == nil
		},
		"principals omit\nexplanations full": func(line map[string]any) bool {
			return line["principal"] == nil && line["user_explanation"] == "The ERP system did not answer." && line["tech_explanation"] == "Connector timed out."
		},
		"principals hash\nexplanations hash": func(line map[string]any) bool {
			principal, _ := line["principal"].(string)
			explanation, _ := line["user_explanation"].(string)
			return strings.HasPrefix(principal, "hmac:") && strings.HasPrefix(explanation, "hmac:") && principal != explanation
		},
	} {
		g := newGateway(t, apps+"\naudit {\n"+how+"\n}")
		g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, g.service())
		if line := g.outcome(); !check(line) {
			t.Errorf("%q: %v", how, line)
		}
	}
}
