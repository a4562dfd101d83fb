package erpsync

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var (
	attemptOf = regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`)
	codeOf    = regexp.MustCompile(`erpsync: "([0-9a-f]+)"`)
)

const verifier = "what only the iframe knows"

// popUp signs a person in in a panel's pop-up and gives the page that it ends in.
func (g *gateway) popUp(name string) answer {
	g.t.Helper()
	digest := sha256.Sum256([]byte(verifier))
	return g.signInTo(name, url.Values{"panel": {base64.RawURLEncoding.EncodeToString(digest[:])}, "opener": {g.site}})
}

// signInTo signs a person in as a browser would, to whatever end.
func (g *gateway) signInTo(name string, query url.Values) answer {
	g.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	query.Set("tenant", "Cust12345")
	form := g.do(client, http.MethodGet, "/erpsync/sign-in?"+query.Encode(), "", nil)
	found := attemptOf.FindStringSubmatch(form.body)
	if found == nil {
		g.t.Fatalf("no form: %d %s", form.status, form.body)
	}
	user := g.so.User("Cust12345", name)
	resp, err := client.PostForm(g.so.Base()+"/login/Cust12345/oauth/authorize", url.Values{"attempt": {found[1]}, "username": {user.UPN}, "password": {user.Password}, "action": {"sign-in"}})
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func TestAPopUpHandsItsSessionToTheIframeThatMadeTheChallengeAndOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.Replace(apps, "origins https://pages.example", "origins https://pages.example\n\t\tframed", 1))
	code := func() string {
		page := g.popUp("per")
		found := codeOf.FindStringSubmatch(page.body)
		if page.status != 200 || found == nil || strings.Contains(fmt.Sprint(page.header["Set-Cookie"]), "__Host-erpsync=") {
			t.Fatalf("%d %v %s", page.status, page.header, page.body)
		}
		if !strings.Contains(page.body, `postMessage({ erpsync: "`+found[1]+`" }, "`+g.site+`")`) || !strings.Contains(page.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("the page tells it to others: %s", page.body)
		}
		return found[1]
	}
	user := g.so.User("Cust12345", "per")
	handOver := func(code, verifier, uctx, usid string, header http.Header) answer {
		return g.do(nil, http.MethodPost, "/erpsync/hand-over", fmt.Sprintf(`{"code":%q,"verifier":%q,"panel":{"uctx":%q,"usid":%q}}`, code, verifier, uctx, usid), header)
	}
	for name, got := range map[string]answer{
		"another verifier": handOver(code(), "guessed", "", "", nil),
		"no verifier":      handOver(code(), "", "", "", nil),
		"no code":          handOver("", verifier, "", "", nil),
		"another tenant":   handOver(code(), verifier, "Cust54321", "", nil),
		"another person":   handOver(code(), verifier, "Cust12345", "999", nil),
		"another site":     handOver(code(), verifier, "", "", http.Header{"Sec-Fetch-Site": {"cross-site"}}),
		"an unknown page":  handOver(code(), verifier, "", "", http.Header{"Origin": {"https://evil.example"}}),
	} {
		if got.status != 403 || len(got.header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v", name, got.status, got.header)
		}
	}
	one := code()
	first := handOver(one, verifier, "Cust12345", fmt.Sprint(user.AssociateID), http.Header{"Origin": {g.site}, "Sec-Fetch-Site": {"same-origin"}})
	cookies := fmt.Sprint(first.header["Set-Cookie"])
	if first.status != 200 || !strings.Contains(first.body, user.UPN) || strings.Count(cookies, "Partitioned") != 2 || strings.Count(cookies, "SameSite=None") != 2 || strings.Count(cookies, "Secure") != 2 {
		t.Errorf("%d %v %s", first.status, first.header, first.body)
	}
	if again := handOver(one, verifier, "", "", nil); again.status != 403 {
		t.Errorf("the code a second time: %d %s", again.status, again.body)
	}
	for name, query := range map[string]string{"no digest": "panel=x&opener=" + g.site, "a stranger's page": "panel=" + strings.Repeat("A", 43) + "&opener=https://evil.example", "no page": "panel=" + strings.Repeat("A", 43)} {
		if got := g.do(nil, http.MethodGet, "/erpsync/sign-in?"+query, "", nil); got.status != 400 {
			t.Errorf("sign-in with %s: %d", name, got.status)
		}
	}
	plain := newGateway(t, apps)
	for _, path := range []string{"/erpsync/panel.js", "/erpsync/hand-over"} {
		if got := plain.do(nil, http.MethodGet, path, "", nil); got.status != 404 {
			t.Errorf("%s without framed: %d", path, got.status)
		}
	}
}

func TestATenantThatIsSuspendedIsRefusedForServicesAndAtSignIn(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.Replace(apps, "tenant Cust12345\n", "tenant Cust12345 {\n\t\t\tsuspended\n\t\t}\n", 1))
	if page := g.signInTo("per", url.Values{}); page.status != 403 || !strings.Contains(page.body, "tenant_suspended") {
		t.Errorf("sign-in: %d %s", page.status, page.body)
	}
	g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": {"SOTicket " + g.so.Ticket("portal", "Cust12345", "per")}}), 403, "tenant_suspended")
}

func TestTheGatewaysOwnQuestionsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	followed := make(chan string, 10)
	g := newGatewayWhere(t, apps, func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/stolen") {
			followed <- r.URL.Path
			return true
		}
		if strings.HasSuffix(r.URL.Path, "/Authenticate") || strings.HasSuffix(r.URL.Path, "/oauth/tokens") || strings.HasPrefix(r.URL.Path, "/api/state/") || strings.HasSuffix(r.URL.Path, "/currentPrincipal") {
			http.Redirect(w, r, "/stolen"+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": {"SOTicket " + g.so.Ticket("portal", "Cust12345", "per")}})
	g.signInTo("per", url.Values{})
	select {
	case path := <-followed:
		t.Errorf("a credential went to %s", path)
	default:
	}
}
