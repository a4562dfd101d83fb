package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func TestAPageMaySendWhatItsLibrariesAddAndWhatTheOperatorAllows(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.AllowHeaders = []string{"X-Ours"} }))
	for _, path := range []string{gatewaytest.TenantPath, "/erpsync/sign-out"} {
		got := g.Do(nil, http.MethodOptions, path, "", http.Header{"Origin": {"https://pages.example"}, "Access-Control-Request-Method": {"POST"}})
		allowed := ", " + strings.ToLower(got.Header.Get("Access-Control-Allow-Headers")) + ","
		for _, name := range []string{"traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with", "request-id", "idempotency-key", "x-xsrf-token", "content-type", "x-ours"} {
			if !strings.Contains(allowed, " "+name+",") {
				t.Errorf("%s: %s is not allowed: %s", path, name, allowed)
			}
		}
		if got.Status != http.StatusNoContent || got.Header.Get("ErpSync-Request-Id") == "" {
			t.Errorf("%s: %d %v", path, got.Status, got.Header)
		}
	}
}

func TestEveryAnswerNamesItsRequest(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	seen := make(map[string]bool)
	for _, c := range [][2]string{
		{http.MethodPost, gatewaytest.TenantPath},
		{http.MethodGet, gatewaytest.TenantPath},
		{http.MethodPost, "/api/v1/agents//erpsync/x"},
		{http.MethodOptions, gatewaytest.TenantPath},
		{http.MethodGet, "/erpsync/sign-in"},
		{http.MethodGet, "/erpsync/session"},
		{http.MethodGet, "/erpsync/callback"},
		{http.MethodPost, "/erpsync/callback"},
		{http.MethodPost, "/erpsync/sign-out"},
		{http.MethodGet, "/erpsync/approve?app=x"},
		{http.MethodGet, "/erpsync/nothing"},
		{http.MethodGet, "/erpsync/live"},
		{http.MethodHead, "/erpsync/ready"},
		{http.MethodPut, "/erpsync/live"},
	} {
		got := g.Do(nil, c[0], c[1], "", nil)
		if ids := got.Header["Erpsync-Request-Id"]; len(ids) != 1 || ids[0] == "" || seen[ids[0]] {
			t.Errorf("%s %s: %d, %v", c[0], c[1], got.Status, ids)
		} else {
			seen[ids[0]] = true
		}
	}
}

func TestAnOperationThatNobodyIsGrantedIsRefusedBeforeItsQueryIsJudged(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	path := strings.Replace(gatewaytest.TenantPath, "ForceResync", "GetErpSyncConnectorEntity", 1)
	g.Refused(g.Do(nil, http.MethodPost, path+"?erpSyncConnectorEntityId=1", "", g.Service()), http.StatusForbidden, "operation_not_granted")
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath+"?x=1", gatewaytest.SeedBody, g.Service()), http.StatusBadRequest, "query_not_understood")
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath+"?x=1", gatewaytest.SeedBody, nil), http.StatusUnauthorized, "credential_missing")
}

func TestLinksLeadToWherePeopleReachTheSite(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Base, c.Origins = "/crm", c.Origins.At("https://public.example:8443")
		c.Links.SignIn = "/crm" + c.Links.SignIn
	}))
	got := g.Do(nil, http.MethodGet, "/erpsync/sign-in?tenant=Cust12345", "", nil)
	if to := got.Header.Get("Location"); got.Status != http.StatusSeeOther || !strings.Contains(to, "redirect_uri=https%3A%2F%2Fpublic.example%3A8443%2Fcrm%2Ferpsync%2Fcallback") {
		t.Errorf("%d %s", got.Status, to)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, nil); !strings.Contains(got.Body, `"sign_in":"/crm/erpsync/sign-in"`) {
		t.Errorf("%s", got.Body)
	}
}

func TestA401NamesWhatThisSiteTakes(t *testing.T) {
	t.Parallel()
	services := func(c *gateway.Config) { c.Sessions, c.SuperOffice = nil, gateway.SuperOfficeConfig{} }
	people := func(c *gateway.Config) { c.Apps, c.SuperOffice = c.Apps[:1], gateway.SuperOfficeConfig{} }
	schemes := func(schemes ...auth.Scheme) func(*gateway.Config) {
		return func(c *gateway.Config) {
			c.Apps, c.SuperOffice.Schemes = c.Apps[:1], schemes
		}
	}
	for want, configure := range map[string]func(*gateway.Config){
		"Bearer":                    services,
		"Session":                   people,
		"Bearer, SOTicket":          func(*gateway.Config) {},
		"SOTicket":                  schemes(auth.BroughtTicket),
		`Basic realm="SuperOffice"`: schemes(auth.BroughtBasic, auth.WebClientSession),
	} {
		g := gatewaytest.New(t, gatewaytest.Configure(configure))
		got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, nil)
		if said := got.Header["Www-Authenticate"]; got.Status != http.StatusUnauthorized || len(said) != 1 || said[0] != want {
			t.Errorf("%d %v, want %s", got.Status, said, want)
		}
	}
	g := gatewaytest.New(t)
	if got := g.Do(nil, http.MethodGet, "/erpsync/session", "", nil); got.Header.Get("WWW-Authenticate") != "Bearer, SOTicket" {
		t.Errorf("an endpoint: %v", got.Header)
	}
}

// A client that is told to come back has to be told when.
func TestEveryRefusalThatTellsToComeBackSaysWhen(t *testing.T) {
	t.Parallel()
	for _, reason := range auth.Reasons() {
		refusal := auth.Refuse(reason, nil)
		later := refusal.Status == http.StatusTooManyRequests || refusal.Status == http.StatusServiceUnavailable
		if later != (refusal.RetryAfter > 0) {
			t.Errorf("%s: %d, after %s", reason, refusal.Status, refusal.RetryAfter)
		}
	}
}
