package pages_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

// jar keeps cookies as Chromium does in one window: partitioned ones apart from others of the same name.
type jar map[string]string

func (j jar) take(got gatewaytest.Answer) {
	for _, line := range got.Header["Set-Cookie"] {
		pair, attributes, _ := strings.Cut(line, ";")
		name, _, _ := strings.Cut(pair, "=")
		if strings.Contains(attributes, "Partitioned") {
			name += " partitioned"
		}
		if strings.Contains(attributes, "Max-Age=0") {
			delete(j, name)
		} else {
			j[name] = pair
		}
	}
}

func (j jar) header() []string {
	cookies := make([]string, 0, len(j))
	for _, cookie := range j {
		cookies = append(cookies, cookie)
	}
	return cookies
}

func (j jar) has(name string) (n int) {
	for _, cookie := range j {
		if strings.HasPrefix(cookie, name+"=") {
			n++
		}
	}
	return n
}

func signIn(t *testing.T, g *gatewaytest.Fixture, j jar) {
	t.Helper()
	begun := g.Do(nil, http.MethodGet, "/erpsync/sign-in?tenant=Cust12345", "", gatewaytest.Person(j.header()...))
	j.take(begun)
	got := g.Return(g.AnswerOf(begun.Header.Get("Location"), "tove"), j.header()...)
	if got.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	j.take(got)
}

func status(g *gatewaytest.Fixture, cookies ...string) int {
	return g.Do(nil, http.MethodGet, "/erpsync/session", "", http.Header{"Cookie": {strings.Join(cookies, "; ")}}).Status
}

func TestNobodyIsLockedOutWhenFramedIsSwitched(t *testing.T) {
	t.Parallel()
	so := gatewaytest.NewSandbox(t)
	// Two gateways with one store, as before and after a reload.
	var state *gateway.SharedState
	shared := func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		if state == nil {
			state = *s
		}
		*s = state
	}
	plain := gatewaytest.NewIn(t, so, shared)
	framed := gatewaytest.NewIn(t, so, shared, gatewaytest.Framed())
	for name, c := range map[string]struct {
		before, after *gatewaytest.Fixture
		cookie        string
	}{
		"switched on":  {plain, framed, gateway.FramedSessionCookie},
		"switched off": {framed, plain, gateway.SessionCookie},
	} {
		browser := jar{}
		signIn(t, c.before, browser)
		if got := status(c.after, browser.header()...); got != http.StatusOK {
			t.Errorf("%s: who was signed in is %d", name, got)
		}
		signIn(t, c.after, browser)
		if n := len(browser); n != 2 || browser.has(c.cookie) != 1 || browser.has("XSRF-TOKEN") != 1 {
			t.Errorf("%s: the browser has %v", name, browser)
		}
		if got := status(c.after, browser.header()...); got != http.StatusOK {
			t.Errorf("%s: after signing in again %d", name, got)
		}
		// And back.
		signIn(t, c.before, browser)
		if got := status(c.before, browser.header()...); got != http.StatusOK || len(browser) != 2 {
			t.Errorf("%s, and back: %d with %v", name, got, browser)
		}
	}
}

func TestTheCurrentCookieGoesBeforeAStaleOneAndANameThatComesTwiceProvesNobody(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*gatewaytest.Fixture{"plain": gatewaytest.New(t), "framed": gatewaytest.New(t, gatewaytest.Framed())} {
		current, stale := g.Sessions().CookieNames()
		browser := jar{}
		signIn(t, g, browser)
		var value string
		for _, cookie := range browser {
			if after, ok := strings.CutPrefix(cookie, current+"="); ok {
				value = after
			}
		}
		for cookies, want := range map[string]int{
			current + "=" + value:                          200,
			stale + "=" + value:                            200,
			current + "=" + value + "; " + stale + "=junk": 200,
			current + "=" + value + "; " + stale + "=junk; " + stale + "=" + value: 200,
			current + "=junk; " + stale + "=" + value:                              401,
			current + "=" + value + "; " + current + "=" + value:                   401,
			stale + "=" + value + "; " + stale + "=" + value:                       401,
			current + "=" + value + "; " + current + "=; " + stale + "=" + value:   401,
		} {
			if got := status(g, cookies); got != want {
				t.Errorf("%s: %s: %d, want %d", name, strings.ReplaceAll(cookies, value, "…"), got, want)
			}
			// A call is judged alike.
			header := http.Header{"Cookie": {cookies}, "X-Xsrf-Token": {strings.TrimPrefix(browser["XSRF-TOKEN"]+browser["XSRF-TOKEN partitioned"], "XSRF-TOKEN=")}}
			if got := g.Resync(header); (got.Status == http.StatusOK) != (want == http.StatusOK) {
				t.Errorf("%s: a call with %s: %d %s", name, strings.ReplaceAll(cookies, value, "…"), got.Status, got.Body)
			}
		}
	}
}

func TestSigningOutClearsTheCookiesOfBothKinds(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*gatewaytest.Fixture{"plain": gatewaytest.New(t), "framed": gatewaytest.New(t, gatewaytest.Framed())} {
		client, xsrf := g.SignIn("tove")
		got := g.Do(client, http.MethodPost, "/erpsync/sign-out", "", http.Header{"X-Xsrf-Token": {xsrf}})
		browser := jar{
			gateway.SessionCookie: "a", gateway.SessionCookie + " partitioned": "b", gateway.FramedSessionCookie: "c", gateway.FramedSessionCookie + " partitioned": "d", "XSRF-TOKEN": "e", "XSRF-TOKEN partitioned": "f",
		}
		browser.take(got)
		if got.Status != http.StatusOK || len(browser) != 0 {
			t.Errorf("%s: %d, and the browser keeps %v", name, got.Status, browser)
		}
	}
}
