package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const callsPath = "/erpsync/calls"

// with returns the headers and one more.
func withHeader(header http.Header, name, value string) http.Header {
	h := make(http.Header, len(header)+1)
	maps.Copy(h, header)
	h[name] = []string{value}
	return h
}

func async(header http.Header) http.Header { return withHeader(header, "Prefer", "respond-async") }

// holding has SuperOffice answer, the JSON answer by default, when it is let.
func holding(t testing.TB, f *gatewaytest.Fixture, answer sandbox.Answer) (release func()) {
	t.Helper()
	held := make(chan struct{})
	answer.Hold = held
	if answer.Body == "" && answer.Status == 0 {
		answer.Header, answer.Body = http.Header{"Content-Type": {"application/json; charset=utf-8"}}, `{"IsOk":true,"Status":"Ok"}`
	}
	f.SO.Answer(func(string, int) *sandbox.Answer { return &answer })
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	return release
}

// accepted checks that a call goes on beside its connection, and returns where.
func accepted(t testing.TB, got gatewaytest.Answer) (location string) {
	t.Helper()
	var state struct{ State, Call string }
	location = got.Header.Get("Location")
	if err := json.Unmarshal([]byte(got.Body), &state); err != nil || got.Status != http.StatusAccepted || state.State != "running" || state.Call != location ||
		!strings.HasPrefix(location, callsPath+"/") || got.Header.Get("Retry-After") == "" || !strings.HasPrefix(got.Header.Get("Preference-Applied"), "respond-async") ||
		got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("ErpSync-Outcome") != "" {
		t.Fatalf("not accepted: %d %v %s", got.Status, got.Header, got.Body)
	}
	return location
}

// ended asks for a call until it is over.
func ended(t testing.TB, f *gatewaytest.Fixture, client *http.Client, location string, header http.Header) gatewaytest.Answer {
	t.Helper()
	var got gatewaytest.Answer
	gatewaytest.WaitFor(t, func() bool {
		got = f.Do(client, http.MethodGet, location, "", withHeader(header, "Prefer", "wait=20"))
		return got.Status != http.StatusAccepted || got.Header.Get("ErpSync-Replayed") != ""
	})
	return got
}

// asCalled returns the headers of an answer that are the call's.
func asCalled(h http.Header) http.Header {
	h = maps.Clone(h)
	for _, name := range []string{"Date", "Vary", "Erpsync-Request-Id", "Erpsync-Replayed", "Cross-Origin-Resource-Policy", "Preference-Applied", "Content-Location", "Referrer-Policy", "X-Frame-Options"} {
		delete(h, name)
	}
	return h
}

