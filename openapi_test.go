package erpsync

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

const apiDescription = "docs/openapi.yaml"

// alsoAnswered are the statuses of reasons that have more than one.
var alsoAnswered = map[auth.Reason][]int{
	auth.PathNotCanonical:    {http.StatusNotFound},       // below /erpsync
	auth.CredentialInvalid:   {http.StatusForbidden},      // a sign-in that failed
	auth.UpstreamUnreachable: {http.StatusGatewayTimeout}, // timed out
}

// describedAPI is the API description as the library reads it.
type describedAPI struct {
	validator.Validator
	*v3.Document
}

func readAPIDescription(t *testing.T) describedAPI {
	t.Helper()
	raw, err := os.ReadFile(filepath.Clean(apiDescription))
	if err != nil {
		t.Fatal(err)
	}
	document, err := libopenapi.NewDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, problems := validator.NewValidator(document)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return describedAPI{v, &model.Model}
}

// refusals returns the response components of the description, one for each status, with an example for each reason.
func refusals(t *testing.T) (reasons, responses string) {
	t.Helper()
	all := auth.Reasons()
	slices.Sort(all)
	byStatus := map[int][]auth.Reason{}
	reasons = "    Reason:\n      type: string\n      enum:\n"
	for _, reason := range all {
		reasons += "        - " + string(reason) + "\n"
		for _, status := range append(alsoAnswered[reason], auth.Refuse(reason, nil).Status) {
			byStatus[status] = append(byStatus[status], reason)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		responses += fmt.Sprintf("    Refused%d:\n      description: %s.\n      headers:\n        ErpSync-Request-Id:\n          $ref: \"#/components/headers/RequestId\"\n", status, http.StatusText(status))
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			responses += "        Retry-After:\n          $ref: \"#/components/headers/RetryAfter\"\n"
		}
		responses += "      content:\n        application/json:\n          schema:\n            $ref: \"#/components/schemas/SuperOfficeError\"\n" +
			"        text/html:\n          schema:\n            $ref: \"#/components/schemas/Page\"\n        application/problem+json:\n          schema:\n            $ref: \"#/components/schemas/Problem\"\n          examples:\n"
		for _, reason := range byStatus[status] {
			refusal := auth.Refuse(reason, nil)
			refusal.Status = status
			written := httptest.NewRecorder()
			new(gateway.Gateway).WriteRefusal(written, httptest.NewRequest(http.MethodPost, tenantPath, http.NoBody), "56b68d43-2f15-4874-aef6-a7a457b8aa83", refusal, webpage.Page{})
			responses += fmt.Sprintf("            %s:\n              value: %s\n", reason, strings.TrimSpace(written.Body.String()))
		}
	}
	return reasons, responses
}

func TestTheAPIDescriptionHasEveryReasonWithItsStatus(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Clean(apiDescription))
	if err != nil {
		t.Fatal(err)
	}
	reasons, responses := refusals(t)
	want := string(raw)
	for name, content := range map[string]string{"reasons": reasons, "refusals": responses} {
		section := regexp.MustCompile(`(?s)(    # ` + name + `: [^\n]*\n).*(    # end of ` + name + `\n)`)
		if !section.MatchString(want) {
			t.Fatalf("the section %s is missing", name)
		}
		want = section.ReplaceAllStringFunc(want, func(old string) string {
			around := section.FindStringSubmatch(old)
			return around[1] + content + around[2]
		})
	}
	if *update {
		write(t, apiDescription, want)
		raw = []byte(want)
	}
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("go test -run APIDescriptionHas -update . writes it anew: %s", diff)
	}
	api := readAPIDescription(t)
	if valid, problems := api.ValidateDocument(); !valid {
		for _, problem := range problems {
			t.Error(problem)
		}
	}
	// A call can be refused with each of them, but for those of other endpoints.
	answers := api.Paths.PathItems.GetOrZero("/{tenant}/api/v1/Agents/ErpSync/ForceResync").Post.Responses.Codes
	for name := range api.Components.Responses.FromOldest() {
		if status, refusal := strings.CutPrefix(name, "Refused"); refusal && answers.GetOrZero(status) == nil && status != "404" {
			t.Errorf("a call may be answered %s, which its description lacks", status)
		}
	}
}

// apiCall is a call of the API as its description has it.
type apiCall struct {
	operation string // its operationId
	example   string // of its body; "" for another one
	body      string
	path      string // where the description's own does not do
	method    string
	header    http.Header
	// undescribed calls are refused for what the description says already.
	undescribed bool
	// stalled calls send no end of their body.
	stalled bool
	status  int
	reason  auth.Reason // "" is no refusal
}

