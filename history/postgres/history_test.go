package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/postgrestest"
)

func TestMain(m *testing.M) {
	if place, is := historytest.ChildPlace(); is {
		url, schema, _ := strings.Cut(place, "\n")
		historytest.UntilKilled(newPlaceOf(url, schema).Open)
	}
	code := m.Run()
	postgrestest.End()
	os.Exit(code)
}

// patience is the timeout of tests: a machine with much to do is no trouble.
const patience = time.Minute

// place is a schema of a test's own.
type place struct {
	url, schema string
	db          *sql.DB
}

func (p *place) DB() *sql.DB                  { return p.db }
func (p *place) Text(statement string) string { return newDialect(p.schema, patience).Text(statement) }

func (p *place) Open(ctx context.Context, gateway history.Gateway) (history.Store, error) {
	return p.open(ctx, gateway, patience)
}

func (p *place) open(ctx context.Context, gateway history.Gateway, timeout time.Duration) (*store, error) {
	config, err := parse(p.url)
	if err != nil {
		return nil, err
	}
	return open(ctx, config, func() (*pgx.ConnConfig, error) { return parse(p.url) }, p.schema, timeout, gateway)
}

var (
	commonURL string
	common    sync.Once
	schemas   atomic.Int64
)

// newPlace returns a schema in a database that tests share.
func newPlace(t testing.TB) *place {
	t.Helper()
	common.Do(func() {
		commonURL = postgrestest.Database(t)
	})
	if commonURL == "" {
		t.Skip("no PostgreSQL: see the first test")
	}
	return newPlaceAt(t, commonURL, fmt.Sprintf("history %d", schemas.Add(1)))
}

func newPlaceAt(t testing.TB, address, schema string) *place {
	t.Helper()
	db, err := sql.Open("pgx", address+"&search_path="+strings.ReplaceAll(url.QueryEscape(`"`+schema+`"`), "+", "%20"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(2)
	t.Cleanup(func() { _ = db.Close() })
	return &place{address, schema, db}
}

// newPlaceOf returns a place that a test has made.
func newPlaceOf(url, schema string) *place { return &place{url: url, schema: schema} }

func openAt(t testing.TB, p *place, gateway history.Gateway) *store {
	t.Helper()
	s, err := p.open(t.Context(), gateway, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAHistory(t *testing.T) {
	t.Parallel()
	historytest.Test(t, func(t testing.TB) *historytest.At { return &historytest.At{Place: newPlace(t)} })
}

// BenchmarkFailuresOfAMillionKeys asks for what fails among a million keys.
func BenchmarkFailuresOfAMillionKeys(b *testing.B) {
	historytest.BenchmarkAMillionKeys(b, func(t testing.TB) *historytest.At { return &historytest.At{Place: newPlace(t)} }, func(at *historytest.At) {
		exec(b, at.Place.(*place), "VACUUM ANALYZE")
	})
}

func TestAKilledGatewayLosesNothingThatWasCommittedAndLeavesItsCallsUnknown(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	historytest.Killed(t, p.url+"\n"+p.schema, &historytest.At{Place: p})
}
