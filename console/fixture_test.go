package console_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// world is what a console of a test reads.
type world struct {
	mu             sync.Mutex
	statuses       report.Status
	fails          report.Failures
	rows           []history.Row // the newest first
	used           []console.Usage
	configurations []report.Configuration
	hidden         bool
	fail           error // of every question
	noHistory      bool
	found          report.Found
	asked          []report.FindRequest
	findErr        error
	views          []outcome.View
	unwritten      error
}

func (w *world) Status(context.Context) (report.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.statuses // as it is now: a page may keep it for a while
	told.Holds, told.Apps = slices.Clone(told.Holds), slices.Clone(told.Apps)
	for i := range told.Apps {
		told.Apps[i].Tenants = slices.Clone(told.Apps[i].Tenants)
	}
	return told, w.fail
}

func (w *world) Failures(context.Context, report.FailuresRequest) (report.Failures, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noHistory {
		return report.Failures{}, console.ErrNoHistory
	}
	return report.Failures{Failures: slices.Clone(w.fails.Failures), More: w.fails.More}, w.fail
}

func (w *world) Find(_ context.Context, request report.FindRequest) (report.Found, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, request)
	return w.found, w.findErr
}

func (w *world) Configurations() []report.Configuration { return w.configurations }
func (w *world) PersonsHidden() bool                    { return w.hidden }
func (w *world) KeptPrincipals(name string) []string    { return []string{name, "hmac:" + name} }

func (w *world) History() (console.History, error) {
	if w.noHistory {
		return nil, console.ErrNoHistory
	}
	return w, nil
}

// Calls is deliberately careless of tenants: what a store gets wrong must not leave the console.
func (w *world) Calls(_ context.Context, f console.CallFilter) (found console.Calls, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rows {
		internal, external, err := history.UnpackKeys(r.Keys)
		if err != nil {
			return found, err
		}
		if f.Key != "" && !slices.Contains(external, f.Key) && !slices.ContainsFunc(internal, func(k int32) bool { return strconv.Itoa(int(k)) == f.Key }) ||
			f.RequestID != "" && f.RequestID != r.RequestID || f.Connection != nil && *f.Connection != r.Connection || len(f.Principals) > 0 && !slices.Contains(f.Principals, r.Principal) {
			continue
		}
		if f.Limit > 0 && len(found.Rows) == f.Limit {
			found.Next = "7"
			return found, w.fail
		}
		found.Rows = append(found.Rows, r)
	}
	return found, w.fail
}

func (w *world) Usage(_ context.Context, f console.UsageFilter) ([]console.Usage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []console.Usage
	for _, u := range w.used {
		if !u.Day.Before(f.Since) && u.Day.Before(f.Until) {
			found = append(found, u)
		}
	}
	return found, w.fail
}

// The tenants of the fixture, and what names each of them on a page.
const (
	uno, due, tre = "Cust12345", "Cust54321", "Cust99999"
	person        = "tove@uno.example"
	unoFailed     = "11111111-aaaa-4bbb-8ccc-000000000002"
	dueRefused    = "22222222-aaaa-4bbb-8ccc-000000000001"
)

