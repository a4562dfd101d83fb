package pages_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// isPage checks that a person got a page, with a way on and a reference, and that nothing of it is JSON.
func isPage(t *testing.T, name string, got gatewaytest.Answer, status int, title string, links ...string) {
	t.Helper()
	body := html.UnescapeString(got.Body)
	if got.Status != status || got.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(body, "<h1>"+title+"</h1>") {
		t.Errorf("%s: %d %s, want %d %q: %s", name, got.Status, got.Header.Get("Content-Type"), status, title, body)
		return
	}
	if strings.Contains(body, `"reason":`) && !strings.Contains(body, "data-message") || got.Header.Get("Cache-Control") != "no-store" || strings.Contains(got.Header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("%s: %v %s", name, got.Header, body)
	}
	id := got.Header.Get("ErpSync-Request-Id")
	if id == "" || !strings.Contains(body, "<span>") || !strings.Contains(body, `class="button"`) {
		t.Errorf("%s has no reference (%s) or no button: %s", name, id, body)
	}
	for _, link := range links {
		if !strings.Contains(body, `href="`+link+`"`) {
			t.Errorf("%s does not lead to %s: %s", name, link, body)
		}
	}
}

// isProblem checks that a program got a problem document.
func isProblem(t *testing.T, name string, got gatewaytest.Answer, status int, reason string) {
	t.Helper()
	var problem struct{ Reason, Instance string }
	if err := json.Unmarshal([]byte(got.Body), &problem); err != nil || got.Status != status || got.Header.Get("Content-Type") != "application/problem+json" || problem.Reason != reason ||
		problem.Instance == "" || problem.Instance != got.Header.Get("ErpSync-Request-Id") {
		t.Errorf("%s: %d %s, want %d %s", name, got.Status, got.Body, status, reason)
	}
}

var program = http.Header{"Accept": {"*/*"}, "Sec-Fetch-Dest": {"empty"}}

func TestAPersonWhoOpensAnAddressSeesAPageAndAProgramAProblem(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn())
	for path, want := range map[string]struct {
		status int
		title  string
		link   string
		reason string
	}{
		"/Cust12345/api/v1/Agents/ErpSync/ForceResync":     {405, "This address is for programs", "/", "method_not_allowed"},
		"/cust12345/api/v1/agents/erpsync":                 {400, "This address is for programs", "/", "path_not_canonical"},
		"/Cust12345/api/v1/Agents/ErpSync/%46orceResync":   {400, "This address is for programs", "/", "path_not_canonical"},
		"/erpsync/nothing":                                 {404, "There is no such page", "/", "path_not_canonical"},
		"/erpsync/":                                        {404, "There is no such page", "/", "path_not_canonical"},
		"/erpsync/sign-out":                                {405, "This address is for programs", "/", "method_not_allowed"},
		"/erpsync/session":                                 {401, "Please sign in", "/erpsync/sign-in?return=%2Ferpsync%2Fsession", "sign_in_again"},
		"/erpsync/callback":                                {403, "This sign-in was not started here", "/erpsync/sign-in", "credential_invalid"},
		"/erpsync/callback?state=approve-x":                {403, "This was not started here", "/erpsync/approve?app=erp", "credential_invalid"},
		"/erpsync/approval":                                {403, "This was not started here", "/erpsync/approve?app=erp", "credential_invalid"},
		"/erpsync/approve?app=nobody":                      {400, "This link is not complete", g.SO.Base(), "query_not_understood"},
		"/erpsync/sign-in?tenant=x":                        {400, "This link is not complete", "/erpsync/sign-in", "query_not_understood"},
		"/erpsync/sign-in?panel=x&opener=y":                {400, "This link is not complete", "/erpsync/sign-in", "query_not_understood"},
		"/erpsync/sign-in?return=https://evil.example/":    {400, "The link leads to another site", "/erpsync/sign-in", "query_not_understood"},
		"/erpsync/sign-in?tenant=Cust12345&return=//evil/": {400, "The link leads to another site", "/erpsync/sign-in?tenant=Cust12345", "query_not_understood"},
	} {
		person := g.Do(nil, http.MethodGet, path, "", gatewaytest.Person())
		isPage(t, path, person, want.status, want.title, want.link)
		if strings.Contains(person.Body, "evil") {
			t.Errorf("%s: the page shows what it refused: %s", path, person.Body)
		}
		isProblem(t, path, g.Do(nil, http.MethodGet, path, "", program), want.status, want.reason)
		isProblem(t, path, g.Do(nil, http.MethodGet, path, "", nil), want.status, want.reason)
	}
	form := gatewaytest.Person()
	form.Set("Content-Type", "application/x-www-form-urlencoded")
	isPage(t, "a form", g.Do(nil, http.MethodPost, gatewaytest.TenantPath, "a=b", form), 401, "Please sign in", "/erpsync/sign-in")
	if n := len(g.Sent()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}

