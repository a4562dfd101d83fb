package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/redisstore"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// secret is a SecretSource.
type secret string

func (s secret) Get() auth.Secret    { return auth.NewSecret(string(s)) }
func (s secret) Reload() auth.Secret { return s.Get() }

func TestTwoGatewaysOfARedisTellEachChangeOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	keys, err := session.NewKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var e struct{ Type, Subject string }
		_ = json.Unmarshal(raw, &e)
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e.Type[strings.Index(e.Type, "connection"):]+" "+e.Subject)
	}))
	t.Cleanup(receiver.Close)
	open := func() (*notify.Notifier, func()) {
		store := redisstore.New(redisstore.Config{Addresses: []string{server.Address}, Prefix: "p"})
		n := notify.New("sod", false, store.Leases, zap.NewNop())
		stop := n.Start(notify.Settings{
			Failures: 3, FailingFor: time.Hour, Source: "/erpsync/sod", Environment: "sod", Store: notify.SharedStore(store.Values, keys),
			Webhook: &notify.WebhookConfig{URL: receiver.URL, Secrets: []auth.SecretSource{secret("whsec_" + strings.Repeat("QUFB", 8))}, Transport: http.DefaultTransport},
		})
		return n, func() {
			stop()
			n.Close()
			_ = store.Close()
		}
	}
	call := func(n *notify.Notifier, class outcome.Class) {
		r := &outcome.Record{App: "erp", Tenant: "Cust1", Operation: superoffice.ForceResync, Understood: true, Granted: true, Started: time.Now()}
		r.Arguments.Connection, r.Outcome.Class = 612, class
		n.Ended(r)
	}
	await := func(want ...string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			mu.Lock()
			got := slices.Clone(told)
			mu.Unlock()
			if slices.Equal(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
	first, endFirst := open()
	second, endSecond := open()
	defer endSecond()
	call(first, outcome.Error)
	call(first, outcome.Error)
	call(second, outcome.Error)
	await("connection.failing.v1 erp/Cust1/612")
	if strings.Contains(server.Dump(), "Cust1") {
		t.Error("what is kept in the store is not sealed")
	}
	endFirst()
	call(second, outcome.OK)
	await("connection.failing.v1 erp/Cust1/612", "connection.recovered.v1 erp/Cust1/612")
}
