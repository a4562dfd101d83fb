package erpsync

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestASignedInPersonResyncsAsThemselves(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("per")
	g.so.Forget()
	got := g.do(client, http.MethodPost, "/api/v1/Agents/ErpSync/ForceResync", seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}})
	if got.status != http.StatusOK || !strings.Contains(got.body, `"Status":"Ok"`) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	calls := g.sent()
	if len(calls) != 1 || !strings.HasPrefix(calls[0].Header.Get("Authorization"), "Bearer 8A:Cust12345.") {
		t.Fatalf("upstream: %+v", calls)
	}
	if runs := g.so.Runs(); len(runs) != 1 || runs[0].Who != "per" {
		t.Errorf("ran: %+v", runs)
	}
	line := g.outcome()
	for key, want := range map[string]any{"outcome": "ok", "principal": "per@uno.example", "tenant": "Cust12345", "app": "portal", "scheme": "session", "decision": "allowed"} {
		if line[key] != want {
			t.Errorf("audit %s = %v, want %v", key, line[key], want)
		}
	}
	if id := got.header.Get("ErpSync-Request-Id"); id == "" || line["request_id"] != id {
		t.Errorf("request id %q, in the audit line %v", id, line["request_id"])
	}
}

func TestAServiceResyncsAsTheSystemUserWithOneTicketForAll(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for range 3 {
		if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	calls := g.sent()
	if len(calls) != 3 || !strings.HasPrefix(calls[0].Header.Get("Authorization"), "SOTicket 7T:") || calls[0].Header.Get("SO-AppToken") != g.so.App("erp").ClientSecret {
		t.Fatalf("upstream: %d calls, %.12s", len(calls), calls[0].Header.Get("Authorization"))
	}
	if n := g.so.Mints("ticket"); n != 1 {
		t.Errorf("%d tickets minted for three calls", n)
	}
}

func TestNothingGoesUpstreamButTheListedHeadersAndABodyWrittenAnew(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	body := "{ \"erpConnectionId\" : 612,\r\n \"internalKeyIds\":[ 386 ,230 ] }"
	header := g.service()
	for name, value := range map[string]string{
		"Accept": "application/json; charset=utf-8", "Accept-Language": "*", "SO-Language": "no", "SO-Culture": "nb-NO", "SO-TimeZone": "NO, includeTZOffset",
		"SO-Browser-TZ-Offset": "60", "Content-Type": "text/json;charset=UTF-8", "Content-Encoding": "identity", "SO-AppToken": g.so.App("erp").ClientSecret,
		"X-XSRF-TOKEN": "planted", "Cookie": "ASP.NET_SessionId=planted", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil", "Forwarded": "for=1.2.3.4",
		"X-Original-URL": "/x", "X-Rewrite-URL": "/x", "X-HTTP-Method-Override": "DELETE", "Connection": "close, Authorization, SO-AppToken", "Idempotency-Key": "k",
		"Expect": "", "So_AppToken": "planted", "SO.AppToken": "planted", "AspFilterSessionId": "x", "Origin": "https://elsewhere.example", "Accept-Encoding": "gzip, br",
	} {
		if value != "" {
			header[http.CanonicalHeaderKey(name)] = []string{value}
		}
	}
	if got := g.do(nil, http.MethodPost, tenantPath+"?$select=userexplanation", body, header); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	call := g.sent()[0]
	var names []string
	for name := range call.Header {
		names = append(names, name)
	}
	want := map[string]bool{}
	for _, name := range []string{
		"Host", "Accept", "Accept-Language", "Authorization", "Content-Length", "Content-Type", "So-Apptoken", "So-Browser-Tz-Offset", "So-Culture", "So-Language", "So-Timezone", "User-Agent",
	} {
		want[name] = true
	}
	for _, name := range names {
		if !want[name] {
			t.Errorf("%s went upstream: %v", name, call.Header[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing upstream: %v", want)
	}
	if string(call.Body) != seedBody || call.Header.Get("Content-Type") != "application/json; charset=utf-8" || call.Header.Get("Content-Length") != strconv.Itoa(len(seedBody)) {
		t.Errorf("body %q, %v", call.Body, call.Header)
	}
	if call.URI != tenantPath+"?$select=userexplanation,IsOk,Status,ErrorCode" {
		t.Errorf("URI %s", call.URI)
	}
}

func TestSuperOfficesOwnHeadersStayBehind(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	for _, name := range []string{"Server", "X-Powered-By", "Set-Cookie", "Www-Authenticate"} {
		if got.header.Get(name) != "" {
			t.Errorf("%s: %s", name, got.header.Get(name))
		}
	}
}

func TestWhatIsNotOursGoesToTheNextHandler(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for _, path := range []string{"/", "/api/v1/Contact/1", "/erpsync", "/erpsyncing/x"} {
		if got := g.do(nil, http.MethodGet, path, "", nil); got.body != passedOn {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

func TestOursIsRefusedUnlessCanonical(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for _, c := range []struct {
		method, path, reason string
		status               int
		header               http.Header
	}{
		{"POST", "/api/v1/Agents/ErpSync/Force%52esync", "path_not_canonical", 400, nil},
		{"POST", "/api/v1/Agents//ErpSync/ForceResync", "path_not_canonical", 400, nil},
		{"POST", "/api/v1/Agents/x/..%2fErpSync/ForceResync", "path_not_canonical", 400, nil},
		{"GET", tenantPath, "method_not_allowed", 405, nil},
		{"HEAD", tenantPath, "", 405, nil},
		{"OPTIONS", tenantPath, "method_not_allowed", 405, nil},
		{"DELETE", tenantPath, "method_not_allowed", 405, nil},
		{"POST", tenantPath + "?$select=a&$select=b", "query_not_understood", 400, nil},
		{"POST", tenantPath + "?$select[]=a", "query_not_understood", 400, nil},
		{"POST", tenantPath + "?access_token=x", "query_not_understood", 400, nil},
		{"POST", tenantPath, "upgrade_refused", 400, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}},
		{"POST", tenantPath, "early_data", 425, http.Header{"Early-Data": {"1"}}},
	} {
		header := g.service()
		for k, v := range c.header {
			header[k] = v
		}
		got := g.do(nil, c.method, c.path, "", header)
		if got.status != c.status || c.reason != "" && !strings.Contains(got.body, `"reason":"`+c.reason+`"`) {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
	if n := len(g.sent()); n != 0 {
		t.Errorf("%d were sent", n)
	}
}

func TestACallerThatDoesNotProveItselfIsRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	_, foreign := g.signIn("per")
	g.so.Forget()
	stranger, err := demoProvider()
	if err != nil {
		t.Fatal(err)
	}
	good := g.provider.Token("Cust12345", time.Hour)
	for name, c := range map[string]struct {
		client *http.Client
		header http.Header
		status int
		reason string
	}{
		"nothing":                       {nil, nil, 401, "credential_missing"},
		"no XSRF token":                 {client, nil, 403, "xsrf_invalid"},
		"a foreign XSRF token":          {client, http.Header{"X-XSRF-TOKEN": {foreign}}, 403, "xsrf_invalid"},
		"two XSRF tokens":               {client, http.Header{"X-XSRF-TOKEN": {xsrf, xsrf}}, 403, "xsrf_invalid"},
		"junk beside a good cookie":     {client, http.Header{"X-XSRF-TOKEN": {xsrf}, "Authorization": {"Bearer junk"}}, 401, "credential_invalid"},
		"another site's page":           {client, http.Header{"X-XSRF-TOKEN": {xsrf}, "Sec-Fetch-Site": {"cross-site"}}, 403, "cross_site"},
		"a sibling's page":              {client, http.Header{"X-XSRF-TOKEN": {xsrf}, "Sec-Fetch-Site": {"same-site"}}, 403, "cross_site"},
		"a foreign Origin":              {client, http.Header{"X-XSRF-TOKEN": {xsrf}, "Origin": {"https://evil.example"}}, 403, "cross_site"},
		"Origin: null":                  {client, http.Header{"X-XSRF-TOKEN": {xsrf}, "Origin": {"null"}}, 403, "cross_site"},
		"a forged cookie":               {nil, http.Header{"Cookie": {gateway.SessionCookie + "=" + strings.Repeat("A", 70)}}, 401, "sign_in_again"},
		"the cookie twice":              {nil, http.Header{"Cookie": {gateway.SessionCookie + "=a; " + gateway.SessionCookie + "=b"}}, 401, "sign_in_again"},
		"a token of a stranger's key":   {nil, http.Header{"Authorization": {"Bearer " + stranger.Token("Cust12345", time.Hour)}}, 401, "credential_invalid"},
		"an expired token":              {nil, http.Header{"Authorization": {"Bearer " + g.provider.Token("Cust12345", -time.Hour)}}, 401, "credential_invalid"},
		"a token with a byte changed":   {nil, http.Header{"Authorization": {"Bearer " + good[:len(good)-8] + "AAAAAAAA"}}, 401, "credential_invalid"},
		"several Authorizations":        {nil, http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}, 401, "credential_invalid"},
		"a scheme that is not taken":    {nil, http.Header{"Authorization": {"Basic dG92ZTp4"}}, 401, "credential_invalid"},
		"a ticket that is not a ticket": {nil, http.Header{"Authorization": {"SOTicket 7T:x"}}, 401, "credential_invalid"},
		"a Bearer of another tenant":    {nil, http.Header{"Authorization": {"Bearer " + g.so.AccessToken("portal", "Cust54321", "tove")}}, 401, "credential_invalid"},
		"a wrong SO-AppToken":           {nil, http.Header{"Authorization": {"Bearer " + good}, "SO-AppToken": {"wrong"}}, 403, "app_token_mismatch"},
	} {
		g.t = t
		got := g.do(c.client, http.MethodPost, tenantPath, seedBody, c.header)
		t.Log(name)
		g.refused(got, c.status, c.reason)
	}
}

func TestEveryGrantIsNeeded(t *testing.T) {
	t.Parallel()
	withErp := func(old, fresh string) string {
		i := strings.Index(apps, "app erp {")
		return apps[:i] + strings.Replace(apps[i:], old, fresh, 1)
	}
	for name, c := range map[string]struct {
		config, path, body string
		token              string
		status             int
		reason             string
	}{
		"the agent":      {withErp("agents ErpSync", "agents Messaging"), tenantPath, seedBody, "", 403, "agent_not_granted"},
		"any agent":      {withErp("agents ErpSync", ""), tenantPath, seedBody, "", 403, "agent_not_granted"},
		"the operation":  {apps, strings.Replace(tenantPath, "ForceResync", "ForceResyncExternal", 1), `{"ErpConnectionId":612,"ExternalKeys":["a"]}`, "", 403, "operation_not_granted"},
		"a known one":    {apps, strings.Replace(tenantPath, "ForceResync", "DeleteConnection", 1), `{"ErpConnectionId":612}`, "", 403, "operation_not_granted"},
		"the tenant":     {apps, strings.Replace(tenantPath, "Cust12345", "Cust99999", 1), seedBody, "Cust99999", 403, "tenant_not_granted"},
		"path's tenant":  {apps, strings.Replace(tenantPath, "Cust12345", "Cust54321", 1), seedBody, "", 403, "tenant_mismatch"},
		"the connection": {withErp("call_as system", "call_as system\n\t\tconnections 613"), tenantPath, seedBody, "", 403, "connection_not_granted"},
		"any connection": {withErp("call_as system", "call_as system\n\t\tconnections"), tenantPath, seedBody, "", 403, "connection_not_granted"},
		"CRM as source":  {withErp("call_as system", "call_as system\n\t\tconnections 612"), tenantPath, `{"InternalKeyIds":[1]}`, "", 403, "connection_not_granted"},
		"all, denied":    {withErp("resync_all confirm", ""), tenantPath, `{"ErpConnectionId":612}`, "", 403, "resync_all_denied"},
		"all, confirmed": {apps, tenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[]}`, "", 403, "resync_all_unconfirmed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, c.config)
			if c.token == "" {
				c.token = "Cust12345"
			}
			header := http.Header{"Authorization": {"Bearer " + g.provider.Token(c.token, time.Hour)}}
			g.refused(g.do(nil, http.MethodPost, c.path, c.body, header), c.status, c.reason)
			if n := g.so.Mints("ticket"); n != 0 {
				t.Errorf("%d tickets were minted for a refused call", n)
			}
		})
	}
}

func TestTheRefusalOfAResyncOfEverythingSaysWhatWouldRun(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for body, says := range map[string]string{
		`{"ErpConnectionId":612}`:                       "ForceResync of everything from ERP connection 612: the body has no InternalKeyIds",
		`{"ErpConnectionId":612,"InternalKeyIds":null}`: "ForceResync of everything from ERP connection 612: InternalKeyIds is null",
		`{"InternalKeyIds":[]}`:                         "ForceResync of everything from the CRM: InternalKeyIds is an empty list",
		`{}`:                                            "ForceResync of everything from the CRM: the body has no InternalKeyIds",
	} {
		got := g.do(nil, http.MethodPost, tenantPath, body, g.service())
		g.refused(got, 403, "resync_all_unconfirmed")
		if !strings.Contains(got.body, says) {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	// A misspelled list of keys is not everything, so nobody is invited to confirm that.
	got := g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612,"InternalKeyId":[386]}`, g.service())
	g.refused(got, 400, "body_not_understood")
	if !strings.Contains(got.body, "did you mean InternalKeyIds?") {
		t.Error(got.body)
	}
}

func TestAConfirmedResyncOfEverythingRunsAndIsMarked(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	header := g.service()
	header["Erpsync-Confirm"] = []string{"all"}
	if got := g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612}`, header); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if g.outcome()["resync_all"] != true {
		t.Errorf("audit: %v", g.outcome())
	}
}

func TestOnlyThoseNamedCallThroughACredentialThatIsNotTheirOwn(t *testing.T) {
	t.Parallel()
	config := `
	environment {base}
	app erp {
		client_id {file.{dir}/erp.client_id}
		client_secret {file.{dir}/erp.client_secret}
		private_key {file.{dir}/erp.private_key}
		agents ErpSync
		tenants file {dir}/tenants.json
		call_as system
		USERS
	}
	browser {
	}`
	for name, c := range map[string]struct {
		users, who string
		status     int
	}{
		"an administrator": {"", "tove", 200}, "a person": {"", "per", 403}, "a named person": {"users PER@uno.example", "per", 200},
		"a person who is not named": {"users other@uno.example", "per", 403}, "an administrator who is not named": {"users per@uno.example", "tove", 403}, "everybody": {"users all", "per", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, strings.Replace(config, "USERS", c.users, 1))
			client, xsrf := g.signIn(c.who)
			got := g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}})
			if got.status != c.status || c.status == 403 && !strings.Contains(got.body, "person_not_granted") {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

func TestTheTenantsFileIsFollowedAndABrokenOneLeavesTheLastGoodOne(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	call := func() int { return g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()).status }
	if status := call(); status != 200 {
		t.Fatal(status)
	}
	write(t, g.dir+"/tenants.json", `{"tenants":[{"tenant":"Cust12345","suspended":`)
	waitFor(t, func() bool { return g.logs.FilterMessageSnippet("last valid version").Len() > 0 })
	if status := call(); status != 200 {
		t.Errorf("with a broken file: %d", status)
	}
	write(t, g.dir+"/tenants.json", `{"tenants":[{"tenant":"Cust12345","suspended":true}]}`)
	waitFor(t, func() bool { return call() == 403 })
	write(t, g.dir+"/tenants.json", `{"tenants":[{"tenant":"Cust12345"}]}`)
	waitFor(t, func() bool {
		return strings.Contains(g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()).body, "no_system_token")
	})
}

func TestACallerThatHoldsASuperOfficeCredentialIsProvedFirst(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for name, credential := range map[string]string{"ticket": "SOTicket " + g.so.Ticket("portal", "Cust12345", "per"), "Bearer": "bearer " + g.so.AccessToken("portal", "Cust12345", "per")} {
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": {credential}})
		if got.status != 200 || g.outcome()["principal"] != "per" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

const onsite = `
	upstream {base}/crm7
	app office {
		agents ErpSync
	}
	superoffice session basic`

func TestAWebClientsSessionIsSwappedForItsOwnBearer(t *testing.T) {
	t.Parallel()
	g := newGateway(t, onsite, sandbox.WithOnsite("/crm7"))
	cookie, xsrf := g.so.WebSession("Cust12345", "per")
	header := http.Header{"Cookie": {auth.SessionCookie + "=" + cookie + "; XSRF-TOKEN=" + xsrf}, "X-XSRF-TOKEN": {xsrf}}
	const path = "/crm7/api/v1/Agents/ErpSync/ForceResync"
	if got := g.do(nil, http.MethodPost, path, seedBody, header); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	call := g.sent()[0].Header
	if !strings.HasPrefix(call.Get("Authorization"), "Bearer 8A:") || call.Get("Cookie") != "" || call.Get("X-XSRF-TOKEN") != "" || call.Get("SO-AppToken") != "" {
		t.Errorf("upstream: %v", call)
	}
	if runs := g.so.Runs(); runs[0].Who != "per" {
		t.Errorf("ran as %s", runs[0].Who)
	}
	g.so.Forget()
	header["X-XSRF-TOKEN"] = []string{"foreign"}
	g.refused(g.do(nil, http.MethodPost, path, seedBody, header), 401, "credential_invalid")
}

func TestASuperOfficeWithoutCurrentTokenCannotSwap(t *testing.T) {
	t.Parallel()
	g := newGateway(t, onsite, sandbox.WithOnsite("/crm7"))
	g.so.Switch(func(s *sandbox.Switches) { s.NoCurrentToken = true })
	cookie, xsrf := g.so.WebSession("Cust12345", "per")
	header := http.Header{"Cookie": {auth.SessionCookie + "=" + cookie}, "X-XSRF-TOKEN": {xsrf}}
	g.refused(g.do(nil, http.MethodPost, "/crm7/api/v1/Agents/ErpSync/ForceResync", seedBody, header), 403, "swap_unavailable")
}

func TestAnExpiredCredentialIsRenewedAndTheCallSentOnceMore(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	header := http.Header{"X-XSRF-TOKEN": {xsrf}}
	g.so.Expire("access")
	if got := g.do(client, http.MethodPost, tenantPath, seedBody, header); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if runs := g.so.Runs(); len(runs) != 1 || fmt.Sprint(g.outcome()["sends"]) != "2" {
		t.Errorf("ran %d times, audit %v", len(runs), g.outcome()["sends"])
	}
	g.so.Expire("access")
	g.so.Expire("refresh")
	got := g.do(client, http.MethodPost, tenantPath, seedBody, header)
	if got.status != 401 || !strings.Contains(got.body, "sign_in_again") {
		t.Errorf("without a refresh token: %d %s", got.status, got.body)
	}
}

func TestASecretThatIsReplacedAtSuperOfficeAndOnTheDiskIsNoOutage(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	person := http.Header{"X-XSRF-TOKEN": {xsrf}}
	ticket := http.Header{"Authorization": {"SOTicket " + g.so.Ticket("portal", "Cust12345", "per")}}
	for range 2 { // the second time each credential is a fresh one
		for _, app := range []string{"portal", "erp"} {
			write(t, g.dir+"/"+app+".client_secret", g.so.RotateSecret(app))
		}
		for name, c := range map[string]struct {
			client *http.Client
			header http.Header
		}{"service": {nil, g.service()}, "person": {client, person}, "ticket of the caller's own": {nil, ticket}} {
			if got := g.do(c.client, http.MethodPost, tenantPath, seedBody, c.header); got.status != 200 {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	}
}

func TestSigningOutEverywhereEndsEverySessionOfThatPerson(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	one, xsrf := g.signIn("tove")
	two, _ := g.signIn("tove")
	other, _ := g.signIn("per")
	if got := g.do(one, http.MethodPost, "/erpsync/sign-out?everywhere=true", "", http.Header{"X-XSRF-TOKEN": {xsrf}}); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for client, want := range map[*http.Client]int{one: 401, two: 401, other: 200} {
		if got := g.do(client, http.MethodGet, "/erpsync/session", "", nil); got.status != want {
			t.Errorf("%d %s, want %d", got.status, got.body, want)
		}
	}
}

func TestARefusedSystemCredentialIsToldAsOursNotTheCallers(t *testing.T) {
	t.Parallel()
	g := newGatewayWhere(t, apps, func(w http.ResponseWriter, r *http.Request) bool { // it takes no ticket
		if !strings.Contains(r.URL.Path, "/Agents/") {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	for range 3 {
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
		if got.status != 502 || !strings.Contains(got.body, "upstream_credential_refused") {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if n := g.so.Mints("ticket"); n != 2 {
		t.Errorf("%d tickets: one that is refused as soon as it is minted is replaced once, and then not for a while", n)
	}
}

func TestAnUnansweredCallIsToldAndNeverSentAgain(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Abort: true} })
	got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	if got.status != 424 || !strings.Contains(got.body, "outcome_unknown") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if runs := g.so.Runs(); len(runs) != 1 || g.outcome()["outcome"] != "unknown" {
		t.Errorf("ran %d times, audit %v", len(runs), g.outcome())
	}
}

func TestAnswersThatBrowsersWouldRepeatOrFollowAreReplaced(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 307, 401, 407, 408, 425} {
		g := newGateway(t, apps)
		g.so.Answer(func(string, int) *sandbox.Answer {
			return &sandbox.Answer{Status: status, Header: http.Header{"Location": {"https://evil.example/"}}, Body: "{}"}
		})
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
		if got.status != 502 || got.header.Get("Location") != "" {
			t.Errorf("%d became %d %v", status, got.status, got.header)
		}
	}
}

func TestAnyOtherAnswerPassesByteForByteWithItsClass(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for _, c := range []struct {
		status      int
		body, class string
	}{
		{200, `{"IsOk":false,"Status":"Error","ErrorCode":"sunt"}`, "error"},
		{200, ` null `, "empty"},
		{200, `<html>`, "unreadable"},
		{400, `{"Error":true,"ErrorType":"ArgumentException","Message":"no"}`, "fault"},
		{403, `{"Message":"no"}`, "fault"},
		{500, ``, "fault"},
		{200, "{\"IsOk\":true,\"Status\":\"Ok\",\"x\":\"" + strings.Repeat("y", 200_000) + "\"}", "ok"},
	} {
		g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Status: c.status, Body: c.body} })
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
		if got.status != c.status || got.body != c.body || g.outcome()["outcome"] != c.class {
			t.Errorf("%d %.60q: %d %.60q %v", c.status, c.body, got.status, got.body, g.outcome()["outcome"])
		}
	}
}

func TestTenantsThatDoNotRunAreToldAtOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	g.so.SetState("Cust12345", "Suspended")
	g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()), 503, "tenant_not_running")
}

func TestATenantThatMovedIsFollowedToTrustedOriginsOnly(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 {
		t.Fatal(got.body)
	}
	g.so.Move("Cust12345", "https://elsewhere.example")
	got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	if got.status != 502 || !strings.Contains(got.body, "host_not_trusted") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestABodyIsTakenWithinItsBoundsOnly(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status int
		reason string
	}{
		"too large":          {`{"x":"` + strings.Repeat("x", 5000) + `"}`, nil, 413, "body_too_large"},
		"a wrong type":       {`{"InternalKeyIds":["a"]}`, nil, 400, "body_not_understood"},
		"another media type": {`x`, http.Header{"Content-Type": {"text/plain"}}, 415, "media_type_unsupported"},
		"an encoded body":    {`x`, http.Header{"Content-Encoding": {"gzip"}}, 415, "media_type_unsupported"},
		"two types":          {`{}`, http.Header{"Content-Type": {"application/json", "application/xml"}}, 415, "media_type_unsupported"},
		"nothing":            {``, nil, 400, "body_not_understood"},
		"null":               {`null`, nil, 400, "body_not_understood"},
	} {
		header := g.service()
		for k, v := range c.header {
			header[k] = v
		}
		t.Log(name)
		g.refused(g.do(nil, http.MethodPost, tenantPath, c.body, header), c.status, c.reason)
	}
	var where struct{ Pointer string }
	got := g.do(nil, http.MethodPost, tenantPath, `{"InternalKeyIds":[1,"a"]}`, g.service())
	if json.Unmarshal([]byte(got.body), &where) != nil || where.Pointer != "/InternalKeyIds/1" {
		t.Errorf("pointer: %s", got.body)
	}
	// What curl -d sends without a type, and what a client that compresses sends.
	for name, c := range map[string]struct {
		body    string
		header  http.Header
		says    string
		accepts string
	}{
		"curl -d":          {seedBody, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "send Content-Type: application/json", "Accept"},
		"a compressed one": {"\x1f\x8b", http.Header{"Content-Encoding": {"gzip"}}, "Content-Encoding says that the body is compressed", "Accept-Encoding"},
	} {
		header := g.service()
		maps.Copy(header, c.header)
		got := g.do(nil, http.MethodPost, tenantPath, c.body, header)
		g.refused(got, 415, "media_type_unsupported")
		if !strings.Contains(got.body, c.says) || got.header.Get(c.accepts) == "" || len(got.header["Accept"])+len(got.header["Accept-Encoding"]) != 1 {
			t.Errorf("%s: %s %v", name, got.body, got.header)
		}
	}
}

func TestSigningOutEndsTheSession(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	if got := g.do(client, http.MethodPost, "/erpsync/sign-out", "", nil); got.status != 403 {
		t.Errorf("without an XSRF token: %d", got.status)
	}
	old := client.Jar.Cookies(mustParse(t, g.site))
	got := g.do(client, http.MethodPost, "/erpsync/sign-out", "", http.Header{"X-XSRF-TOKEN": {xsrf}})
	if got.status != 200 || !strings.Contains(got.body, g.so.Base()+"/login/logout") || got.header.Get("ErpSync-Request-Id") == "" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	client.Jar.SetCookies(mustParse(t, g.site), old)
	g.so.Forget()
	g.refused(g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}}), 401, "sign_in_again")
}

func TestThePreflightOfAListedOriginIsAnsweredAndNoOther(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	ask := func(origin string) answer {
		return g.do(nil, http.MethodOptions, tenantPath, "", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}})
	}
	if got := ask("https://pages.example"); got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "https://pages.example" || got.header.Get("Vary") != "Origin" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := ask("https://evil.example"); got.status != 405 || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", got.status, got.header)
	}
}

func TestNoSecretIsInAnyLogLine(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	service := g.service()
	g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}})
	g.do(nil, http.MethodPost, tenantPath, seedBody, service)
	ticket := g.so.Ticket("portal", "Cust12345", "per")
	g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": {"SOTicket " + ticket}})
	g.so.Expire("ticket")
	g.do(nil, http.MethodPost, tenantPath, seedBody, service)
	g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Abort: true} })
	g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}})
	secrets := []string{xsrf, ticket, strings.TrimPrefix(service["Authorization"][0], "Bearer "), g.so.App("erp").ClientSecret, g.so.App("portal").ClientSecret, g.so.SystemToken("erp", "Cust12345"), "8A:", "7T:"}
	for _, cookie := range client.Jar.Cookies(mustParse(t, g.site)) {
		secrets = append(secrets, cookie.Value)
	}
	if g.logs.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	for _, entry := range g.logs.All() {
		raw, err := json.Marshal(entry.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(raw)+entry.Message, secret) {
				t.Errorf("%q holds a secret", entry.Message)
			}
		}
	}
}

func TestACallThatHasBegunLeavesATraceBeforeItIsSent(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	hold := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: hold, Body: `{"IsOk":true}`} })
	done := make(chan answer)
	go func() { done <- g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()) }()
	waitFor(t, func() bool { return g.logs.FilterMessage("erpsync call started").Len() == 1 })
	if n := g.logs.FilterMessage("erpsync call").Len(); n != 0 {
		t.Errorf("%d calls are over before the answer", n)
	}
	close(hold)
	if got := <-done; got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if diff := cmp.Diff("ok", g.outcome()["outcome"]); diff != "" {
		t.Error(diff)
	}
}

func TestEveryContentTypeOfTheVendorsListIsUnderstoodOrRefusedByName(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	for media, c := range map[string]struct {
		body   string
		status int
	}{
		"application/json; charset=utf-8":   {seedBody, 200},
		"text/json":                         {seedBody, 200},
		"application/merge-patch+json":      {seedBody, 200},
		"application/xml":                   {"<r><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds></r>", 200},
		"text/xml":                          {"<r><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds></r>", 200},
		"application/x-www-form-urlencoded": {"ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230", 200},
		"application/json-patch+json":       {seedBody, 200},
		"Application/JSON-Patch+JSON":       {"[]", 415},
		"application/msgpack":               {seedBody, 415},
	} {
		g.so.Forget()
		header := g.service()
		header["Content-Type"] = []string{media}
		got := g.do(nil, http.MethodPost, tenantPath, c.body, header)
		if got.status != c.status {
			t.Errorf("%s: %d %s", media, got.status, got.body)
		}
		if c.status != 200 {
			if len(g.sent()) != 0 || !strings.Contains(got.header.Get("Accept"), "application/json, ") || got.header.Get("Accept-Encoding") != "" {
				t.Errorf("%s: %d sent, %v", media, len(g.sent()), got.header)
			}
			continue
		}
		if runs := g.so.Runs(); len(runs) != 1 || cmp.Diff(runs[0].Keys, []int{386, 230}) != "" || runs[0].Connection != 612 {
			t.Errorf("%s: ran %+v", media, runs)
		}
		if call := g.sent()[0]; string(call.Body) != seedBody || call.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s became %s %s", media, call.Header.Get("Content-Type"), call.Body)
		}
	}
}

func TestTheCallerChoosesTheAnswersForm(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	const xmlBody = "<r><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int></InternalKeyIds></r>"
	for _, c := range []struct{ accept, media, body, want string }{
		{"application/json", "application/json", seedBody, "application/json"},
		{"text/xml", "application/json", seedBody, "text/xml"},
		{"application/xml", "application/json", seedBody, "application/xml"},
		{"application/json", "application/xml", xmlBody, "application/json"},
		{"text/xml;q=0.5, application/json;q=0.4", "application/xml", xmlBody, "text/xml"},
		// Without Accept SuperOffice answers in the type of the body that it gets, which is not the caller's.
		{"", "application/xml; charset=utf-8", xmlBody, "application/xml"},
		{"", "text/xml", xmlBody, "text/xml"},
		{"", "text/json", seedBody, "text/json"},
		{"", "application/merge-patch+json", seedBody, "application/merge-patch+json"},
		{"", "application/x-www-form-urlencoded", "ErpConnectionId=612&InternalKeyIds=386", "application/json"},
		{"", "application/json", seedBody, "application/json"},
	} {
		g.so.Forget()
		header := g.service()
		header["Content-Type"] = []string{c.media}
		header["Accept"] = []string{c.accept}
		got := g.do(nil, http.MethodPost, tenantPath, c.body, header)
		if got.status != 200 || got.header.Get("Content-Type") != c.want+"; charset=utf-8" {
			t.Errorf("%+v: %d %s", c, got.status, got.header.Get("Content-Type"))
		}
		if strings.HasSuffix(c.want, "/xml") != strings.HasPrefix(got.body, "<PluginResponse>") {
			t.Errorf("%+v: %s", c, got.body)
		}
		// The same is what the caller would get from SuperOffice itself.
		direct, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.so.Base()+tenantPath, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		direct.Header = http.Header{"Content-Type": {c.media}, "Authorization": {"Bearer " + g.so.AccessToken("portal", "Cust12345", "per")}}
		if c.accept != "" {
			direct.Header["Accept"] = []string{c.accept}
		}
		resp, err := http.DefaultClient.Do(direct)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != got.header.Get("Content-Type") {
			t.Errorf("%+v: SuperOffice itself answers %d %s", c, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
}

func TestAnOperationWithoutArgumentsIsSentWithAnEmptyBody(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.ReplaceAll(apps, "operations ForceResync ", "operations ForceSyncAll ForceResync "))
	for _, body := range []string{"", "{}", "null"} {
		g.so.Forget()
		header := g.service()
		header["Erpsync-Confirm"] = []string{"all"}
		header["Content-Type"] = []string{"text/plain;charset=UTF-8"}
		if got := g.do(nil, http.MethodPost, strings.Replace(tenantPath, "ForceResync", "ForceSyncAll", 1), body, header); got.status != 200 {
			t.Fatalf("%q: %d %s", body, got.status, got.body)
		}
		if call := g.sent()[0]; len(call.Body) != 0 || call.Header.Get("Content-Length") != "0" || call.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%q: sent %q with %v", body, call.Body, call.Header)
		}
	}
}

func TestAReloadKeepsSessionsAndTakesTheNewDurations(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	config := strings.NewReplacer("{base}", g.so.Base(), "{dir}", g.dir, "app portal\n\t\torigins", "app portal\n\t\tidle 1ns\n\t\torigins").Replace(apps)
	same, err := provision(t, strings.Replace(config, "idle 1ns", "idle 1h", 1), g.h.runtime.logger)
	if err != nil {
		t.Fatal(err)
	}
	short, err := provision(t, config, g.h.runtime.logger)
	if err != nil {
		t.Fatal(err)
	}
	old := g.h
	if err := old.Cleanup(); err != nil {
		t.Fatal(err)
	}
	call := func() int {
		return g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}}).status
	}
	g.h = same
	if status := call(); status != 200 {
		t.Errorf("after a reload: %d", status)
	}
	g.h = short
	if status := call(); status != 401 {
		t.Errorf("with a lifetime that is over: %d", status)
	}
}

func TestTheCallbackTakesAPostedAnswerAndOnlyFromTheBrowserThatBegan(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	begin := func() (*http.Client, url.Values) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		started := g.do(client, http.MethodGet, "/erpsync/sign-in?tenant=cust12345&return=/here", "", nil)
		page, err := client.Get(started.header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		defer page.Body.Close()
		form, err := io.ReadAll(page.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(form), `name="attempt" value="`)
		attempt, _, _ := strings.Cut(rest, `"`)
		user := g.so.User("Cust12345", "tove")
		answer, err := client.PostForm(g.so.Base()+"/login/Cust12345/oauth/authorize", url.Values{"attempt": {attempt}, "username": {user.UPN}, "password": {user.Password}, "action": {"sign-in"}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		back, err := answer.Location()
		if err != nil {
			t.Fatal(err)
		}
		return client, back.Query()
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	client, values := begin()
	got := g.do(client, http.MethodPost, "/erpsync/callback", values.Encode(), header)
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/here" {
		t.Errorf("%d %s %s", got.status, got.header.Get("Location"), got.body)
	}
	cookies := strings.Join(got.header["Set-Cookie"], "\n")
	for _, want := range []string{"__Host-erpsync=", "HttpOnly", "Secure", "XSRF-TOKEN=", "SameSite=Lax"} {
		if !strings.Contains(cookies, want) {
			t.Errorf("no %s among the cookies' attributes", want)
		}
	}
	_, stolen := begin()
	other, _ := begin()
	if got := g.do(other, http.MethodPost, "/erpsync/callback", stolen.Encode(), header); got.status != http.StatusForbidden || len(got.header["Set-Cookie"]) > 1 {
		t.Errorf("an answer that another browser began: %d", got.status)
	}
	if got := g.do(client, http.MethodPost, "/erpsync/callback", values.Encode(), header); got.status != http.StatusForbidden {
		t.Errorf("the same answer again: %d", got.status)
	}
}

func TestARefusalOfSuperOfficesOwnIsToldInWhateverShapeItComes(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.ReplaceAll(apps, "{dir}/erp.", "{dir}/quote."))
	write(t, g.dir+"/tenants.json", fmt.Sprintf(`{"tenants":[{"tenant":"Cust12345","system_token":%q}]}`, g.so.SystemToken("quote", "Cust12345")))
	waitFor(t, func() bool { return g.logs.FilterMessageSnippet("tenants file reloaded").Len() > 0 })
	// The 401 comes last: a ticket that is refused straight after its minting is not minted again for a minute.
	for _, refusal := range []struct {
		shape string
		want  int
	}{{"error", 403}, {"message", 403}, {"aspnet", 403}, {"empty", 403}, {"unauthorized", 502}} {
		g.so.Switch(func(s *sandbox.Switches) { s.Refusal = refusal.shape })
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
		if outcome := g.outcome()["outcome"]; got.status != refusal.want || outcome != "fault" {
			t.Errorf("%s: %d %s, %v", refusal.shape, got.status, got.body, outcome)
		}
	}
	if runs := g.so.Runs(); len(runs) != 0 {
		t.Errorf("the sandbox ran %+v for an app without the agent", runs)
	}
}

func TestPeopleSignInWhateverSuperIDsTokensLookLike(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sandbox.Switches){
		"aud as a list":            func(s *sandbox.Switches) { s.AudienceInList = true },
		"keys in certificates v1":  func(s *sandbox.Switches) { s.KeysInCertificates = true },
		"no kid, and certificates": func(s *sandbox.Switches) { s.KeysInCertificates, s.TokenKid = true, "hex" },
		"kid in hex":               func(s *sandbox.Switches) { s.TokenKid = "hex" },
		"kid in base64url":         func(s *sandbox.Switches) { s.TokenKid = "base64url" },
		"iat as a number":          func(s *sandbox.Switches) { s.NumericIAT = true },
		"expires_in as text":       func(s *sandbox.Switches) { s.ExpiresInText = true },
	} {
		g := newGateway(t, apps)
		g.so.Switch(change)
		client, xsrf := g.signIn("per")
		if got := g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}}); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestABodyThatDoesNotArriveIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.Replace(apps, "body_timeout 1m", "body_timeout 20ms", 1))
	slow, end := io.Pipe()
	defer end.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.site+tenantPath, slow)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = g.service()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 400 || !strings.Contains(string(raw), "body_incomplete") || len(g.sent()) != 0 {
		t.Errorf("%d %s %v", resp.StatusCode, raw, err)
	}
}

func TestOnsiteAServiceCallsAsTheServiceAccountAndAPersonWithBasicAsThemselves(t *testing.T) {
	t.Parallel()
	const path = "/crm7/api/v1/Agents/ErpSync/ForceResync"
	g := newGateway(t, `
	upstream {base}/crm7
	app office {
		agents ErpSync
		call_as account tove {password}
	}
	jwt https://idp.example {
		audience erpsync
		algorithms ES256
		jwks {dir}/jwks.json
	}`, sandbox.WithOnsite("/crm7"))
	if got := g.do(nil, http.MethodPost, path, seedBody, g.service()); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if runs := g.so.Runs(); len(runs) != 1 || runs[0].Who != "tove" || !strings.HasPrefix(g.sent()[0].Header.Get("Authorization"), "Bearer ") {
		t.Errorf("ran %+v", runs)
	}
	g = newGateway(t, onsite, sandbox.WithOnsite("/crm7"))
	basic := base64.StdEncoding.EncodeToString([]byte("per:" + g.so.User("Cust12345", "per").Password))
	if got := g.do(nil, http.MethodPost, path, seedBody, http.Header{"Authorization": {"Basic " + basic}}); got.status != 200 || g.so.Runs()[0].Who != "per" {
		t.Errorf("%d %s", got.status, got.body)
	}
	g.so.Forget()
	g.refused(g.do(nil, http.MethodPost, path, seedBody, http.Header{"Authorization": {"Basic " + basic}, "Sec-Fetch-Site": {"cross-site"}}), 403, "cross_site")
}

func TestWhatSuperOfficeSaysOfAnotherTenantProvesNothingHere(t *testing.T) {
	t.Parallel()
	g := newGatewayWhere(t, apps, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/currentPrincipal") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"Associate":"per","AssociateId":11,"UserType":"InternalAssociate","DatabaseContextIdentifier":"Cust54321","FunctionRights":["admin-all"]}`)
		return true
	})
	g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": {"SOTicket " + g.so.Ticket("portal", "Cust12345", "per")}}), 401, "credential_invalid")
}

func TestASessionOfOneAppIsNoneOfAnother(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	client, xsrf := g.signIn("tove")
	config := strings.NewReplacer("{base}", g.so.Base(), "{dir}", g.dir, "app portal {", "app other {", "app portal\n", "app other\n").Replace(apps)
	other, err := provision(t, config, g.h.runtime.logger)
	if err != nil {
		t.Fatal(err)
	}
	g.h = other
	g.refused(g.do(client, http.MethodPost, tenantPath, seedBody, http.Header{"X-XSRF-TOKEN": {xsrf}}), 401, "sign_in_again")
	if got := g.do(client, http.MethodGet, "/erpsync/session", "", nil); got.status != 401 {
		t.Errorf("session: %d %s", got.status, got.body)
	}
}
