package pages_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestASystemTokenThatComesAtAnAdministratorsSignInIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		person       string
		approvalOnly bool
		kept         bool
	}{
		"an administrator":                           {"tove", false, true},
		"where it comes with an approval alone":      {"tove", true, false},
		"somebody who is no administrator of theirs": {"per", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn(), gatewaytest.Configure(func(config *gateway.Config) { config.Sessions.App = "erp" }))
			g.SO.Switch(func(s *sandbox.Switches) { s.TokenOnApprovalOnly = c.approvalOnly })
			if got := g.SignInTo(c.person, url.Values{}); got.Body != gatewaytest.PassedOn {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			kept, found, err := g.App("erp").Registry.Tokens.Get(t.Context(), "Cust12345")
			if found != c.kept || err != nil {
				t.Fatalf("kept: %t, %v", found, err)
			}
			if found && kept.By != g.SO.User("Cust12345", "tove").UPN {
				t.Errorf("by %q", kept.By)
			}
			if found && g.Resync(g.Service()).Status != http.StatusOK {
				t.Error("it is not in force")
			}
		})
	}
}

func TestSignOutLeadsOnToWhereTheOperatorSaid(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{"": "", "https://pages.example/bye?x=1": "https://pages.example/bye?x=1"} {
		g := gatewaytest.New(t, gatewaytest.SignedOut(next))
		client, xsrf := g.SignIn("tove")
		got := g.Do(client, http.MethodPost, "/erpsync/sign-out", "", http.Header{"X-Xsrf-Token": {xsrf}})
		var answer struct {
			SignOut string `json:"sign_out"`
		}
		if err := json.Unmarshal([]byte(got.Body), &answer); err != nil {
			t.Fatal(err)
		}
		target, err := url.Parse(answer.SignOut)
		if err != nil || !strings.HasSuffix(target.Path, "/login/logout") || target.Query().Get("post_logout_redirect_uri") != want || (target.Query().Get("client_id") != "") != (want != "") || target.Query().Has("id_token_hint") {
			t.Errorf("%s", answer.SignOut)
		}
	}
}