func TestALongCallIsAnsweredAtOnceAndItsAnswerIsWhatASynchronousCallerGets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		accept, path string
		answer       sandbox.Answer
	}{
		"JSON": {"application/json", gatewaytest.TenantPath, sandbox.Answer{Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "So-Timezone": {"7"}}, Body: "{\"IsOk\":true,\r\n \"Status\":\"Ok\"}"}},
		"XML": {"application/xml", gatewaytest.TenantPath, sandbox.Answer{
			Header: http.Header{"Content-Type": {"application/xml; charset=utf-8"}},
			Body:   `<PluginResponse xmlns="http://schemas.datacontract.org/2004/07/SuperOffice.CRM"><IsOk>false</IsOk><Status>Error</Status></PluginResponse>`,
		}},
		"an error":      {"application/json", gatewaytest.TenantPath, sandbox.Answer{Status: 503, Header: http.Header{"Retry-After": {"30"}, "Content-Type": {"application/json"}}, Body: `{"Message":"busy"}`}},
		"a batch task":  {"application/json", "/Cust12345/api/v1/Agents/ErpSync/ForceResyncBatchTask", sandbox.Answer{Status: 204}},
		"their own 202": {"application/json", gatewaytest.TenantPath, sandbox.Answer{Status: 202, Body: "{}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := gatewaytest.New(t)
			header := withHeader(f.Service(), "Accept", c.accept)
			f.SO.Answer(func(string, int) *sandbox.Answer { return &c.answer })
			want := f.Do(nil, http.MethodPost, c.path, gatewaytest.SeedBody, header)
			f.Logs.TakeAll()

			release := holding(t, f, c.answer)
			post := f.Do(nil, http.MethodPost, c.path, gatewaytest.SeedBody, async(header))
			location := accepted(t, post)
			id := post.Header.Get("ErpSync-Request-Id")
			for range 2 {
				if got := f.Do(nil, http.MethodGet, location, "", header); got.Status != http.StatusAccepted || got.Header.Get("Retry-After") == "" || got.Header.Get("ErpSync-Replayed") != "" || !strings.Contains(got.Body, id) {
					t.Errorf("while it runs: %d %v %s", got.Status, got.Header, got.Body)
				}
			}
			started := f.Logs.FilterMessage("erpsync call started").All()
			if len(started) != 1 || started[0].ContextMap()["async"] != true || f.Logs.FilterMessage("erpsync call").Len() != 0 || f.InFlight() == 0 {
				t.Errorf("%d lines of its start, %v; %d requests", len(started), started, f.InFlight())
			}
			if n := gauge(t, f, "caddy_erpsync_async_in_flight", "erp"); n != 1 {
				t.Errorf("%v run", n)
			}
			release()
			for range 2 {
				got := ended(t, f, nil, location, header)
				if got.Status != want.Status || got.Body != want.Body || got.Header.Get("ErpSync-Replayed") != id || got.Header.Get("ErpSync-Outcome") == "" {
					t.Errorf("%d %s, want %d %s", got.Status, got.Body, want.Status, want.Body)
				}
				if a, b := fmt.Sprint(asCalled(got.Header)), fmt.Sprint(asCalled(want.Header)); a != b {
					t.Errorf("%s\nwant\n%s", a, b)
				}
			}
			gatewaytest.WaitFor(t, func() bool { return f.Logs.FilterMessage("erpsync call").Len() == 1 && f.InFlight() == 0 })
			line := f.Audited()
			if line["async"] != true || line["request_id"] != id || line["decision"] != "allowed" || fmt.Sprint(line["status"]) != fmt.Sprint(want.Status) || line["outcome"] != want.Header.Get("ErpSync-Outcome") {
				t.Errorf("%v", line)
			}
			if n := gauge(t, f, "caddy_erpsync_async_in_flight", "erp"); n != 0 {
				t.Errorf("%v run", n)
			}
		})
	}
}

// A browser session needs no XSRF token to read, and the tenant of a ticket goes along in the address.
func TestEveryKindOfCallerAsksForACallOfItsOwnAndOfNobodyElse(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	browser, xsrf := f.SignIn("per")
	other, _ := f.SignIn("tove")
	page := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	type asker struct {
		client *http.Client
		header http.Header
	}
	bearer := func(name string) http.Header {
		return http.Header{"Authorization": {"Bearer " + f.SO.AccessToken("portal", "Cust12345", name)}}
	}
	ticket := func(name string) http.Header {
		return http.Header{"Authorization": {"SOTicket " + f.SO.Ticket("portal", "Cust12345", name)}}
	}
	services := func(subject string) http.Header {
		return http.Header{"Authorization": {"Bearer " + f.Provider.TokenOf(subject, "Cust12345", time.Hour)}}
	}
	all := map[string]struct{ calls, asks, another asker }{
		"a browser session": {asker{browser, http.Header{"X-Xsrf-Token": {xsrf}, "Origin": {f.Site}}}, asker{browser, page}, asker{other, page}},
		"a service":         {asker{nil, services("one")}, asker{nil, services("one")}, asker{nil, services("two")}},
		"a Bearer":          {asker{nil, bearer("per")}, asker{nil, bearer("per")}, asker{nil, bearer("tove")}},
		"a ticket":          {asker{nil, ticket("per")}, asker{nil, ticket("per")}, asker{nil, ticket("tove")}},
	}
	for name, c := range all {
		f.SO.Answer(nil)
		location := accepted(t, f.Do(c.calls.client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, async(c.calls.header)))
		if got := ended(t, f, c.asks.client, location, c.asks.header); got.Status != http.StatusOK || !strings.Contains(got.Body, `"IsOk":true`) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		strangers := map[string]asker{"another person": c.another}
		for kind, of := range all {
			if kind != name {
				strangers[kind] = of.asks
			}
		}
		unknown := strings.Replace(location, callsPath+"/", callsPath+"/AAAA", 1)
		for stranger, who := range strangers {
			theirs := f.Do(who.client, http.MethodGet, location, "", who.header)
			nobodys := f.Do(who.client, http.MethodGet, unknown, "", who.header)
			same := func(body string, id string) string { return strings.ReplaceAll(body, id, "") }
			if theirs.Status != http.StatusNotFound || !strings.Contains(theirs.Body, "call_not_found") ||
				same(theirs.Body, theirs.Header.Get("ErpSync-Request-Id")) != same(nobodys.Body, nobodys.Header.Get("ErpSync-Request-Id")) {
				t.Errorf("%s's call, asked for by %s: %d %s; nobody's: %d %s", name, stranger, theirs.Status, theirs.Body, nobodys.Status, nobodys.Body)
			}
		}
		if got := f.Do(nil, http.MethodGet, location, "", nil); got.Status != http.StatusUnauthorized {
			t.Errorf("%s: nobody: %d", name, got.Status)
		}
		line := f.Logs.FilterMessage("erpsync endpoint refused").All()
		if last := line[len(line)-1].ContextMap(); last["endpoint"] != "/calls" || last["reason"] != "credential_missing" {
			t.Errorf("%v", last)
		}
	}
	for _, entry := range f.Logs.All() {
		if strings.Contains(fmt.Sprint(entry.ContextMap()), callsPath+"/") {
			t.Errorf("the address of a call is logged: %v", entry.ContextMap())
		}
	}
}

