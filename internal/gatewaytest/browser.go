package gatewaytest

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
)

// attemptInForm is the attempt that the sandbox's sign-in form is for.
var attemptInForm = regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`)

// Accept is what a browser accepts when a person goes somewhere.
const Accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// Person returns the headers of a person's browser that goes somewhere with those cookies.
func Person(cookies ...string) http.Header {
	header := http.Header{"Accept": {Accept}, "Sec-Fetch-Dest": {"document"}}
	if len(cookies) > 0 {
		header.Set("Cookie", strings.Join(cookies, "; "))
	}
	return header
}

// Verifier is what only the iframe of a web panel knows.
const Verifier = "what only the iframe knows"

// Approve has a person of the tenant follow the link to approve an app, and returns the page that they end on.
func (f *Fixture) Approve(app, tenant, name string) (status int, page string) {
	f.t.Helper()
	status, page, err := demo.Approve(f.t.Context(), f.Site, f.SO, app, tenant, name)
	if err != nil {
		f.t.Fatal(err)
	}
	return status, page
}

// Begin begins a visit to SuperID: the cookie that the browser got, and where it was sent.
func (f *Fixture) Begin(path string) (cookie, target string) {
	f.t.Helper()
	got := f.Do(nil, http.MethodGet, path, "", nil)
	if got.Status != http.StatusSeeOther {
		f.t.Fatalf("%s: %d %s", path, got.Status, got.Body)
	}
	cookie, _, _ = strings.Cut(got.Header.Get("Set-Cookie"), ";")
	return cookie, got.Header.Get("Location")
}

// AnswerOf signs a person in at SuperID, approves where it asks, and returns what SuperID answers to the callback.
func (f *Fixture) AnswerOf(target, name string) url.Values {
	f.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(target)
	for _, action := range []string{"sign-in", "approve"} {
		if err != nil {
			f.t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		found := attemptInForm.FindSubmatch(raw)
		if found == nil {
			break
		}
		user := f.SO.User("Cust12345", name)
		resp, err = client.PostForm(target, url.Values{"attempt": {string(found[1])}, "username": {user.UPN}, "password": {user.Password}, "action": {action}})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	resp.Body.Close()
	location, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		f.t.Fatalf("no code: %d %v", resp.StatusCode, location)
	}
	return location.Query()
}

// Return brings SuperID's answer to the gateway with those cookies, as a person's browser does.
func (f *Fixture) Return(answer url.Values, cookies ...string) Answer {
	f.t.Helper()
	return f.Do(nil, http.MethodGet, "/erpsync/callback?"+answer.Encode(), "", Person(cookies...))
}

// PopUp signs a person in in a panel's pop-up and returns the page that it ends on.
func (f *Fixture) PopUp(name string) Answer {
	f.t.Helper()
	digest := sha256.Sum256([]byte(Verifier))
	return f.SignInTo(name, url.Values{"panel": {base64.RawURLEncoding.EncodeToString(digest[:])}, "opener": {f.Site}})
}

// SignInTo signs a person in as a browser would, to whatever end.
func (f *Fixture) SignInTo(name string, query url.Values) Answer {
	f.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	query.Set("tenant", "Cust12345")
	form := f.Do(client, http.MethodGet, "/erpsync/sign-in?"+query.Encode(), "", Person())
	found := attemptInForm.FindStringSubmatch(form.Body)
	if found == nil { // it ended before anybody was asked
		return form
	}
	user := f.SO.User("Cust12345", name)
	answer := url.Values{"attempt": {found[1]}, "username": {user.UPN}, "password": {user.Password}, "action": {"sign-in"}}
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.SO.Base()+"/login/Cust12345/oauth/authorize", strings.NewReader(answer.Encode()))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header = Person()
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(body)}
}
