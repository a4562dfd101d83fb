package e2e

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// oidcProvider is a certified OpenID provider (oidc-provider) in SuperID's place, and a gateway before it.
type oidcProvider struct {
	*gatewaytest.Fixture
	t        *testing.T
	settings map[string]any
	stop     func()
	accepts  string // the access token that SuperOffice takes; "": every one
}

func signingKey(t *testing.T, kid string) map[string]string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key.Precompute()
	encode := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": encode(key.N), "e": encode(big.NewInt(int64(key.E))), "d": encode(key.D),
		"p": encode(key.Primes[0]), "q": encode(key.Primes[1]), "dp": encode(key.Precomputed.Dp), "dq": encode(key.Precomputed.Dq), "qi": encode(key.Precomputed.Qinv),
	}
}

func newOIDCProvider(t *testing.T, change func(settings map[string]any, app *gateway.AppConfig)) *oidcProvider {
	t.Helper()
	needPackages(t)
	port := testport.Take(t)
	issuer := fmt.Sprintf("http://127.0.0.1:%d", port)
	environment, err := superoffice.NewEnvironment(issuer)
	if err != nil {
		t.Fatal(err)
	}
	p := &oidcProvider{t: t, settings: map[string]any{
		"issuer": issuer, "port": port, "secret": rand.Text(), "cookieKey": rand.Text(), "keys": []any{signingKey(t, "one")},
		"grants": []string{"authorization_code", "refresh_token"}, "pkce": true, "rotate": false, "refresh": true,
	}}
	p.Fixture = gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Environment = environment
		c.Apps[0].ClientID, c.Apps[0].ClientSecret = "app", gatewaytest.Secret(p.settings["secret"].(string))
		change(p.settings, &c.Apps[0])
	}), gatewaytest.SignedOut("https://pages.example/bye"), gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case strings.Contains(r.URL.Path, "/api/state/"):
			fmt.Fprintf(w, `{"ContextIdentifier":"Cust12345","Endpoint":%q,"State":"Running","IsRunning":true,"ValidUntil":"2099-01-01T00:00:00Z","Api":%q}`, issuer+"/Cust12345", issuer+"/Cust12345/api")
		case !strings.Contains(r.URL.Path, "/Agents/"):
			return false
		case !strings.HasPrefix(bearer, "8A:Cust12345."), p.accepts == "none", p.accepts != "" && strings.HasPrefix(p.accepts, "not ") && p.accepts == "not "+bearer:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Bearer", bearer)
			_, _ = io.WriteString(w, `{"IsOk":true,"Status":"Ok","ErrorCode":"`+bearer+`"}`)
		}
		return true
	}))
	p.settings["redirects"] = []string{p.Site + "/erpsync/callback"}
	p.start()
	return p
}

// start runs the provider with the settings of now. What it knew of people is lost.
func (p *oidcProvider) start() {
	p.t.Helper()
	if p.stop != nil {
		p.stop()
	}
	raw, err := json.Marshal(p.settings)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), "node", "oidcprovider.mjs")
	cmd.Env = append(os.Environ(), "SETTINGS="+string(raw), "NODE_ENV=test")
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	listening := false
	for !listening && lines.Scan() {
		listening = lines.Text() == "listening"
	}
	if !listening {
		p.t.Fatalf("the provider does not start: %s", errs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	p.stop = func() {
		in.Close()
		_ = cmd.Wait()
	}
	p.t.Cleanup(func() { in.Close() })
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

// signIn signs a person in and returns the answer of the callback.
func (p *oidcProvider) signIn() gatewaytest.Answer {
	p.t.Helper()
	cookie, target := p.Begin("/erpsync/sign-in")
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	var back *url.URL
	client := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), p.Site) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := client.Get(target)
	for _, prompt := range []string{"login", "consent", ""} {
		if err != nil {
			p.t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if back != nil {
			break
		}
		found := formAction.FindSubmatch(raw)
		if found == nil {
			p.t.Fatalf("no form: %d %s", resp.StatusCode, raw)
		}
		action, parseErr := resp.Request.URL.Parse(string(found[1]))
		if parseErr != nil {
			p.t.Fatal(parseErr)
		}
		resp, err = client.PostForm(action.String(), url.Values{"prompt": {prompt}, "login": {"tove"}, "password": {"x"}})
	}
	if back == nil {
		p.t.Fatal("the provider leads nowhere")
	}
	return p.Return(back.Query(), cookie)
}

// person is a browser's headers once somebody has signed in.
func (p *oidcProvider) person() http.Header {
	p.t.Helper()
	got := p.signIn()
	header := http.Header{}
	for _, line := range got.Header["Set-Cookie"] {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			p.t.Fatal(err)
		}
		if cookie.Value == "" {
			continue
		}
		switch cookie.Name {
		case "__Host-erpsync":
			header.Set("Cookie", cookie.Name+"="+cookie.Value)
		case "XSRF-TOKEN":
			header.Set("X-Xsrf-Token", cookie.Value)
		}
	}
	if got.Status != http.StatusSeeOther || header.Get("Cookie") == "" {
		p.t.Fatalf("nobody is signed in: %d %v %s", got.Status, got.Header, got.Body)
	}
	return header
}