func newWorld() *world {
	now := time.Now().UTC()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	pointer := func(t time.Time) *time.Time { return &t }
	last := func(id, class, reason string) *report.CallStatus {
		return &report.CallStatus{At: ago(time.Minute), RequestID: id, Operation: "ForceResync", Outcome: class, Reason: reason}
	}
	w := &world{
		statuses: report.Status{
			Node:     "node-1",
			Gateways: []report.GatewayStatus{{Node: "node-1", Version: "v1.2.3", Started: ago(time.Hour), Seen: now, Alive: true, This: true}, {Node: "node-2", Version: "v1.2.2", Started: ago(time.Hour), Seen: ago(time.Minute), SilentSeconds: 60}},
			Apps: []report.AppStatus{{
				Environment: "online", App: "erp", CallAs: "system",
				Tenants: []report.TenantStatus{
					{Tenant: uno, Name: "Uno AS", Granted: true, Host: "online3.superoffice.com", State: "Running", Token: "approval", TokenSince: pointer(ago(90 * 24 * time.Hour)), ApprovedBy: person, Consent: "approved", TicketSince: pointer(ago(time.Hour)), Succeeded: pointer(ago(2 * time.Hour)), Last: last(unoFailed, "error", ""), Failed: last(unoFailed, "error", ""), Attention: "error", Remedy: "look into the ERP connection: the error code is its own"},
					{Tenant: due, Name: "Due GmbH", Granted: true, Token: "approval", Consent: "consent_required", Message: "The consent was withdrawn", Attention: "consent_required", Remedy: "send the link", Approve: "https://gw.example/erpsync/approve?app=erp&tenant=Cust54321", Last: last(dueRefused, "", "consent_required")},
					{Tenant: tre, Name: "Tre ApS", Granted: true, Token: "import", Consent: "approved", State: "Running", Succeeded: pointer(ago(5 * time.Minute)), InFlight: 1, Last: last("33333333-aaaa-4bbb-8ccc-000000000001", "ok", "")},
				},
				Remark: "one of all tenants",
			}},
			Holds: []report.HoldStatus{{Target: "connection 9 of Cust54321", App: "erp", Tenant: due, Reason: "their ERP is moved", By: "kari", Since: ago(time.Hour)}},
		},
		fails: report.Failures{Failures: []report.Failure{
			{Group: 17, Environment: "online", App: "erp", Tenant: uno, Connection: 613, Kind: "internal", Outcome: "error", ErrorCode: "CONNECTOR_TIMEOUT", Keys: 2, Tries: 3, First: ago(26 * time.Hour), Last: ago(time.Minute), RequestID: unoFailed},
			{Group: 18, Environment: "online", App: "erp", Tenant: due, Connection: 9, Kind: "internal", Outcome: "unknown", Keys: 1, Tries: 1, First: ago(3 * time.Hour), Last: ago(3 * time.Hour), RequestID: dueRefused},
		}},
		configurations: []report.Configuration{{Site: "https://gw.example", Environment: "online", Sections: []report.Section{{Name: "app erp", Settings: []report.Setting{
			{Option: "client_secret", Value: "kept secret"}, {Option: "users", Value: person, Persons: true}, {Option: "tenant", Value: uno + ", Uno AS", Tenant: uno}, {Option: "tenant", Value: due + ", Due GmbH", Tenant: due},
		}}}}},
		found: report.Found{Matches: []superoffice.Match{{ERPKey: "C-1001", Key: 386, Name: "Nordfjord Bygg", Record: superoffice.Record{Table: 5, Name: "contact", ID: 4711}}}},
	}
	call := func(id, tenant, who string, connection int32, class outcome.Class, code string, started time.Time, keys ...int32) history.Row {
		a := superoffice.Arguments{Connection: connection, Keys: keys}
		return history.Row{
			RequestID: id, Node: "node-1", Environment: "online", App: "erp", Tenant: tenant, Principal: who, Scheme: "jwt", Credential: "system soticket", Operation: superoffice.ForceResync, Understood: true, Connection: connection,
			Keys: history.PackKeys(&a), KeyCount: len(keys), Decision: "allowed", Outcome: class, ErrorCode: code, Status: 200, Sends: 1, Started: started, Sent: started.Add(20 * time.Millisecond), Ended: started.Add(1400 * time.Millisecond),
		}
	}
	failed := call(unoFailed, uno, person, 613, outcome.Error, "CONNECTOR_TIMEOUT", ago(time.Minute), 386, 230)
	failed.UserExplanation = "The ERP connector did not answer within 30 s"
	refused := call(dueRefused, due, "per@due.example", 9, "", "", ago(3*time.Hour), 7)
	refused.Decision, refused.Reason, refused.Sends, refused.Sent, refused.Cause = "refused", "consent_required", 0, time.Time{}, `claim "per@due.example" is none`
	w.rows = []history.Row{
		failed,
		call("33333333-aaaa-4bbb-8ccc-000000000001", tre, "batch", 1, outcome.OK, "", ago(5*time.Minute), 1, 2, 3, 4, 5),
		call("11111111-aaaa-4bbb-8ccc-000000000001", uno, person, 613, outcome.OK, "", ago(2*time.Hour), 386),
		refused,
	}
	today := now.Truncate(24 * time.Hour)
	for d := range 28 {
		w.used = append(w.used,
			console.Usage{Day: today.AddDate(0, 0, -d), Environment: "online", App: "erp", Tenant: uno, Connection: 613, Counts: console.Counts{Succeeded: 40 + d*3%17, Failed: d % 4}, LastSuccess: ago(2 * time.Hour)},
			console.Usage{Day: today.AddDate(0, 0, -d), Environment: "online", App: "erp", Tenant: due, Connection: 9, Counts: console.Counts{Succeeded: 5, Refused: d % 3, Unclear: d % 7 / 6}},
			console.Usage{Day: today.AddDate(0, 0, -d), Environment: "online", App: "erp", Tenant: tre, Connection: 1, Counts: console.Counts{Succeeded: 11}, LastSuccess: ago(5 * time.Minute)})
	}
	return w
}

