package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

const lookupPath = "/erpsync/lookup"

// withLookups lets the callers of both apps look up.
func withLookups(options ...gatewaytest.Option) []gatewaytest.Option {
	return append([]gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) {
		for i := range c.Apps {
			c.Apps[i].Lookups = true
		}
	})}, options...)
}

func lookupLine(t testing.TB, f *gatewaytest.Fixture) map[string]any {
	t.Helper()
	lines := f.Logs.FilterMessage("erpsync lookup").All()
	if len(lines) == 0 {
		t.Fatal("no audit line")
	}
	return lines[len(lines)-1].ContextMap()
}

func foundKeys(t testing.TB, got gatewaytest.Answer) (keys []int32) {
	t.Helper()
	var found gateway.Found
	if got.Status != http.StatusOK || json.Unmarshal([]byte(got.Body), &found) != nil || found.Matches == nil || found.Inferred == "" {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for _, m := range found.Matches {
		keys = append(keys, m.Key)
	}
	return keys
}

func TestEveryKindOfCallerFindsTheKeyOfTheCompanyThatIsOpenWithTheirOwnRights(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, withLookups()...)
	client, xsrf := f.SignIn("per")
	for name, c := range map[string]struct {
		client             *http.Client
		path               string
		header             http.Header
		principal, credent string
	}{
		"a browser session": {client, lookupPath, http.Header{"X-Xsrf-Token": {xsrf}, "Origin": {f.Site}}, f.SO.User("Cust12345", "per").UPN, "Bearer 8A:"},
		"a service":         {nil, lookupPath, f.Service(), "", "SOTicket "},
		"a Bearer":          {nil, lookupPath, http.Header{"Authorization": {"Bearer " + f.SO.AccessToken("portal", "Cust12345", "per")}}, "per", "Bearer 8A:"},
		"a ticket":          {nil, lookupPath + "?tenant=Cust12345", http.Header{"Authorization": {"SOTicket " + f.SO.Ticket("portal", "Cust12345", "per")}}, "per", "SOTicket "},
	} {
		f.SO.Forget()
		got := f.Do(c.client, http.MethodPost, c.path, `{"connection":612,"contact":40386}`, c.header)
		if keys := foundKeys(t, got); len(keys) != 1 || keys[0] != 386 {
			t.Errorf("%s: %v", name, keys)
		}
		line := lookupLine(t, f)
		if line["decision"] != "allowed" || line["tenant"] != "Cust12345" || line["question"] != "contact" || fmt.Sprint(line["found"]) != "1" || fmt.Sprint(line["connection_id"]) != "612" ||
			fmt.Sprint(line["searched_id"]) != "40386" || line["app"] == nil || c.principal != "" && line["principal"] != c.principal || line["request_id"] != got.Header.Get("ErpSync-Request-Id") {
			t.Errorf("%s: %v", name, line)
		}
		asked := 0
		for _, r := range f.SO.Requests() {
			if strings.Contains(strings.ToLower(r.URI), "/archive/") {
				asked++
				if !strings.HasPrefix(r.Header.Get("Authorization"), c.credent) {
					t.Errorf("%s: %s", name, r.Header.Get("Authorization")[:12])
				}
			}
		}
		if asked != 1 || len(f.Sent()) != 0 || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d archives, %d calls, %v", name, asked, len(f.Sent()), got.Header)
		}
	}
}