func TestASignInInAFrameLeadsToAWindowOfItsOwn(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn())
	header := gatewaytest.Person()
	header.Set("Sec-Fetch-Dest", "iframe")
	for path, link := range map[string]string{
		"/erpsync/sign-in?tenant=Cust12345&return=/a": "/erpsync/sign-in?return=%2Fa&tenant=Cust12345",
		"/erpsync/approve?app=erp":                    "/erpsync/approve?app=erp",
	} {
		got := g.Do(nil, http.MethodGet, path, "", header)
		isPage(t, path, got, 403, "This needs a window of its own", link)
		if got.Header.Get("X-Frame-Options") != "" || !strings.Contains(got.Header.Get("Content-Security-Policy"), "frame-ancestors *") || len(got.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: cannot be seen in its frame, or sets cookies there: %v", path, got.Header)
		}
	}
	if got := g.Do(nil, http.MethodGet, "/erpsync/session", "", header); got.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("every other page may be framed: %v", got.Header)
	}
}

func TestEverySignInThatEndsWithoutASessionSaysWhyAndLeadsOn(t *testing.T) {
	t.Parallel()
	again := "/erpsync/sign-in?return=%2Fwanted&tenant=Cust12345"
	for name, c := range map[string]struct {
		said   url.Values // SuperID's answer in place of a code
		set    func(*sandbox.Switches)
		config func(*gateway.Config)
		status int
		title  string
		links  []string
		reason string
	}{
		"declined":                 {said: url.Values{"error": {"access_denied"}}, status: 403, title: "You did not sign in", links: []string{again}, reason: "credential_invalid"},
		"not approved":             {said: url.Values{"error": {"consent_required"}}, status: 403, title: "The app has not been approved", links: []string{again}, reason: "credential_invalid"},
		"approval revoked":         {said: url.Values{"error": {"access_denied"}, "error_description": {"Revoked"}}, status: 403, title: "The app has not been approved", links: []string{again}, reason: "credential_invalid"},
		"nobody signed in":         {said: url.Values{"error": {"login_required"}}, status: 403, title: "The sign-in failed", links: []string{again}, reason: "credential_invalid"},
		"the app is unknown":       {said: url.Values{"error": {"unauthorized_client"}}, status: 403, title: "This service is not set up correctly", links: []string{again}, reason: "credential_invalid"},
		"SuperID failed":           {said: url.Values{"error": {"server_error"}}, status: 503, title: "SuperOffice cannot be reached", links: []string{again}, reason: "proof_unavailable"},
		"something else":           {said: url.Values{"error": {"<b>never</b>"}}, status: 403, title: "The sign-in failed", links: []string{again}, reason: "credential_invalid"},
		"the token endpoint fails": {set: func(s *sandbox.Switches) { s.TokenError = "500" }, status: 503, title: "SuperOffice cannot be reached", links: []string{again}, reason: "proof_unavailable"},
		"a wrong secret":           {set: func(s *sandbox.Switches) { s.TokenError = "invalid_client" }, status: 403, title: "This service is not set up correctly", links: []string{again}, reason: "credential_invalid"},
		"a code that is spent":     {set: func(s *sandbox.Switches) { s.TokenError = "invalid_grant" }, status: 403, title: "The sign-in failed", links: []string{again}, reason: "credential_invalid"},
		"a tenant that is not named": {
			config: func(c *gateway.Config) { c.Apps[0].Tenants = auth.Tenants{"Cust54321": {}} }, status: 403, title: "Cust12345 has no access", links: []string{"/erpsync/sign-in?return=%2Fwanted"}, reason: "tenant_not_granted",
		},
		"a tenant that is suspended": {
			config: func(c *gateway.Config) { c.Apps[0].Tenants = auth.Tenants{"Cust12345": {Suspended: true}} }, status: 403, title: "Access is suspended", links: []string{"/erpsync/sign-in?return=%2Fwanted"}, reason: "tenant_suspended",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options []gatewaytest.Option
			if c.config != nil {
				options = append(options, gatewaytest.Configure(c.config))
			}
			g := gatewaytest.New(t, options...)
			for _, person := range []bool{true, false} {
				cookie, target := g.Begin("/erpsync/sign-in?tenant=Cust12345&return=/wanted")
				answer := c.said
				if answer == nil {
					answer = g.AnswerOf(target, "tove")
				} else {
					u, err := url.Parse(target)
					if err != nil {
						t.Fatal(err)
					}
					answer.Set("state", u.Query().Get("state"))
				}
				if c.set != nil {
					g.SO.Switch(c.set)
				}
				if person {
					got := g.Return(answer, cookie)
					isPage(t, name, got, c.status, c.title, c.links...)
					if strings.Contains(got.Body, "<b>") || strings.Contains(fmt.Sprint(got.Header["Set-Cookie"]), "XSRF") {
						t.Errorf("%v %s", got.Header, got.Body)
					}
				} else {
					isProblem(t, name, g.Do(nil, http.MethodGet, "/erpsync/callback?"+answer.Encode(), "", http.Header{"Cookie": {cookie}}), c.status, c.reason)
				}
				g.SO.Switch(func(s *sandbox.Switches) { s.TokenError = "none" })
			}
		})
	}
}

