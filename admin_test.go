package erpsync

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// admin asks the admin API and reads its answer into out; an error has its status.
func (g *gateway) admin(method, target string, in, out any) (status int, problem string) {
	g.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		g.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(g.t.Context(), method, target, strings.NewReader(string(raw)))
	for _, route := range (Admin{}).Routes() {
		if route.Pattern != r.URL.Path {
			continue
		}
		w := httptest.NewRecorder()
		if err := route.Handler.ServeHTTP(w, r); err != nil {
			api, ok := err.(caddy.APIError) //nolint:errorlint // as Caddy reads it
			if !ok {
				g.t.Fatalf("%s %s: %v", method, target, err)
			}
			return api.HTTPStatus, api.Err.Error()
		}
		if out != nil {
			if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
				g.t.Fatalf("%s: %v", w.Body, err)
			}
		}
		return w.Code, w.Body.String()
	}
	g.t.Fatalf("no route %s", target)
	return 0, ""
}

func (g *gateway) status(tenant string) operator.TenantStatus {
	g.t.Helper()
	var status operator.Status
	if code, problem := g.admin(http.MethodGet, operator.StatusPath+"?tenant="+tenant, nil, &status); code != http.StatusOK {
		g.t.Fatal(code, problem)
	}
	for _, app := range status.Apps {
		if app.Environment == g.so.Base() && app.App == "erp" {
			return app.Tenants[0]
		}
	}
	g.t.Fatalf("no status of %s", tenant)
	return operator.TenantStatus{}
}

func (g *gateway) check(tenant string) operator.Check {
	g.t.Helper()
	var check operator.Check
	if code, problem := g.admin(http.MethodPost, operator.CheckPath, operator.CheckRequest{App: "erp", Tenant: tenant, Environment: g.so.Base()}, &check); code != http.StatusOK {
		g.t.Fatal(code, problem)
	}
	return check
}

func (g *gateway) importTokens(dryRun bool, tenants ...operator.ImportTenant) (done operator.Import) {
	g.t.Helper()
	for i := range tenants {
		tenants[i].Line = i + 1
	}
	if code, problem := g.admin(http.MethodPost, operator.ImportPath, operator.ImportRequest{App: "erp", Environment: g.so.Base(), DryRun: dryRun, Tenants: tenants}, &done); code != http.StatusOK {
		g.t.Fatal(code, problem)
	}
	return done
}

func TestTheAdminAPITakesItsExactPathsAndMethodsOnly(t *testing.T) {
	t.Parallel()
	for _, route := range (Admin{}).Routes() {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			for _, path := range []string{route.Pattern, route.Pattern + "/", route.Pattern + "/x", strings.ToUpper(route.Pattern)} {
				r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader("x"))
				err := route.Handler.ServeHTTP(httptest.NewRecorder(), r)
				api, _ := err.(caddy.APIError) //nolint:errorlint // as Caddy reads it
				changes := !strings.HasSuffix(route.Pattern, "/status") && !strings.HasSuffix(route.Pattern, "/tenants") && !strings.HasSuffix(route.Pattern, "/export")
				switch right := map[bool]string{true: http.MethodPost, false: http.MethodGet}[changes]; {
				case path != route.Pattern && api.HTTPStatus != http.StatusNotFound,
					path == route.Pattern && method != right && api.HTTPStatus != http.StatusMethodNotAllowed,
					path == route.Pattern && method == right && changes && api.HTTPStatus != http.StatusBadRequest:
					t.Errorf("%s %s: %v", method, path, err)
				}
			}
		}
	}
}