// What a page elsewhere can have a browser send of its own accord is refused before the store is asked, and no answer is one that another
// origin may embed.
func TestNoPageElsewhereReadsACall(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	browser, xsrf := f.SignIn("per")
	post := f.Do(browser, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, async(http.Header{"X-Xsrf-Token": {xsrf}, "Origin": {f.Site}}))
	location := accepted(t, post)
	ended(t, f, browser, location, http.Header{"X-Xsrf-Token": {xsrf}})
	for name, c := range map[string]struct {
		header http.Header
		status int
		reason string
	}{
		"a script elsewhere":         {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"script"}, "Sec-Fetch-Mode": {"no-cors"}}, 403, "cross_site"},
		"an image of a neighbour":    {http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Dest": {"image"}}, 403, "cross_site"},
		"a fetch elsewhere":          {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, 403, "cross_site"},
		"a sandboxed frame":          {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}}, 403, "cross_site"},
		"an old browser":             {http.Header{}, 403, "xsrf_invalid"},
		"a token that is another's":  {http.Header{"Sec-Fetch-Site": {"same-origin"}, "X-Xsrf-Token": {"another"}}, 403, "xsrf_invalid"},
		"the page itself":            {http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200, ""},
		"an old browser, with token": {http.Header{"X-Xsrf-Token": {xsrf}}, 200, ""},
		"a listed page":              {http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://pages.example"}}, 200, ""},
	} {
		got := f.Do(browser, http.MethodGet, location, "", c.header)
		if got.Status != c.status || c.reason != "" && !strings.Contains(got.Body, c.reason) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		h := got.Header
		if h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || !strings.Contains(fmt.Sprint(h["Vary"]), "Cookie") {
			t.Errorf("%s: %v", name, h)
		}
		if listed := h.Get("Access-Control-Allow-Origin"); (listed != "") != (name == "a listed page") {
			t.Errorf("%s may be read by %q", name, listed)
		} else if listed != "" && !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Location, Preference-Applied") {
			t.Errorf("%s reads %s", name, h.Get("Access-Control-Expose-Headers"))
		}
	}
	preflight := f.Do(nil, http.MethodOptions, location, "", http.Header{"Origin": {"https://pages.example"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"prefer"}})
	if preflight.Status != http.StatusNoContent || !strings.Contains(preflight.Header.Get("Access-Control-Allow-Headers"), "Prefer") {
		t.Errorf("preflight: %d %v", preflight.Status, preflight.Header)
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodHead} {
		if got := f.Do(browser, method, location, "", http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, got.Status)
		}
	}
	if got := f.Do(browser, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Sec-Fetch-Site": {"same-origin"}}); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "xsrf_invalid") {
		t.Errorf("a call without an XSRF token: %d %s", got.Status, got.Body)
	}
}

func TestWhatIsRefusedBeforeItsStartIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	var agents atomic.Int32
	f := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[1].Connections = &auth.Connections{IDs: []int32{612}}
		c.Limits.Connection = 1
	}), gatewaytest.On(func(p *gateway.Platform) {
		next := p.Transport
		p.Transport = outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/Agents/") {
				agents.Add(1)
			}
			return next.RoundTrip(r)
		})
	}))
	service := f.Service()
	refuse := func(name, body string, header http.Header, status int, reason string) {
		t.Helper()
		got := f.Do(nil, http.MethodPost, gatewaytest.TenantPath, body, async(header))
		if got.Status != status || !strings.Contains(got.Body, fmt.Sprintf("%q:%q", "reason", reason)) || got.Header.Get("Location") != "" || got.Header.Get("Preference-Applied") != "" {
			t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
		}
		if line := f.Audited(); line["decision"] != "refused" || line["reason"] != reason || line["request_id"] != got.Header.Get("ErpSync-Request-Id") {
			t.Errorf("%s: %v", name, line)
		}
	}
	refuse("nobody", gatewaytest.SeedBody, nil, 401, "credential_missing")
	refuse("another connection", `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, service, 403, "connection_not_granted")
	refuse("half a body", `{"ErpConnectionId":612`, service, 400, "body_not_understood")
	refuse("everything", `{"ErpConnectionId":612}`, service, 403, "resync_all_unconfirmed")
	if agents.Load() != 0 || f.Logs.FilterMessage("erpsync call started").Len() != 0 {
		t.Errorf("%d calls were sent", agents.Load())
	}
	release := holding(t, f, sandbox.Answer{})
	location := accepted(t, f.Resync(async(withHeader(service, "Idempotency-Key", "one"))))
	refuse("another through the connection", `{"ErpConnectionId":612,"InternalKeyIds":[1]}`, service, 429, "too_many_in_flight")
	refuse("another body with its key", `{"ErpConnectionId":612,"InternalKeyIds":[1]}`, withHeader(service, "Idempotency-Key", "one"), 422, "idempotency_key_reused")
	release()
	ended(t, f, nil, location, service)
	// A key whose call was refused is free.
	refuse("another connection, with a key", `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, withHeader(service, "Idempotency-Key", "two"), 403, "connection_not_granted")
	if got := f.Do(nil, http.MethodGet, callsPath, "", withHeader(service, "Idempotency-Key", "two")); got.Status != http.StatusNotFound {
		t.Errorf("its key: %d %s", got.Status, got.Body)
	}
}

func TestACredentialThatCannotBeHadIsRefusedAtOnceAndNothingIsKept(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "PartnerSystemUser") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}))
	got := f.Resync(async(withHeader(f.Service(), "Idempotency-Key", "one")))
	if got.Status/100 == 2 || got.Header.Get("Location") != "" {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if asked := f.Do(nil, http.MethodGet, callsPath, "", withHeader(f.Service(), "Idempotency-Key", "one")); asked.Status != http.StatusNotFound {
		t.Errorf("%d %s", asked.Status, asked.Body)
	}
	if f.InFlight() != 0 {
		t.Errorf("%d requests are served", f.InFlight())
	}
}