// apiCase is a gateway, and calls of it.
type apiCase struct {
	config    func(*testing.T) string
	sandbox   []sandbox.Option
	transport http.RoundTripper // nil: Caddy's
	prepare   func(*testing.T, *fixture) []apiCall
}

// in is a case whose gateway is configured as most are, with replacements in pairs.
func in(prepare func(*testing.T, *fixture) []apiCall, replacements ...string) apiCase {
	config := apps
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(config, replacements[i]) {
			panic("not in the configuration: " + replacements[i])
		}
		config = strings.Replace(config, replacements[i], replacements[i+1], 1)
	}
	return apiCase{config: func(*testing.T) string { return config }, prepare: prepare}
}

// service is a service's call of the sample request.
func (g *fixture) serviceCall(status int, reason auth.Reason, header ...string) apiCall {
	return apiCall{operation: "forceResyncInTenant", example: "resync", header: with(g.service(), header...), status: status, reason: reason}
}

// person is the call of somebody who signed in.
func (g *fixture) personCall(client *http.Client, xsrf string, status int, reason auth.Reason, header ...string) apiCall {
	return apiCall{operation: "forceResyncInTenant", example: "resync", header: with(http.Header{"Cookie": {cookies(g, client)}, "X-Xsrf-Token": {xsrf}}, header...), status: status, reason: reason}
}

func with(header http.Header, more ...string) http.Header {
	for i := 0; i < len(more); i += 2 {
		header.Set(more[i], more[i+1])
	}
	return header
}