func TestACheckGoesStepByStepAndSaysWhatToDoWhereItEnds(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	at := func(tenant, step, found, remedy string) {
		t.Helper()
		c := g.check(tenant)
		last := c.Steps[len(c.Steps)-1]
		if c.OK != (remedy == "") || last.Name != step || !strings.Contains(last.Found, found) || !strings.Contains(last.Remedy, remedy) {
			t.Errorf("%s: %+v", tenant, c)
		}
	}
	at("Cust54321", "registry", "tenant_suspended", "suspended")
	at("Cust99999", "state", "tenant_unknown", "check the environment")
	at("cust12345", "token", "no_system_token", "/erpsync/approve?app=erp&tenant=Cust12345")
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-wrong"})
	at("Cust12345", "credential", "consent_required", "/erpsync/approve?app=erp&tenant=Cust12345")
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: g.so.SystemToken("erp", "Cust12345"), Name: "Uno AS"})
	at("Cust12345", "connections", "612 Visma, 613 Failing ERP", "")
	if c := g.check("Cust12345"); c.Calls != 4 || len(c.Steps) != 6 {
		t.Errorf("%d calls, %d steps", c.Calls, len(c.Steps))
	}
	mints := g.so.Mints("ticket")
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != http.StatusOK {
		t.Errorf("after the check: %d %s", got.status, got.body)
	}
	if g.so.Mints("ticket") != mints {
		t.Error("the call did not use the ticket that the check minted")
	}
	g.so.SetState("Cust12345", "Suspended")
	at("Cust12345", "state", "tenant_not_running (Suspended)", "ask SuperOffice")
	g.so.SetState("Cust12345", "Running")
	g.so.Move("Cust12345", "http://elsewhere.example")
	at("Cust12345", "state", "host_not_trusted", "report it")
}

func TestACheckFindsThatSuperOfficeDoesNotGrantTheAgent(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.ReplaceAll(approvals, "/erp.", "/quote."))
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: g.so.SystemToken("quote", "Cust12345")})
	for _, how := range []string{"error", "message", "aspnet", "empty", "unauthorized"} {
		g.so.Switch(func(s *sandbox.Switches) { s.Refusal = how })
		c := g.check("Cust12345")
		if last := c.Steps[len(c.Steps)-1]; c.OK || last.Name != "agent" || !strings.Contains(last.Remedy, "app manager") {
			t.Errorf("%s: %+v", how, c)
		}
	}
}

func TestStatusNamesWhatIsWrongWithATenantAndWhatToDo(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: g.so.SystemToken("erp", "Cust12345"), Name: "Uno AS"})
	if s := g.status("Cust12345"); s.Attention != "" || s.Token != "import" || s.Name != "Uno AS" || s.Consent != "" || s.TicketSince != nil || s.Last != nil {
		t.Errorf("before any call: %+v", s)
	}
	g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	s := g.status("cust12345")
	if s.Attention != "" || s.Consent != "approved" || s.TicketSince == nil || s.Last == nil || s.Last.Outcome != "ok" || s.State != "Running" || !strings.HasSuffix(g.so.Base(), s.Host) {
		t.Errorf("after a call: %+v", s)
	}
	g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`, g.service())
	if s := g.status("Cust12345"); s.Attention != "error" || s.Failed.ErrorCode != "CONNECTOR_TIMEOUT" || !strings.Contains(s.Remedy, "ERP connection") {
		t.Errorf("after a failed resync: %+v", s)
	}
	g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	if s := g.status("Cust12345"); s.Attention != "" || s.Failed == nil {
		t.Errorf("after one that succeeded: %+v", s)
	}
	if s := g.status("Cust54321"); !s.Suspended || s.Attention != "" {
		t.Errorf("suspended: %+v", s)
	}

	// A call in flight is counted, and a consent that ended has a way back.
	held := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	done := make(chan answer, 1)
	go func() {
		done <- g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[7]}`, g.service())
	}()
	waitFor(t, func() bool { return g.status("Cust12345").InFlight == 1 })
	close(held)
	<-done
	waitFor(t, func() bool { return g.status("Cust12345").InFlight == 0 })
	g.so.Answer(nil)
	g.so.Revoke("erp", "Cust12345")
	g.check("Cust12345")
	if s := g.status("Cust12345"); s.Attention != "consent_required" || s.Approve != "/erpsync/approve?app=erp&tenant=Cust12345" || !strings.Contains(s.Message, "consent") || s.ConsentSince == nil {
		t.Errorf("after the consent ended: %+v", s)
	}
	g.approve("erp", "Cust12345", "tove")
	if s := g.status("Cust12345"); s.Attention != "" || s.Token != "approval" || s.ApprovedBy != "tove@uno.example" {
		t.Errorf("after it was given again: %+v", s)
	}
}