func TestAnAccountOfAnotherCompanyIsNamedAsSuch(t *testing.T) {
	t.Parallel()
	g := gatewaytest.NewIn(t, gatewaytest.NewSandboxBehind(t, func(_ http.ResponseWriter, r *http.Request) bool {
		r.URL.Path = strings.Replace(r.URL.Path, "/login/Cust54321/", "/login/Cust12345/", 1)
		return false
	}))
	cookie, target := g.Begin("/erpsync/sign-in?tenant=Cust54321&return=/wanted")
	isPage(t, "another tenant", g.Return(g.AnswerOf(target, "tove"), cookie), 403, "That account belongs to another company", "/erpsync/sign-in?return=%2Fwanted&tenant=Cust54321", g.SO.Base()+"/login/logout")
}

func TestASignInThatWasFinishedLeadsToWhereThePersonWantedOrToANewOne(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	cookie, target := g.Begin("/erpsync/sign-in?tenant=Cust12345&return=/wanted")
	answer := g.AnswerOf(target, "tove")
	first := g.Return(answer, cookie)
	if first.Status != http.StatusSeeOther || first.Header.Get("Location") != "/wanted" {
		t.Fatalf("%d %v", first.Status, first.Header)
	}
	session := cookieOf(first, gateway.SessionCookie)
	// The browser sent it twice and lost the first answer; then it has the session; then it has forgotten the attempt.
	isPage(t, "sent twice", g.Return(answer, cookie), 403, "This sign-in has already been used", "/erpsync/sign-in?return=%2Fwanted&tenant=Cust12345")
	isPage(t, "signed in", g.Return(answer, cookie, session), 403, "This sign-in has already been used", "/wanted")
	isPage(t, "gone back", g.Return(answer, session), 403, "This sign-in has already been used", "/")
	isPage(t, "gone back, signed out", g.Return(answer), 403, "This sign-in has already been used", "/erpsync/sign-in")
	isProblem(t, "a program", g.Do(nil, http.MethodGet, "/erpsync/callback?"+answer.Encode(), "", http.Header{"Cookie": {cookie}}), 403, "credential_invalid")
}

func TestASignInThatTookTooLongLeadsToWhereThePersonWanted(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	cookie, err := pages.New(g.Gateway, pages.Config{Prefix: pages.DefaultPrefix}).SealedReturn("portal", "/wanted", time.Now().Add(-time.Minute), "state")
	if err != nil {
		t.Fatal(err)
	}
	got := g.Return(url.Values{"code": {"x"}, "state": {"state"}}, cookie)
	isPage(t, "too long", got, 403, "The sign-in took too long", "/erpsync/sign-in?return=%2Fwanted")
	if set := got.Header["Set-Cookie"]; len(set) != 1 || !strings.Contains(set[0], "Max-Age=0") {
		t.Errorf("the attempt stays: %v", set)
	}
	begun := g.Do(nil, http.MethodGet, "/erpsync/sign-in", "", gatewaytest.Person()).Header.Get("Set-Cookie")
	if !strings.Contains(begun, "Max-Age=4200;") {
		t.Errorf("the browser forgets an attempt before it can be told that it is too late: %s", begun)
	}
}

func TestAPersonIsSentToThePageOfAListedOrigin(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	cookie, target := g.Begin("/erpsync/sign-in?tenant=Cust12345&return=" + url.QueryEscape("https://pages.example/start?a=b#c"))
	if got := g.Return(g.AnswerOf(target, "tove"), cookie); got.Status != http.StatusSeeOther || got.Header.Get("Location") != "https://pages.example/start?a=b#c" {
		t.Errorf("%d %v", got.Status, got.Header)
	}
}

// fullStore takes no session.
type fullStore struct{ session.Store }

func (fullStore) Add(context.Context, session.Place, session.Record, int) error {
	return errors.New("the store is full")
}