func cookies(g *fixture, client *http.Client) string {
	var all []string
	for _, cookie := range client.Jar.Cookies(mustParse(g.t, g.site)) {
		all = append(all, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(all, "; ")
}

// held has the agent hold its answers until the test is over, and begins a call that it holds.
func (g *fixture) held(t *testing.T, body string) {
	t.Helper()
	hold := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: hold, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	over := make(chan struct{})
	go func() {
		defer close(over)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.site+tenantPath, strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header = with(g.service(), "Content-Type", "application/json")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	t.Cleanup(func() { close(hold); <-over })
	waitFor(t, func() bool { return len(g.sent()) == 1 })
}

// switched is a case in which a service calls and SuperOffice behaves otherwise.
func switched(status int, reason auth.Reason, change func(*sandbox.Switches)) apiCase {
	return in(func(_ *testing.T, g *fixture) []apiCall {
		g.so.Switch(change)
		return []apiCall{g.serviceCall(status, reason)}
	})
}

func apiCases() map[string]apiCase {
	one := func(call func(*fixture) apiCall) func(*testing.T, *fixture) []apiCall {
		return func(_ *testing.T, g *fixture) []apiCall { return []apiCall{call(g)} }
	}
	return map[string]apiCase{
		"calls of services": in(func(_ *testing.T, g *fixture) []apiCall {
			everything := g.serviceCall(200, "", "ErpSync-Confirm", "all")
			everything.example = "everything"
			dry := g.serviceCall(200, "", "ErpSync-Dry-Run", "ask")
			dry.example = "dryRun"
			failure := g.serviceCall(200, "", "Idempotency-Key", "a")
			failure.example = "failure"
			own := g.serviceCall(200, "")
			own.operation = "forceResync"
			reused := g.serviceCall(422, auth.IdempotencyKeyReused, "Idempotency-Key", "a")
			unconfirmed := g.serviceCall(403, auth.ResyncAllUnconfirmed)
			unconfirmed.example = "everything"
			return []apiCall{g.serviceCall(200, ""), everything, dry, failure, failure, own, reused, unconfirmed}
		}),
		"requests that are none": in(func(_ *testing.T, g *fixture) []apiCall {
			bad := func(status int, reason auth.Reason, change func(*apiCall)) apiCall {
				call := g.serviceCall(status, reason)
				change(&call)
				return call
			}
			return []apiCall{
				bad(400, auth.PathNotCanonical, func(c *apiCall) { c.path = "/Cust12345/api//v1/Agents/ErpSync/ForceResync" }),
				bad(405, auth.MethodNotAllowed, func(c *apiCall) { c.method, c.undescribed = http.MethodGet, true }),
				bad(400, auth.QueryNotUnderstood, func(c *apiCall) { c.path = tenantPath + "?$filter=x" }),
				bad(400, auth.UpgradeRefused, func(c *apiCall) { with(c.header, "Upgrade", "websocket", "Connection", "Upgrade") }),
				bad(425, auth.EarlyData, func(c *apiCall) { with(c.header, "Early-Data", "1") }),
				bad(400, auth.BodyIncomplete, func(c *apiCall) { c.stalled = true }),
				bad(413, auth.BodyTooLarge, func(c *apiCall) { c.body = `{"InternalKeyIds":[` + strings.Repeat("1,", 5000) + `1]}` }),
				bad(400, auth.BodyNotUnderstood, func(c *apiCall) { c.body, c.undescribed = `{"ErpConnectionId":"612"}`, true }),
				bad(415, auth.MediaTypeUnsupported, func(c *apiCall) { c.undescribed = true; with(c.header, "Content-Type", "text/plain") }),
				bad(400, auth.HeaderNotUnderstood, func(c *apiCall) { c.undescribed = true; with(c.header, "ErpSync-Dry-Run", "yes") }),
				bad(401, auth.CredentialMissing, func(c *apiCall) { c.header, c.undescribed = nil, true }),
				bad(401, auth.CredentialInvalid, func(c *apiCall) { with(c.header, "Authorization", "Bearer x.y.z") }),
				bad(403, auth.TenantMismatch, func(c *apiCall) { c.path = strings.Replace(tenantPath, "12345", "54321", 1) }),
				{operation: "session", path: "/erpsync/sessions", status: 404, reason: auth.PathNotCanonical, undescribed: true},
			}
		}),
		"a notice of SuperOffice's": in(func(t *testing.T, g *fixture) []apiCall {
			var pushed []byte
			spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pushed, _ = io.ReadAll(r.Body) }))
			defer spy.Close()
			if _, err := g.so.Push(t.Context(), sandbox.Push{URL: spy.URL, Tenant: "Cust12345", Change: "Suspend"}); err != nil {
				t.Fatal(err)
			}
			call := apiCall{operation: "tenantStatus", status: 200, body: string(pushed)}
			forged, empty, large := call, call, call
			forged.status, forged.reason, forged.body = 401, auth.CredentialInvalid, `{"ChangeType":2,"ContextIdentifier":"Cust12345","Token":"x.y.z"}`
			empty.status, empty.reason, empty.body, empty.undescribed = 400, auth.BodyNotUnderstood, `{}`, true
			large.status, large.reason, large.body = 413, auth.BodyTooLarge, strings.Replace(call.body, "{", `{"Padding":"`+strings.Repeat("x", 70_000)+`",`, 1)
			return []apiCall{call, call, forged, empty, large}
		}, "tenant Cust12345\n", "tenant Cust12345\n\t\ttenant_status\n"),
		"people": in(func(t *testing.T, g *fixture) []apiCall {
			client, xsrf := g.signIn("per")
			session := g.personCall(client, xsrf, 200, "")
			session.operation, session.example = "session", ""
			mismatch := session
			mismatch.path, mismatch.status, mismatch.reason = "/erpsync/session?uctx=Cust54321", 403, auth.PanelMismatch
			crossed := g.personCall(client, xsrf, 403, auth.CrossSite, "Origin", "https://evil.example")
			forged := g.personCall(client, "x", 403, auth.XSRFInvalid)
			everything := g.personCall(client, xsrf, 403, auth.ResyncAllDenied)
			everything.example = "everything"
			out := session
			out.operation = "signOut"
			begun := g.do(nil, http.MethodGet, "/erpsync/sign-in?tenant=Cust12345&return=/page", "", nil)
			cookie, _, _ := strings.Cut(begun.header.Get("Set-Cookie"), ";")
			return []apiCall{
				{operation: "session", header: http.Header{"Accept": {"text/html"}, "Cookie": {cookies(g, client)}}, status: 200},
				session, g.personCall(client, xsrf, 200, ""), mismatch, crossed, forged, everything, out,
				{operation: "session", status: 401, reason: auth.SignInAgain},
				{operation: "signIn", path: "/erpsync/sign-in?tenant=Cust12345&return=/page", status: 303},
				{operation: "signIn", path: "/erpsync/sign-in?tenant=Uno", status: 400, reason: auth.QueryNotUnderstood, undescribed: true},
				{operation: "callback", path: "/erpsync/callback?" + superidAnswer(t, g, begun.header.Get("Location")).Encode(), header: http.Header{"Cookie": {cookie}}, status: 303},
				{operation: "session", header: http.Header{"Accept": {"text/html"}}, status: 401},
				{operation: "callbackPosted", body: "error=access_denied&state=x", header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, status: 403, reason: auth.CredentialInvalid},
				{operation: "live", status: 200},
				{operation: "liveHead", status: 200},
				{operation: "ready", status: 200},
				{operation: "readyHead", status: 200},
			}
		}),
		"panels": in(func(t *testing.T, _ *fixture) []apiCall {
			return []apiCall{
				{operation: "panelScript", status: 200},
				{operation: "handOver", body: `{"code":"x","verifier":"y"}`, status: 403, reason: auth.CredentialInvalid},
			}
		}, "app portal\n\t\torigins", "app portal\n\t\tframed\n\t\torigins"),
		"approvals": in(one(func(*fixture) apiCall {
			return apiCall{operation: "approve", path: "/erpsync/approve?app=erp&tenant=Cust12345", status: 303}
		})),
		"a link of an approval that is wrong": in(one(func(*fixture) apiCall {
			return apiCall{operation: "approve", path: "/erpsync/approve?app=none", status: 400, reason: auth.QueryNotUnderstood}
		})),
		"the page of an approval that is not there": in(func(*testing.T, *fixture) []apiCall {
			return []apiCall{{operation: "approval", status: 403, reason: auth.CredentialInvalid}, {operation: "approval", header: http.Header{"Accept": {"text/html"}}, status: 403}}
		}),
		"SuperOffice's own error": switched(403, "", func(s *sandbox.Switches) { s.Fault = "403" }),

		"long calls": in(func(t *testing.T, g *fixture) []apiCall {
			long := g.serviceCall(202, "", "Prefer", "respond-async", "Idempotency-Key", "a")
			long.example = ""
			long.body = seedBody
			g.held(t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
			begun := g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[2]}`, with(g.service(), "Prefer", "respond-async", "Content-Type", "application/json"))
			of := func(operation, path string, header http.Header, status int, reason auth.Reason) apiCall {
				return apiCall{operation: operation, path: path, header: header, status: status, reason: reason}
			}
			location := begun.header.Get("Location")
			return []apiCall{
				long, of("call", location, with(g.service(), "Prefer", "wait=1"), 202, ""), of("callOfKey", "/erpsync/calls", with(g.service(), "Idempotency-Key", "a"), 202, ""),
				of("callOfKey", "/erpsync/calls", with(g.service(), "Idempotency-Key", "b"), 404, auth.CallNotFound), of("call", "/erpsync/calls/x", g.service(), 404, auth.CallNotFound),
				of("call", strings.Replace(location, "12345", "54321", 1), g.service(), 403, auth.TenantMismatch),
				{operation: "call", path: location, status: 401, reason: auth.CredentialMissing, undescribed: true},
				{operation: "callOfKey", path: "/erpsync/calls", header: g.service(), status: 400, reason: auth.HeaderNotUnderstood, undescribed: true},
			}
		}),
		"a long call that is over": in(func(t *testing.T, g *fixture) []apiCall {
			begun := g.do(nil, http.MethodPost, tenantPath, seedBody, with(g.service(), "Prefer", "respond-async", "Content-Type", "application/json"))
			location := begun.header.Get("Location")
			waitFor(t, func() bool { return g.do(nil, http.MethodGet, location, "", g.service()).status == http.StatusOK })
			return []apiCall{{operation: "call", path: location, header: g.service(), status: 200}}
		}),
		"look-ups": in(func(_ *testing.T, g *fixture) []apiCall {
			lookup := func(example string, status int, reason auth.Reason) apiCall {
				return apiCall{operation: "lookup", example: example, header: g.service(), status: status, reason: reason}
			}
			several := lookup("", 400, auth.BodyNotUnderstood)
			several.body, several.undescribed = `{"connection":612,"key":386,"erp":"100386"}`, true
			return []apiCall{lookup("company", 200, ""), lookup("erpNumber", 200, ""), lookup("name", 200, ""), several}
		}, "resync_all confirm", "resync_all confirm\n\t\tlookups on"),
		"no look-ups": in(func(t *testing.T, g *fixture) []apiCall {
			return []apiCall{{operation: "lookup", example: "company", header: g.service(), status: 403, reason: auth.LookupNotGranted}}
		}, "app portal {", "app portal {\n\t\tlookups on"),
		"look-ups that fail": in(func(_ *testing.T, g *fixture) []apiCall {
			g.so.Switch(func(s *sandbox.Switches) { s.KeyArchives = "403" })
			return []apiCall{{operation: "lookup", example: "company", header: g.service(), status: 502, reason: auth.LookupFailed}}
		}, "resync_all confirm", "resync_all confirm\n\t\tlookups on"),

		"no agent":      in(one(func(g *fixture) apiCall { return g.serviceCall(403, auth.AgentNotGranted) }), "agents ErpSync\n\t\toperations ForceResync ForceResyncBatchTask GetEngineStatus\n\t\ttenants", "tenants"),
		"no operation":  in(one(func(g *fixture) apiCall { return g.serviceCall(403, auth.OperationNotGranted) }), "operations ForceResync ForceResyncBatchTask GetEngineStatus\n\t\ttenants", "operations GetEngineStatus\n\t\ttenants"),
		"no connection": in(one(func(g *fixture) apiCall { return g.serviceCall(403, auth.ConnectionNotGranted) }), "resync_all confirm", "connections 613"),
		"no tenant":     in(one(func(g *fixture) apiCall { return g.serviceCall(403, auth.TenantNotGranted) }), "tenants file {dir}/tenants.json", "tenant Cust54321"),
		"a suspended tenant": in(one(func(g *fixture) apiCall { return g.serviceCall(403, auth.TenantSuspended) }),
			"tenants file {dir}/tenants.json", "tenant Cust12345 {\n\t\t\tsuspended\n\t\t}"),
		"no system token": in(one(func(g *fixture) apiCall { return g.serviceCall(403, auth.NoSystemToken) }), "tenants file {dir}/tenants.json", "tenant Cust12345"),
		"a person who may not": in(func(_ *testing.T, g *fixture) []apiCall {
			client, xsrf := g.signIn("per")
			return []apiCall{g.personCall(client, xsrf, 403, auth.PersonNotGranted)}
		}, "browser {\n\t\tapp portal", "browser {\n\t\tapp erp"),
		"another app's token": in(one(func(g *fixture) apiCall {
			call := g.serviceCall(403, auth.AppTokenMismatch, "Authorization", "SOTicket "+g.so.Ticket("portal", "Cust12345", "per"), "SO-AppToken", "another")
			return call
		})),
		"no proof": in(func(_ *testing.T, g *fixture) []apiCall {
			call := g.serviceCall(503, auth.ProofUnavailable, "Authorization", "SOTicket "+g.so.Ticket("portal", "Cust12345", "per"), "SO-AppToken", g.so.App("portal").ClientSecret)
			g.so.Switch(func(s *sandbox.Switches) { s.Fault, s.FaultAt = "503", "api" })
			return []apiCall{call}
		}),
		"no swap": {config: func(*testing.T) string { return onsite }, sandbox: []sandbox.Option{sandbox.WithOnsite("/crm7")}, prepare: func(_ *testing.T, g *fixture) []apiCall {
			g.so.Switch(func(s *sandbox.Switches) { s.NoCurrentToken = true })
			cookie, xsrf := g.so.WebSession("Cust12345", "per")
			return []apiCall{{
				operation: "forceResync", example: "resync", path: "/crm7/api/v1/Agents/ErpSync/ForceResync", header: http.Header{"Cookie": {auth.SessionCookie + "=" + cookie}, "X-Xsrf-Token": {xsrf}},
				status: 403, reason: auth.SwapUnavailable, undescribed: true,
			}}
		}},

		"the same call running": in(func(t *testing.T, g *fixture) []apiCall {
			g.held(t, seedBody)
			return []apiCall{g.serviceCall(409, auth.CallRunning)}
		}),
		"too many calls running": in(func(t *testing.T, g *fixture) []apiCall {
			g.held(t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
			return []apiCall{g.serviceCall(429, auth.TooManyInFlight)}
		}, "rate off", "rate off\n\t\tin_flight connection 1"),
		"too many calls": in(func(_ *testing.T, g *fixture) []apiCall {
			return []apiCall{g.serviceCall(200, ""), g.serviceCall(429, auth.RateLimited)}
		}, "rate off", "rate 1"),
		"everything twice": in(func(_ *testing.T, g *fixture) []apiCall {
			first, second := g.serviceCall(200, "", "ErpSync-Confirm", "all"), g.serviceCall(429, auth.CoolingDown, "ErpSync-Confirm", "all")
			first.example, second.example = "everything", "everything"
			return []apiCall{first, second}
		}, "rate off", "rate off\n\t\tcool_down 1h"),
		"an answer too long to keep": in(func(_ *testing.T, g *fixture) []apiCall {
			g.so.Answer(func(string, int) *sandbox.Answer {
				return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok","X":"` + strings.Repeat("x", 1<<20) + `"}`}
			})
			first := g.serviceCall(200, "", "Idempotency-Key", "a", "Accept", "application/json")
			first.example, first.body = "", seedBody
			again := first
			again.status, again.reason = 409, auth.AnswerNotKept
			return []apiCall{first, again}
		}),
		"no answer": in(func(_ *testing.T, g *fixture) []apiCall {
			g.so.Switch(func(s *sandbox.Switches) { s.Fault, s.FaultTimes = "abort", 1 })
			first := g.serviceCall(auth.Refuse(auth.OutcomeUnknown, nil).Status, auth.OutcomeUnknown, "Idempotency-Key", "a")
			return []apiCall{first, first}
		}),

		"a tenant that does not run": in(func(_ *testing.T, g *fixture) []apiCall {
			g.so.SetState("Cust12345", "Suspended")
			return []apiCall{g.serviceCall(503, auth.TenantNotRunning)}
		}),
		"a tenant elsewhere": in(func(_ *testing.T, g *fixture) []apiCall {
			g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
			g.so.Move("Cust12345", "https://elsewhere.example")
			return []apiCall{g.serviceCall(502, auth.HostNotTrusted)}
		}),
		"an unknown tenant": switched(403, auth.TenantUnknown, func(s *sandbox.Switches) { s.StateFault = "404" }),
		"no tenant state":   switched(503, auth.StateUnavailable, func(s *sandbox.Switches) { s.StateFault = "500" }),
		"no ticket":         switched(503, auth.CredentialUnavailable, func(s *sandbox.Switches) { s.SystemUserFault = "500" }),
		"a refused ticket":  switched(502, auth.UpstreamCredentialRefused, func(s *sandbox.Switches) { s.Fault = "401" }),
		"a redirect": in(func(_ *testing.T, g *fixture) []apiCall {
			g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Status: 302} })
			return []apiCall{g.serviceCall(502, auth.UpstreamAnswerRefused)}
		}),
		"no way to SuperOffice":      unreachable(502, errors.New("connection refused")),
		"no way to SuperOffice soon": unreachable(504, os.ErrDeadlineExceeded),
		"a gateway that stops": {prepare: func(t *testing.T, g *fixture) []apiCall {
			// Caddy says for the whole process that it exits, so this one is without Caddy.
			g.site = gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) { p.Draining = func() bool { return true } })).Site
			return []apiCall{{operation: "ready", status: 503, reason: auth.Draining}, {operation: "readyHead", status: 503}}
		}},
		"a log that takes nothing": {prepare: func(t *testing.T, g *fixture) []apiCall {
			required := gatewaytest.Configure(func(c *gateway.Config) { c.AuditRequired = true })
			return elsewhere(g, gatewaytest.New(t, required, gatewaytest.On(func(p *gateway.Platform) { p.Audit = zap.NewNop() })), 503, auth.AuditUnavailable)
		}},
		"calls on hold": {prepare: func(t *testing.T, g *fixture) []apiCall {
			other := gatewaytest.New(t)
			if err := other.State().Holds.Set(t.Context(), hold.Hold{Reason: "the ERP is being repaired", Since: time.Now()}); err != nil {
				t.Fatal(err)
			}
			return elsewhere(g, other, 503, auth.OnHold)
		}},
		"no key":               in(one(func(g *fixture) apiCall { return g.serviceCall(400, auth.IdempotencyKeyMissing) }), "resync_all confirm", "idempotency required"),
		"a store that is down": storeDown(),
		"a withdrawn consent": in(func(t *testing.T, g *fixture) []apiCall {
			if _, err := g.so.Control(t.Context(), []byte(`{"actions":[{"do":"withdraw_consent","app":"erp","tenant":"Cust12345"}]}`)); err != nil {
				t.Fatal(err)
			}
			return []apiCall{g.serviceCall(403, auth.ConsentRequired)}
		}),
	}
}

