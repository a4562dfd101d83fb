package gateway_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// kept is a store that keeps rows in memory.
type kept struct {
	history.Store // what no test here asks for

	mu   sync.Mutex
	rows []history.Row
}

func (k *kept) Key() string                                                  { return "kept" }
func (k *kept) Retention() history.Retention                                 { return history.Retention{} }
func (k *kept) Open(context.Context, history.Gateway) (history.Store, error) { return k, nil }
func (k *kept) Beat(context.Context, time.Time) error                        { return nil }
func (k *kept) Close() error                                                 { return nil }

func (k *kept) Trim(context.Context, time.Time, history.Retention) (bool, error) { return false, nil }

func (k *kept) Write(_ context.Context, rows []history.Row) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rows = append(k.rows, rows...)
	return nil
}

func TestTheHistoryHasEveryCallOfAProvedCallerAndNoDryRun(t *testing.T) {
	t.Parallel()
	store, journal := new(kept), history.New("node", zap.NewNop())
	if err := journal.Open(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	dry := func(path, body string) {
		t.Helper()
		header := g.Service()
		header.Set("ErpSync-Dry-Run", "true")
		g.Do(nil, http.MethodPost, path, body, header)
	}
	g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, nil) // a stranger
	g.Do(nil, http.MethodOptions, gatewaytest.TenantPath, "", http.Header{"Origin": {"https://pages.example"}, "Access-Control-Request-Method": {"POST"}})
	dry(gatewaytest.TenantPath, gatewaytest.SeedBody)
	dry(gatewaytest.TenantPath, "no body that anybody understands")
	served := g.Resync(g.Service())
	refused := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, "no body that anybody understands", g.Service())
	journal.Close()
	if len(store.rows) != 3 {
		t.Fatalf("%+v", store.rows)
	}
	began, ended, no := store.rows[0], store.rows[1], store.rows[2]
	if id := served.Header.Get("ErpSync-Request-Id"); began.RequestID != id || ended.RequestID != id || !began.Ended.IsZero() || ended.Outcome != outcome.OK || ended.Sends != 1 || ended.Environment != g.EnvironmentLabel() {
		t.Errorf("%+v, %+v", began, ended)
	}
	if keys, _, err := history.UnpackKeys(ended.Keys); err != nil || !slices.Equal(keys, []int32{386, 230}) || ended.Connection != 612 || ended.Principal == "" || ended.Tenant != "Cust12345" {
		t.Errorf("%v, %v, %+v", keys, err, ended)
	}
	if no.RequestID != refused.Header.Get("ErpSync-Request-Id") || no.Decision != "refused" || no.Reason != "body_not_understood" || no.Cause == "" || no.Understood || !no.Sent.IsZero() {
		t.Errorf("%+v", no)
	}
}

func TestNoCallLastsLongerThanTheHistoryWaitsForItsEnd(t *testing.T) {
	t.Parallel()
	if gateway.MaxCallTime >= history.LongestCall {
		t.Errorf("%s, and the history waits %s", gateway.MaxCallTime, history.LongestCall)
	}
}
