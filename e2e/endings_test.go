package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// TestEveryEndingIsAPageThatAPersonCanReadAndGoOnFrom has people walk into each in a real Chromium. ERPSYNC_SHOTS names a folder for
// pictures of every page, light and dark, wide and narrow.
func TestEveryEndingIsAPageThatAPersonCanReadAndGoOnFrom(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	so := gatewaytest.NewSandboxBehind(t, func(_ http.ResponseWriter, r *http.Request) bool {
		// A person who goes to Cust99999 ends up in Cust12345.
		r.URL.Path = strings.Replace(r.URL.Path, "/login/Cust99999/", "/login/Cust12345/", 1)
		return false
	}, sandbox.WithTenants(1))
	g := gatewaytest.NewIn(t, so, gatewaytest.ApprovalsAndSignIn(), gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[0].Tenants = auth.Tenants{"Cust12345": {}, "Cust54321": {Suspended: true}}
	}))
	so.Revoke("erp", "Cust12345")
	control := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		so.Switch(func(s *sandbox.Switches) { s.TokenError = r.URL.Query().Get("token_error") })
	}))
	t.Cleanup(control.Close)

	type user struct {
		UPN      string `json:"upn"`
		Password string `json:"password"`
	}
	of := func(tenant, name string) user { u := so.User(tenant, name); return user{u.UPN, u.Password} }
	users, err := json.Marshal(map[string]user{"person": of("Cust12345", "per"), "admin": of("Cust12345", "tove"), "stranger": of("Cust20001", "tove"), "suspended": of("Cust54321", "tove")})
	if err != nil {
		t.Fatal(err)
	}
	attempt, err := json.Marshal(map[string]any{"a": "portal", "s": "expired", "r": "/wanted", "e": time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("expired"))
	expired := "__Host-erpsync-attempt-" + hex.EncodeToString(digest[:6]) + "=" + g.Keys().Seal("erpsync attempt", []string{so.Base()}, attempt)

	got := node(t, "endings.mjs", "SITE="+g.Site, "SO="+so.Base(), "CONTROL="+control.URL, "USERS="+string(users), "EXPIRED="+expired, "CHROMIUM="+chromium, "SHOTS="+os.Getenv("ERPSYNC_SHOTS"))
	const signIn, atSuperID, approve = "SuperID/login/Cust12345/oauth/authorize", "SuperID/login/common/oauth/authorize", "SuperID/login/Cust12345/oauth/authorize"
	for name, want := range map[string]struct {
		status      float64
		title, lang string
		next        string // "" is not looked at
	}{
		"declined":       {403, "You did not sign in", "en", signIn},
		"declined-nb-NO": {403, "Du logget ikke inn", "nb", signIn},
		"declined-nn-NO": {403, "Du logget ikke inn", "nb", signIn},
		"declined-da":    {403, "Du loggede ikke ind", "da", signIn},
		"declined-sv":    {403, "Du loggade inte in", "sv", signIn},
		"declined-de":    {403, "Sie haben sich nicht angemeldet", "de", signIn},
		"declined-nl":    {403, "U hebt zich niet aangemeld", "nl", signIn},
		"declined-fr":    {403, "You did not sign in", "en", signIn},

		"expired":         {403, "The sign-in took too long", "en", atSuperID},
		"started-twice":   {403, "This sign-in has already been used", "en", "/"},
		"another-browser": {403, "This sign-in was not started here", "en", atSuperID},
		"wrong-tenant":    {403, "That account belongs to another company", "en", "SuperID/login/Cust99999/oauth/authorize"},
		"not-granted":     {403, "Cust20001 has no access", "en", atSuperID},
		"suspended":       {403, "Access is suspended", "en", atSuperID},
		"provider-down":   {503, "SuperOffice cannot be reached", "en", ""},
		"misconfigured":   {403, "This service is not set up correctly", "en", signIn},
		"failed":          {403, "The sign-in failed", "en", signIn},
		"consent-missing": {403, "The app has not been approved", "en", signIn},
		"return-refused":  {400, "The link leads to another site", "en", atSuperID},
		"link-wrong":      {400, "This link is not complete", "en", atSuperID},
		"not-found":       {404, "There is no such page", "en", "/"},
		"a-call":          {405, "This address is for programs", "en", "/"},

		"nobody-signed-in": {401, "Please sign in", "en", atSuperID},
		"session":          {200, "You are signed in", "en", "/"},
		"framed":           {403, "This needs a window of its own", "en", signIn},

		"approval-link":             {400, "This link is not complete", "en", ""},
		"approval-another-browser":  {403, "This was not started here", "en", atSuperID},
		"approval-declined":         {403, "Not approved", "en", approve},
		"approval-no-administrator": {403, "Dafür sind Administratorrechte nötig", "de", approve},
		"approved":                  {200, "Approved", "en", ""},
	} {
		page, _ := got[name].(map[string]any)
		if page["status"] != want.status || page["h1"] != want.title || page["title"] != want.title || page["lang"] != want.lang || page["type"] != "text/html; charset=utf-8" || page["id"] == "" {
			t.Errorf("%s: %v", name, page)
		}
		if want.next != "" && page["next"] != want.next {
			t.Errorf("%s leads to %v, want %s", name, page["next"], want.next)
		}
		for scheme, ratio := range page["contrast"].(map[string]any) {
			if ratio.(float64) < 4.5 {
				t.Errorf("%s cannot be read in %s: contrast %v", name, scheme, ratio)
			}
		}
		for width, wide := range page["wide"].(map[string]any) {
			if wide != false {
				t.Errorf("%s does not fit %s px", name, width)
			}
		}
		if page["focused"] != true && name != "framed" {
			t.Errorf("%s: the first Tab does not lead to the button", name)
		}
		if problems, _ := page["problems"].([]any); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("not judged: %v", got)
	}
}
