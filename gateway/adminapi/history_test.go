package adminapi_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/adminapi"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func routeOf(t *testing.T, api adminapi.API, path string) adminapi.Route {
	t.Helper()
	routes := api.Routes()
	i := slices.IndexFunc(routes, func(r adminapi.Route) bool { return r.Path == path })
	if i < 0 {
		t.Fatalf("no route %s", path)
	}
	return routes[i]
}

func TestAQuestionForCallsWithASlipOfThePenIsRefused(t *testing.T) {
	t.Parallel()
	api, _ := newAPI(t)
	route := routeOf(t, api, report.HistoryPath)
	for query, want := range map[string]string{
		"tennant=Cust1":     `"tennant": unknown; want tenant`,
		"connection=crm":    "connection: want a number",
		"before=x":          "before: want a number",
		"limit=99999999999": "limit: want a number",
		"since=yesterday":   "since: want a time",
		"until=1h":          "until: want a time",
		"keys=perhaps":      "keys: want true or false",
		"everything=all":    "everything: want true or false",
		"outcome=failed":    `outcome "failed": want one of ok, info`,
		"tenant=12345":      `tenant "12345": want the form Cust12345`,
		"tenant=Cust1&connection=0&since=2026-11-24T08:00:00Z&keys=true&outcome=ok&outcome=error&limit=5": "no history is configured",
	} {
		status, err := api.Serve(route, httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, route.Path+"?"+query, http.NoBody))
		if err == nil || !strings.HasPrefix(err.Error(), want) || status != http.StatusBadRequest && !strings.HasPrefix(want, "no history") {
			t.Errorf("%s: %d %v", query, status, err)
		}
	}
}
