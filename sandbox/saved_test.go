package sandbox_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestARestartedSandboxTakesBackWhatIsOut(t *testing.T) {
	t.Parallel()
	first := newOffice(t, sandbox.WithTenants(1))
	access, ticket := first.bearer("portal"), first.ticket("erp")
	cookie, xsrf := first.WebSession("Cust12345", "per")
	signedIn := first.redeem("portal", first.authorize("portal", "per", nil), nil)
	expired := first.bearer("quote")
	first.Revoke("erp", "Cust54321")
	first.Revoke("portal", "Cust54321")
	_, _ = first.Sandbox.RotateSecret("quote"), first.RotateSigningKey(true)
	first.on("outcome", "error")
	saved, err := first.Save()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := first.Save(); err != nil || !bytes.Equal(saved, again) {
		t.Errorf("the same state is not the same bytes: %v", err)
	}
	first.Expire("access")
	without, err := first.Save()
	if err != nil {
		t.Fatal(err)
	}

	second := newOffice(t, sandbox.WithTenants(2), sandbox.WithSaved(saved))
	for _, app := range []string{"portal", "erp", "quote"} {
		if a, b := first.App(app), second.App(app); a.ClientID != b.ClientID || a.ClientSecret != b.ClientSecret || !a.Key.Equal(b.Key) || a.SystemUser != b.SystemUser || len(a.Agents) != len(b.Agents) {
			t.Errorf("%s is another registration", app)
		}
	}
	if first.User("Cust20001", "per") != second.User("Cust20001", "per") || first.SystemToken("erp", "Cust12345") != second.SystemToken("erp", "Cust12345") || second.SystemToken("erp", "Cust54321") != "" {
		t.Error("passwords or consents are others")
	}
	if second.SystemToken("erp", "Cust20002") == "" {
		t.Error("a tenant that is new lacks its consent")
	}
	if a, b := first.published(), second.published(); len(b) != 2 || !a[0].Equal(b[0]) || !a[1].Equal(b[1]) {
		t.Errorf("%d keys are published", len(b))
	}
	if !strings.Contains(second.do(http.MethodGet, sandbox.ControlPath, "", nil).body, `"tenant":"Cust54321","state":"Running","base":"`+second.Base()+`","approved":["quote"]`) {
		t.Error("a consent came back")
	}
	if second.Switches() != (sandbox.Switches{}) {
		t.Error("switches are no secrets; they begin anew")
	}
	for name, header := range map[string]http.Header{"access": access, "ticket": ticket, "session": {"Cookie": {"ASP.NET_SessionId=" + cookie}, "X-Xsrf-Token": {xsrf}}} {
		if got := second.do(http.MethodGet, api+"User/currentPrincipal", "", header); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	refresh, _ := signedIn.field("refresh_token").(string)
	second.on("redirect_uri_at_refresh", "required")
	if got := second.refresh("portal", refresh, map[string][]string{"redirect_uri": {callback}}); got.status != 200 {
		t.Errorf("refresh: %d %s", got.status, got.body)
	}
	if !bytes.Contains(saved, []byte(`"8A:`)) || bytes.Contains(without, []byte(`"8A:`)) {
		t.Error("what has expired is saved")
	}
	third := newOffice(t, sandbox.WithSaved(without))
	if got := third.do(http.MethodGet, api+"User/currentPrincipal", "", expired).status; got != 401 {
		t.Errorf("what had expired is taken: HTTP %d", got)
	}
}

func TestEveryChangeOfWhatIsSavedIsToldBeforeTheAnswerIsComplete(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var told atomic.Int32
	o.OnChange(func() { told.Add(1) })
	order := func(action string) func() {
		return func() { o.do(http.MethodPost, sandbox.ControlPath, `{"actions":[`+action+`]}`, nil) }
	}
	signedIn := o.redeem("portal", o.authorize("portal", "per", nil), nil)
	refresh, _ := signedIn.field("refresh_token").(string)
	bearer := o.bearer("portal")
	for _, c := range []struct {
		name string
		want int32
		do   func()
	}{
		{"a call", 0, func() { o.do(http.MethodPost, resync, seed, bearer) }},
		{"a refresh", 1, func() { o.refresh("portal", refresh, nil) }},
		{"a token of a session's own", 1, func() { o.do(http.MethodGet, api+"User/currentToken", "", bearer) }},
		{"a ticket", 1, func() { o.systemUser(0, o.SystemToken("erp", "Cust12345")) }},
		{"a revoked token", 1, func() {
			o.form("/login/common/oauth/revoke", url.Values{"token": {refresh}, "client_id": {o.App("portal").ClientID}, "client_secret": {o.App("portal").ClientSecret}})
		}},
		{"expired ones", 1, order(`{"do":"expire","kind":"access"}`)},
		{"another secret", 1, order(`{"do":"rotate_secret","app":"erp"}`)},
		{"another key", 1, order(`{"do":"rotate_key","app":"erp"}`)},
		{"another signing key", 1, order(`{"do":"rotate_signing_key"}`)},
		{"a withdrawn consent", 1, order(`{"do":"withdraw_consent","app":"erp","tenant":"Cust12345"}`)},
		{"a person's approval", 1, func() { o.authorize("erp", "tove", nil) }},
		{"an approval", 1, order(`{"do":"approve","app":"erp","tenant":"Cust12345"}`)},
	} {
		told.Store(0)
		c.do()
		if got := told.Load(); got != c.want {
			t.Errorf("%s: told %d times", c.name, got)
		}
	}
}

func TestASavedStateThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	good, err := newOffice(t).Save()
	if err != nil {
		t.Fatal(err)
	}
	for want, raw := range map[string][]byte{
		"not a sandbox's saved state": []byte("x"),
		"has no signing key":          []byte("{}"),
		"lacks the app quote":         bytes.Replace(good, []byte(`"quote": {`), []byte(`"quoth": {`), 1),
		"is not PEM":                  bytes.Replace(good, []byte("-----BEGIN PRIVATE KEY"), []byte("x"), 1),
		"cannot be read":              bytes.Replace(good, []byte(`-----BEGIN PRIVATE KEY-----\n`), []byte(`-----BEGIN PRIVATE KEY-----\nAAAA`), 1),
	} {
		if _, err := sandbox.New("http://127.0.0.1:1", sandbox.WithSaved(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
