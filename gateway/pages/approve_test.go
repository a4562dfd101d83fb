package pages_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestAnAdministratorsApprovalIsKeptAndTheNextCallSucceeds(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	g.SO.Revoke("erp", "Cust12345")
	got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	g.Refused(got, http.StatusForbidden, "no_system_token")
	if !strings.Contains(got.Body, `"approve":"/erpsync/approve?app=erp&tenant=Cust12345"`) {
		t.Errorf("no link to approve at: %s", got.Body)
	}
	status, page := g.Approve("erp", "Cust12345", "tove")
	if status != http.StatusOK || !strings.Contains(page, "<h1>Approved</h1>") || !strings.Contains(page, "nothing more to do") {
		t.Fatalf("%d %s", status, page)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != http.StatusOK {
		t.Errorf("after the approval: %d %s", got.Status, got.Body)
	}
	if strings.Contains(page, g.SO.SystemToken("erp", "Cust12345")) {
		t.Error("the page holds the system token")
	}
	if g.Storage.Holds(g.SO.SystemToken("erp", "Cust12345")) {
		t.Error("the storage holds the system token in clear")
	}

	// The approval ends at SuperOffice, and is given again.
	g.SO.Forget()
	erp := g.App("erp")
	kept, _, err := erp.Registry.Tokens.Get(t.Context(), "Cust12345")
	if err != nil {
		t.Fatal(err)
	}
	g.SO.Revoke("erp", "Cust12345")
	g.DropTicket(t.Context(), erp, "Cust12345", kept.Token) // six hours later
	got = g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	g.Refused(got, http.StatusForbidden, "consent_required")
	if !strings.Contains(got.Body, `"approve":"/erpsync/approve?`) {
		t.Errorf("no way back: %s", got.Body)
	}
	if status, page := g.Approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != http.StatusOK {
		t.Errorf("after the second approval: %d %s", got.Status, got.Body)
	}
}

func TestARefusedConsentIsProbedAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	asked := 0
	g := gatewaytest.New(t, gatewaytest.Approvals(), gatewaytest.Answering(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/Authenticate") {
			asked++
		}
		return false
	}))
	if status, page := g.Approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	g.SO.Revoke("erp", "Cust12345")
	for range 20 {
		g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()), http.StatusForbidden, "consent_required")
	}
	if asked != 1 {
		t.Errorf("SuperOffice was asked %d times", asked)
	}
}

