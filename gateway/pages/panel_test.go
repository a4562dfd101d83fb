package pages_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

var codeOf = regexp.MustCompile(`data-message="&#34;([0-9A-Z]+)&#34;"`)

func TestAPopUpHandsItsSessionToTheIframeThatMadeTheChallengeAndOnce(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Framed())
	code := func() string {
		page := g.PopUp("per")
		found := codeOf.FindStringSubmatch(page.Body)
		if page.Status != 200 || found == nil || strings.Contains(fmt.Sprint(page.Header["Set-Cookie"]), "__Host-erpsync-framed=") {
			t.Fatalf("%d %v %s", page.Status, page.Header, page.Body)
		}
		if !strings.Contains(page.Body, `data-origin="`+g.Site+`"`) || !strings.Contains(page.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("the page tells it to others: %s", page.Body)
		}
		return found[1]
	}
	user := g.SO.User("Cust12345", "per")
	handOver := func(code, verifier, uctx, usid string, header http.Header) gatewaytest.Answer {
		return g.Do(nil, http.MethodPost, "/erpsync/hand-over", fmt.Sprintf(`{"code":%q,"verifier":%q,"panel":{"uctx":%q,"usid":%q}}`, code, verifier, uctx, usid), header)
	}
	for name, got := range map[string]gatewaytest.Answer{
		"another verifier": handOver(code(), "guessed", "", "", nil),
		"no verifier":      handOver(code(), "", "", "", nil),
		"no code":          handOver("", gatewaytest.Verifier, "", "", nil),
		"another tenant":   handOver(code(), gatewaytest.Verifier, "Cust54321", "", nil),
		"another person":   handOver(code(), gatewaytest.Verifier, "Cust12345", "999", nil),
		"another site":     handOver(code(), gatewaytest.Verifier, "", "", http.Header{"Sec-Fetch-Site": {"cross-site"}}),
		"an unknown page":  handOver(code(), gatewaytest.Verifier, "", "", http.Header{"Origin": {"https://evil.example"}}),
	} {
		if got.Status != 403 || len(got.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v", name, got.Status, got.Header)
		}
	}
	one := code()
	first := handOver(one, gatewaytest.Verifier, "Cust12345", fmt.Sprint(user.AssociateID), http.Header{"Origin": {g.Site}, "Sec-Fetch-Site": {"same-origin"}})
	set := 0
	for _, cookie := range first.Header["Set-Cookie"] {
		if strings.Contains(cookie, "Max-Age=0") {
			continue
		}
		set++
		if !strings.Contains(cookie, "; Secure; SameSite=None; Partitioned") {
			t.Errorf("a panel's cookie is %s", cookie)
		}
	}
	if first.Status != 200 || !strings.Contains(first.Body, user.UPN) || set != 2 {
		t.Errorf("%d %v %s", first.Status, first.Header, first.Body)
	}
	if again := handOver(one, gatewaytest.Verifier, "", "", nil); again.Status != 403 {
		t.Errorf("the code a second time: %d %s", again.Status, again.Body)
	}
	for name, query := range map[string]string{"no digest": "panel=x&opener=" + g.Site, "a stranger's page": "panel=" + strings.Repeat("A", 43) + "&opener=https://evil.example", "no page": "panel=" + strings.Repeat("A", 43)} {
		if got := g.Do(nil, http.MethodGet, "/erpsync/sign-in?"+query, "", nil); got.Status != 400 {
			t.Errorf("sign-in with %s: %d", name, got.Status)
		}
	}
	plain := gatewaytest.New(t)
	for _, path := range []string{"/erpsync/panel.js", "/erpsync/hand-over"} {
		if got := plain.Do(nil, http.MethodGet, path, "", nil); got.Status != 404 {
			t.Errorf("%s without framed: %d", path, got.Status)
		}
	}
}

func TestATenantThatIsSuspendedIsRefusedForServicesAndAtSignIn(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Apps[0].Tenants = auth.Tenants{"Cust12345": {Suspended: true}} }))
	if page := g.SignInTo("per", url.Values{}); page.Status != 403 || !strings.Contains(page.Body, "have suspended it for Cust12345") {
		t.Errorf("sign-in: %d %s", page.Status, page.Body)
	}
	g.Refused(g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Authorization": {"SOTicket " + g.SO.Ticket("portal", "Cust12345", "per")}}), 403, "tenant_suspended")
}

func TestTheGatewaysOwnQuestionsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	followed := make(chan string, 10)
	g := gatewaytest.New(t, gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/stolen") {
			followed <- r.URL.Path
			return true
		}
		if strings.HasSuffix(r.URL.Path, "/Authenticate") || strings.HasSuffix(r.URL.Path, "/oauth/tokens") || strings.HasPrefix(r.URL.Path, "/api/state/") || strings.HasSuffix(r.URL.Path, "/currentPrincipal") {
			http.Redirect(w, r, "/stolen"+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	}))
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service())
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Authorization": {"SOTicket " + g.SO.Ticket("portal", "Cust12345", "per")}})
	g.SignInTo("per", url.Values{})
	select {
	case path := <-followed:
		t.Errorf("a credential went to %s", path)
	default:
	}
}

// TestThePanelScriptIsWhatItsTypesSay compares names: there is no TypeScript among the tests' tools.
func TestThePanelScriptIsWhatItsTypesSay(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("panel.js")
	if err != nil {
		t.Fatal(err)
	}
	types, err := os.ReadFile(filepath.Join("..", "..", "docs", "examples", "erpsync.d.ts"))
	if err != nil {
		t.Fatal(err)
	}
	names := func(text, from, to, name string) []string {
		t.Helper()
		_, rest, ok := strings.Cut(text, from)
		body, _, closed := strings.Cut(rest, to)
		if !ok || !closed {
			t.Fatalf("there is no %q", from)
		}
		var found []string
		for _, m := range regexp.MustCompile(name).FindAllStringSubmatch(body, -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return found
	}
	const member = `(?m)^\t(\w+)\??[:(]`
	for what, pair := range map[string][2][]string{
		"functions": {names(string(script), "window.erpsync = {", "}", `(\w+)`), names(string(types), "interface ErpSync {", "\n}", member)},
		"options":   {names(string(script), "async function call(operation, body, {", "}", `(\w+)`), names(string(types), "interface CallOptions {", "\n}", member)},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" || len(pair[0]) == 0 {
			t.Errorf("%s: %s", what, diff)
		}
	}
	for _, name := range names(string(types), "interface Result {", "\n}", member) {
		if _, result, _ := strings.Cut(string(script), "function result("); !regexp.MustCompile(`\b` + name + `(:|,|\s*\})`).MatchString(result) {
			t.Errorf("a result has no %s", name)
		}
	}
	outcomes := names(string(types), "type Outcome =", ";", `"(\w+)"`)
	for _, class := range outcome.Classes() {
		if !slices.Contains(outcomes, string(class)) {
			t.Errorf("the type Outcome lacks %s", class)
		}
	}
}