// call calls and returns the status and the token that SuperOffice took.
func (p *oidcProvider) call(header http.Header) (status int, bearer string) {
	p.t.Helper()
	got := p.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, header)
	var answer struct{ ErrorCode string }
	_ = json.Unmarshal([]byte(got.Body), &answer)
	return got.Status, answer.ErrorCode
}

func TestACertifiedProviderSignsPeopleInRefreshesAndSignsOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ pkceOff, rotate bool }{"PKCE": {}, "PKCE off": {pkceOff: true}, "rotation": {rotate: true}} {
		t.Run(name, func(t *testing.T) {
			p := newOIDCProvider(t, func(settings map[string]any, app *gateway.AppConfig) {
				settings["pkce"], settings["rotate"], app.WithoutPKCE = !c.pkceOff, c.rotate, c.pkceOff
			})
			person := p.person()
			status, first := p.call(person)
			if status != http.StatusOK || first == "" {
				t.Fatalf("%d %q", status, first)
			}
			last := first
			for range 3 { // each time SuperOffice refuses the token, which is refreshed then
				p.accepts = "not " + last
				status, next := p.call(person)
				if status != http.StatusOK || next == last {
					t.Fatalf("a refresh: %d, the same token: %t", status, next == last)
				}
				last = next
			}
			got := p.Do(nil, http.MethodPost, "/erpsync/sign-out", "", person)
			var out struct {
				SignOut string `json:"sign_out"`
			}
			if err := json.Unmarshal([]byte(got.Body), &out); err != nil || got.Status != http.StatusOK {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			resp, err := http.Get(out.SignOut)
			if err != nil {
				t.Fatal(err)
			}
			page, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "/login/logout/confirm") {
				t.Errorf("the provider does not take the address to sign out at: %d %s", resp.StatusCode, page)
			}
			if got := p.Do(nil, http.MethodGet, "/erpsync/session", "", person); got.Status != http.StatusUnauthorized {
				t.Errorf("after sign-out: %d", got.Status)
			}
			if lines := p.Logs.FilterMessageSnippet("not revoked").Len(); lines != 0 {
				t.Error("the refresh token was not revoked")
			}
		})
	}
}

func TestACertifiedProvidersErrorsEndASessionOnlyWhereTheyAreMeantSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(settings map[string]any)
		status int
		reason string
	}{
		"invalid_grant: it has forgotten the token": {func(map[string]any) {}, http.StatusUnauthorized, "sign_in_again"},
		"invalid_client: another secret":            {func(s map[string]any) { s["secret"] = rand.Text() }, http.StatusServiceUnavailable, "credential_unavailable"},
		"unauthorized_client: no refresh":           {func(s map[string]any) { s["grants"] = []string{"authorization_code"} }, http.StatusServiceUnavailable, "credential_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOIDCProvider(t, func(map[string]any, *gateway.AppConfig) {})
			person := p.person()
			_, first := p.call(person)
			p.accepts = "not " + first
			c.change(p.settings)
			p.start()
			got := p.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, person)
			if got.Status != c.status || !strings.Contains(got.Body, `"`+c.reason+`"`) {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			session := p.Do(nil, http.MethodGet, "/erpsync/session", "", person).Status
			if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[c.reason == "credential_unavailable"]; session != want {
				t.Errorf("the session: %d, want %d", session, want)
			}
		})
	}
	t.Run("no refresh token", func(t *testing.T) {
		p := newOIDCProvider(t, func(settings map[string]any, _ *gateway.AppConfig) { settings["refresh"] = false })
		person := p.person()
		if status, _ := p.call(person); status != http.StatusOK {
			t.Fatalf("%d", status)
		}
		p.accepts = "none"
		if status, _ := p.call(person); status != http.StatusUnauthorized {
			t.Errorf("%d", status)
		}
	})
	t.Run("a code that is not its own", func(t *testing.T) {
		p := newOIDCProvider(t, func(map[string]any, *gateway.AppConfig) {})
		cookie, target := p.Begin("/erpsync/sign-in")
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Return(url.Values{"code": {"x"}, "state": {u.Query().Get("state")}}, cookie); got.Status != http.StatusForbidden {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
}

func TestACertifiedProvidersNewKeyIsTakenWithinTenSeconds(t *testing.T) {
	t.Parallel()
	p := newOIDCProvider(t, func(map[string]any, *gateway.AppConfig) {})
	p.person()
	p.settings["keys"] = []any{signingKey(t, "two")}
	p.start()
	eventually(t, func() bool { return p.signIn().Status == http.StatusSeeOther })
}