func TestWhoeverCannotApproveIsToldInWordsAndNothingIsKept(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals(), func(f *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		app, quote := f.SO.App("quote"), c.Apps[0]
		quote.Name, quote.ClientID, quote.ClientSecret, quote.PrivateKey = "quote", app.ClientID, gatewaytest.Secret(app.ClientSecret), gatewaytest.Secret(string(app.KeyPEM()))
		c.Apps = append(c.Apps, quote)
	})
	page := func(app, tenant, name string, status int, want ...string) {
		t.Helper()
		got, text := g.Approve(app, tenant, name)
		if got != status {
			t.Errorf("%d, want %d: %s", got, status, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("the page does not say %q: %s", w, text)
			}
		}
	}
	g.SO.Revoke("erp", "Cust12345")
	page("erp", "Cust12345", "per", http.StatusForbidden, "An administrator has to do this", "General Administrator")
	page("", "Cust12345", "tove", http.StatusBadRequest, "This link is not complete") // two apps take approvals
	page("no-such-app", "Cust12345", "tove", http.StatusBadRequest, "This link is not complete")
	page("erp", "nonsense", "tove", http.StatusBadRequest, "This link is not complete")

	for said, want := range map[string]string{
		"access_denied The person declined.":      "Not approved",
		"1 ":                                      "The approval was taken back",
		"Revoked ":                                "The approval was taken back",
		"invalid_request InvalidRedirectUrl (2)":  "is not among the redirect addresses",
		"Expired ":                                "has expired",
		"Denied ":                                 "Not approved",
		"access_denied NeedsReapproval":           "It has to be approved again",
		"InvalidTimestamp ":                       "their clock may be",
		"InvalidSignature ":                       "private key may be another",
		"unauthorized_client ":                    "(unauthorized_client)",
		"server_error ":                           "cannot be asked now",
		"<script>alert(1)</script> <b>never</b>":  "says “&lt;script&gt;alert(1)&lt;/script&gt;”",
		"consent_required ask your administrator": "An administrator has to do this",
	} {
		g.SO.Switch(func(s *sandbox.Switches) { s.ApprovalError = said })
		_, text := g.Approve("erp", "Cust12345", "tove")
		if !strings.Contains(text, want) || strings.Contains(text, "<script>") {
			t.Errorf("%s: %s", said, text)
		}
	}
	g.SO.Switch(func(s *sandbox.Switches) { s.ApprovalError = "" })
	if kept, err := g.App("erp").Registry.Tokens.Tenants(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("kept: %v, %v", kept, err)
	}

	// Where SuperOffice sends the token at the approval alone, a later sign-in brings none.
	g.SO.Switch(func(s *sandbox.Switches) { s.TokenOnApprovalOnly = true })
	page("quote", "Cust12345", "per", http.StatusForbidden, "An administrator has to do this")
	page("quote", "Cust12345", "tove", http.StatusConflict, "nothing to approve", "not registered with SuperOffice", "approved before")
	page("erp", "Cust54321", "tove", http.StatusConflict, "nothing to approve")
	g.SO.Revoke("erp", "Cust54321")
	page("erp", "Cust54321", "tove", http.StatusOK, "have suspended it for Cust54321")
}

func TestAnApprovalOfATenantThatTheRegistryDoesNotNameIsKeptAndGrantsNothing(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals(), gatewaytest.Configure(func(c *gateway.Config) { c.Apps[0].AnyTenant, c.Apps[0].Tenants["Cust99999"] = nil, auth.TenantGrant{} }))
	status, page := g.Approve("erp", "Cust12345", "tove")
	if status != http.StatusOK || !strings.Contains(page, "have to admit Cust12345") {
		t.Fatalf("%d %s", status, page)
	}
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()), http.StatusForbidden, "tenant_not_granted")
}

func TestAnApprovalIsTakenFromTheBrowserThatBeganItAndInItsTenantOnly(t *testing.T) {
	t.Parallel()
	g := gatewaytest.NewIn(t, gatewaytest.NewSandboxBehind(t, func(_ http.ResponseWriter, r *http.Request) bool {
		// A person who goes to Cust54321 ends up in Cust12345.
		r.URL.Path = strings.Replace(r.URL.Path, "/login/Cust54321/", "/login/Cust12345/", 1)
		return false
	}), gatewaytest.Approvals())
	g.SO.Revoke("erp", "Cust12345")
	link := g.Site + "/erpsync/approve?app=erp&tenant=Cust54321"
	if status, page, err := demo.ApproveAs(t.Context(), link, g.SO, "Cust12345", "tove"); err != nil || status != http.StatusForbidden || !strings.Contains(page, "The link is for Cust54321") {
		t.Errorf("%v %d %s", err, status, page)
	}
	if got := g.Do(nil, http.MethodGet, "/erpsync/callback?code=x&state=y", "", gatewaytest.Person()); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "This was not started here") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := g.Do(nil, http.MethodGet, "/erpsync/callback?code=x&state=y", "", nil); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "credential_invalid") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	// Without browser the rest below the prefix is the next handler's.
	for _, path := range []string{"/erpsync/session", "/erpsync/sign-in", "/erpsync/other"} {
		if got := g.Do(nil, http.MethodGet, path, "", nil); got.Body != gatewaytest.PassedOn {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if got := g.Do(nil, http.MethodPost, "/erpsync/approve?app=erp", "", nil); got.Status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.Status)
	}
}