func TestAStoreThatTakesNoSessionIsToldAndLeadsToAnotherAttempt(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		(*s).Sessions = fullStore{(*s).Sessions}
	})
	cookie, target := g.Begin("/erpsync/sign-in?tenant=Cust12345&return=/wanted")
	isPage(t, "the store is full", g.Return(g.AnswerOf(target, "tove"), cookie), 503, "This is not available at the moment", "/erpsync/sign-in?return=%2Fwanted&tenant=Cust12345")
}

func TestThePageOfASessionIsForPeopleAndItsTokenForPrograms(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	client, xsrf := g.SignIn("tove")
	person := g.Do(client, http.MethodGet, "/erpsync/session", "", gatewaytest.Person())
	isPage(t, "session", person, 200, "You are signed in", "/")
	if !strings.Contains(html.UnescapeString(person.Body), g.SO.User("Cust12345", "tove").UPN) || strings.Contains(person.Body, xsrf) {
		t.Error(person.Body)
	}
	if got := g.Do(client, http.MethodGet, "/erpsync/session", "", program); got.Status != 200 || !strings.Contains(got.Body, xsrf) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

var messageOf = regexp.MustCompile(`data-message="([^"]*)" data-origin="([^"]*)"`)

func TestAPanelsPopUpTellsItsOpenerWhyNobodySignedIn(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Framed(), gatewaytest.Configure(func(c *gateway.Config) { c.Apps[0].Tenants = auth.Tenants{"Cust12345": {Suspended: true}} }))
	begin := "/erpsync/sign-in?tenant=Cust12345&panel=" + strings.Repeat("A", 43) + "&opener=" + url.QueryEscape("https://pages.example")
	cookie, target := g.Begin(begin)
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	state := u.Query().Get("state")
	told := func(got gatewaytest.Answer) (message map[string]any) {
		t.Helper()
		found := messageOf.FindStringSubmatch(got.Body)
		if found == nil || found[2] != "https://pages.example" {
			t.Fatalf("the opener is not told: %d %s", got.Status, got.Body)
		}
		if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &message); err != nil {
			t.Fatal(err)
		}
		return message
	}
	declined := g.Return(url.Values{"error": {"access_denied"}, "state": {state}}, cookie)
	if m := told(declined); m["ending"] != "sign_in_declined" || m["reason"] != "credential_invalid" || m["status"] != 403.0 || m["title"] != "You did not sign in" || m["detail"] == "" {
		t.Errorf("declined: %v", m)
	}
	if m := told(g.Return(url.Values{"error": {"access_denied"}, "state": {state}}, cookie)); m["ending"] != "sign_in_answered" {
		t.Errorf("answered twice: %v", m)
	}
	cookie, target = g.Begin(begin)
	if m := told(g.Return(g.AnswerOf(target, "tove"), cookie)); m["ending"] != "tenant_suspended" || m["reason"] != "tenant_suspended" {
		t.Errorf("suspended: %v", m)
	}
	if got := g.Return(url.Values{"error": {"access_denied"}, "state": {"another"}}, cookie); messageOf.MatchString(got.Body) {
		t.Errorf("somebody is told of an attempt that is nobody's: %s", got.Body)
	}
}

func TestEveryAnswerOfTheEndpointsHasARequestID(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Framed(), gatewaytest.ApprovalsAndSignIn())
	for _, path := range []string{"sign-in", "callback", "session", "sign-out", "hand-over", "panel.js", "approve", "approval", "live", "ready", "nothing"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut} {
			for _, header := range []http.Header{nil, gatewaytest.Person(), {"Origin": {"https://pages.example"}, "Access-Control-Request-Method": {"POST"}}} {
				if got := g.Do(nil, method, "/erpsync/"+path, "", header); got.Header.Get("ErpSync-Request-Id") == "" {
					t.Errorf("%s %s: %d without a request id", method, path, got.Status)
				}
			}
		}
	}
	for _, header := range []http.Header{nil, gatewaytest.Person()} {
		if got := g.Do(nil, http.MethodGet, gatewaytest.TenantPath, "", header); got.Header.Get("ErpSync-Request-Id") == "" {
			t.Errorf("a call: %d without a request id", got.Status)
		}
	}
}

// cookieOf returns the cookie that an answer set, as a browser sends it.
func cookieOf(got gatewaytest.Answer, name string) string {
	for _, line := range got.Header["Set-Cookie"] {
		if strings.HasPrefix(line, name+"=") && !strings.Contains(line, "Max-Age=0") {
			cookie, _, _ := strings.Cut(line, ";")
			return cookie
		}
	}
	return ""
}
