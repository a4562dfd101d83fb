package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

var attemptField = regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`)

// SignIn signs a person of the sandbox in at a gateway, as a browser would, and
// gives the client with its cookies and the XSRF token.
func SignIn(ctx context.Context, site string, so *sandbox.Sandbox, tenant, name string) (*http.Client, string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, "", err
	}
	client := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	at, err := url.Parse(site)
	if err != nil {
		return nil, "", err
	}
	form, err := fetch(ctx, client, http.MethodGet, site+"/erpsync/sign-in?return="+at.Path+"/erpsync/session&tenant="+tenant, nil)
	if err != nil {
		return nil, "", err
	}
	found := attemptField.FindSubmatch(form)
	if found == nil {
		return nil, "", fmt.Errorf("no sign-in form in: %.200s", form)
	}
	user := so.User(tenant, name)
	answer, err := fetch(ctx, client, http.MethodPost, so.Base()+"/login/"+tenant+"/oauth/authorize", url.Values{
		"attempt": {string(found[1])}, "username": {user.UPN}, "password": {user.Password}, "action": {"sign-in"},
	})
	if err != nil {
		return nil, "", err
	}
	var signedIn struct{ XSRF string }
	if err := json.Unmarshal(answer, &signedIn); err != nil || signedIn.XSRF == "" {
		return nil, "", fmt.Errorf("no session after the sign-in: %.200s", answer)
	}
	return client, signedIn.XSRF, nil
}

// Approve follows the link that a customer's administrator gets, as a browser would, signs in as name,
// approves if SuperID asks, and gives the page that it ends on.
func Approve(ctx context.Context, site string, so *sandbox.Sandbox, app, tenant, name string) (status int, page string, err error) {
	return ApproveAs(ctx, site+"/erpsync/approve?"+url.Values{"app": {app}, "tenant": {tenant}}.Encode(), so, tenant, name)
}

// ApproveAs is Approve for any link.
func ApproveAs(ctx context.Context, link string, so *sandbox.Sandbox, tenant, name string) (status int, page string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	status, body, err := visit(ctx, client, http.MethodGet, link, nil, acceptPage)
	user := so.User(tenant, name)
	for _, action := range []string{"sign-in", "approve"} {
		found := attemptField.FindSubmatch(body)
		if err != nil || found == nil {
			break
		}
		status, body, err = visit(ctx, client, http.MethodPost, so.Base()+"/login/"+tenant+"/oauth/authorize", url.Values{
			"attempt": {string(found[1])}, "username": {user.UPN}, "password": {user.Password}, "action": {action},
		}, acceptPage)
	}
	return status, string(body), err
}

func fetch(ctx context.Context, client *http.Client, method, target string, form url.Values) ([]byte, error) {
	_, body, err := visit(ctx, client, method, target, form, "")
	return body, err
}

// acceptPage is what a browser accepts when a person goes somewhere.
const acceptPage = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func visit(ctx context.Context, client *http.Client, method, target string, form url.Values, accept string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