// fixture is a console, as somebody sees it.
type fixture struct {
	*console.Console
	*world
	t *testing.T
}

// as is the header that names who asks.
const as = "X-Test-User"

func newConsole(t *testing.T, w *world, operators ...console.Operator) *fixture {
	t.Helper()
	config := console.Config{
		Source: w, Node: "node-1", Operators: operators, Logger: zap.NewNop(), AuditViews: true,
		Record: func(v *outcome.View) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.views = append(w.views, *v)
			return w.unwritten
		},
	}
	if len(operators) > 0 {
		config.User = func(r *http.Request) string { return r.Header.Get(as) }
	}
	c := console.New(config)
	t.Cleanup(c.Close)
	return &fixture{c, w, t}
}

// request returns a request of a browser at this machine.
func request(method, target string) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:8090"+target, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8090})))
}

func (f *fixture) do(r *http.Request) (*http.Response, string) {
	f.t.Helper()
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, r)
	resp := rec.Result()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(body)
}

// see returns a page as somebody sees it.
func (f *fixture) see(who, target string) (status int, page string) {
	f.t.Helper()
	r := request(http.MethodGet, target)
	r.Header.Set(as, who)
	resp, page := f.do(r)
	return resp.StatusCode, page
}

// want fails unless a page holds texts.
func (f *fixture) want(page string, texts ...string) {
	f.t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			f.t.Errorf("lacks %q:\n%.3000s", text, page)
		}
	}
}

// pages are all pages there are, with what can be asked of them.
func pages() []string {
	targets := []string{
		"/", "/?q=a&sort=success&dir=desc", "/?state=failing", "/failures", "/failures?tenant=" + uno, "/calls", "/calls?tenant=" + uno, "/calls?key=386", "/calls?tenant=" + uno + "&key=386", "/search?q=uno", "/search?q=386", "/search?q=" + unoFailed,
		"/report", "/report?tenant=" + uno, "/configuration", "/tenants/" + uno, "/tenants/" + uno + "?find=C-1001&find-connection=613&find-by=erp", "/calls/" + unoFailed,
	}
	targets = append(targets, "/?csv=table", "/failures?csv=table", "/calls?csv=table", "/search?q=386&csv=calls", "/search?q=uno&csv=customers", "/report?csv=table", "/configuration?csv=table",
		"/tenants/"+uno+"?csv=calls", "/tenants/"+uno+"?csv=failures", "/calls/"+unoFailed+"?csv=keys", "/calls/"+unoFailed+"?csv=around", "/tenants/"+uno+"?find=C-1001&find-connection=613&csv=matches")
	targets = append(targets, "/?part=live", "/tenants/"+uno+"?part=live", "/failures?part=live")
	return targets
}

var _ console.Source = (*world)(nil)
