package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// newHome is another base of the same SuperOffice.
func newHome(t *testing.T, so *sandbox.Sandbox) string {
	t.Helper()
	server := httptest.NewServer(so)
	t.Cleanup(server.Close)
	return server.URL
}

func TestTheProofOfACallersCredentialFollowsATenantThatMoves(t *testing.T) {
	t.Parallel()
	for name, credential := range map[string]func(*sandbox.Sandbox) string{
		"SOTicket": func(so *sandbox.Sandbox) string { return "SOTicket " + so.Ticket("portal", "Cust12345", "per") },
		"Bearer":   func(so *sandbox.Sandbox) string { return "Bearer " + so.AccessToken("portal", "Cust12345", "per") },
	} {
		so := gatewaytest.NewSandbox(t)
		home := newHome(t, so)
		g := gatewaytest.NewIn(t, so, trusting(t, home))
		call := func() gatewaytest.Answer {
			return g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Authorization": {credential(so)}}) // another one each time: nothing is remembered of it
		}
		if got := call(); got.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, got.Status, got.Body)
		}
		so.Move("Cust12345", home)
		if got := call(); got.Status != http.StatusOK {
			t.Errorf("%s after the tenant has moved: %d %s", name, got.Status, got.Body)
		}
		if line := g.Audited(); line["upstream"] != home {
			t.Errorf("%s: called at %v", name, line["upstream"])
		}
	}
}

// The state service may be behind: then the old host is named again, and says again that the tenant is not there.
func TestATenantThatIsNowhereIsSaidToBeUnavailableAndItsCallerNotRefused(t *testing.T) {
	t.Parallel()
	so := gatewaytest.NewSandboxBehind(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/Cust12345/api/v1/User/currentPrincipal" {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return true
		}
		return false
	})
	g := gatewaytest.NewIn(t, so)
	got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Authorization": {"SOTicket " + so.Ticket("portal", "Cust12345", "per")}})
	g.Refused(got, http.StatusServiceUnavailable, "proof_unavailable")
}
