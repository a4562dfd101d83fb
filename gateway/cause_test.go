package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// refusedCase is a request that is refused, and what its audit line has to say of the check that failed.
type refusedCase struct {
	reason auth.Reason
	cause  string // a part of it
	with   []gatewaytest.Option
	ask    func(*gatewaytest.Fixture) gatewaytest.Answer
}

// changesSuperOffice are the cases that need a SuperOffice of their own.
var changesSuperOffice = []string{
	"the same call", "the same call, unended", "an answer too long", "too many at once", "a stopped tenant", "a foreign host", "no consent", "a refused ticket", "a redirect", "no answer",
	"no answer, and once more",
}

const resyncAll = `{"ErpConnectionId":612}`

// ask sends a call as the service, with a body and headers in place of the usual ones.
func ask(method, path, body string, header ...string) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		h := f.Service()
		for i := 0; i < len(header); i += 2 {
			h[http.CanonicalHeaderKey(header[i])] = []string{header[i+1]}
			if header[i+1] == "" {
				delete(h, header[i])
			}
		}
		return f.Do(nil, method, path, body, h)
	}
}

// call is ask for the usual call.
func call(body string, header ...string) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return ask(http.MethodPost, gatewaytest.TenantPath, body, header...)
}

// in sends the usual call as a service of another tenant.
func in(tenant string) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		return f.Do(nil, http.MethodPost, "/"+tenant+"/api/v1/Agents/ErpSync/ForceResync", gatewaytest.SeedBody, http.Header{"Authorization": {"Bearer " + f.Provider.Token(tenant, time.Hour)}})
	}
}

// signedIn sends a request as a person who is signed in.
func signedIn(method, path, body string, header http.Header) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		client, xsrf := f.SignIn("per")
		h := http.Header{"X-Xsrf-Token": {xsrf}}
		for name, values := range header {
			h[http.CanonicalHeaderKey(name)] = values
		}
		return f.Do(client, method, path, body, h)
	}
}

// personsTicket sends the usual call with a person's SOTicket.
func personsTicket(f *gatewaytest.Fixture) gatewaytest.Answer {
	return f.Resync(http.Header{"Authorization": {"SOTicket " + f.SO.Ticket(f.Config().SuperOffice.App, "Cust12345", "per")}})
}

// plain is a GET without a credential.
func plain(path string, header ...string) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return f.Do(nil, http.MethodGet, path, "", h)
	}
}

// answering has SuperOffice answer the path with a status.
func answering(path string, status int) gatewaytest.Option {
	return gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, path) {
			return false
		}
		w.WriteHeader(status)
		return true
	})
}

// erp changes the app that services call for.
func erp(change func(*gateway.AppConfig)) gatewaytest.Option {
	return gatewaytest.Configure(func(c *gateway.Config) { change(&c.Apps[1]) })
}

