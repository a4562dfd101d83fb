package erpsync

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestTheAdminAPITakesItsExactPathsAndMethodsOnly(t *testing.T) {
	t.Parallel()
	for _, route := range (Admin{}).Routes() {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			for _, path := range []string{route.Pattern, route.Pattern + "/", route.Pattern + "/x", strings.ToUpper(route.Pattern)} {
				r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader("x"))
				err := route.Handler.ServeHTTP(httptest.NewRecorder(), r)
				api, _ := err.(caddy.APIError) //nolint:errorlint // as Caddy reads it
				changes := !slices.ContainsFunc([]string{"/status", "/tenants", "/export", "/probe/result", "/failures", "/history", "/month"}, func(end string) bool { return strings.HasSuffix(route.Pattern, end) })
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
