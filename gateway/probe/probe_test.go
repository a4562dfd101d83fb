package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

const tenant = "Cust12345"

var (
	attemptInForm = regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`)
	beginLink     = regexp.MustCompile(`href="(/erpsync/probe/begin\?code=[A-Z2-7]+)"`)
)

// visitor is a browser with a person before it.
type visitor struct {
	t      testing.TB
	f      *gatewaytest.Fixture
	client *http.Client
	fill   url.Values // what is filled into forms instead
}

func newVisitor(t testing.TB, f *gatewaytest.Fixture) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, f: f, client: &http.Client{Jar: jar, Transport: outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		return http.DefaultTransport.RoundTrip(r)
	})}}
}

func (v *visitor) get(path string) (status int, body string) {
	v.t.Helper()
	got := v.f.Do(v.client, http.MethodGet, path, "", nil)
	return got.Status, got.Body
}

// goThrough follows a page's link to SuperID and returns the page that the person ends on.
func (v *visitor) goThrough(page, name string) (status int, body string) {
	v.t.Helper()
	found := beginLink.FindStringSubmatch(page)
	if found == nil {
		v.t.Fatalf("no link in %s", page)
	}
	return v.signIn(found[1], name)
}

// signIn visits a path, fills in SuperID's forms as they come, and returns the page that the person ends on.
func (v *visitor) signIn(path, name string) (status int, body string) {
	v.t.Helper()
	status, body = v.get(path)
	user := v.f.SO.User(tenant, name)
	for range 5 {
		form := attemptInForm.FindStringSubmatch(body)
		if form == nil {
			break
		}
		action := "sign-in"
		if strings.Contains(body, `value="approve"`) {
			action = "approve"
		}
		values := url.Values{"attempt": {form[1]}, "username": {user.UPN}, "password": {user.Password}, "action": {action}}
		maps.Copy(values, v.fill)
		resp, err := v.client.PostForm(v.f.SO.Base()+"/login/"+tenant+"/oauth/authorize", values)
		if err != nil {
			v.t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			v.t.Fatal(err)
		}
		status, body = resp.StatusCode, string(raw)
	}
	return status, body
}

func begin(t testing.TB, f *gatewaytest.Fixture, app string) probe.Invitation {
	t.Helper()
	begun, err := f.Probes.Begin(f.App(app), tenant, probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return begun
}

func address(begun probe.Invitation) string {
	return pages.ProbePath(pages.DefaultPrefix, begun.Key)
}

// end asks until the probe is over.
func end(t testing.TB, f *gatewaytest.Fixture, begun probe.Invitation) probe.Result {
	t.Helper()
	for {
		result, err := f.Probes.Result(t.Context(), begun.ID)
		if err != nil {
			t.Fatal(err)
		}
		if result.Stage == probe.Over {
			return result
		}
	}
}

// probed probes an app with somebody signing in.
func probed(t testing.TB, f *gatewaytest.Fixture, app, name string) *probe.Report {
	t.Helper()
	begun := begin(t, f, app)
	v := newVisitor(t, f)
	_, page := v.get(address(begun))
	if status, page := v.goThrough(page, name); status != http.StatusOK || !strings.Contains(page, "Thank you") {
		t.Fatalf("%d %s", status, page)
	}
	result := end(t, f, begun)
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	return result.Report
}

func fact(t testing.TB, r *probe.Report, question string) probe.Fact {
	t.Helper()
	for _, f := range r.Facts {
		if f.Question == question {
			return f
		}
	}
	t.Fatalf("no question %s", question)
	return probe.Fact{}
}

// What a probe says to differ is what keeps people from this gateway, and nothing else is.
func TestAProbeTellsWhatSuperIDDoesAndWhetherTheGatewayWorksWithIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		question, answer string
		set              func(*sandbox.Switches)
	}{
		{"pkce", "enforced", func(s *sandbox.Switches) { s.PKCE = "checked" }},
		{"pkce", "ignored", func(s *sandbox.Switches) { s.PKCE = "ignored" }},
		{"pkce", "enforced", func(s *sandbox.Switches) { s.PKCE = "required" }},
		{"pkce", "refused", func(s *sandbox.Switches) { s.PKCE = "refused" }},
		{"nonce", "present", func(s *sandbox.Switches) { s.Nonce = "present" }},
		{"nonce", "absent", func(s *sandbox.Switches) { s.Nonce = "absent" }},
		{"nonce", "other", func(s *sandbox.Switches) { s.Nonce = "wrong" }},
		{"upn", "present", func(s *sandbox.Switches) { s.UPN = "present" }},
		{"upn", "absent", func(s *sandbox.Switches) { s.UPN = "absent" }},
		{"webapi_url", "present", func(s *sandbox.Switches) { s.APIClaims = "present" }},
		{"webapi_url", "absent", func(s *sandbox.Switches) { s.APIClaims = "absent" }},
		{"redirect_uri_at_refresh", "optional", func(s *sandbox.Switches) { s.RedirectURIAtRefresh = "optional" }},
		{"redirect_uri_at_refresh", "required", func(s *sandbox.Switches) { s.RedirectURIAtRefresh = "required" }},
		{"redirect_uri_at_refresh", "optional", func(s *sandbox.Switches) { s.RefreshToken = "rotated" }},
		{"redirect_uri_at_refresh", "", func(s *sandbox.Switches) { s.RefreshToken = "withheld" }},
		{"redirect_uri_at_refresh", "", func(s *sandbox.Switches) { s.TokenError, s.TokenErrorAt = "500", "refresh" }},
		{"redirect_uri_at_refresh", "", func(s *sandbox.Switches) { s.TokenError, s.TokenErrorAt = "empty", "refresh" }},
		{"pkce", "enforced", func(s *sandbox.Switches) { s.TokenError, s.TokenErrorAt, s.TokenErrorTimes = "unknown", "code", 1 }},
		{"pkce", "", func(s *sandbox.Switches) { s.TokenError, s.TokenErrorAt, s.TokenErrorTimes = "500", "code", 1 }},
	} {
		t.Run(c.question+" "+c.answer, func(t *testing.T) {
			t.Parallel()
			f := gatewaytest.New(t)
			f.SO.Switch(c.set)
			report := probed(t, f, "portal", "per")
			got := fact(t, report, c.question)
			if got.Answer != c.answer || got.Differs != (len(got.Change) > 0) || got.Found == "" || got.Assumes == "" {
				t.Errorf("%+v", got)
			}
			if runs := f.SO.Runs(); len(runs) != 1 || runs[0].Operation != "GetEngineStatus" {
				t.Errorf("a probe moves no data, and ran %+v", runs)
			}
			works := signInWorks(t, f)
			if works && got.Answer != "" {
				works = refreshWorks(t, f)
			}
			if works == got.Differs {
				t.Errorf("the gateway works: %t, and the probe says that it differs: %t", works, got.Differs)
			}
			for _, other := range report.Facts {
				if other.Question != c.question && other.Differs {
					t.Errorf("%s differs too: %+v", other.Question, other)
				}
			}
		})
	}
}

func signInWorks(t testing.TB, f *gatewaytest.Fixture) bool {
	t.Helper()
	status, page := newVisitor(t, f).signIn("/erpsync/sign-in?return=/erpsync/session&tenant="+tenant, "tove")
	return status == http.StatusOK && strings.Contains(page, "You are signed in as ")
}

func refreshWorks(t testing.TB, f *gatewaytest.Fixture) bool {
	t.Helper()
	client, xsrf := f.SignIn("tove")
	f.SO.Expire("access")
	return f.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-Xsrf-Token": {xsrf}, "Origin": {f.Site}}).Status == http.StatusOK
}

func TestAProbeTellsWhenASystemTokenComes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		app, name, answer, found string
		approvalOnly             bool
	}{
		{"erp", "tove", "every_sign_in", "an administrator's", false},
		{"erp", "tove", "approval_only", "did not come", true},
		{"erp", "per", "", "no administrator", true},
		{"portal", "tove", "", "no system user", false},
	} {
		f := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn())
		f.SO.Switch(func(s *sandbox.Switches) { s.TokenOnApprovalOnly = c.approvalOnly })
		if c.name == "tove" {
			f.SO.Revoke(c.app, tenant) // so that the first sign-in is the approval
		}
		got := fact(t, probed(t, f, c.app, c.name), "system_token")
		if got.Answer != c.answer || got.Differs || !strings.Contains(got.Found, c.found) {
			t.Errorf("%+v: %+v", c, got)
		}
		if f.Storage.Holds(tenant) {
			t.Error("a probe keeps a system token")
		}
	}
}

func TestAProbeTellsHowAnExpiredTokenIsRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"401", "403"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			f := gatewaytest.New(t)
			f.SO.Switch(func(s *sandbox.Switches) { s.ExpiredToken, s.AccessLifetime = status, 15*time.Second })
			if got := fact(t, probed(t, f, "portal", "per"), "expired_token"); got.Answer != status || got.Differs {
				t.Errorf("%+v", got)
			}
		})
	}
	f := gatewaytest.New(t)
	if got := fact(t, probed(t, f, "portal", "per"), "expired_token"); got.Observed() || !strings.Contains(got.Found, "lives 60 minutes more (--wait-for-expiry)") {
		t.Errorf("%+v", got)
	}
}

func TestAProbeTellsHowARestrictedAgentIsRefusedToAnAppWithoutIt(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, gatewaytest.ApprovalsAndSignIn(), func(f *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		quote := f.SO.App("quote")
		c.Apps[1].ClientID, c.Apps[1].ClientSecret, c.Apps[1].PrivateKey = quote.ClientID, gatewaytest.Secret(quote.ClientSecret), gatewaytest.Secret(string(quote.KeyPEM()))
	})
	for refusal, want := range map[string]struct {
		answer, found string
		differs       bool
	}{
		"error":        {"403", "HTTP 403, JSON Error ErrorMessage ErrorSource ErrorType, SuperOffice.Exceptions.SoAccessException", false},
		"message":      {"403", "HTTP 403, JSON Error ErrorType Message, SuperOffice.Exceptions.SoAccessException", false},
		"aspnet":       {"403", "HTTP 403, JSON Message", false},
		"empty":        {"403", "HTTP 403, empty", false},
		"html":         {"403", "HTTP 403, text/html", false},
		"unauthorized": {"401", "HTTP 401, JSON ", true},
		"not_found":    {"404", "HTTP 404, JSON Message", true},
	} {
		f.SO.Switch(func(s *sandbox.Switches) { s.Refusal = refusal })
		got := fact(t, probed(t, f, "erp", "tove"), "refused_agent")
		if got.Answer != want.answer || !strings.HasPrefix(got.Found, want.found) || got.Differs != want.differs {
			t.Errorf("%s: %+v", refusal, got)
		}
	}
	if got := fact(t, probed(t, f, "portal", "tove"), "refused_agent"); got.Observed() || !strings.Contains(got.Found, "granted the agent") {
		t.Errorf("%+v", got)
	}
	if n := len(f.SO.Runs()); n != 1 {
		t.Errorf("%d operations ran", n)
	}
}

func TestAProbeTellsWhetherInternalKeysAreFound(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	for how, want := range map[string]struct{ answer, found string }{
		"typed":      {"readable", "that one alone"},
		"texts":      {"readable", "that one alone"},
		"unfiltered": {"unreadable", "does not heed the filter"},
		"unordered":  {"unreadable", "order"},
		"403":        {"refused", "HTTP 403"},
		"404":        {"refused", "HTTP 404"},
		"html":       {"unreadable", "rows in JSON"},
	} {
		f.SO.Switch(func(s *sandbox.Switches) { s.KeyArchives = how })
		got := fact(t, probed(t, f, "portal", "per"), "key_archive")
		if got.Answer != want.answer || !strings.Contains(got.Found, want.found) || got.Differs != (want.answer != "readable") || got.Differs != (len(got.Change) > 0) {
			t.Errorf("%s: %+v", how, got)
		}
	}
}

func TestAReportHoldsNoSecretAndNoName(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	raw, err := json.Marshal(probed(t, f, "portal", "tove"))
	if err != nil {
		t.Fatal(err)
	}
	user, app := f.SO.User(tenant, "tove"), f.SO.App("portal")
	for _, name := range []string{tenant, user.UPN, user.Name, user.FullName, "portal", app.ClientID, app.ClientSecret, f.SO.Base(), "localhost", "127.0.0.1", "8A:"} {
		if strings.Contains(strings.ToLower(string(raw)), strings.ToLower(name)) {
			t.Errorf("%q is in %s", name, raw)
		}
	}
	if !strings.Contains(string(raw), `"environment":"custom"`) {
		t.Errorf("%s", raw)
	}
}

func TestAProbingSignInIsNoSession(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	f.SO.Switch(func(s *sandbox.Switches) { s.PKCE, s.RefreshToken = "ignored", "rotated" }) // so that each sign-in brings tokens, and refreshes too
	begun := begin(t, f, "portal")
	v := newVisitor(t, f)
	_, page := v.get(address(begun))
	v.goThrough(page, "tove")
	if result := end(t, f, begun); result.Err != nil {
		t.Fatal(result.Err)
	}
	if status, body := v.get("/erpsync/session"); status != http.StatusUnauthorized {
		t.Errorf("%d %s", status, body)
	}
	site, err := url.Parse(f.Site)
	if err != nil {
		t.Fatal(err)
	}
	site.Scheme = "https"
	if cookies := v.client.Jar.Cookies(site); len(cookies) != 0 {
		t.Errorf("the browser keeps %v", cookies)
	}
	if minted, left := f.SO.Mints("refresh"), f.SO.Live("refresh"); minted < 4 || left != 0 {
		t.Errorf("%d refresh tokens were given out, and %d are not revoked", minted, left)
	}
}

func TestOnlyTheHolderOfTheAddressBeginsASignInAndOnlyOnce(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	begun := begin(t, f, "portal")
	v := newVisitor(t, f)
	for _, path := range []string{"/erpsync/probe", "/erpsync/probe?code=", "/erpsync/probe/begin", "/erpsync/probe/begin?code=" + begun.ID, "/erpsync/probe?code=" + begun.Key + "A"} {
		if status, body := v.get(path); status != http.StatusNotFound || strings.Contains(body, "portal") || strings.Contains(body, tenant) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for range 3 { // a preview of the link uses nothing up
		if status, body := v.get(address(begun)); status != http.StatusOK || !strings.Contains(body, "portal") {
			t.Fatalf("%d %s", status, body)
		}
	}
	_, target := f.Begin("/erpsync/probe/begin?code=" + begun.Key)
	if status, _ := v.get(address(begun)); status != http.StatusNotFound {
		t.Error("the address can be used again")
	}
	if got := f.Do(nil, http.MethodGet, "/erpsync/probe/begin?code="+begun.Key, "", nil); got.Status != http.StatusNotFound {
		t.Errorf("begun twice: %d", got.Status)
	}
	// The answer is taken from the browser that began alone, and a wrong browser's does not use it up.
	answer := f.AnswerOf(target, "tove")
	redeemed := f.SO.Mints("access")
	for _, cookie := range []string{"", "__Host-erpsync-probe=", "__Host-erpsync-probe=" + begun.Key} {
		if got := f.Return(answer, cookie); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "another browser") {
			t.Errorf("%q: %d %s", cookie, got.Status, got.Body)
		}
	}
	if got := f.Return(url.Values{"state": {"probe-x"}, "code": {"x"}}); got.Status != http.StatusNotFound {
		t.Errorf("a state of nobody's: %d", got.Status)
	}
	if f.SO.Mints("access") != redeemed {
		t.Error("a code was redeemed for a stranger")
	}
}

func TestAProbeEndsByItselfAndSaysWhy(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	t.Run("declined", func(t *testing.T) {
		begun := begin(t, f, "portal")
		v := newVisitor(t, f)
		_, form := v.get("/erpsync/probe/begin?code=" + begun.Key)
		resp, err := v.client.PostForm(f.SO.Base()+"/login/"+tenant+"/oauth/authorize", url.Values{"attempt": {attemptInForm.FindStringSubmatch(form)[1]}, "action": {"decline"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if result := end(t, f, begun); resp.StatusCode != http.StatusForbidden || result.Err == nil || !strings.Contains(result.Err.Error(), "access_denied") {
			t.Errorf("%d %v", resp.StatusCode, result.Err)
		}
		if _, err := f.Probes.Result(t.Context(), begun.ID); !errors.Is(err, probe.ErrUnknown) {
			t.Errorf("its end is told twice: %v", err)
		}
	})
	t.Run("a wrong client secret", func(t *testing.T) {
		f := gatewaytest.New(t)
		f.SO.RotateSecret("portal")
		begun := begin(t, f, "portal")
		v := newVisitor(t, f)
		_, page := v.get(address(begun))
		v.goThrough(page, "tove")
		if result := end(t, f, begun); result.Err == nil || !strings.Contains(result.Err.Error(), "invalid_client") {
			t.Errorf("%v", result.Err)
		}
	})
	t.Run("another tenant", func(t *testing.T) {
		so := gatewaytest.NewSandboxBehind(t, func(_ http.ResponseWriter, r *http.Request) bool {
			r.URL.Path = strings.Replace(r.URL.Path, "/login/"+tenant+"/", "/login/common/", 1) // so that the person chooses
			return false
		})
		f := gatewaytest.NewIn(t, so)
		begun := begin(t, f, "portal")
		v := newVisitor(t, f)
		_, page := v.get(address(begun))
		user := so.User("Cust54321", "tove")
		v.fill = url.Values{"tenant": {"Cust54321"}, "username": {user.UPN}, "password": {user.Password}}
		v.goThrough(page, "tove")
		if result := end(t, f, begun); result.Err == nil || !strings.Contains(result.Err.Error(), "another tenant") {
			t.Errorf("%v", result.Err)
		}
		if left := so.Live("refresh"); left != 0 {
			t.Errorf("%d refresh tokens are not revoked", left)
		}
	})
	t.Run("an app to which nobody signs in", func(t *testing.T) {
		f := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Sessions, c.Links.SignIn = nil, "" }))
		if _, err := f.Probes.Begin(f.App("portal"), tenant, probe.Options{}); !errors.Is(err, probe.ErrNoSignIn) {
			t.Error(err)
		}
	})
}

func TestATokenIsWaitedForIfThatIsAskedFor(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	begun, err := f.Probes.Begin(f.App("portal"), tenant, probe.Options{WaitForExpiry: true})
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitor(t, f)
	_, page := v.get(address(begun))
	v.goThrough(page, "per")
	gatewaytest.WaitFor(t, func() bool {
		result, err := f.Probes.Result(t.Context(), begun.ID)
		if err != nil || result.Stage == probe.Over {
			t.Fatalf("%+v %v", result, err)
		}
		return result.Stage == probe.ForExpiry && time.Until(result.Until) > time.Hour
	})
}

func TestAProbeThatNobodyAsksForOrSignsInToEnds(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		desk := probe.NewDesk(f.Gateway)
		desk.Start(ctx)
		abandoned, err := desk.Begin(f.App("portal"), tenant, probe.Options{})
		if err != nil {
			t.Fatal(err)
		}
		kept, err := desk.Begin(f.App("portal"), tenant, probe.Options{})
		if err != nil {
			t.Fatal(err)
		}
		began, result := time.Now(), probe.Result{}
		for result.Stage != probe.Over {
			if result, err = desk.Result(t.Context(), kept.ID); err != nil {
				t.Fatal(err)
			}
			if _, ok := desk.Invited(abandoned.Key); ok && time.Since(began) > time.Minute {
				t.Fatal("an abandoned probe can be begun")
			}
		}
		if took := time.Since(began); took != 15*time.Minute || result.Err == nil || result.Err.Error() != "nobody signed in in time" {
			t.Errorf("after %v: %v", took, result.Err)
		}
		if _, err := desk.Result(t.Context(), abandoned.ID); !errors.Is(err, probe.ErrUnknown) {
			t.Errorf("%v", err)
		}
		if _, ok := desk.Invited(kept.Key); ok {
			t.Error("its address still begins a sign-in")
		}
	})
}

func TestProbesAreBoundedInNumberAndEndWithTheirConfiguration(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	ctx, stop := context.WithCancel(t.Context())
	desk := probe.NewDesk(f.Gateway)
	if _, err := desk.Begin(f.App("portal"), tenant, probe.Options{}); !errors.Is(err, probe.ErrNotInForce) {
		t.Errorf("before its configuration is in force: %v", err)
	}
	desk.Start(ctx)
	var all []probe.Invitation
	for {
		begun, err := desk.Begin(f.App("portal"), tenant, probe.Options{})
		if errors.Is(err, probe.ErrTooMany) {
			break
		}
		if err != nil || len(all) > 100 {
			t.Fatal(err)
		}
		all = append(all, begun)
	}
	if len(all) != 4 {
		t.Errorf("%d probes at a time", len(all))
	}
	stop()
	for _, begun := range all {
		result, err := desk.Result(t.Context(), begun.ID)
		if err != nil || result.Stage != probe.Over || !errors.Is(result.Err, probe.ErrNotInForce) {
			t.Errorf("%+v %v", result, err)
		}
	}
	if _, err := desk.Begin(f.App("portal"), tenant, probe.Options{}); !errors.Is(err, probe.ErrNotInForce) {
		t.Errorf("afterwards: %v", err)
	}
	gatewaytest.WaitFor(t, func() bool { return f.InFlight() == 0 })
}