// while makes a call under way at SuperOffice and returns the answer to a second one meanwhile.
func while(second func(*gatewaytest.Fixture) gatewaytest.Answer) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		held, reached, done := make(chan struct{}), make(chan struct{}, 1), make(chan gatewaytest.Answer)
		f.SO.Answer(func(string, int) *sandbox.Answer {
			reached <- struct{}{}
			return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`}
		})
		go func() { done <- f.Resync(f.Service()) }()
		<-reached
		got := second(f)
		close(held)
		<-done
		return got
	}
}

// then makes one call and returns the answer to the next.
func then(first, second func(*gatewaytest.Fixture) gatewaytest.Answer) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		first(f)
		return second(f)
	}
}

// answered has the agent give an answer of this kind.
func answered(answer sandbox.Answer, next func(*gatewaytest.Fixture) gatewaytest.Answer) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return func(f *gatewaytest.Fixture) gatewaytest.Answer {
		f.SO.Answer(func(string, int) *sandbox.Answer { return &answer })
		return next(f)
	}
}

var errDown = errors.New("the store is down")

// downSessions is a store of sessions that answers once; downKV is one of values that never does.
type downSessions struct {
	session.Store
	asked atomic.Int32
}

func (d *downSessions) Get(ctx context.Context, place session.Place) (session.Record, bool, error) {
	if d.asked.Add(1) > 1 {
		return session.Record{}, false, errDown
	}
	return d.Store.Get(ctx, place)
}

type downKV struct{ auth.KV }

func (downKV) Get(context.Context, string) (string, bool, error) { return "", false, errDown }

// state changes what the gateway shares with others.
func state(change func(*gateway.SharedState)) gatewaytest.Option {
	return func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		change(*s)
	}
}

// unreachable has no connection to SuperOffice's agent come about.
func unreachable(err error) gatewaytest.Option {
	return gatewaytest.On(func(p *gateway.Platform) {
		next := p.Transport
		p.Transport = outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/Agents/") {
				return nil, err
			}
			return next.RoundTrip(r)
		})
	})
}

// halfABody sends less than it promised, and waits for the answer.
func halfABody(f *gatewaytest.Fixture) gatewaytest.Answer {
	connection, err := net.Dial("tcp", strings.TrimPrefix(f.Site, "http://"))
	if err != nil {
		return gatewaytest.Answer{Body: err.Error()}
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", gatewaytest.TenantPath, f.Service().Get("Authorization"))
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return gatewaytest.Answer{Body: err.Error()}
	}
	defer response.Body.Close()
	raw, _ := io.ReadAll(response.Body)
	return gatewaytest.Answer{Status: response.StatusCode, Header: response.Header, Body: string(raw)}
}

// refusedCases has at least one case of every reason.
var refusedCases = map[string]refusedCase{
	"a spelling":           {auth.PathNotCanonical, "not its one spelling", nil, ask("POST", "/api/v1/Agents//ErpSync/ForceResync", gatewaytest.SeedBody)},
	"an endpoint of none":  {auth.PathNotCanonical, "no endpoint has this path", nil, plain("/erpsync/x")},
	"a method":             {auth.MethodNotAllowed, `the method is "GET"`, nil, ask("GET", gatewaytest.TenantPath, "")},
	"an endpoint's method": {auth.MethodNotAllowed, `the method is "GET"`, nil, plain("/erpsync/sign-out")},
	"a query":              {auth.QueryNotUnderstood, "$select", nil, ask("POST", gatewaytest.TenantPath+"?a=b", gatewaytest.SeedBody)},
	"a sign-in's query":    {auth.QueryNotUnderstood, `tenant is "x"`, nil, plain("/erpsync/sign-in?tenant=x")},
	"an upgrade":           {auth.UpgradeRefused, `header Upgrade is "websocket"`, nil, call(gatewaytest.SeedBody, "Upgrade", "websocket")},
	"early data":           {auth.EarlyData, "Early-Data", nil, call(gatewaytest.SeedBody, "Early-Data", "1")},
	"a long body":          {auth.BodyTooLarge, "max_body, 4096 bytes", nil, call(strings.Repeat(" ", 5000))},
	"half a body":          {auth.BodyIncomplete, "timeout", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.BodyTimeout = 20 * time.Millisecond })}, halfABody},
	"a body":               {auth.BodyNotUnderstood, "JSON", nil, call("{")},
	"a media type":         {auth.MediaTypeUnsupported, "Content-Type is none that SuperOffice lists", nil, call("x", "Content-Type", "text/plain")},
	"no credential":        {auth.CredentialMissing, "no Authorization header", nil, call(gatewaytest.SeedBody, "Authorization", "")},
	"an expired token": {auth.CredentialInvalid, "jwt: expired 5 min ago", nil, func(f *gatewaytest.Fixture) gatewaytest.Answer {
		return f.Resync(bearerOf(f.Provider.Token("Cust12345", -5*time.Minute)))
	}},
	"no token":               {auth.CredentialInvalid, "jwt: ", nil, call(gatewaytest.SeedBody, "Authorization", "Bearer abc")},
	"an unknown scheme":      {auth.CredentialInvalid, "header Authorization is of the scheme Digest", nil, call(gatewaytest.SeedBody, "Authorization", "Digest abc")},
	"a bare secret":          {auth.CredentialInvalid, "one word without a scheme", nil, call(gatewaytest.SeedBody, "Authorization", "aVerySecretSecret")},
	"a foreign ticket":       {auth.CredentialInvalid, "currentPrincipal answered 401", nil, call(gatewaytest.SeedBody, "Authorization", "SOTicket 7T:abc")},
	"a callback of nobody's": {auth.CredentialInvalid, "none of this browser's attempts", nil, plain("/erpsync/callback?state=x&code=aVerySecretCode")},
	"the same for a person":  {auth.CredentialInvalid, "none of this browser's attempts", nil, plain("/erpsync/callback?state=x&code=aVerySecretCode", "Accept", "text/html")},
	"a forged cookie":        {auth.SignInAgain, "not made by any of the keys", nil, call(gatewaytest.SeedBody, "Authorization", "", "Cookie", gateway.SessionCookie+"="+strings.Repeat("A", 70))},
	"two cookies":            {auth.SignInAgain, "occurs more than once", nil, call(gatewaytest.SeedBody, "Authorization", "", "Cookie", gateway.SessionCookie+"=a; "+gateway.SessionCookie+"=b")},
	"nobody is signed in":    {auth.SignInAgain, "no cookie of a session is sent", nil, plain("/erpsync/session")},
	"another site":           {auth.CrossSite, `Sec-Fetch-Site is "cross-site"`, nil, signedIn("POST", gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Sec-Fetch-Site": {"cross-site"}})},
	"no XSRF token":          {auth.XSRFInvalid, "is missing", nil, signedIn("POST", gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": nil})},
	"a sign-out's XSRF":      {auth.XSRFInvalid, "is not this session's", nil, signedIn("POST", "/erpsync/sign-out", "", http.Header{"X-Xsrf-Token": {"x"}})},
	"a panel's tenant":       {auth.PanelMismatch, `uctx is "Cust54321", the session is in Cust12345`, nil, signedIn("GET", "/erpsync/session?uctx=Cust54321", "", nil)},
	"a panel's person":       {auth.PanelMismatch, `usid is "99"`, nil, signedIn("GET", "/erpsync/session?usid=99", "", nil)},
	"no proof":               {auth.ProofUnavailable, "currentPrincipal answered 503", []gatewaytest.Option{answering("/currentPrincipal", 503)}, personsTicket},
	"no session store":       {auth.SessionUnavailable, "the store is down", []gatewaytest.Option{state(func(s *gateway.SharedState) { s.Sessions = &downSessions{Store: s.Sessions} })}, signedIn("POST", gatewaytest.TenantPath, gatewaytest.SeedBody, nil)},

	"another tenant's path":   {auth.TenantMismatch, "the path names Cust54321, the credential Cust12345", nil, ask("POST", "/Cust54321/api/v1/Agents/ErpSync/ForceResync", gatewaytest.SeedBody)},
	"another app's secret":    {auth.AppTokenMismatch, "not the client secret of app erp", nil, call(gatewaytest.SeedBody, "SO-AppToken", "aVerySecretSecret")},
	"an agent":                {auth.AgentNotGranted, "agents of app erp", []gatewaytest.Option{erp(func(a *gateway.AppConfig) { a.Agents = nil })}, call(gatewaytest.SeedBody)},
	"an operation":            {auth.OperationNotGranted, "operations of app erp", nil, ask("POST", "/Cust12345/api/v1/Agents/ErpSync/SyncAll", "{}")},
	"an unlisted tenant":      {auth.TenantNotGranted, "app erp lists Cust99999 neither", nil, in("Cust99999")},
	"a sign-in's tenant":      {auth.TenantNotGranted, "app portal lists Cust12345 neither", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.Apps[0].Tenants = auth.Tenants{} })}, signInToPortal},
	"a suspended tenant":      {auth.TenantSuspended, "Cust12345 is suspended for app erp", []gatewaytest.Option{erp(func(a *gateway.AppConfig) { a.Tenants = auth.Tenants{"Cust12345": {Suspended: true}} })}, call(gatewaytest.SeedBody)},
	"a person":                {auth.PersonNotGranted, "users of app erp is administrators, and the caller is none", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.SuperOffice.App = "erp" })}, personsTicket},
	"a connection":            {auth.ConnectionNotGranted, "does not list 612", []gatewaytest.Option{erp(func(a *gateway.AppConfig) { a.Connections = &auth.Connections{IDs: []int32{613}} })}, call(gatewaytest.SeedBody)},
	"everything":              {auth.ResyncAllDenied, "resync_all is deny", []gatewaytest.Option{erp(func(a *gateway.AppConfig) { a.ResyncAll = "" })}, call(resyncAll)},
	"everything, unconfirmed": {auth.ResyncAllUnconfirmed, "resync_all is confirm and ErpSync-Confirm: all was not sent", nil, call(resyncAll)},
	"no system token":         {auth.NoSystemToken, "app erp has no system token of Cust12345", []gatewaytest.Option{gatewaytest.Approvals()}, call(gatewaytest.SeedBody)},
	"a look-up":               {auth.LookupNotGranted, "app erp has no lookups on", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.Apps[0].Lookups = true })}, lookUp(`{"connection":612,"key":386}`)},
	"no swap":                 {auth.SwapUnavailable, "no User/currentToken", []gatewaytest.Option{webClient, answering("/currentToken", 404)}, webSession},

	"no key":                 {auth.IdempotencyKeyMissing, "app erp has idempotency required", []gatewaytest.Option{erp(func(a *gateway.AppConfig) { a.KeyRequired = true })}, call(gatewaytest.SeedBody)},
	"the same call, unended": {auth.CallRunning, "made the same call, and its end is not known", nil, answered(sandbox.Answer{Abort: true}, then(call(gatewaytest.SeedBody), call(gatewaytest.SeedBody)))},
	"a guard header":         {auth.HeaderNotUnderstood, "ErpSync-Dry-Run is not true", nil, call(gatewaytest.SeedBody, "ErpSync-Dry-Run", "yes")},
	"another confirmation":   {auth.HeaderNotUnderstood, "ErpSync-Confirm is not all", nil, call(gatewaytest.SeedBody, "ErpSync-Confirm", "yes")},
	"a key of no text":       {auth.HeaderNotUnderstood, "Idempotency-Key is empty", nil, call(gatewaytest.SeedBody, "Idempotency-Key", "é")},
	"the same call":          {auth.CallRunning, "makes the same call", nil, while(call(gatewaytest.SeedBody))},
	"a used key":             {auth.IdempotencyKeyReused, "used this Idempotency-Key for another call", nil, then(call(gatewaytest.SeedBody, "Idempotency-Key", "a"), call(`{"ErpConnectionId":612,"InternalKeyIds":[1]}`, "Idempotency-Key", "a"))},
	"an answer too long":     {auth.AnswerNotKept, "longer than 1048576 bytes", nil, answered(sandbox.Answer{Body: `{"IsOk":true,"X":"` + strings.Repeat("x", 1<<20) + `"}`}, then(call(gatewaytest.SeedBody, "Idempotency-Key", "a"), call(gatewaytest.SeedBody, "Idempotency-Key", "a")))},
	"too many at once":       {auth.TooManyInFlight, "in_flight connection is full", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.Limits.Connection = 1 })}, while(call(`{"ErpConnectionId":612,"InternalKeyIds":[1]}`))},
	"too many in a second":   {auth.RateLimited, "rate 0.001 of app erp in Cust12345", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.Limits.PerSecond = 0.001 })}, then(call(gatewaytest.SeedBody), call(gatewaytest.SeedBody))},
	"everything again":       {auth.CoolingDown, "cool_down of 1h0m0s", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.CoolDown = time.Hour })}, then(call(resyncAll, "ErpSync-Confirm", "all"), call(resyncAll, "ErpSync-Confirm", "all"))},
	"no store":               {auth.StoreUnavailable, "the store is down", []gatewaytest.Option{state(func(s *gateway.SharedState) { s.KV = downKV{s.KV} })}, call(gatewaytest.SeedBody, "Idempotency-Key", "a")},
	"no audit log":           {auth.AuditUnavailable, "no space left", []gatewaytest.Option{gatewaytest.Configure(required), noStarts}, call(gatewaytest.SeedBody)},
	"on hold": {auth.OnHold, "the hold of ", nil, func(f *gatewaytest.Fixture) gatewaytest.Answer {
		_ = f.State().Holds.Set(context.Background(), hold.Hold{Target: hold.Target{App: "erp"}, Reason: "repair", Since: time.Now()})
		return f.Resync(f.Service())
	}},
	"a value that is no time": {auth.Internal, "parsing time", []gatewaytest.Option{gatewaytest.Configure(func(c *gateway.Config) { c.CoolDown = time.Hour }), noTime}, call(resyncAll, "ErpSync-Confirm", "all")},
	"a stopped tenant": {auth.TenantNotRunning, "", nil, func(f *gatewaytest.Fixture) gatewaytest.Answer {
		f.SO.SetState("Cust12345", "Suspended")
		return f.Resync(f.Service())
	}},
	"no such tenant":   {auth.TenantUnknown, "no such tenant", []gatewaytest.Option{answering("/api/state/", 404), erp(func(a *gateway.AppConfig) { a.CallAs = auth.AsSystem })}, call(gatewaytest.SeedBody)},
	"no state service": {auth.StateUnavailable, "HTTP 503", []gatewaytest.Option{answering("/api/state/", 503)}, call(gatewaytest.SeedBody)},
	"a foreign host": {auth.HostNotTrusted, "host not trusted", nil, then(call(gatewaytest.SeedBody), func(f *gatewaytest.Fixture) gatewaytest.Answer {
		f.SO.Move("Cust12345", "https://evil.example")
		return f.Resync(f.Service())
	})},
	"no ticket": {auth.CredentialUnavailable, "503", []gatewaytest.Option{answering("/PartnerSystemUser", 503)}, call(gatewaytest.SeedBody)},
	"no consent": {auth.ConsentRequired, "", nil, func(f *gatewaytest.Fixture) gatewaytest.Answer {
		f.SO.Revoke("erp", "Cust12345")
		return f.Resync(f.Service())
	}},
	"a refused ticket":           {auth.UpstreamCredentialRefused, "SuperOffice answered 401", nil, answered(sandbox.Answer{Status: 401}, call(gatewaytest.SeedBody))},
	"nobody there":               {auth.UpstreamUnreachable, "refused by the test", []gatewaytest.Option{unreachable(errors.New("refused by the test"))}, call(gatewaytest.SeedBody)},
	"nobody there in time":       {auth.UpstreamUnreachable, "deadline", []gatewaytest.Option{unreachable(context.DeadlineExceeded)}, call(gatewaytest.SeedBody)},
	"a redirect":                 {auth.UpstreamAnswerRefused, "302", nil, answered(sandbox.Answer{Status: 302}, call(gatewaytest.SeedBody))},
	"a look-up's answer":         {auth.LookupFailed, "the archive answered HTTP 403", []gatewaytest.Option{erp(lookups), answering("/archive/", 403)}, lookUp(`{"connection":612,"key":386}`)},
	"no answer":                  {auth.OutcomeUnknown, "EOF", nil, answered(sandbox.Answer{Abort: true}, call(gatewaytest.SeedBody))},
	"no answer, and once more":   {auth.OutcomeUnknown, "its end is not known", nil, answered(sandbox.Answer{Abort: true}, then(call(gatewaytest.SeedBody, "Idempotency-Key", "a"), call(gatewaytest.SeedBody, "Idempotency-Key", "a")))},
	"a call of nobody's":         {auth.CallNotFound, "names no call of this principal", nil, ask(http.MethodGet, "/erpsync/calls/AAAA", "")},
	"a process that is stopping": {auth.Draining, "stopping", []gatewaytest.Option{gatewaytest.On(func(p *gateway.Platform) { p.Draining = func() bool { return true } })}, plain("/erpsync/ready")},
}

func lookups(a *gateway.AppConfig) { a.Lookups = true }

// lookUp sends a look-up as the service.
func lookUp(body string) func(*gatewaytest.Fixture) gatewaytest.Answer {
	return ask(http.MethodPost, "/erpsync/lookup", body)
}

func bearerOf(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// signInToPortal signs a person in and returns the answer to the callback.
func signInToPortal(f *gatewaytest.Fixture) gatewaytest.Answer {
	return f.SignInTo("per", url.Values{})
}

// webClient lets people in by the session of SuperOffice's own web client.
func webClient(_ *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
	c.SuperOffice.Schemes, c.Sessions = []auth.Scheme{auth.WebClientSession}, nil
}

func webSession(f *gatewaytest.Fixture) gatewaytest.Answer {
	cookie, xsrf := f.SO.WebSession("Cust12345", "per")
	return f.Resync(http.Header{"Cookie": {auth.SessionCookie + "=" + cookie}, "X-Xsrf-Token": {xsrf}})
}

// lostStarts is an audit log that cannot write what begins.
type lostStarts struct{ zapcore.Core }

func (l lostStarts) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Message == "erpsync call started" {
		return checked.AddCore(entry, l)
	}
	return l.Core.Check(entry, checked)
}

func (lostStarts) Write(zapcore.Entry, []zapcore.Field) error { return errors.New("no space left") }

func noStarts(_ *gatewaytest.Fixture, _ *gateway.Config, p *gateway.Platform, _ **gateway.SharedState) {
	p.Audit = zap.New(lostStarts{p.Audit.Core()})
}

// noTime has the store hold something else than a time as the end of a cool-down.
func noTime(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
	_ = (*s).KV.Set(context.Background(), auth.Key("cooling", "Cust12345", "612"), "soon", time.Hour)
}

// TestEveryRefusalLeavesItsCauseInTheAuditLine walks every reason. The caller learns none of the causes.
func TestEveryRefusalLeavesItsCauseInTheAuditLine(t *testing.T) {
	t.Parallel()
	so := gatewaytest.NewSandbox(t)
	for _, reason := range auth.Reasons() {
		if !slices.ContainsFunc(slices.Collect(maps.Values(refusedCases)), func(c refusedCase) bool { return c.reason == reason }) {
			t.Errorf("%s: no case", reason)
		}
	}
	for name, c := range refusedCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			its := so
			if slices.Contains(changesSuperOffice, name) {
				its = gatewaytest.NewSandbox(t)
			}
			f := gatewaytest.NewIn(t, its, c.with...)
			got := c.ask(f)
			line := lineOf(f, got)
			if line == nil {
				t.Fatalf("no audit line; the answer is %d %s", got.Status, got.Body)
			}
			cause, _ := line["cause"].(string)
			if line["reason"] != string(c.reason) || cause == "" || !strings.Contains(cause, c.cause) {
				t.Errorf("%v: %q, want %s: %q", line["reason"], cause, c.reason, c.cause)
			}
			if fmt.Sprint(line["status"]) != fmt.Sprint(got.Status) || !slices.Contains(c.reason.Statuses(), got.Status) {
				t.Errorf("status %d, the line says %v, the reason has %v", got.Status, line["status"], c.reason.Statuses())
			}
			if strings.Contains(cause, "aVerySecret") || len(cause) > 1100 || strings.ContainsFunc(cause, unicode.IsControl) || !utf8.ValidString(cause) {
				t.Errorf("cause %q", cause)
			}
			if wait := got.Header.Get("Retry-After"); (got.Status == 429 || got.Status == 503) && wait == "" {
				t.Errorf("%d without Retry-After", got.Status)
			}
			if strings.Contains(got.Header.Get("Content-Type"), "json") && strings.Contains(got.Body, strconv.Quote(cause)) {
				t.Errorf("the caller is told %q", cause)
			}
			t.Logf("%-28s %d %s", c.reason, got.Status, cause)
		})
	}
}

// lineOf returns the audit line of an answer; nil if there is none.
func lineOf(f *gatewaytest.Fixture, got gatewaytest.Answer) map[string]any {
	for _, entry := range f.Logs.All() {
		fields := entry.ContextMap()
		if (entry.Message == "erpsync call" || entry.Message == "erpsync endpoint refused" || entry.Message == "erpsync lookup") && fields["request_id"] == got.Header.Get("ErpSync-Request-Id") {
			return fields
		}
	}
	return nil
}

// TestNoRefusalIsMadeWithoutACause reads the code: every refusal has to say which check failed.
func TestNoRefusalIsMadeWithoutACause(t *testing.T) {
	t.Parallel()
	calls := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 1 {
				return true
			}
			var name string
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			if name != "Refuse" && name != "refuse" && name != "signInAgain" {
				return true
			}
			calls++
			if cause, ok := call.Args[len(call.Args)-1].(*ast.Ident); ok && cause.Name == "nil" {
				t.Errorf("%s: no cause", files.Position(call.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil || calls < 100 {
		t.Errorf("%d calls looked at, %v", calls, err)
	}
}

func TestABearerTokenThatDoesNotHoldIsNamedInTheChallengeAndNothingElseIs(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	for name, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"a token":             {http.Header{"Authorization": {"Bearer abc"}}, true},
		"a SuperOffice token": {http.Header{"Authorization": {"Bearer 8A:Cust12345.abc"}}, true},
		"nothing":             {http.Header{}, false},
		"Bearer and no token": {http.Header{"Authorization": {"Bearer"}}, false},
		"a ticket":            {http.Header{"Authorization": {"SOTicket 7T:abc"}}, false},
		"a cookie":            {http.Header{"Cookie": {gateway.SessionCookie + "=abc"}}, false},
	} {
		got := f.Resync(c.header)
		if challenge := strings.Join(got.Header["Www-Authenticate"], ", "); got.Status != 401 || challenge == "" || strings.Contains(challenge, `error="invalid_token"`) != c.want {
			t.Errorf("%s: %d, %s", name, got.Status, challenge)
		}
	}
}

// TestACauseTellsNoValuesWherePrincipalsAreNotToldInFull: a value of a token's may name a person.
func TestACauseTellsNoValuesWherePrincipalsAreNotToldInFull(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Privacy.Principals = outcome.Hashed }))
	got := f.Do(nil, http.MethodPut, gatewaytest.TenantPath, "", nil)
	if line := lineOf(f, got); line["cause"] != "the method is [omitted]" {
		t.Errorf("%v", line["cause"])
	}
}