func TestACallerWaitsAsLongAsItPrefers(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	service := f.Service()
	// It is over in time: as if there had been no preference.
	got := f.Resync(withHeader(service, "Prefer", "respond-async, wait=60"))
	if got.Status != http.StatusOK || got.Header.Get("Location") != "" || got.Header.Get("Preference-Applied") != "" || got.Header.Get("ErpSync-Replayed") != "" || got.Header.Get("ErpSync-Outcome") != "ok" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	if line := f.Audited(); line["request_id"] != got.Header.Get("ErpSync-Request-Id") || line["outcome"] != "ok" || f.Logs.FilterMessage("erpsync call").Len() != 1 {
		t.Errorf("%d lines, %v", f.Logs.FilterMessage("erpsync call").Len(), line)
	}
	// It is not.
	release := holding(t, f, sandbox.Answer{})
	got = f.Resync(withHeader(service, "Prefer", "respond-async, wait=1"))
	location := accepted(t, got)
	if got.Header.Get("Preference-Applied") != "respond-async, wait=1" {
		t.Errorf("%v", got.Header)
	}
	if got := f.Do(nil, http.MethodGet, location, "", withHeader(service, "Prefer", "wait=1")); got.Status != http.StatusAccepted || got.Header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("%d %v", got.Status, got.Header)
	}
	// A GET that waits has the answer as soon as it is there.
	waiting := make(chan gatewaytest.Answer, 1)
	go func() { waiting <- f.Do(nil, http.MethodGet, location, "", withHeader(service, "Prefer", "wait=60")) }()
	gatewaytest.WaitFor(t, func() bool { return f.Waiting("erp") == 1 })
	release()
	if got := <-waiting; got.Status != http.StatusOK || got.Header.Get("ErpSync-Outcome") != "ok" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestOnlySoManyCallsOfAnAppOutliveTheirConnections(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Async = 1 }))
	service := f.Service()
	release := holding(t, f, sandbox.Answer{})
	location := accepted(t, f.Resync(async(service)))
	const another = `{"ErpConnectionId":612,"InternalKeyIds":[1]}`
	got := f.Do(nil, http.MethodPost, gatewaytest.TenantPath, another, async(withHeader(service, "Idempotency-Key", "two")))
	if got.Status != http.StatusTooManyRequests || !strings.Contains(got.Body, "(async 1)") || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	if cause := fmt.Sprint(f.Audited()["cause"]); cause != "async 1 of app erp is full" {
		t.Error(cause)
	}
	// Another app's are counted apart.
	person := http.Header{"Authorization": {"Bearer " + f.SO.AccessToken("portal", "Cust12345", "per")}}
	persons := accepted(t, f.Do(nil, http.MethodPost, gatewaytest.TenantPath, another, async(person)))
	release()
	ended(t, f, nil, location, service)
	ended(t, f, nil, persons, person)
	gatewaytest.WaitFor(t, func() bool { return f.InFlight() == 0 })
	f.SO.Answer(nil)
	accepted(t, f.Do(nil, http.MethodPost, gatewaytest.TenantPath, another, async(withHeader(service, "Idempotency-Key", "two"))))
}

// To ignore a preference is always right: the call is served as if there were none.
func TestWhatIsShortOrNotWantedRunsWhileItsCallerWaits(t *testing.T) {
	t.Parallel()
	const asked = "respond-async"
	f, off := gatewaytest.New(t), gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Async = -1 }))
	for name, c := range map[string]struct {
		f      *gatewaytest.Fixture
		path   string
		header http.Header
		body   string
	}{
		"a dry run":                     {f, gatewaytest.TenantPath, http.Header{"Erpsync-Dry-Run": {"true"}}, gatewaytest.SeedBody},
		"a call that only reads":        {f, statusPath, nil, ""},
		"where the operator wants none": {off, gatewaytest.TenantPath, nil, gatewaytest.SeedBody},
	} {
		header := withHeader(c.f.Service(), "Prefer", asked)
		maps.Copy(header, c.header)
		got := c.f.Do(nil, http.MethodPost, c.path, c.body, header)
		if got.Status != http.StatusOK || got.Header.Get("Preference-Applied") != "" || got.Header.Get("Location") != "" || c.f.Audited()["async"] != nil {
			t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
		}
	}
}

