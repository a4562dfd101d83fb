package erpsync

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// brokenStore gives no marks while it is down.
type brokenStore struct {
	session.Store
	down atomic.Bool
}

func (s *brokenStore) Marks(ctx context.Context, scopes iter.Seq[session.Place]) (string, error) {
	if s.down.Load() {
		return "", session.ErrUnavailable
	}
	return s.Store.Marks(ctx, scopes)
}

// ticket has a service call and gives the credential that SuperOffice got.
func (g *gateway) ticket() string {
	g.t.Helper()
	g.so.Forget()
	path := tenantPath
	if g.h.upstreamAPI != "" {
		path = "/crm7/api/v1/Agents/ErpSync/ForceResync"
	}
	if got := g.do(nil, http.MethodPost, path, seedBody, g.service()); got.status != http.StatusOK {
		g.t.Fatalf("%d %s", got.status, got.body)
	}
	return g.sent()[0].Header.Get("Authorization")
}

func (g *gateway) revoke(what operator.Revocation) {
	g.t.Helper()
	if err := g.h.revoke(g.t.Context(), revocation{what}); err != nil {
		g.t.Fatal(err)
	}
}

func TestARevokedTicketIsNotUsedAgainWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	store := &brokenStore{Store: g.h.common.sessions}
	g.h.common.sessions = store
	g.approve("erp", "Cust12345", "tove")
	revoked := g.ticket()
	g.revoke(operator.Revocation{App: "erp"})
	next := g.ticket()
	if next == revoked {
		t.Fatal("the revoked one was used")
	}
	store.down.Store(true)
	if got := g.ticket(); got != next {
		t.Errorf("while the store is down another is used; the revoked one: %v", got == revoked)
	}
}

func TestAStoreThatLostEverythingBringsNoRevokedTicketBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := newGateway(t, approvals+"\nstore redis {\naddress "+server.Address+"\n}\nkeys "+strings.Repeat("k", 32))
	g.approve("erp", "Cust12345", "tove")
	revoked := g.ticket()
	g.revoke(operator.Revocation{App: "erp"}) // and nobody calls before the store is lost
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if g.ticket() == revoked {
		t.Error("the revoked one is back")
	}
}

func TestAStoreWithTheMarksFromBeforeBringsNoRevokedTicketBack(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.h.common.sessions = session.NewMemory(0, nil)
	g.approve("erp", "Cust12345", "tove")
	revoked := g.ticket()
	g.revoke(operator.Revocation{App: "erp"})
	if g.ticket() == revoked {
		t.Fatal("the revoked one was used")
	}
	g.h.common.sessions = session.NewMemory(0, nil)
	if g.ticket() == revoked {
		t.Error("the revoked one is back")
	}
}

func TestRevokingTheAppOnsiteMintsAnotherBearer(t *testing.T) {
	t.Parallel()
	g := newGateway(t, `
	upstream {base}/crm7
	app office {
		agents ErpSync
		call_as account tove {password}
	}
	jwt https://idp.example {
		audience erpsync
		algorithms ES256
		jwks {dir}/jwks.json
	}
	guard {
		rate off
	}`, sandbox.WithOnsite("/crm7"))
	revoked := g.ticket()
	if g.ticket() != revoked {
		t.Fatal("another one for each call")
	}
	g.revoke(operator.Revocation{App: "office"})
	if g.ticket() == revoked {
		t.Error("the revoked one was used")
	}
}

func TestRevokingAPersonDropsThatPersonsKeptAnswers(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	send := func(name string) answer {
		client, xsrf := g.signIn(name)
		return g.do(client, http.MethodPost, tenantPath, seedBody, keyed(http.Header{"X-XSRF-TOKEN": {xsrf}}, "once "+name))
	}
	for _, name := range []string{"tove", "per"} {
		if got := send(name); got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
	}
	g.revoke(operator.Revocation{Tenant: "Cust12345", User: g.so.User("Cust12345", "tove").UPN})
	if got := send("tove"); got.status != http.StatusConflict || !strings.Contains(got.body, "answer_not_kept") {
		t.Errorf("the revoked person: %d %s", got.status, got.body)
	}
	if got := send("per"); got.header.Get("ErpSync-Replayed") == "" {
		t.Errorf("another person: %d %s", got.status, got.body)
	}
	if n := len(g.sent()); n != 2 {
		t.Errorf("%d sends of two calls", n)
	}
}

func TestARenewalThatFailedAheadOfTimeRefusesNobodyWhoseTokenHasEndedSince(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	g := newGatewayWhere(t, apps, func(w http.ResponseWriter, r *http.Request) bool {
		if down.Load() && strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	client, _ := g.signIn("tove")
	b := g.h.Browser
	var token session.Token
	for _, cookie := range client.Jar.Cookies(mustParse(t, strings.Replace(g.site, "http:", "https:", 1))) {
		if cookie.Name == sessionCookie {
			token, _ = b.sessions.Keys.Parse(cookie.Value)
		}
	}
	aged := func(left time.Duration) session.Session {
		t.Helper()
		s, err := b.sessions.Update(t.Context(), token, func(s *session.Session) {
			s.AccessIssued, s.AccessExpires = time.Now().Add(-time.Hour), time.Now().Add(left)
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	down.Store(true)
	if _, refusal := b.fresh(t.Context(), token, aged(30*time.Second), auth.Secret{}); refusal != nil {
		t.Fatalf("ahead of time: %v", refusal)
	}
	place := token.Place()
	waitFor(t, func() bool { return b.failures.Waits("ahead "+string(place[:])) || b.failures.Waits(string(place[:])) })
	down.Store(false)
	s, refusal := b.fresh(t.Context(), token, aged(-time.Second), auth.Secret{})
	if refusal != nil || !time.Now().Before(s.AccessExpires) {
		t.Errorf("after the token has ended: %v", refusal)
	}
}
