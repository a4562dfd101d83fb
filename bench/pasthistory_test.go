package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
)

func TestAHistoryIsFilledWithCallsThatItAnswersFor(t *testing.T) {
	t.Parallel()
	const rows, tenants, environment = 1200, 3, "http://127.0.0.1:1"
	filled := filepath.Join(t.TempDir(), "filled.db")
	if err := fillHistory(t.Context(), filled, rows, tenants, environment); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	driver := &sqlite.SQLite{Path: filled}
	if err := driver.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	store, err := driver.Open(t.Context(), history.Gateway{Node: "test", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	calls := 0
	for i := range tenants {
		if err := store.SentSince(t.Context(), environment, crowdTenant(i), time.Now().Add(-2*past), func(*history.Row) error { calls++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	failures, err := store.Failures(t.Context(), history.Filter{})
	if err != nil || calls != rows || len(failures) != tenants {
		t.Errorf("%d calls, %d groups of failures, %v", calls, len(failures), err)
	}
}