func TestALookupIsRefusedLikeACall(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, withLookups(gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[1].Connections = &auth.Connections{CRM: true, IDs: []int32{612}}
	}))...)
	client, xsrf := f.SignIn("per")
	service := f.Service()
	with := func(name, value string) http.Header {
		h := service.Clone()
		h[name] = []string{value}
		return h
	}
	const good = `{"connection":612,"key":386}`
	for name, c := range map[string]struct {
		client     *http.Client
		path, body string
		header     http.Header
		status     int
		reason     string
	}{
		"nobody":                     {nil, lookupPath, good, nil, 401, "credential_missing"},
		"a token that does not hold": {nil, lookupPath, good, http.Header{"Authorization": {"Bearer abc"}}, 401, "credential_invalid"},
		"a session without XSRF":     {client, lookupPath, good, http.Header{"Origin": {f.Site}}, 403, "xsrf_invalid"},
		"another's XSRF":             {client, lookupPath, good, http.Header{"X-Xsrf-Token": {xsrf + "x"}, "Origin": {f.Site}}, 403, "xsrf_invalid"},
		"another site":               {client, lookupPath, good, http.Header{"X-Xsrf-Token": {xsrf}, "Origin": {"https://evil.example"}}, 403, "cross_site"},
		"another tenant":             {nil, lookupPath + "?tenant=Cust54321", good, service, 403, "tenant_mismatch"},
		"the question in the query":  {nil, lookupPath + "?name=Uno", good, service, 400, "query_not_understood"},
		"two tenants":                {nil, lookupPath + "?tenant=Cust12345&tenant=Cust12345", good, service, 400, "query_not_understood"},
		"no tenant":                  {nil, lookupPath + "?tenant=Uno", good, service, 400, "query_not_understood"},
		"a form":                     {nil, lookupPath, "key=386", with("Content-Type", "application/x-www-form-urlencoded"), 415, "media_type_unsupported"},
		"another charset":            {nil, lookupPath, good, with("Content-Type", "application/json; charset=utf-16"), 415, "media_type_unsupported"},
		"compressed":                 {nil, lookupPath, good, with("Content-Encoding", "gzip"), 415, "media_type_unsupported"},
		"a long body":                {nil, lookupPath, strings.Repeat(" ", 5000), service, 413, "body_too_large"},
		"no body":                    {nil, lookupPath, "", with("Content-Type", "application/json"), 400, "body_not_understood"},
		"half a body":                {nil, lookupPath, `{"connection":612`, service, 400, "body_not_understood"},
		"two bodies":                 {nil, lookupPath, good + good, service, 400, "body_not_understood"},
		"an unknown member":          {nil, lookupPath, `{"connection":612,"key":386,"filter":"1 eq 1"}`, service, 400, "body_not_understood"},
		"two questions":              {nil, lookupPath, `{"connection":612,"key":386,"erp":"1"}`, service, 400, "body_not_understood"},
		"an injection":               {nil, lookupPath, `{"connection":612,"erp":"1' or 1 eq 1"}`, service, 400, "body_not_understood"},
		"from the CRM":               {nil, lookupPath, `{"connection":0,"key":386}`, service, 400, "body_not_understood"},
		"another connection":         {nil, lookupPath, `{"connection":613,"key":386}`, service, 403, "connection_not_granted"},
		"a page of a thousand":       {nil, lookupPath, `{"connection":612,"key":386,"limit":1000}`, service, 400, "body_not_understood"},
	} {
		f.SO.Forget()
		got := f.Do(c.client, http.MethodPost, c.path, c.body, c.header)
		if got.Status != c.status || !strings.Contains(got.Body, fmt.Sprintf("%q:%q", "reason", c.reason)) || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		if line := lookupLine(t, f); line["decision"] != "refused" || line["reason"] != c.reason || line["cause"] == nil || fmt.Sprint(line["status"]) != fmt.Sprint(c.status) {
			t.Errorf("%s: %v", name, line)
		}
		for _, r := range f.SO.Requests() {
			if strings.Contains(r.URI, "archive") {
				t.Errorf("%s: %s was asked", name, r.URI)
			}
		}
	}
	if got := f.Do(nil, http.MethodGet, lookupPath, "", service); got.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got.Status)
	}
}

func TestWithoutLookupsNoAppsCallersLookUp(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	if got := f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service()); got.Status != http.StatusNotFound {
		t.Errorf("no app has lookups: %d %s", got.Status, got.Body)
	}
	f = f.Beside(gatewaytest.Configure(func(c *gateway.Config) { c.Apps[0].Lookups = true }))
	f.Refused(f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service()), http.StatusForbidden, "lookup_not_granted")
	// Who may not call through the system user may not look up through it either.
	f = f.Beside(withLookups(gatewaytest.Configure(func(c *gateway.Config) { c.SuperOffice.App = "erp" }))...)
	f.Refused(f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, http.Header{"Authorization": {"Bearer " + f.SO.AccessToken("erp", "Cust12345", "per")}}), http.StatusForbidden, "person_not_granted")
}