// Whoever gave up finds the call by its key, synchronous ones too.
func TestACallIsFoundByItsIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	service := f.Service()
	keyed := func(key string) http.Header { return withHeader(service, "Idempotency-Key", key) }
	release := holding(t, f, sandbox.Answer{})
	synchronous := make(chan gatewaytest.Answer, 1)
	go func() { synchronous <- f.Resync(keyed("one")) }()
	gatewaytest.WaitFor(t, func() bool { return len(f.Sent()) == 1 })
	got := f.Do(nil, http.MethodGet, callsPath, "", keyed("one"))
	location := got.Header.Get("Content-Location")
	if got.Status != http.StatusAccepted || !strings.HasPrefix(location, callsPath+"/") || strings.Contains(location, "one") {
		t.Fatalf("%d %v %s", got.Status, got.Header, got.Body)
	}
	// Sent again with the preference, it is accepted as if it had had it at first.
	if again := accepted(t, f.Resync(async(keyed("one")))); f.Do(nil, http.MethodGet, again, "", service).Status != http.StatusAccepted {
		t.Errorf("%s is not the call's", again)
	}
	if line := f.Audited(); line["decision"] != "replayed" || fmt.Sprint(line["status"]) != "202" || line["replays"] == nil {
		t.Errorf("%v", line)
	}
	// Without it, it is told that the call runs, as ever.
	if got := f.Resync(keyed("one")); got.Status != http.StatusConflict || !strings.Contains(got.Body, `"same_key":true`) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	release()
	first := <-synchronous
	for _, path := range []string{callsPath, location, callsPath + "?operation=forceresync", callsPath + "?tenant=Cust12345"} {
		got := ended(t, f, nil, path, keyed("one"))
		if got.Status != http.StatusOK || got.Body != first.Body || got.Header.Get("ErpSync-Replayed") != first.Header.Get("ErpSync-Request-Id") {
			t.Errorf("%s: %d %v %s", path, got.Status, got.Header, got.Body)
		}
	}
	if again := f.Resync(async(keyed("one"))); again.Status != http.StatusOK || again.Header.Get("ErpSync-Replayed") == "" || len(f.Sent()) != 1 {
		t.Errorf("sent again when it is over: %d %v, sent %d times", again.Status, again.Header, len(f.Sent()))
	}
	// One key, two operations.
	f.SO.Answer(nil)
	f.Do(nil, http.MethodPost, "/Cust12345/api/v1/Agents/ErpSync/ForceResyncBatchTask", gatewaytest.SeedBody, keyed("one"))
	for path, want := range map[string]string{
		callsPath: "header_not_understood", callsPath + "?operation=ForceResync": `"IsOk":true`, callsPath + "?operation=ForceResyncExternal": "call_not_found",
	} {
		if got := f.Do(nil, http.MethodGet, path, "", keyed("one")); !strings.Contains(got.Body, want) {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	for name, c := range map[string]struct {
		path   string
		header http.Header
		status int
		reason string
	}{
		"a key that is not known":  {callsPath, keyed("three"), 404, "call_not_found"},
		"no key":                   {callsPath, service, 400, "header_not_understood"},
		"an empty key":             {callsPath, keyed(""), 400, "header_not_understood"},
		"two keys":                 {callsPath, http.Header{"Authorization": service["Authorization"], "Idempotency-Key": {"one", "one"}}, 400, "header_not_understood"},
		"the key in the query":     {callsPath + "?key=one", service, 400, "query_not_understood"},
		"an unknown operation":     {callsPath + "?operation=Drop", keyed("one"), 400, "query_not_understood"},
		"another tenant":           {location[:strings.Index(location, "?")] + "?tenant=Cust54321", service, 403, "tenant_mismatch"},
		"another's, with that key": {callsPath, withHeader(http.Header{"Authorization": {"Bearer " + f.Provider.TokenOf("another", "Cust12345", time.Hour)}}, "Idempotency-Key", "one"), 404, "call_not_found"},
		"below a call":             {location[:strings.Index(location, "?")] + "/x", service, 404, "path_not_canonical"},
	} {
		if got := f.Do(nil, http.MethodGet, c.path, "", c.header); got.Status != c.status || !strings.Contains(got.Body, fmt.Sprintf("%q:%q", "reason", c.reason)) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}

func TestAnotherGatewayAnswersForACallAndSaysThatItsGatewayDied(t *testing.T) {
	t.Parallel()
	locker := new(forgetful)
	store := sharing(locker, new(auth.MemoryKV))
	one := gatewaytest.New(t, store)
	two := one.Beside(store)
	service := one.Service()
	release := holding(t, one, sandbox.Answer{})
	post := one.Resync(async(service))
	location := accepted(t, post)
	if got := two.Do(nil, http.MethodGet, location, "", service); got.Status != http.StatusAccepted {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	release()
	if got := ended(t, two, nil, location, service); got.Status != http.StatusOK || got.Header.Get("ErpSync-Outcome") != "ok" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	holding(t, one, sandbox.Answer{})
	post = one.Resync(async(service))
	location = accepted(t, post)
	locker.dead.Store(true) // no lease lasts
	got := ended(t, two, nil, location, service)
	if id := post.Header.Get("ErpSync-Request-Id"); got.Status != http.StatusFailedDependency || !strings.Contains(got.Body, "outcome_unknown") || !strings.Contains(got.Body, fmt.Sprintf("%q:%q", "running", id)) || got.Header.Get("ErpSync-Replayed") != id {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
}

// forgetful is a store whose leases lapse at once when their holders are dead.
type forgetful struct {
	lease.Memory
	dead atomic.Bool
}

func (f *forgetful) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (string, error) {
	if f.dead.Load() {
		return holder, nil
	}
	return f.Memory.Acquire(ctx, name, holder, ttl)
}

// A longer answer than is kept leaves its outcome, also to a caller that waited.
func TestOfAnAnswerThatIsTooLongTheOutcomeIsKept(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	long := sandbox.Answer{Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"IsOk":true,"Status":"Ok","Changes":{"UpdatedRecords":[` + strings.Repeat(`{"RecordId":1},`, guard.MaxKept/15) + `{"RecordId":1}]}}`}
	check := func(got gatewaytest.Answer) {
		t.Helper()
		if got.Status != http.StatusConflict || !strings.Contains(got.Body, "answer_not_kept") || !strings.Contains(got.Body, "too long") || got.Header.Get("ErpSync-Outcome") != "ok" {
			t.Errorf("%d %v %.300s", got.Status, got.Header, got.Body)
		}
	}
	release := holding(t, f, long)
	location := accepted(t, f.Resync(async(f.Service())))
	release()
	check(ended(t, f, nil, location, f.Service()))
	if line := f.Audited(); line["outcome"] != "ok" || fmt.Sprint(line["status"]) != "200" {
		t.Errorf("%v", line)
	}
	check(f.Resync(withHeader(f.Service(), "Prefer", "respond-async, wait=60")))
}

// A long answer that breaks off breaks no connection: its caller is told, for browsers repeat a POST whose connection breaks.
func TestAnAnswerThatBreaksOffIsToldToACallerThatWaits(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	f.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Status: 200, Body: `{"IsOk":true,"X":"` + strings.Repeat("x", 2<<20), Abort: true}
	})
	got := f.Resync(withHeader(f.Service(), "Prefer", "respond-async, wait=60"))
	if got.Status != http.StatusFailedDependency || !strings.Contains(got.Body, "outcome_unknown") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if line := f.Audited(); line["outcome"] != "unknown" || f.Logs.FilterMessage("erpsync call").Len() != 1 {
		t.Errorf("%v", line)
	}
}

// Whatever becomes of a call after its start, whoever asks is told as a synchronous caller is.
func TestWhatACallIsRefusedWithAfterItsStartIsToldToWhoeverAsks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails  func(r *http.Request) (*http.Response, error)
		answer *sandbox.Answer
		status int
		reason string
		again  int // the status of a call with the same key
	}{
		"not reached":     {fails: func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }, status: 502, reason: "upstream_unreachable", again: 502},
		"broken off":      {answer: &sandbox.Answer{Abort: true}, status: 424, reason: "outcome_unknown", again: 424},
		"a redirect":      {answer: &sandbox.Answer{Status: 302, Header: http.Header{"Location": {"https://evil.example/"}}}, status: 502, reason: "upstream_answer_refused", again: 424},
		"a fault of ours": {fails: func(*http.Request) (*http.Response, error) { panic("a fault") }, status: 500, reason: "internal", again: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hold := make(chan struct{})
			f := gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) {
				next := p.Transport
				p.Transport = outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
					if strings.Contains(r.URL.Path, "/Agents/") {
						<-hold
						if c.fails != nil {
							return c.fails(r)
						}
					}
					return next.RoundTrip(r)
				})
			}))
			f.SO.Answer(func(string, int) *sandbox.Answer { return c.answer })
			keyed := withHeader(f.Service(), "Idempotency-Key", "one")
			post := f.Resync(async(keyed))
			location := accepted(t, post)
			close(hold)
			for _, path := range []string{location, callsPath} {
				got := ended(t, f, nil, path, keyed)
				if got.Status != c.status || !strings.Contains(got.Body, fmt.Sprintf("%q:%q", "reason", c.reason)) || got.Header.Get("ErpSync-Replayed") != post.Header.Get("ErpSync-Request-Id") || got.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
				}
			}
			gatewaytest.WaitFor(t, func() bool { return f.InFlight() == 0 })
			if line := f.Audited(); line["reason"] != c.reason || line["async"] != true || line["request_id"] != post.Header.Get("ErpSync-Request-Id") || fmt.Sprint(line["status"]) != fmt.Sprint(c.status) {
				t.Errorf("%v", line)
			}
			if c.again != 500 { // a synchronous call would end its own connection
				if got := f.Resync(keyed); got.Status != c.again {
					t.Errorf("the key once more: %d %s", got.Status, got.Body)
				}
			}
		})
	}
}