func TestAnImportKeepsEveryLineOrNone(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	good := operator.ImportTenant{Tenant: "cust12345", SystemToken: " Sandbox erp-1 "}
	for name, wrong := range map[string]operator.ImportTenant{
		"not of the form Cust12345": {Tenant: "12345", SystemToken: "x"},
		"want a system_token":       {Tenant: "Cust2"},
		"sealed under a key":        {Tenant: "Cust2", Sealed: "AAAA"},
		"stands in line 1":          {Tenant: "CUST12345", SystemToken: "x"},
		"one printable line":        {Tenant: "Cust2", SystemToken: "a\x00b"},
		"is a signed one":           {Tenant: "Cust2", SystemToken: "App-1.202611250800." + strings.Repeat("A", 344)},
	} {
		done := g.importTokens(false, good, wrong)
		if done.Kept || done.Lines[0].Result != "added" || !strings.Contains(done.Lines[1].Problem, name) {
			t.Errorf("%s: %+v", name, done)
		}
	}
	if s := g.status("Cust12345"); s.Token != "none" {
		t.Errorf("something was kept: %+v", s)
	}
	if done := g.importTokens(true, good); done.Kept || done.Lines[0].Result != "added" {
		t.Errorf("dry run: %+v", done)
	}
	for _, want := range []string{"added", "unchanged"} {
		if done := g.importTokens(false, good); !done.Kept || done.Lines[0].Result != want {
			t.Errorf("want %s: %+v", want, done)
		}
	}
	if done := g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-2"}); !done.Kept || done.Lines[0].Result != "replaced" {
		t.Errorf("%+v", done)
	}

	// What is exported holds no secret and can be imported where the keys are the same.
	var exported operator.Tenants
	code, text := g.admin(http.MethodGet, operator.ExportPath+"?app=erp&environment="+g.so.Base(), nil, &exported)
	if code != http.StatusOK || len(exported.Tenants) != 1 || strings.Contains(text, "erp-2") {
		t.Fatalf("%d %s", code, text)
	}
	g.admin(http.MethodPost, operator.RemovePath, operator.RemoveRequest{App: "erp", Environment: g.so.Base(), Tenant: "Cust12345"}, nil)
	if s := g.status("Cust12345"); s.Token != "none" {
		t.Errorf("removed: %+v", s)
	}
	if code, problem := g.admin(http.MethodPost, operator.RemovePath, operator.RemoveRequest{App: "erp", Environment: g.so.Base(), Tenant: "Cust12345"}, nil); code != http.StatusNotFound {
		t.Errorf("removed twice: %d %s", code, problem)
	}
	if done := g.importTokens(false, operator.ImportTenant{Tenant: "Cust54321", Sealed: exported.Tenants[0].Sealed}); done.Kept {
		t.Error("one tenant's sealed token was taken for another's")
	}
	if done := g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", Sealed: exported.Tenants[0].Sealed}); !done.Kept {
		t.Errorf("%+v", done)
	}

	// A storage that fails in the middle leaves everything as it was.
	broken := &brokenStorage{Storage: storage}
	kept := tokensIn(g.h, broken)
	g.h.apps["erp"].registry.kept = kept
	broken.writes.Store(2)
	code, problem := g.admin(http.MethodPost, operator.ImportPath, operator.ImportRequest{App: "erp", Environment: g.so.Base(), Tenants: []operator.ImportTenant{
		{Line: 1, Tenant: "Cust12345", SystemToken: "Sandbox erp-3"}, {Line: 2, Tenant: "Cust1", SystemToken: "a"}, {Line: 3, Tenant: "Cust2", SystemToken: "b"},
	}}, nil)
	if code != http.StatusServiceUnavailable || !strings.Contains(problem, "the disk is gone") {
		t.Errorf("%d %s", code, problem)
	}
	broken.down.Store(true)
	if code, text := g.admin(http.MethodGet, operator.StatusPath, nil, nil); code != http.StatusOK || !strings.Contains(text, "cannot be listed") || !strings.Contains(text, "the disk is gone") {
		t.Errorf("status while the storage is down: %d %s", code, text)
	}
	if code, text := g.admin(http.MethodGet, operator.TenantsPath+"?app=erp&environment="+g.so.Base(), nil, nil); code != http.StatusOK || !strings.Contains(text, "cannot be listed") {
		t.Errorf("the tenants while the storage is down: %d %s", code, text)
	}
	broken.down.Store(false)
	tenants, err := kept.Tenants(t.Context())
	if err != nil || fmt.Sprint(tenants) != "[Cust12345]" {
		t.Errorf("%v %v", tenants, err)
	}
	if found, _, err := kept.Get(t.Context(), "Cust12345"); err != nil || found.Token.Reveal() != "Sandbox erp-2" {
		t.Error("the token is not the one from before")
	}
}

