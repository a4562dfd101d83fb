package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

// office is a sandbox behind a listener, and a client of it that follows no redirect.
type office struct {
	*sandbox.Sandbox
	t      *testing.T
	client *http.Client
	clock  *clock
}

// clock is the sandbox's time, which a test moves on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newOffice(t *testing.T, options ...sandbox.Option) *office {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	clock := &clock{now: time.Now()}
	so, err := sandbox.New(server.URL, append([]sandbox.Option{sandbox.WithClock(clock.Now), sandboxtest.Keys()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return &office{so, t, &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, clock}
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the connection
}

// field returns a member of a JSON object.
func (r reply) field(name string) any {
	var object map[string]any
	_ = json.Unmarshal([]byte(r.body), &object)
	return object[name]
}

func (o *office) do(method, path, body string, header http.Header) reply {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.Base()+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	if req.Header.Get("Content-Type") == "" && body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(raw), err}
}

func (o *office) form(path string, form url.Values) reply {
	o.t.Helper()
	return o.do(http.MethodPost, path, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

const (
	api      = "/Cust12345/api/v1/"
	resync   = api + "Agents/ErpSync/ForceResync"
	seed     = `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`
	callback = "http://localhost:1/erpsync/callback"
	claims   = "http://schemes.superoffice.net/identity/"
)

// bearer signs tove in and returns her header.
func (o *office) bearer(app string) http.Header {
	return http.Header{"Authorization": {"Bearer " + o.AccessToken(app, "Cust12345", "tove")}}
}

func (o *office) ticket(app string) http.Header {
	return http.Header{"Authorization": {"SOTicket " + o.Ticket(app, "Cust12345", "tove")}, "So-Apptoken": {o.App(app).ClientSecret}}
}

var attemptField = regexp.MustCompile(`name="attempt" value="([0-9a-f]+)"`)

// authorize signs a person in with an app and returns the query that they come back with.
func (o *office) authorize(app, name string, more url.Values) url.Values {
	o.t.Helper()
	query := url.Values{"client_id": {o.App(app).ClientID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}}
	for key, values := range more {
		query[key] = values
	}
	got := o.do(http.MethodGet, "/login/Cust12345/oauth/authorize?"+query.Encode(), "", nil)
	for _, action := range []string{"sign-in", "approve"} {
		found := attemptField.FindStringSubmatch(got.body)
		if found == nil {
			break
		}
		user := o.User("Cust12345", name)
		got = o.form("/login/Cust12345/oauth/authorize", url.Values{"attempt": {found[1]}, "username": {user.UPN}, "password": {user.Password}, "action": {action}})
	}
	back, err := url.Parse(got.header.Get("Location"))
	if err != nil || got.status != http.StatusFound {
		o.t.Fatalf("no way back: %d %s", got.status, got.body)
	}
	return back.Query()
}

// tokens asks the token endpoint as an app.
func (o *office) tokens(app string, form url.Values) reply {
	o.t.Helper()
	form.Set("client_id", o.App(app).ClientID)
	form.Set("client_secret", o.App(app).ClientSecret)
	return o.form("/login/common/oauth/tokens", form)
}

func (o *office) redeem(app string, back url.Values, more url.Values) reply {
	o.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {callback}}
	for key, values := range more {
		form[key] = values
	}
	return o.tokens(app, form)
}

func (o *office) refresh(app, token string, more url.Values) reply {
	o.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for key, values := range more {
		form[key] = values
	}
	return o.tokens(app, form)
}

// read returns a token's claims without asking who signed it.
func read(t *testing.T, token any) jwt.MapClaims {
	t.Helper()
	text, _ := token.(string)
	found := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(text, found); err != nil {
		t.Fatalf("%v in %v", err, token)
	}
	return found
}

// on sets one switch by its name.
func (o *office) on(name, value string) {
	o.t.Helper()
	o.Switch(func(s *sandbox.Switches) {
		if err := s.Set(name, value); err != nil {
			o.t.Fatal(err)
		}
	})
}

func (o *office) defaults() { o.Switch(func(s *sandbox.Switches) { *s = sandbox.Switches{} }) }
