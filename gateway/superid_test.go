package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestOnlyInvalidGrantEndsASessionAndTheOperatorIsToldOfItsOwnFault(t *testing.T) {
	t.Parallel()
	for fault, c := range map[string]struct {
		status int
		reason string
		ours   bool // told as the operator's fault
	}{
		"invalid_grant":       {401, "sign_in_again", false},
		"invalid_client":      {503, "credential_unavailable", true},
		"unauthorized_client": {503, "credential_unavailable", true},
		"invalid_request":     {503, "credential_unavailable", true},
		"unknown":             {503, "credential_unavailable", true},
		"empty":               {503, "credential_unavailable", true},
		"500":                 {503, "credential_unavailable", false},
		"html":                {503, "credential_unavailable", false},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.New(t)
			client, xsrf := g.SignIn("tove")
			header := http.Header{"X-Xsrf-Token": {xsrf}}
			g.SO.Expire("access")
			g.SO.Switch(func(s *sandbox.Switches) { s.TokenError, s.TokenErrorAt = fault, "refresh" })
			got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header)
			if got.Status != c.status || !strings.Contains(got.Body, `"`+c.reason+`"`) {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			told := false
			for _, line := range g.Logs.FilterMessageSnippet("refuses the app's own requests").All() {
				fields := line.ContextMap()
				told = line.Level == zapcore.ErrorLevel && fields["app"] == "portal" && fields["remedy"] != ""
			}
			if told != c.ours {
				t.Errorf("told as the operator's fault: %t", told)
			}
			g.SO.Switch(func(s *sandbox.Switches) { s.TokenError = "none" })
			if c.reason == "sign_in_again" {
				if got := g.Do(client, http.MethodGet, "/erpsync/session", "", nil); got.Status != http.StatusUnauthorized {
					t.Errorf("the session has not ended: %d", got.Status)
				}
				return
			}
			if got := g.Do(client, http.MethodGet, "/erpsync/session", "", nil); got.Status != http.StatusOK {
				t.Fatalf("the person is signed out: %d %s", got.Status, got.Body)
			}
			gatewaytest.WaitFor(t, func() bool { // after the back-off
				return g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header).Status == http.StatusOK
			})
		})
	}
}

func TestASessionWithoutARefreshTokenEndsWithItsAccessToken(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.RefreshToken = "withheld" })
	client, xsrf := g.SignIn("tove")
	header := http.Header{"X-Xsrf-Token": {xsrf}}
	if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	g.SO.Expire("access")
	for range 2 {
		if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header); got.Status != http.StatusUnauthorized || !strings.Contains(got.Body, "sign_in_again") {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
}

func TestARefreshTokenThatIsReplacedIsUsedNextTime(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.RefreshToken, s.RedirectURIAtRefresh = "rotated", "required" })
	client, xsrf := g.SignIn("tove")
	for range 3 {
		g.SO.Expire("access")
		if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusOK {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
}

func TestAPersonWithoutUPNIsTenantAndAssociateIDEverywhere(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.UPN = "absent" })
	one, xsrf := g.SignIn("tove")
	two, _ := g.SignIn("tove")
	other, _ := g.SignIn("per")
	if got := g.Do(one, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if principal, _ := g.Audited()["principal"].(string); !strings.HasPrefix(principal, "associate:") {
		t.Errorf("principal %q", principal)
	}
	if got := g.Do(one, http.MethodPost, "/erpsync/sign-out?everywhere=true", "", http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for client, want := range map[*http.Client]int{one: 401, two: 401, other: 200} { // they share no scope
		if got := g.Do(client, http.MethodGet, "/erpsync/session", "", nil); got.Status != want {
			t.Errorf("%d %s, want %d", got.Status, got.Body, want)
		}
	}
	client, _ := g.SignIn("tove")
	id := strings.TrimPrefix(g.Audited()["principal"].(string), "associate:")
	if err := g.Revoke(t.Context(), gateway.Revocation{Tenant: "Cust12345", User: "associate:" + id}); err != nil {
		t.Fatal(err)
	}
	if got := g.Do(client, http.MethodGet, "/erpsync/session", "", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("revoked by associate id: %d", got.Status)
	}
}

func TestWithoutAPIClaimsTheHostComesFromTheStateService(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.APIClaims, s.SystemAPIClaims = "absent", "absent" })
	client, xsrf := g.SignIn("tove")
	if got := g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusOK {
		t.Errorf("a person: %d %s", got.Status, got.Body)
	}
	if got := g.Resync(g.Service()); got.Status != http.StatusOK {
		t.Errorf("the system user: %d %s", got.Status, got.Body)
	}
}

func TestANonceIsNeededWithoutPKCEAndAWrongOneIsNeverTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		without, works bool
		pkce, nonce    string
	}{
		{false, true, "checked", "present"},
		{false, true, "required", "absent"},
		{false, false, "checked", "wrong"},
		{false, false, "refused", "present"},
		{true, true, "checked", "present"},
		{true, true, "refused", "present"},
		{true, false, "checked", "absent"},
		{true, false, "checked", "wrong"},
		{true, false, "required", "present"},
	} {
		g := gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) { config.Apps[0].WithoutPKCE = c.without }))
		g.SO.Switch(func(s *sandbox.Switches) { s.PKCE, s.Nonce = c.pkce, c.nonce })
		_, target := g.Begin("/erpsync/sign-in?tenant=Cust12345")
		u, err := url.Parse(target)
		if err != nil || u.Query().Has("code_challenge") == c.without || u.Query().Get("nonce") == "" {
			t.Errorf("%+v: %s", c, target)
		}
		got := g.SignInTo("tove", url.Values{"tenant": {"Cust12345"}})
		if (got.Body == gatewaytest.PassedOn) != c.works {
			t.Errorf("%+v: %d %s", c, got.Status, got.Body)
		}
	}
}

func TestAnAnswerThatNamesAnotherIssuerSignsNobodyIn(t *testing.T) {
	t.Parallel()
	for iss, works := range map[string]bool{"absent": true, "present": true, "wrong": false} {
		g := gatewaytest.New(t)
		g.SO.Switch(func(s *sandbox.Switches) { s.CallbackIss = iss })
		if got := g.SignInTo("tove", url.Values{"tenant": {"Cust12345"}}); (got.Body == gatewaytest.PassedOn) != works {
			t.Errorf("%s: %d %s", iss, got.Status, got.Body)
		}
	}
}

func TestSigningOutEverywhereEndsTheSessionsThatWereBegunWithoutUPNToo(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.UPN = "absent" })
	without, _ := g.SignIn("tove")
	g.SO.Switch(func(s *sandbox.Switches) { s.UPN = "present" })
	with, xsrf := g.SignIn("tove")
	if got := g.Do(with, http.MethodPost, "/erpsync/sign-out?everywhere=true", "", http.Header{"X-Xsrf-Token": {xsrf}}); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if got := g.Do(without, http.MethodGet, "/erpsync/session", "", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
