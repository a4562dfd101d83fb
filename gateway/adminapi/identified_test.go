package adminapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// What leaves the gateway by an operator's order has the name of one.
func TestWhoIsNotIdentifiedHasNoSampleSent(t *testing.T) {
	t.Parallel()
	api, logs := newAPI(t)
	for _, route := range api.Routes() {
		if route.Path != report.NotifyTestPath {
			continue
		}
		for want, state := range map[int]*tls.ConnectionState{
			http.StatusForbidden: nil,
			http.StatusConflict:  verified(&x509.Certificate{Subject: pkix.Name{CommonName: "ops"}}), // no notices are configured
		} {
			r := httptest.NewRequestWithContext(t.Context(), route.Method, route.Path, strings.NewReader(`{"kind":"failing"}`))
			r.TLS = state
			if status, err := api.Serve(route, httptest.NewRecorder(), r); status != want || err == nil {
				t.Errorf("%d %v, want %d", status, err, want)
			}
			if fields := logs.All()[logs.Len()-1].ContextMap(); fields["act"] != "notify_test" || fields["kind"] != "failing" || fields["result"] != "failed" {
				t.Errorf("%v", fields)
			}
		}
	}
	if logs.Len() != 2 {
		t.Errorf("%d lines", logs.Len())
	}
}
