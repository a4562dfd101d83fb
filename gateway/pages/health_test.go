package pages_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func TestAStoppingGatewayIsLiveAndNotReady(t *testing.T) {
	t.Parallel()
	var stopping atomic.Bool
	g := gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) { p.Draining = stopping.Load }))
	for _, test := range []struct {
		stopping bool
		path     string
		status   int
	}{
		{false, "/erpsync/live", http.StatusOK},
		{false, "/erpsync/ready", http.StatusOK},
		{true, "/erpsync/live", http.StatusOK},
		{true, "/erpsync/ready", http.StatusServiceUnavailable},
	} {
		stopping.Store(test.stopping)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got := g.Do(nil, method, test.path, "", nil)
			if got.Status != test.status {
				t.Errorf("%s %s, stopping %t: %d %s", method, test.path, test.stopping, got.Status, got.Body)
			}
			if got.Header.Get("ErpSync-Request-Id") == "" {
				t.Errorf("%s %s: no request id", method, test.path)
			}
			if test.status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
				t.Errorf("%s %s: no Retry-After", method, test.path)
			}
		}
		if got := g.Do(nil, http.MethodPost, test.path, "", nil); got.Status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", test.path, got.Status)
		}
	}
}