func TestWhileTheStorageGivesNoAnswerALastTokenStaysAndAnApprovalSaysSo(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	if status, page := g.Approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	g.Storage.SetDown(errDown)
	g.SO.Forget()
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != http.StatusOK {
		t.Errorf("with the last token: %d %s", got.Status, got.Body)
	}
	other := http.Header{"Authorization": {"Bearer " + g.Provider.Token("Cust77777", time.Hour)}}
	got := g.Do(nil, http.MethodPost, strings.Replace(gatewaytest.TenantPath, "Cust12345", "Cust77777", 1), gatewaytest.SeedBody, other)
	if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "store_unavailable") {
		t.Errorf("without one: %d %s", got.Status, got.Body)
	}
	if status, page := g.Approve("erp", "Cust12345", "tove"); status != http.StatusServiceUnavailable || !strings.Contains(page, "not noted here") {
		t.Errorf("%d %s", status, page)
	}
}

var errDown = errors.New("the disk is gone")

func TestAnAdministratorWhoFollowsTheLinkAgainIsToldThatItIsApproved(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	g.SO.Revoke("erp", "Cust12345")
	g.SO.Switch(func(s *sandbox.Switches) { s.TokenOnApprovalOnly = true })
	g.Approve("erp", "Cust12345", "tove")
	if status, page := g.Approve("erp", "Cust12345", "tove"); status != http.StatusOK || !strings.Contains(page, "<h1>Already approved</h1>") {
		t.Errorf("%d %s", status, page)
	}
}

// leaving has the caller leave while a token is written.
type leaving struct {
	*gatewaytest.Storage
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
	g := gatewaytest.New(t, gatewaytest.Approvals())
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	g.App("erp").Registry.Tokens = systemuser.NewTokens(&leaving{g.Storage, leave}, g.Keys(), g.Config().Environment, g.App("erp").ClientID)
	cookie, target := g.Begin("/erpsync/approve?app=erp&tenant=Cust12345")
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, g.Site+"/erpsync/callback?"+g.AnswerOf(target, "tove").Encode(), nil)
	r.Header.Set("Cookie", cookie)
	pages.New(g.Gateway, pages.Config{Prefix: pages.DefaultPrefix}).Serve(httptest.NewRecorder(), r, &gatewaytest.Visit{RequestID: "one", Address: "127.0.0.1"})
	if ctx.Err() == nil {
		t.Fatal("the caller did not leave")
	}
	if _, there, err := systemuser.NewTokens(g.Storage, g.Keys(), g.Config().Environment, g.App("erp").ClientID).Fresh(t.Context(), "Cust12345"); !there || err != nil {
		t.Errorf("kept: %v, %v", there, err)
	}
}

// The person who approves can do nothing about it, and must not be told that their sign-in failed.
func TestAnApprovalAtAnAppThatSuperIDDoesNotKnowLikeThisSaysSo(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"invalid_client", "unauthorized_client", "unknown"} {
		g := gatewaytest.New(t, gatewaytest.Approvals())
		g.SO.Switch(func(s *sandbox.Switches) { s.TokenError, s.TokenErrorAt = fault, "code" })
		status, page := g.Approve("erp", "Cust12345", "tove")
		if status != http.StatusBadGateway || !strings.Contains(page, "<h1>SuperOffice does not know the app like this</h1>") {
			t.Errorf("%s: %d %s", fault, status, page)
		}
		told := g.Logs.FilterMessageSnippet("refuses the app's own requests").All()
		if len(told) != 1 || told[0].ContextMap()["app"] != "erp" || told[0].ContextMap()["remedy"] == "" {
			t.Errorf("%s: told the operator %v", fault, told)
		}
		refused := g.Logs.FilterMessage("erpsync endpoint refused").All()
		if len(refused) == 0 || refused[0].ContextMap()["reason"] != "upstream_credential_refused" {
			t.Errorf("%s: the audit log holds %v", fault, refused)
		}
	}
}
