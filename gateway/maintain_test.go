package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func TestASuspendedTenantIsForgotten(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	g.SetConsent("erp", "Cust54321", outcome.ConsentRequired)
	g.SetConsent("erp", "Cust12345", outcome.ConsentRequired)
	g.ForgetUngranted()
	if got := g.State().Health("erp", "Cust54321").Consent; got != outcome.ConsentUnknown {
		t.Errorf("suspended: %s", got)
	}
	if got := g.State().Health("erp", "Cust12345").Consent; got != outcome.ConsentRequired {
		t.Errorf("granted: %q", got)
	}
}

func TestARefusalIsForgottenWhenALaterApprovalIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	g.Approve("erp", "Cust12345", "tove")
	g.SO.Revoke("erp", "Cust12345")
	g.Refused(g.Resync(g.Service()), http.StatusForbidden, "consent_required")
	g.NoticeApprovals(t.Context())
	if got := g.State().Health("erp", "Cust12345").Consent; got != outcome.ConsentRequired {
		t.Errorf("forgotten though nobody approved: %q", got)
	}
	elsewhere := systemuser.NewTokens(g.Storage, g.Keys(), g.Config().Environment, g.App("erp").ClientID)
	if err := elsewhere.Keep(t.Context(), systemuser.Kept{Tenant: "Cust12345", Token: auth.NewSecret("later"), Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	g.NoticeApprovals(t.Context())
	if got := g.State().Health("erp", "Cust12345").Consent; got != outcome.ConsentUnknown {
		t.Errorf("an approval was kept since: %s", got)
	}
}
