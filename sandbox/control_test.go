package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestTheControlEndpointChangesWhatItNamesAndShowsHowItStands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	post := func(body string) reply { return o.do(http.MethodPost, sandbox.ControlPath, body, nil) }
	if got := post(`{"switches":{"fault":401,"fault_times":1,"numeric_iat":true,"erp_duration":"1ms"}}`); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := o.Switches(); got.Fault != "401" || got.FaultTimes != 1 || !got.NumericIAT {
		t.Errorf("%+v", got)
	}
	if a, b := o.do(http.MethodPost, resync, seed, o.bearer("portal")).status, o.do(http.MethodPost, resync, seed, o.bearer("portal")).status; a != 401 || b != 200 {
		t.Errorf("once: %d, %d", a, b)
	}
	if got := post(`{"switches":{"outcome":"error"}}`); got.status != 200 || !o.Switches().NumericIAT {
		t.Error("what is not named must stay")
	}
	if got := post(`{"reset":true,"switches":{"outcome":"info"}}`); got.status != 200 || o.Switches() != (sandbox.Switches{Outcome: "info"}) {
		t.Errorf("reset: %+v", o.Switches())
	}
	shown := o.do(http.MethodGet, sandbox.ControlPath, "", nil)
	for _, want := range []string{`"outcome":"info"`, `"pkce":"checked"`, `"access_lifetime":"1h0m0s"`, `"Cust12345"`, `"Operation":"ForceResync"`, `"approved":["portal","erp","quote"]`} {
		if !strings.Contains(shown.body, want) {
			t.Errorf("no %s in %s", want, shown.body)
		}
	}
	for _, app := range []string{"portal", "erp", "quote"} {
		if strings.Contains(shown.body, o.App(app).ClientSecret) || strings.Contains(shown.body, o.SystemToken("erp", "Cust12345")) || strings.Contains(shown.body, o.User("Cust12345", "tove").Password) {
			t.Error("a secret is shown")
		}
	}
}

func TestAnOrderThatIsWrongIsNamedAndChangesNoSwitch(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for body, want := range map[string]string{
		`{`:                                     "not understood",
		`{} {}`:                                 "something follows",
		`{"fault":"401"}`:                       `unknown field \"fault\"`,
		`{"switches":{"fault":"402"}}`:          `switch fault: \"402\" is none of`,
		`{"switches":{"fault":{}}}`:             "must be a text",
		`{"switches":[]}`:                       "not an object",
		`{"switches":{"pkce":"ignored","x":1}}`: `unknown switch \"x\"`,
		`{"actions":[{"do":"dance"}]}`:          "action 1 (dance): there are only approve, expire, forget, move, push",
		`{"actions":[{"do":"state","tenant":"Cust1","state":"Running"}]}`:        "no such tenant or app",
		`{"actions":[{"do":"state","tenant":"Cust12345"}]}`:                      "needs state",
		`{"actions":[{"do":"move","tenant":"Cust12345"}]}`:                       "needs base",
		`{"actions":[{"do":"approve","tenant":"Cust12345","app":"none"}]}`:       "no such tenant or app",
		`{"actions":[{"do":"expire","kind":"everything"}]}`:                      "is none of access, refresh, ticket, session",
		`{"actions":[{"do":"push"}]}`:                                            "needs push",
		`{"actions":[{"do":"push","push":{"url":"https://superoffice.com/x"}}]}`: "is not on this machine",
	} {
		got := o.do(http.MethodPost, sandbox.ControlPath, body, nil)
		if got.status != 400 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if o.Switches() != (sandbox.Switches{}) {
		t.Errorf("%+v", o.Switches())
	}
	if got := o.do(http.MethodPost, sandbox.ControlPath, strings.Repeat(" ", 2<<20), nil).status; got != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: HTTP %d", got)
	}
	if got := o.do(http.MethodDelete, sandbox.ControlPath, "", nil).status; got != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: HTTP %d", got)
	}
}

func TestActionsHappenOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	act := func(action string) {
		t.Helper()
		if got := o.do(http.MethodPost, sandbox.ControlPath, `{"actions":[`+action+`]}`, nil); got.status != 200 {
			t.Fatalf("%s: %d %s", action, got.status, got.body)
		}
	}
	secret, key, token, ticket, published := o.App("erp").ClientSecret, o.App("erp").Key, o.SystemToken("erp", "Cust12345"), o.ticket("portal"), o.published()
	act(`{"do":"rotate_secret","app":"erp"},{"do":"rotate_key","app":"erp"}`)
	if o.App("erp").ClientSecret == secret || o.App("erp").Key == key {
		t.Error("secret or key stayed")
	}
	act(`{"do":"withdraw_consent","app":"erp","tenant":"Cust12345"}`)
	if o.SystemToken("erp", "Cust12345") != "" {
		t.Error("the consent stayed")
	}
	act(`{"do":"approve","app":"erp","tenant":"cust12345"}`)
	if got := o.SystemToken("erp", "Cust12345"); got == "" || got == token {
		t.Errorf("the approval brought %q", got)
	}
	act(`{"do":"expire","kind":"ticket"}`)
	if got := o.do(http.MethodGet, api+"User/currentPrincipal", "", ticket).status; got != 401 {
		t.Errorf("the ticket lives: HTTP %d", got)
	}
	act(`{"do":"rotate_signing_key","keep":true}`)
	if got := o.published(); len(got) != 2 || got[1].N.Cmp(published[0].N) != 0 {
		t.Errorf("%d keys", len(got))
	}
	act(`{"do":"rotate_signing_key"}`)
	if got := o.published(); len(got) != 1 {
		t.Errorf("%d keys", len(got))
	}
	act(`{"do":"state","tenant":"Cust12345","state":"Suspended"},{"do":"move","tenant":"Cust12345","base":"http://localhost:9/"}`)
	if got := o.do(http.MethodGet, "/api/state/Cust12345", "", nil); got.field("State") != "Suspended" || got.field("Api") != "http://localhost:9/Cust12345/api" {
		t.Errorf("%s", got.body)
	}
	act(`{"do":"forget"}`)
	if len(o.Requests()) != 0 {
		t.Error("requests are remembered")
	}
}

func TestOnlyProgramsOnThisMachineControlTheSandbox(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for name, change := range map[string]func(*http.Request){
		"another machine":       func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" },
		"no address":            func(r *http.Request) { r.RemoteAddr = "@" },
		"a rebound name":        func(r *http.Request) { r.Host = "evil.example:8088" },
		"a page":                func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8088") },
		"a browser":             func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") },
		"somebody behind proxy": func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") },
		"":                      func(*http.Request) {},
		"IPv6":                  func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:1", "[::1]:8088" },
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8088"+sandbox.ControlPath, strings.NewReader(`{}`))
			r.RemoteAddr = "127.0.0.1:1"
			change(r)
			w := httptest.NewRecorder()
			o.ServeHTTP(w, r)
			want := http.StatusForbidden
			if name == "" || name == "IPv6" {
				want = http.StatusOK
			}
			if w.Code != want {
				t.Errorf("%s by %q: HTTP %d", method, name, w.Code)
			}
		}
	}
}
