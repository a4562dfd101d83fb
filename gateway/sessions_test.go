package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// sessionToken returns what a browser's cookie holds.
func sessionToken(t *testing.T, g *gatewaytest.Fixture, client *http.Client) (token session.Token) {
	t.Helper()
	site, err := url.Parse(strings.Replace(g.Site, "http:", "https:", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range client.Jar.Cookies(site) {
		if cookie.Name == gateway.SessionCookie {
			token, _ = g.Sessions().Manager.Keys.Parse(cookie.Value)
		}
	}
	return token
}

// age leaves a session's access token so much of its time.
func age(t *testing.T, g *gatewaytest.Fixture, token session.Token, left time.Duration) session.Session {
	t.Helper()
	s, _, err := g.Sessions().Manager.Update(t.Context(), token, func(s *session.Session) {
		s.AccessIssued, s.AccessExpires = time.Now().Add(-time.Hour), time.Now().Add(left)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARenewalThatFailedAheadOfTimeRefusesNobodyWhoseTokenHasEndedSince(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	g := gatewaytest.New(t, gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if down.Load() && strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}))
	client, _ := g.SignIn("tove")
	token := sessionToken(t, g, client)
	down.Store(true)
	gatewaytest.WaitFor(t, func() bool { // a busy machine may miss that it failed until its back-off is over: then it is tried again
		if _, refusal := g.Sessions().Fresh(t.Context(), token, age(t, g, token, 30*time.Second)); refusal != nil {
			t.Fatalf("ahead of time: %v", refusal)
		}
		return g.Sessions().RenewalFailed(token)
	})
	down.Store(false)
	s, refusal := g.Sessions().Fresh(t.Context(), token, age(t, g, token, -time.Second))
	if refusal != nil || !time.Now().Before(s.AccessExpires) {
		t.Errorf("after the token has ended: %v", refusal)
	}
}

// What cannot be renewed is not ended a minute before its time by an attempt to renew it.
func TestASessionWithoutRefreshTokenLastsToTheEndOfItsAccessToken(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.RefreshToken = "withheld" })
	client, _ := g.SignIn("tove")
	token := sessionToken(t, g, client)
	aged := age(t, g, token, 30*time.Second)
	if _, refusal := g.Sessions().Fresh(t.Context(), token, aged); refusal != nil {
		t.Fatal(refusal)
	}
	g.Sessions().AwaitRenewal(token)
	if _, found, err := g.Sessions().Manager.Load(t.Context(), token); err != nil || !found {
		t.Errorf("half a minute before its end: %v, %v", found, err)
	}
}
