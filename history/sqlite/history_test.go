package sqlite

import (
	"context"
	"database/sql"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestAFileOfTheFirstSchemaIsBroughtForwardWithWhatFails(t *testing.T) {
	t.Parallel()
	path, c := newPath(t), historytest.NewCalls()
	before, rows := openAt(t, path, thisNode), []history.Row(nil)
	for range 1100 { // more than one reading
		rows = append(rows, c.Call(superoffice.ForceResync, outcome.Error, 612, c.N))
	}
	historytest.Write(t, before, append(rows, c.Call(superoffice.ForceResync, outcome.OK, 612, 5))...)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), dropUsage+"DROP INDEX calls_succeeded; DROP INDEX calls_unsettled; ALTER TABLE calls DROP COLUMN retries; DROP TABLE scopes; DROP TABLE failures; DROP TABLE failing; DROP TABLE closures; PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, thisNode)
	if found := historytest.Failures(t, s, history.Filter{}); len(found) != 1 || found[0].Keys != 1099 || found[0].Tries != 1099 || count(t, s) != 1101 {
		t.Errorf("%+v", found)
	}
}

// place is a file of a test's own.
type place struct {
	path string
	db   *sql.DB
}

func (p *place) DB() *sql.DB                  { return p.db }
func (p *place) Text(statement string) string { return statement }
func (p *place) Open(ctx context.Context, gateway history.Gateway) (history.Store, error) {
	return open(ctx, p.path, gateway)
}

func newPlace(t testing.TB) *historytest.At {
	t.Helper()
	path := newPath(t)
	db, err := sql.Open(driverName, "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &historytest.At{Place: &place{path, db}}
}

func TestAHistory(t *testing.T) {
	t.Parallel()
	historytest.Test(t, newPlace)
}

// BenchmarkFailuresOfAMillionKeys asks for what fails among a million keys.
func BenchmarkFailuresOfAMillionKeys(b *testing.B) {
	historytest.BenchmarkAMillionKeys(b, newPlace, func(*historytest.At) {})
}

// BenchmarkCalls writes what a busy gateway does.
func BenchmarkCalls(b *testing.B) { historytest.BenchmarkCalls(b, newPlace) }

// BenchmarkReadsOfAMillionCalls asks what the console and the commands ask.
func BenchmarkReadsOfAMillionCalls(b *testing.B) {
	historytest.BenchmarkReadsOfAMillionCalls(b, newPlace)
}

// BenchmarkASuccessOverManyKeys closes a hundred thousand keys with one call.
func BenchmarkASuccessOverManyKeys(b *testing.B) {
	historytest.BenchmarkASuccessOverManyKeys(b, newPlace)
}