// elsewhere is a service's call of a gateway without Caddy.
func elsewhere(g *fixture, other *gatewaytest.Fixture, status int, reason auth.Reason) []apiCall {
	g.site = other.Site
	return []apiCall{{operation: "forceResyncInTenant", example: "resync", header: other.Service(), status: status, reason: reason}}
}

// unreachable is a case in which no connection to the agent comes about.
func unreachable(status int, err error) apiCase {
	c := in(func(_ *testing.T, g *fixture) []apiCall {
		return []apiCall{g.serviceCall(status, auth.UpstreamUnreachable)}
	})
	c.transport = outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/Agents/") {
			return nil, err
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	return c
}

// storeDown is a case in which the Redis that held a session is gone.
func storeDown() apiCase {
	var server *redistest.Server
	return apiCase{
		config: func(t *testing.T) string {
			server = redistest.Start(t)
			key := filepath.Join(t.TempDir(), "key")
			write(t, key, strings.Repeat("k", 32))
			return apps + "\nstore redis {\naddress " + server.Address + "\n}\nkeys {file." + key + "}"
		},
		prepare: func(_ *testing.T, g *fixture) []apiCall {
			client, xsrf := g.signIn("per")
			server.Kill()
			return []apiCall{g.personCall(client, xsrf, 503, auth.SessionUnavailable), g.serviceCall(503, auth.StoreUnavailable, "Idempotency-Key", "a")}
		},
	}
}

