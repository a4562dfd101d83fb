package erpsync

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func (g *gateway) called() answer {
	g.t.Helper()
	return g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
}

func TestAnApprovalThatBringsTheSameTokenCountsAtOnceAfterARefusal(t *testing.T) {
	t.Parallel()
	refuse := make(chan struct{}, 1)
	g := newGatewayWhere(t, approvals, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/Authenticate") {
			return false
		}
		select {
		case <-refuse:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"IsSuccessful":false,"Token":null,"ErrorMessage":"The consent has expired."}`))
			return true
		default:
			return false
		}
	})
	g.approve("erp", "Cust12345", "tove")
	refuse <- struct{}{}
	g.refused(g.called(), http.StatusForbidden, "consent_required")
	g.approve("erp", "Cust12345", "tove") // the consent is there: the token is the same one
	if s := g.status("Cust12345"); s.Attention != "" || s.Consent == "consent_required" {
		t.Errorf("status after the approval: %+v", s)
	}
	if got := g.called(); got.status != http.StatusOK {
		t.Errorf("after the approval: %d %s", got.status, got.body)
	}
}

func TestACallSucceedsWithTheTokenThatAnotherGatewayKeptMeanwhile(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.importTokens(false, operator.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-ended"})
	if err := tokensIn(g.h, storage).Keep(t.Context(), systemuser.Kept{Tenant: "Cust12345", Token: auth.NewSecret(g.so.SystemToken("erp", "Cust12345")), Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := g.called(); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestSuspendedHoldsForATenantThatTheCaddyfileNames(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/tenants.json"
	write(t, file, `{"tenants":[{"tenant":"Cust12345","suspended":true}]}`)
	g := newGateway(t, strings.Replace(approvals, "tenant *", "tenant Cust12345\n\t\ttenants file "+file, 1))
	g.refused(g.called(), http.StatusForbidden, "tenant_suspended")
}

func TestASuspendedTenantIsForgotten(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.h.common.ledger.Told("erp", "Cust54321", outcome.ConsentRequired, "")
	g.h.common.ledger.Told("erp", "Cust12345", outcome.ConsentRequired, "")
	g.h.forgetOthers()
	if got := g.h.common.ledger.Standing("erp", "Cust54321").Consent; got != outcome.ConsentUnknown {
		t.Errorf("suspended: %s", got)
	}
	if got := g.h.common.ledger.Standing("erp", "Cust12345").Consent; got != outcome.ConsentRequired {
		t.Errorf("granted: %q", got)
	}
}

func TestARefusalIsForgottenWhenALaterApprovalIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.approve("erp", "Cust12345", "tove")
	g.so.Revoke("erp", "Cust12345")
	g.refused(g.called(), http.StatusForbidden, "consent_required")
	g.h.noticeApprovals(t.Context())
	if got := g.status("Cust12345"); got.Consent != "consent_required" {
		t.Errorf("forgotten though nobody approved: %+v", got)
	}
	if err := tokensIn(g.h, storage).Keep(t.Context(), systemuser.Kept{Tenant: "Cust12345", Token: auth.NewSecret("later"), Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	g.h.noticeApprovals(t.Context())
	if got := g.h.common.ledger.Standing("erp", "Cust12345").Consent; got != outcome.ConsentUnknown {
		t.Errorf("an approval was kept since: %s", got)
	}
}

func TestAStorageThatIsDownIsToldAsThatAndNotAsAMissingApproval(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	broken := &brokenStorage{Storage: storage}
	g.h.apps["erp"].registry.kept = tokensIn(g.h, broken)
	broken.down.Store(true)
	if s := g.status("Cust12345"); s.Attention != "store_unavailable" || s.Token != "unknown" || s.Approve != "" {
		t.Errorf("status: %+v", s)
	}
	code, problem := g.admin(http.MethodPost, operator.ImportPath, operator.ImportRequest{App: "erp", Environment: g.so.Base(), Tenants: []operator.ImportTenant{{Line: 1, Tenant: "Cust12345", SystemToken: "x"}}}, nil)
	if code != http.StatusServiceUnavailable {
		t.Errorf("import: %d %s", code, problem)
	}
}

func TestAnAdministratorWhoFollowsTheLinkAgainIsToldThatItIsApproved(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.so.Revoke("erp", "Cust12345")
	g.so.Switch(func(s *sandbox.Switches) { s.TokenOnApprovalOnly = true })
	g.approve("erp", "Cust12345", "tove")
	if status, page := g.approve("erp", "Cust12345", "tove"); status != http.StatusOK || !strings.Contains(page, "<h1>Already approved</h1>") {
		t.Errorf("%d %s", status, page)
	}
}

// leaving has the caller leave while a token is written.
type leaving struct {
	certmagic.Storage
	leave func()
}

func (s *leaving) Store(ctx context.Context, key string, value []byte) error {
	s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Storage.Store(ctx, key, value)
}

func TestAnApprovalWhoseCallerLeavesInTheMiddleIsKept(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	g.h.apps["erp"].registry.kept = tokensIn(g.h, &leaving{storage, leave})
	cookie, target := g.begun("/erpsync/approve?app=erp&tenant=Cust12345")
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, g.site+"/erpsync/callback?"+g.answered(target, "tove").Encode(), nil)
	r.Header.Set("Cookie", cookie)
	if err := g.h.ServeHTTP(httptest.NewRecorder(), r, nil); err != nil || ctx.Err() == nil {
		t.Fatal(err, "or the caller did not leave")
	}
	if _, there, err := tokensIn(g.h, storage).Fresh(t.Context(), "Cust12345"); !there || err != nil {
		t.Errorf("kept: %v, %v", there, err)
	}
}
