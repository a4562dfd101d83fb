package console_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestFromACustomersNameToTheStoryOfTheirCall(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	_, page := f.see("", "/")
	f.want(page, `href="/tenants/Cust12345">Uno AS</a>`, "Failing", "Failed, and said why", "Approval needed", "Working", "caddy erpsync release --app erp --tenant Cust54321", "their ERP is moved")
	_, page = f.see("", "/search?q=uno+as")
	f.want(page, `href="/tenants/Cust12345">Uno AS</a>`)
	if strings.Contains(page, "Due GmbH") {
		t.Error("the search found others")
	}
	_, page = f.see("", "/tenants/cust12345")
	f.want(page, "2 records do not go through. Failed, and said why (connection 613).", `href="/calls/`+unoFailed+`"`, "CONNECTOR_TIMEOUT", "Approved", "online3.superoffice.com", "Calls of the last 24 hours", "Calls of the last 30 days", "<rect", "caddy erpsync failures close 17", "caddy erpsync hold --app erp --tenant Cust12345 --connection 613")
	_, page = f.see("", "/calls/"+unoFailed)
	f.want(page, "tove@uno.example asked through the app erp for Uno AS: update records, 2 records, connection 613.", "a program with a token", "as the customer&#39;s system user", "After 1.4 s: it failed, and the ERP connection said why.",
		"The ERP connector did not answer within 30 s", "CONNECTOR_TIMEOUT", `href="/calls/11111111-aaaa-4bbb-8ccc-000000000001"`, "caddy erpsync failures close 17")
	_, page = f.see("", "/calls/"+dueRefused)
	f.want(page, "The gateway did not send it: the customer&#39;s administrator has to approve the app again.", "per@due.example")
	_, page = f.see("", "/tenants/"+due)
	f.want(page, "https://gw.example/erpsync/approve?app=erp&amp;tenant=Cust54321", "The consent was withdrawn")
}

func TestARecordsCallsAreFoundByItsKeyAndARequestIdByItself(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	_, page := f.see("", "/search?q=386")
	f.want(page, `href="/calls/`+unoFailed+`"`, `href="/calls/11111111-aaaa-4bbb-8ccc-000000000001"`)
	_, page = f.see("", "/search?q="+unoFailed)
	f.want(page, "Read its story", "Failed, and said why")
	_, page = f.see("", "/search?q=nobody+knows+this")
	f.want(page, "Nothing is known of", "An ERP number or a company?")
	_, page = f.see("", "/calls?tenant="+uno+"&key=230")
	f.want(page, "Calls of Uno AS", `href="/calls/`+unoFailed+`"`)
	_, page = f.see("", "/calls?connection=x")
	f.want(page, "The connection is not a number.")
}

func TestAnERPNumberIsLookedUpInSuperOffice(t *testing.T) {
	t.Parallel()
	w := newWorld()
	f := newConsole(t, w)
	target := "/tenants/" + uno + "?find=C-1001&find-by=erp&find-connection=613"
	_, page := f.see("", target)
	f.want(page, "Nordfjord Bygg", "company 4711", "/calls?key=386&amp;tenant=Cust12345")
	if strings.Contains(page, "data-refresh") {
		t.Error("the page follows, and has SuperOffice asked again with each change")
	}
	if len(w.asked) != 1 || w.asked[0].App != "erp" || w.asked[0].Environment != "online" || w.asked[0].Connection != 613 || w.asked[0].ERP == nil || *w.asked[0].ERP != "C-1001" {
		t.Fatalf("%+v", w.asked)
	}
	if v := w.views[len(w.views)-1]; v.Question != "erp" || v.Tenant != uno || v.Found != 1 || v.Connection != 613 {
		t.Errorf("audited as %+v", v)
	}
	r := request(http.MethodGet, target)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if _, page = f.do(r); len(w.asked) != 1 || !strings.Contains(page, "SuperOffice was not asked yet") {
		t.Errorf("a link of another site has SuperOffice asked: %d", len(w.asked))
	}
	w.findErr = errors.New("lookup_failed (the archive answered HTTP 500 secret-host): see `cause`")
	_, page = f.see("", target)
	f.want(page, "This does not say that there is no such record", "SuperOffice did not answer a look-up")
	if strings.Contains(page, "secret-host") || strings.Contains(page, "has no such record") {
		t.Error("an error is told as it came, or as nothing found")
	}
	w.findErr, w.found = nil, report.Found{}
	_, page = f.see("", target)
	f.want(page, "SuperOffice has no such record behind this connection")
	_, page = f.see("", "/tenants/"+uno+"?find=abc&find-by=key&find-connection=613")
	f.want(page, "by a number above zero")
	_, page = f.see("", "/tenants/"+uno+"?find=abc&find-connection=613&find-app=other@online")
	f.want(page, "Choose one of the apps.")
}

func TestAMonthIsReportedByCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w.used = []console.Usage{
		{Day: month, Environment: "online", App: "erp", Tenant: uno, Connection: 613, Counts: console.Counts{Succeeded: 1999, Failed: 1}},
		{Day: month.AddDate(0, 0, 30), Environment: "online", App: "erp", Tenant: uno, Connection: 613, Counts: console.Counts{Refused: 5}},
		{Day: month.AddDate(0, 1, 0), Environment: "online", App: "erp", Tenant: uno, Connection: 613, Counts: console.Counts{Succeeded: 7777}},
	}
	f := newConsole(t, w)
	_, page := f.see("", "/report?month=2026-03")
	f.want(page, "Report for March 2026", "2\u202f005", "1\u202f999", "99.9 %", "month=2026-02", "month=2026-04")
	if strings.Contains(page, "7777") {
		t.Error("another month's day is in it")
	}
	f.want(page, "Calls by day")
	for i := range 501 {
		w.used = append(w.used, console.Usage{Day: month, Environment: "online", App: "erp", Tenant: fmt.Sprintf("Cust%d", i), Connection: 1, Counts: console.Counts{Succeeded: 1}})
	}
	if _, page := f.see("", "/report?month=2026-03"); strings.Contains(page, "Calls by day") || !strings.Contains(page, "too many customers to draw") || !strings.Contains(page, "2\u202f506") {
		t.Errorf("with many customers: %.2000s", page)
	}
	for _, month := range []string{"x", "3026-01", "0001-01"} {
		if _, page := f.see("", "/report?month="+month); !strings.Contains(page, "The month is not over") {
			t.Errorf("%s: not this month", month)
		}
	}
}

func TestTheConfigurationIsShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	_, page := newConsole(t, newWorld()).see("", "/configuration")
	newConsole(t, newWorld()).want(page, "client_secret", "kept secret", person, "node-1", "node-2", "Silent", "v1.2.2")
}

// hostile is what somebody outside may have a name, an error code, a key or a person be.
var hostile = []string{
	"=cmd|'/c calc'!A1 <script>alert(1)</script> \"><img src=x onerror=alert(1)> {{.}} \u202eevil",
	"@x ' onmouseover='alert(1) </title><svg onload=alert(1)>\nevent: change\ndata: x",
	`javascript:alert(1)`,
}

func TestTextFromOutsideIsDataEverywhere(t *testing.T) {
	t.Parallel()
	live := regexp.MustCompile(`(?i)<script>|<img|<svg onload|[ "']onmouseover=['"]|href="javascript|\x{202e}`)
	for _, text := range hostile {
		w := newWorld()
		for i := range w.rows {
			r := &w.rows[i]
			r.Principal, r.ErrorCode, r.UserExplanation, r.TechExplanation, r.App, r.Cause, r.Node, r.Credential, r.Reason = text, text, text, text, text, text, text, text, text
			a := superoffice.Arguments{Connection: 613, ExternalKeys: []string{text, "386"}}
			r.Operation, r.Keys, r.KeyCount = superoffice.ForceResyncExternal, history.PackKeys(&a), 2
		}
		app := &w.statuses.Apps[0]
		app.App, app.Remark = text, text
		for i := range app.Tenants {
			app.Tenants[i].Name, app.Tenants[i].Message, app.Tenants[i].Remedy, app.Tenants[i].Approve, app.Tenants[i].Host = text, text, text, text, text
		}
		w.statuses.Holds[0].Reason, w.statuses.Holds[0].App, w.statuses.Holds[0].By = text, text, text
		w.statuses.Troubles = []report.Trouble{{What: text, Cause: text, Means: text, Remedy: text}}
		for i := range w.fails.Failures {
			w.fails.Failures[i].App, w.fails.Failures[i].ErrorCode = text, text
		}
		w.found.Matches[0].Name, w.found.Matches[0].ERPKey = text, text
		w.configurations[0].Sections[0].Settings[0].Value, w.configurations[0].Site = text, text
		f := newConsole(t, w)
		f.hidden = false
		for _, target := range append(pages(), "/tenants/"+due) {
			resp, page := f.do(request(http.MethodGet, target))
			if resp.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%q at %s: %d", text, target, resp.StatusCode)
			}
			if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				if found := live.FindString(page); found != "" {
					t.Errorf("%q at %s: %s", text, target, found)
				}
				continue
			}
			rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(page, "\ufeff"))).ReadAll()
			if err != nil {
				t.Errorf("%q at %s: %v", text, target, err)
			}
			for _, row := range rows {
				for _, field := range row {
					if field != "" && strings.ContainsAny(field[:1], "=+-@\t\r|") {
						t.Errorf("%q at %s: a formula: %s", text, target, field)
					}
				}
			}
		}
	}
}