func TestAFailedLookupIsNeverAnEmptyOne(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, withLookups()...)
	const nothing = `{"connection":612,"erp":"386"}`
	if keys := foundKeys(t, f.Do(nil, http.MethodPost, lookupPath, nothing, f.Service())); len(keys) != 0 {
		t.Errorf("an internal key is no ERP number: %v", keys)
	}
	for _, how := range []string{"unfiltered", "403", "404", "html"} {
		f.SO.Switch(func(s *sandbox.Switches) { s.KeyArchives = how })
		f.Refused(f.Do(nil, http.MethodPost, lookupPath, nothing, f.Service()), http.StatusBadGateway, "lookup_failed")
	}
}

func TestAFilterIsTakenForOneByEitherReadingOfQuotes(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, withLookups()...)
	for _, reading := range []string{"backslash", "doubled"} {
		f.SO.Switch(func(s *sandbox.Switches) { s.FilterQuote = reading })
		for body, want := range map[string]int{
			`{"connection":612,"name":"Un' or contactId gt 0 or name eq 'x"}`: 0,
			`{"connection":612,"name":"\\' or contactId gt 0"}`:               0,
			`{"connection":612,"name":"Uno' A"}`:                              1,
			`{"connection":612,"name":"Uno AS"}`:                              1,
		} {
			if keys := foundKeys(t, f.Do(nil, http.MethodPost, lookupPath, body, f.Service())); len(keys) != want {
				t.Errorf("%s: %s: %v", reading, body, keys)
			}
		}
	}
}

func TestTheAuditLineNamesWhatWasSearchedForAsFarAsAuditKeepsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		explanations outcome.Disclosure
		named        bool
	}{{outcome.Omit, false}, {outcome.Hashed, false}, {outcome.Full, true}} {
		f := gatewaytest.New(t, withLookups(gatewaytest.Configure(func(c2 *gateway.Config) {
			c2.Privacy.Explanations, c2.Privacy.Key = c.explanations, []byte("k")
		}))...)
		foundKeys(t, f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"name":"Uno AS"}`, f.Service()))
		line := lookupLine(t, f)
		if (line["searched"] == "Uno AS") != c.named || (line["searched"] == nil) != (c.explanations == outcome.Omit) {
			t.Errorf("%s: %v", c.explanations, line["searched"])
		}
		if text := fmt.Sprint(f.Logs.All()); strings.Contains(text, "Uno") && !c.named {
			t.Errorf("%s: the name is logged", c.explanations)
		}
		foundKeys(t, f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"erp":"100386"}`, f.Service()))
		if line := lookupLine(t, f); line["searched"] != "100386" {
			t.Errorf("%v", line)
		}
	}
}

func TestALookupWhoseLineCannotBeWrittenIsNotAnsweredWhereAuditIsRequired(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, withLookups(gatewaytest.Configure(required), gatewaytest.On(func(p *gateway.Platform) { p.Audit = zap.NewNop() }))...)
	got := f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service())
	f.Refused(got, http.StatusServiceUnavailable, "audit_unavailable")
	if strings.Contains(got.Body, "40386") || got.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", got.Body, got.Header)
	}
}

func TestLookupsAreBoundedByTheAppsRateAndByHowManyRunAtATime(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, withLookups(gatewaytest.Configure(func(c *gateway.Config) { c.Limits.PerSecond = 0.001 }))...)
	foundKeys(t, f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service()))
	f.Refused(f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service()), http.StatusTooManyRequests, "rate_limited")

	reached, held := make(chan struct{}), make(chan struct{})
	f = gatewaytest.New(t, withLookups(gatewaytest.Answering(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/archive/") {
			reached <- struct{}{}
			<-held
		}
		return false
	}))...)
	answers := make(chan gatewaytest.Answer)
	for range 8 {
		go func() {
			answers <- f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service())
		}()
	}
	for range 8 {
		<-reached
	}
	f.Refused(f.Do(nil, http.MethodPost, lookupPath, `{"connection":612,"key":386}`, f.Service()), http.StatusTooManyRequests, "too_many_in_flight")
	if got := f.Resync(f.Service()); got.Status != http.StatusOK { // calls are counted apart
		t.Errorf("a call: %d %s", got.Status, got.Body)
	}
	close(held)
	for range 8 {
		foundKeys(t, <-answers)
	}
}
