package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func TestAnAnswerWithAnotherStateEndsNoApproval(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	cookie, target := g.Begin("/erpsync/approve?app=erp&tenant=Cust12345")
	said := g.AnswerOf(target, "tove")
	right := said.Get("state")
	for _, wrong := range []string{"wrong", "", right + "x"} {
		said.Set("state", wrong)
		got := g.Return(said, cookie)
		if got.Status != http.StatusForbidden || !strings.Contains(got.Body, "This was not started here") || got.Header.Get("Set-Cookie") != "" {
			t.Errorf("state %q: %d %v %s", wrong, got.Status, got.Header["Set-Cookie"], got.Body)
		}
	}
	if _, there, err := g.App("erp").Registry.Tokens.Fresh(t.Context(), "Cust12345"); there || err != nil {
		t.Errorf("kept: %v, %v", there, err)
	}
	said.Set("state", right)
	if got := g.Return(said, cookie); got.Status != http.StatusSeeOther || got.Header.Get("Location") != "/erpsync/approval" || !strings.Contains(strings.Join(got.Header["Set-Cookie"], " "), "__Host-erpsync-approve-") {
		t.Errorf("the right one: %d %v", got.Status, got.Header)
	}
	if _, there, err := g.App("erp").Registry.Tokens.Fresh(t.Context(), "Cust12345"); !there || err != nil {
		t.Errorf("not kept: %v, %v", there, err)
	}
}

func TestASignInBegunInAnotherTabEndsNoApproval(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn())
	approving, target := g.Begin("/erpsync/approve?app=erp&tenant=Cust12345")
	signing, signInTarget := g.Begin("/erpsync/sign-in?tenant=Cust12345")
	name := func(cookie string) string { before, _, _ := strings.Cut(cookie, "="); return before }
	if name(approving) == name(signing) {
		t.Fatal("the later one takes the earlier one's cookie away")
	}
	if got := g.Return(g.AnswerOf(signInTarget, "tove"), approving, signing); got.Status != http.StatusSeeOther || strings.Contains(strings.Join(got.Header["Set-Cookie"], " "), "__Host-erpsync-approve-") {
		t.Errorf("the sign-in: %d %v", got.Status, got.Header)
	}
	if got := g.Return(g.AnswerOf(target, "tove"), approving, signing); got.Status != http.StatusSeeOther || got.Header.Get("Location") != "/erpsync/approval" {
		t.Errorf("the approval: %d %v", got.Status, got.Header)
	}
	if _, there, err := g.App("erp").Registry.Tokens.Fresh(t.Context(), "Cust12345"); !there || err != nil {
		t.Errorf("not kept: %v, %v", there, err)
	}
}

func TestALinkForAnAppThatCallsAsItsUsersIsNoLink(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn())
	if got := g.Do(nil, http.MethodGet, "/erpsync/approve?app=portal&tenant=Cust12345", "", gatewaytest.Person()); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "This link is not complete") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestAnAttemptThatCanNotBeAnsweredAnyMoreEndsOnAPage(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn())
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		app      string
		approval bool
		until    time.Time
		says     string
	}{
		"an app that takes no approvals": {"portal", true, later, "not started here"},
		"an app that is gone":            {"gone", true, later, "not started here"},
		"an app that is not browser's":   {"erp", false, later, "not started here"},
		"an approval that is too old":    {"erp", true, time.Now().Add(-time.Second), "The approval took too long"},
		"a sign-in that is too old":      {"portal", false, time.Now().Add(-time.Second), "The sign-in took too long"},
	} {
		cookie, err := pages.New(g.Gateway, pages.Config{Prefix: pages.DefaultPrefix}).SealedLoginState(c.app, c.approval, c.until, "state", g.Site+"/erpsync/callback")
		if err != nil {
			t.Fatal(err)
		}
		got := g.Return(url.Values{"code": {"x"}, "state": {"state"}}, cookie)
		if got.Status != http.StatusForbidden || !strings.Contains(got.Body, c.says) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}