func TestAnAnswerEndsWithARevocationAndWithTheRightToCall(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	service := f.Service()
	location := accepted(t, f.Resync(async(service)))
	ended(t, f, nil, location, service)
	if err := f.Revoke(t.Context(), gateway.Revocation{App: "erp"}); err != nil {
		t.Fatal(err)
	}
	if got := f.Do(nil, http.MethodGet, location, "", service); got.Status != http.StatusConflict || !strings.Contains(got.Body, "answer_not_kept") || strings.Contains(got.Body, "IsOk") {
		t.Errorf("revoked: %d %s", got.Status, got.Body)
	}
	browser, xsrf := f.SignIn("per")
	session := http.Header{"X-Xsrf-Token": {xsrf}}
	person := accepted(t, f.Do(browser, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`, async(session)))
	ended(t, f, browser, person, session)
	if got := f.Do(browser, http.MethodPost, "/erpsync/sign-out", "", session); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if got := f.Do(browser, http.MethodGet, person, "", session); got.Status != http.StatusUnauthorized {
		t.Errorf("signed out: %d %s", got.Status, got.Body)
	}
	// Whoever may not make such a call any more is not told of one either.
	kept := func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		*s = f.State()
	}
	location = accepted(t, f.Resync(async(service)))
	ended(t, f, nil, location, service)
	less := f.Beside(kept, gatewaytest.Configure(func(c *gateway.Config) { c.Apps[1].Operations = []superoffice.Operation{superoffice.GetEngineStatus} }))
	if got := less.Do(nil, http.MethodGet, location, "", service); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "operation_not_granted") {
		t.Errorf("without the operation: %d %s", got.Status, got.Body)
	}
}

// The process waits for calls that outlive their connections as for others, and keeps nobody waiting who asks for one.
func TestAStoppingGatewayKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	var draining atomic.Bool
	f := gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) { p.Draining = draining.Load }))
	release := holding(t, f, sandbox.Answer{})
	location := accepted(t, f.Resync(async(f.Service())))
	draining.Store(true)
	if got := f.Do(nil, http.MethodGet, location, "", withHeader(f.Service(), "Prefer", "wait=60")); got.Status != http.StatusAccepted || got.Header.Get("Preference-Applied") != "" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	over := f.Drained()
	select {
	case <-over:
		t.Error("the gateway takes itself for idle")
	default:
	}
	release()
	<-over
	if f.Logs.FilterMessage("erpsync call").Len() != 1 {
		t.Error("the call is not recorded")
	}
}

// A store that is away never says that there is no such call.
func TestAStoreThatIsAwayIsNotACallThatIsNot(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, sharing(new(lease.Memory), new(tellsNothing)))
	got := f.Do(nil, http.MethodGet, callsPath, "", withHeader(f.Service(), "Idempotency-Key", "one"))
	if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "store_unavailable") || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if f.Logs.FilterMessage("request for a call not served").FilterField(zap.String("reason", "store_unavailable")).Len() != 1 {
		t.Error("no line for operators")
	}
}

func TestAnAddressOfACallNamesNothingThatCanBeGuessed(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	service := f.Service()
	var names []string
	for range 2 {
		location, err := url.Parse(accepted(t, f.Resync(async(service))))
		if err != nil {
			t.Fatal(err)
		}
		ended(t, f, nil, location.String(), service)
		name := strings.TrimPrefix(location.Path, callsPath+"/")
		names = append(names, name)
		for i := range len(name) {
			forged := name[:i] + string(rune('A'+(name[i]-'A'+1)%26)) + name[i+1:]
			if forged == name || i%7 != 0 {
				continue
			}
			if got := f.Do(nil, http.MethodGet, callsPath+"/"+forged, "", service); got.Status != http.StatusNotFound {
				t.Errorf("byte %d changed: %d", i, got.Status)
			}
		}
	}
	if len(slices.Compact(names)) != 2 {
		t.Error("two calls have one name")
	}
}

// Too many would hold connections for nothing; a further one is answered at once, which a preference allows.
func TestOnlySoManyRequestsWaitAtATime(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	holding(t, f, sandbox.Answer{})
	location := accepted(t, f.Resync(async(f.Service())))
	for f.Waits("erp") {
		// until no further one may
	}
	got := f.Do(nil, http.MethodGet, location, "", withHeader(f.Service(), "Prefer", "wait=60"))
	if got.Status != http.StatusAccepted || got.Header.Get("Preference-Applied") != "" {
		t.Errorf("%d %v", got.Status, got.Header)
	}
	if n := f.Waiting("erp"); n == 0 || n > 1000 {
		t.Errorf("%d may wait", n)
	}
}