// superidAnswer signs a person in at SuperID and returns what it answers to the callback.
func superidAnswer(t *testing.T, g *fixture, target string) url.Values {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	form, err := client.Get(target) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(form.Body)
	form.Body.Close()
	found := regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`).FindSubmatch(raw)
	if err != nil || found == nil {
		t.Fatalf("no form: %v %s", err, raw)
	}
	user := g.so.User("Cust12345", "per")
	answer, err := client.PostForm(target, url.Values{"attempt": {string(found[1])}, "username": {user.UPN}, "password": {user.Password}, "action": {"sign-in"}}) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return mustParse(t, answer.Header.Get("Location")).Query()
}

// described is an operation of the description.
type described struct {
	*v3.Operation
	method, path string
}

func (d describedAPI) operations() map[string]described {
	all := map[string]described{}
	for path, item := range d.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			all[operation.OperationId] = described{operation, strings.ToUpper(method), path}
		}
	}
	return all
}

// requestExamples returns the examples of an operation's JSON body, by name.
func (o described) requestExamples(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	if o.RequestBody == nil || o.RequestBody.Content.GetOrZero("application/json") == nil {
		return all
	}
	for name, example := range o.RequestBody.Content.GetOrZero("application/json").Examples.FromOldest() {
		var value any
		if err := example.Value.Decode(&value); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(raw)
	}
	return all
}

// seen is what the calls of a test have shown.
type seen struct {
	mu                  sync.Mutex
	refusals            map[string]bool // "403 cross_site"
	operations          map[string]bool
	examples            map[string]bool // "forceResync resync"
	requests, responses int
}

func TestEveryExampleOfTheAPIDescriptionIsAnsweredAsItSays(t *testing.T) {
	t.Parallel()
	api := readAPIDescription(t)
	shown := &seen{refusals: map[string]bool{}, operations: map[string]bool{}, examples: map[string]bool{}}
	t.Run("calls", func(t *testing.T) {
		for name, c := range apiCases() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				core, logs := observer.New(zapcore.DebugLevel)
				g := &fixture{t: t}
				if c.config != nil {
					g = prepare(t, newSandbox(t, c.sandbox...), newProvider(t), c.config(t), zap.New(core), c.transport)
					g.logs = logs
				}
				for _, call := range c.prepare(t, g) {
					api.make(t, g, call, shown)
				}
			})
		}
	})
	known := 0
	for name, response := range api.Components.Responses.FromOldest() {
		status, refusal := strings.CutPrefix(name, "Refused")
		if !refusal {
			continue
		}
		for reason := range response.Content.GetOrZero("application/problem+json").Examples.KeysFromOldest() {
			known++
			// A fault of the gateway's own cannot be asked for.
			if !shown.refusals[status+" "+reason] && reason != string(auth.Internal) {
				t.Errorf("no gateway was asked for %s %s: add a case", status, reason)
			}
		}
	}
	for id, operation := range api.operations() {
		if !shown.operations[id] {
			t.Errorf("%s was not called", id)
		}
		for example := range operation.requestExamples(t) {
			if id != "forceResync" && !shown.examples[id+" "+example] { // it has the same examples by reference
				t.Errorf("the example %s of %s was not sent", example, id)
			}
		}
	}
	t.Logf("%d operations, %d examples of refusals; %d requests and %d answers of running gateways were judged", len(api.operations()), known, shown.requests, shown.responses)
}

// or returns text, or what to take where it is empty.
func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// make makes a call and holds request and answer against the description.
func (d describedAPI) make(t *testing.T, g *fixture, call apiCall, shown *seen) {
	t.Helper()
	operation, ok := d.operations()[call.operation]
	if !ok {
		t.Fatalf("there is no operation %s", call.operation)
	}
	examples, body := operation.requestExamples(t), call.body
	if body == "" && call.example != "" {
		body = examples[call.example]
	}
	asDescribed := strings.Replace(operation.path, "{tenant}", "Cust12345", 1)
	path, method := or(call.path, asDescribed), or(call.method, operation.method)
	request := func(method, path string, body io.Reader) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), method, g.site+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = call.header.Clone()
		if req.Header == nil {
			req.Header = http.Header{}
		}
		if body != nil && req.Header.Get("Content-Type") == "" {
			req.Header.Set("Content-Type", "application/json")
		}
		return req
	}
	reader := func() io.Reader {
		if body == "" {
			return nil
		}
		return strings.NewReader(body)
	}
	sent := reader()
	if call.stalled {
		stalled, end := io.Pipe()
		t.Cleanup(func() { end.Close() })
		sent = stalled
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(request(method, path, sent))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%s %s (%s)", method, path, call.operation)
	var problem struct{ Reason auth.Reason }
	_ = json.Unmarshal(raw, &problem)
	if resp.StatusCode != call.status || problem.Reason != call.reason {
		t.Errorf("%s: %d %.300s, want %d %s", what, resp.StatusCode, raw, call.status, call.reason)
		return
	}
	if valid, problems := d.ValidateHttpRequest(request(method, path, reader())); valid == call.undescribed {
		t.Errorf("%s: is it as described? %t, want %t: %v", what, valid, !call.undescribed, problems)
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	if valid, problems := d.ValidateHttpResponse(request(operation.method, asDescribed, reader()), resp); !valid && call.status != http.StatusNotFound {
		for _, problem := range problems {
			t.Errorf("%s: the answer %d %.300s: %v %v", what, resp.StatusCode, raw, problem, problem.SchemaValidationErrors)
		}
	}
	if call.reason == "" && call.example != "" {
		d.compare(t, operation, call, raw)
	}
	shown.mu.Lock()
	defer shown.mu.Unlock()
	shown.requests, shown.responses = shown.requests+1, shown.responses+1
	shown.operations[call.operation] = true
	shown.examples[call.operation+" "+call.example] = true
	if call.reason != "" {
		shown.refusals[fmt.Sprint(call.status, " ", call.reason)] = true
	}
}

// compare holds a whole answer against the example of that name.
func (d describedAPI) compare(t *testing.T, operation described, call apiCall, raw []byte) {
	t.Helper()
	answer := operation.Responses.Codes.GetOrZero(fmt.Sprint(call.status))
	if answer == nil || answer.Content.GetOrZero("application/json") == nil {
		return
	}
	example := answer.Content.GetOrZero("application/json").Examples.GetOrZero(call.example)
	if example == nil {
		return
	}
	var want, got any
	if err := errors.Join(example.Value.Decode(&want), json.Unmarshal(raw, &got)); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(want)
	if err == nil {
		err = json.Unmarshal(plain, &want)
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%s: the answer is not the example %s: %v %s", call.operation, call.example, err, diff)
	}
}

func TestEveryExampleOfTheAPIDescriptionIsOfItsSchema(t *testing.T) {
	t.Parallel()
	api, schemas := readAPIDescription(t), schema_validation.NewSchemaValidator()
	judged := 0
	judge := func(where string, media *v3.MediaType) {
		for name, example := range media.Examples.FromOldest() {
			var value any
			if err := example.Value.Decode(&value); err != nil {
				t.Fatal(err)
			}
			judged++
			if valid, problems := schemas.ValidateSchemaObject(media.Schema.Schema(), value); !valid {
				t.Errorf("%s: the example %s: %v", where, name, problems)
			}
		}
	}
	for id, operation := range api.operations() {
		if operation.RequestBody != nil {
			for _, media := range operation.RequestBody.Content.FromOldest() {
				judge(id, media)
			}
		}
		for status, response := range operation.Responses.Codes.FromOldest() {
			for _, media := range response.Content.FromOldest() {
				judge(id+" "+status, media)
			}
		}
	}
	if judged < len(auth.Reasons()) {
		t.Errorf("only %d examples", judged)
	}
}