func TestACommandToCopyHoldsOneWordForEachName(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.fails.Failures[0].App = `x'; rm -rf /; '`
	_, page := newConsole(t, w).see("", "/calls/"+unoFailed)
	if want := `caddy erpsync hold --app &#39;x&#39;\&#39;&#39;; rm -rf /; &#39;\&#39;&#39;&#39; --tenant Cust12345`; !strings.Contains(page, want) {
		t.Errorf("lacks %s:\n%s", want, page)
	}
}

func TestAViewOfACallIsAuditedAndNotShownIfItCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld()
	f := newConsole(t, w, console.Operator{Name: "sue", Role: console.Support})
	f.see("sue", "/calls/"+unoFailed)
	if len(w.views) != 1 || w.views[0].RequestID != unoFailed || w.views[0].Viewer != "sue" || w.views[0].Role != "support" || w.views[0].Page != "call" || w.views[0].Tenant != uno || w.views[0].Calls < 1 || w.views[0].Node != "node-1" {
		t.Errorf("%+v", w.views)
	}
	w.views = nil
	f.see("sue", "/calls?csv=table")
	if len(w.views) != 1 || !w.views[0].CSV || w.views[0].Calls != 4 {
		t.Errorf("%+v", w.views)
	}
	w.views = nil
	f.see("sue", "/configuration")
	if len(w.views) != 0 {
		t.Errorf("a page without calls: %+v", w.views)
	}
	w.unwritten = errors.New("disk full")
	for _, target := range []string{"/calls/" + unoFailed, "/calls", "/calls?csv=table", "/tenants/" + uno, "/search?q=386"} {
		if status, page := f.see("sue", target); status != http.StatusServiceUnavailable || strings.Contains(page, unoFailed) {
			t.Errorf("%s: %d", target, status)
		}
	}
}

func TestAnErrorIsNeverAnEmptyPage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.fail = errors.New("disk I/O error in /secret/path")
	f := newConsole(t, w)
	for _, target := range []string{"/", "/failures", "/calls", "/tenants/" + uno, "/calls/" + unoFailed, "/search?q=386", "/report"} {
		if status, page := f.see("", target); status != http.StatusServiceUnavailable || !strings.Contains(page, "cannot be shown now") || strings.Contains(page, "secret") {
			t.Errorf("%s: %d", target, status)
		}
	}
	w.fail, w.noHistory = nil, true
	for target, want := range map[string]string{"/": "No history is kept", "/tenants/" + uno: "No history is kept", "/search?q=uno": "Uno AS"} {
		if status, page := f.see("", target); status != http.StatusOK || !strings.Contains(page, want) || !strings.Contains(page, "Uno AS") {
			t.Errorf("without a history %s: %d", target, status)
		}
	}
	for _, target := range []string{"/failures", "/calls", "/report"} {
		if status, page := f.see("", target); status != http.StatusConflict || !strings.Contains(page, "No history is kept") {
			t.Errorf("without a history %s: %d", target, status)
		}
	}
	for _, target := range []string{"/nowhere", "/tenants/", "/tenants/Cust1", "/calls/none", "/calls/a/b", "/assets/console.css", "/calls?csv=other"} {
		if status, _ := f.see("", target); status != http.StatusNotFound && !w.noHistory {
			t.Errorf("%s: %d", target, status)
		}
	}
}

func TestLinksBeginWithThePathThatWasTakenOff(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	_, page := f.do(console.WithBase(request(http.MethodGet, "/"), "/console"))
	f.want(page, `href="/console/tenants/Cust12345"`, `action="/console/search"`, `href="/console/assets/console.`, `data-live="/console/live"`)
	if wrong := regexp.MustCompile(`(href|src|action)="/(?:[^c]|c[^o])`).FindString(page); wrong != "" {
		t.Errorf("leads out: %s", wrong)
	}
}

func TestNoPageNeedsAnotherHostOrStyleOrScriptInIt(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	inline := regexp.MustCompile(`(?i) style=|<style|<script>|<script [^>]*>[^<]| on[a-z]+=|(?:src|href|action)="(?:https?:)?//`)
	for _, target := range pages() {
		if resp, page := f.do(request(http.MethodGet, target)); strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			if found := inline.FindString(page); found != "" {
				t.Errorf("%s: %s", target, found)
			}
		}
	}
}
