package erpsync

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

var asPerson = http.Header{"Accept": {"text/html"}}

// begun begins a visit to SuperID: the cookie that the browser got, and where it was sent.
func (g *gateway) begun(path string) (cookie, target string) {
	g.t.Helper()
	got := g.do(nil, http.MethodGet, path, "", nil)
	if got.status != http.StatusSeeOther {
		g.t.Fatalf("%s: %d %s", path, got.status, got.body)
	}
	cookie, _, _ = strings.Cut(got.header.Get("Set-Cookie"), ";")
	return cookie, got.header.Get("Location")
}

var attemptInForm = regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`)

// answered signs a person in at SuperID, approves where it asks, and gives what it answers to the callback.
func (g *gateway) answered(target, name string) url.Values {
	g.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(target)
	for _, action := range []string{"sign-in", "approve"} {
		if err != nil {
			g.t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		found := attemptInForm.FindSubmatch(raw)
		if found == nil {
			break
		}
		user := g.so.User("Cust12345", name)
		resp, err = client.PostForm(target, url.Values{"attempt": {string(found[1])}, "username": {user.UPN}, "password": {user.Password}, "action": {action}})
	}
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	answer := mustParse(g.t, resp.Header.Get("Location")).Query()
	if answer.Get("code") == "" {
		g.t.Fatalf("no code: %d %v", resp.StatusCode, answer)
	}
	return answer
}

// back brings SuperID's answer to the gateway with those cookies.
func (g *gateway) back(answer url.Values, cookies ...string) answer {
	g.t.Helper()
	return g.do(nil, http.MethodGet, "/erpsync/callback?"+answer.Encode(), "", http.Header{"Accept": {"text/html"}, "Cookie": {strings.Join(cookies, "; ")}})
}

const both = approvals + `
	app portal {
		client_id {file.{dir}/portal.client_id}
		client_secret {file.{dir}/portal.client_secret}
		agents ErpSync
		tenant Cust12345
	}
	browser {
		app portal
	}`

func TestAnAnswerWithAnotherStateEndsNoApproval(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	cookie, target := g.begun("/erpsync/approve?app=erp&tenant=Cust12345")
	said := g.answered(target, "tove")
	right := said.Get("state")
	for _, wrong := range []string{"wrong", "", right + "x"} {
		said.Set("state", wrong)
		got := g.back(said, cookie)
		if got.status != http.StatusForbidden || !strings.Contains(got.body, "Too late, or in another browser") || got.header.Get("Set-Cookie") != "" {
			t.Errorf("state %q: %d %v %s", wrong, got.status, got.header["Set-Cookie"], got.body)
		}
	}
	if _, there, err := g.h.apps["erp"].registry.kept.Fresh(t.Context(), "Cust12345"); there || err != nil {
		t.Errorf("kept: %v, %v", there, err)
	}
	said.Set("state", right)
	if got := g.back(said, cookie); got.status != http.StatusSeeOther || got.header.Get("Location") != "/erpsync/approval" || !strings.Contains(strings.Join(got.header["Set-Cookie"], " "), approvalAttemptCookie+"=;") {
		t.Errorf("the right one: %d %v", got.status, got.header)
	}
	if _, there, err := g.h.apps["erp"].registry.kept.Fresh(t.Context(), "Cust12345"); !there || err != nil {
		t.Errorf("not kept: %v, %v", there, err)
	}
}

func TestASignInBegunInAnotherTabEndsNoApproval(t *testing.T) {
	t.Parallel()
	g := newGateway(t, both)
	approving, target := g.begun("/erpsync/approve?app=erp&tenant=Cust12345")
	signing, signInTarget := g.begun("/erpsync/sign-in?tenant=Cust12345")
	name := func(cookie string) string { before, _, _ := strings.Cut(cookie, "="); return before }
	if name(approving) == name(signing) {
		t.Fatal("the later one takes the earlier one's cookie away")
	}
	if got := g.back(g.answered(signInTarget, "tove"), approving, signing); got.status != http.StatusSeeOther || strings.Contains(strings.Join(got.header["Set-Cookie"], " "), approvalAttemptCookie) {
		t.Errorf("the sign-in: %d %v", got.status, got.header)
	}
	if got := g.back(g.answered(target, "tove"), approving, signing); got.status != http.StatusSeeOther || got.header.Get("Location") != "/erpsync/approval" {
		t.Errorf("the approval: %d %v", got.status, got.header)
	}
	if _, there, err := g.h.apps["erp"].registry.kept.Fresh(t.Context(), "Cust12345"); !there || err != nil {
		t.Errorf("not kept: %v, %v", there, err)
	}
}

func TestAnAttemptThatCanNotBeAnsweredAnyMoreEndsOnAPage(t *testing.T) {
	t.Parallel()
	g := newGateway(t, both)
	for name, a := range map[string]attempt{
		"an app that takes no approvals": {App: "portal", Approval: true},
		"an app that is gone":            {App: "gone", Approval: true},
		"an app that is not browser's":   {App: "erp"},
		"an approval that is too old":    {App: "erp", Approval: true, Until: time.Now().Add(-time.Second)},
		"a sign-in that is too old":      {App: "portal", Until: time.Now().Add(-time.Second)},
	} {
		a.State, a.Redirect = "state", g.site+"/erpsync/callback"
		if a.Until.IsZero() {
			a.Until = time.Now().Add(time.Hour)
		}
		plain, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		cookie := a.cookie() + "=" + g.h.ring.Seal(attemptPurpose, []string{g.h.environment.Base()}, plain)
		got := g.back(url.Values{"code": {"x"}, "state": {"state"}}, cookie)
		if got.status != http.StatusForbidden || !strings.Contains(got.body, "Too late, or in another browser") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestALinkForAnAppThatCallsAsItsUsersIsNoLink(t *testing.T) {
	t.Parallel()
	g := newGateway(t, both)
	if got := g.do(nil, http.MethodGet, "/erpsync/approve?app=portal&tenant=Cust12345", "", asPerson); got.status != http.StatusBadRequest || !strings.Contains(got.body, "This link is not complete") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