func TestRevokingATenantDropsItsTicketAndItsKeptAnswersAndRunsNothingTwice(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	// Tenants and apps of parallel tests have the same names: a call of a tenant of its own would be marked too.
	send := func() answer {
		return g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), "once"))
	}
	if got := send(); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := send(); got.header.Get("ErpSync-Replayed") == "" {
		t.Fatalf("not replayed: %d %s", got.status, got.body)
	}
	mints := g.so.Mints("ticket")
	if err := g.h.revoke(t.Context(), revocation{operator.Revocation{Tenant: "Cust12345"}}); err != nil {
		t.Fatal(err)
	}
	if got := send(); got.status != http.StatusConflict || !strings.Contains(got.body, "answer_not_kept") {
		t.Errorf("a revoked answer: %d %s", got.status, got.body)
	}
	if n := len(g.sent()); n != 1 {
		t.Errorf("%d sends of one call", n)
	}
	if got := g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[9]}`, g.service()); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := g.so.Mints("ticket"); got != mints+1 {
		t.Errorf("%d tickets, %d before: the revoked one was used", got, mints)
	}
}

func TestTokensSealedUnderAnOlderKeyAreReadSealedAnewAndMissedWhenTheKeyIsGone(t *testing.T) {
	t.Parallel()
	oldKey, newKey := strings.Repeat("old-key-", 4), strings.Repeat("new-key-", 4)
	g := newGateway(t, approvals+"\nkeys "+oldKey)
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: g.so.SystemToken("erp", "Cust12345")})
	again := func(keys string) *gateway {
		t.Helper()
		other := newGatewayBefore(t, g.so, approvals+"\nkeys "+keys)
		other.provider, other.h.issuers = g.provider, g.h.issuers
		return other
	}
	both := again(newKey + " " + oldKey)
	if got := both.do(nil, http.MethodPost, tenantPath, seedBody, both.service()); got.status != http.StatusOK {
		t.Errorf("with both keys: %d %s", got.status, got.body)
	}
	gone := again(newKey)
	gone.so.Forget()
	if got := gone.do(nil, http.MethodPost, tenantPath, seedBody, gone.service()); got.status != http.StatusServiceUnavailable {
		t.Errorf("without the key: %d %s", got.status, got.body)
	}
	if s := gone.status("Cust12345"); s.Attention != "token_unreadable" || !strings.Contains(s.Remedy, "keys") {
		t.Errorf("%+v", s)
	}
	if n, err := both.h.apps["erp"].registry.kept.Reseal(t.Context()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := both.h.apps["erp"].registry.kept.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	waitFor(t, func() bool { // what was not readable is looked at again after a moment
		return gone.do(nil, http.MethodPost, tenantPath, seedBody, gone.service()).status == http.StatusOK
	})
}

func TestAnImportTakesNoApprovalBack(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-before"})
	var backup operator.Tenants
	if code, problem := g.admin(http.MethodGet, operator.ExportPath+"?app=erp&environment="+g.so.Base(), nil, &backup); code != http.StatusOK {
		t.Fatal(code, problem)
	}
	if status, page := g.approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatal(status, page)
	}
	// The older one of a backup, and the same one with a name.
	if done := g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", Sealed: backup.Tenants[0].Sealed}); !done.Kept || done.Lines[0].Result != "older" {
		t.Errorf("%+v", done)
	}
	if done := g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: g.so.SystemToken("erp", "Cust12345"), Name: "Uno AS"}); !done.Kept || done.Lines[0].Result != "replaced" {
		t.Errorf("%+v", done)
	}
	if s := g.status("Cust12345"); s.Token != "approval" || s.ApprovedBy != "tove@uno.example" || s.Name != "Uno AS" {
		t.Errorf("%+v", s)
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}
