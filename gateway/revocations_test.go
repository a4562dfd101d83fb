package gateway_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/redisstore"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// brokenStore gives no marks while it is down.
type brokenStore struct {
	session.Store
	down atomic.Bool
}

func (s *brokenStore) Marks(ctx context.Context, scopes iter.Seq[session.Place]) (string, error) {
	if s.down.Load() {
		return "", errors.New("the store gives no answer")
	}
	return s.Store.Marks(ctx, scopes)
}

// ticket has a service call and gives the credential that SuperOffice got.
func ticket(t *testing.T, g *gatewaytest.Fixture) string {
	t.Helper()
	g.SO.Forget()
	path := gatewaytest.TenantPath
	if !g.Online() {
		path = "/crm7/api/v1/Agents/ErpSync/ForceResync"
	}
	if got := g.Do(nil, http.MethodPost, path, gatewaytest.SeedBody, g.Service()); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	return g.Sent()[0].Header.Get("Authorization")
}

func revoke(t *testing.T, g *gatewaytest.Fixture, what gateway.Revocation) {
	t.Helper()
	if err := g.Revoke(t.Context(), what); err != nil {
		t.Fatal(err)
	}
}

func TestARevokedTicketIsNotUsedAgainWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	store := &brokenStore{Store: g.State().Sessions}
	g.State().Sessions = store
	g.Approve("erp", "Cust12345", "tove")
	revoked := ticket(t, g)
	revoke(t, g, gateway.Revocation{App: "erp"})
	next := ticket(t, g)
	if next == revoked {
		t.Fatal("the revoked one was used")
	}
	store.down.Store(true)
	if got := ticket(t, g); got != next {
		t.Errorf("while the store is down another is used; the revoked one: %v", got == revoked)
	}
}

// inRedis keeps what gateways share in a Redis.
func inRedis(t *testing.T, address string) gatewaytest.Option {
	return func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, state **gateway.SharedState) {
		var shared *gateway.SharedState
		store := redisstore.New(redisstore.Config{Addresses: []string{address}, Prefix: "test", Timeout: time.Minute, Answered: func(access redisstore.Access, err error) {
			shared.StoreAnswered(access == redisstore.Write, err)
		}})
		t.Cleanup(func() { _ = store.Close() })
		shared = gateway.NewSharedState(store.Sessions, store.Leases, store.Values, false)
		shared.KeepRoster(store.Gateways)
		shared.ShareHealth(store.Board)
		shared.ShareLimits(store.Claims)
		*state = shared
	}
}

func TestAStoreThatLostEverythingBringsNoRevokedTicketBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := gatewaytest.New(t, gatewaytest.Approvals(), inRedis(t, server.Address))
	g.Approve("erp", "Cust12345", "tove")
	revoked := ticket(t, g)
	revoke(t, g, gateway.Revocation{App: "erp"}) // and nobody calls before the store is lost
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if ticket(t, g) == revoked {
		t.Error("the revoked one is back")
	}
}

func TestAStoreWithTheMarksFromBeforeBringsNoRevokedTicketBack(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Approvals())
	g.State().Sessions = session.NewMemory(0, nil)
	g.Approve("erp", "Cust12345", "tove")
	revoked := ticket(t, g)
	revoke(t, g, gateway.Revocation{App: "erp"})
	if ticket(t, g) == revoked {
		t.Fatal("the revoked one was used")
	}
	g.State().Sessions = session.NewMemory(0, nil)
	if ticket(t, g) == revoked {
		t.Error("the revoked one is back")
	}
}

func TestRevokingTheAppOnsiteMintsAnotherBearer(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Onsite(t, "/crm7")
	revoked := ticket(t, g)
	if ticket(t, g) != revoked {
		t.Fatal("another one for each call")
	}
	revoke(t, g, gateway.Revocation{App: "erp"})
	if ticket(t, g) == revoked {
		t.Error("the revoked one was used")
	}
}

func TestRevokingAPersonDropsThatPersonsKeptAnswers(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	send := func(name string) gatewaytest.Answer {
		client, xsrf := g.SignIn(name)
		return g.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(http.Header{"X-XSRF-TOKEN": {xsrf}}, "once "+name))
	}
	for _, name := range []string{"tove", "per"} {
		if got := send(name); got.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	revoke(t, g, gateway.Revocation{Tenant: "Cust12345", User: g.SO.User("Cust12345", "tove").UPN})
	if got := send("tove"); got.Status != http.StatusConflict || !strings.Contains(got.Body, "answer_not_kept") {
		t.Errorf("the revoked person: %d %s", got.Status, got.Body)
	}
	if got := send("per"); got.Header.Get("ErpSync-Replayed") == "" {
		t.Errorf("another person: %d %s", got.Status, got.Body)
	}
	if n := len(g.Sent()); n != 2 {
		t.Errorf("%d sends of two calls", n)
	}
}

func TestRevokingATenantDropsItsTicketAndItsKeptAnswersAndRunsNothingTwice(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	// Tenants and apps of parallel tests have the same names: a call of a tenant of its own would be marked too.
	send := func() gatewaytest.Answer {
		return g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "once"))
	}
	if got := send(); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if got := send(); got.Header.Get("ErpSync-Replayed") == "" {
		t.Fatalf("not replayed: %d %s", got.Status, got.Body)
	}
	mints := g.SO.Mints("ticket")
	if err := g.Revoke(t.Context(), gateway.Revocation{Tenant: "Cust12345"}); err != nil {
		t.Fatal(err)
	}
	if got := send(); got.Status != http.StatusConflict || !strings.Contains(got.Body, "answer_not_kept") {
		t.Errorf("a revoked answer: %d %s", got.Status, got.Body)
	}
	if n := len(g.Sent()); n != 1 {
		t.Errorf("%d sends of one call", n)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[9]}`, g.Service()); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := g.SO.Mints("ticket"); got != mints+1 {
		t.Errorf("%d tickets, %d before: the revoked one was used", got, mints)
	}
}
