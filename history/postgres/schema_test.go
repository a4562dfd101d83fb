package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
	"github.com/caddy-erpsync/caddy-erpsync/internal/postgrestest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func exec(t testing.TB, p *place, text string, args ...any) {
	t.Helper()
	if _, err := p.db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

func TestGatewaysThatStartAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var all sync.WaitGroup
	stores := make([]*store, 6)
	for i := range stores {
		all.Go(func() {
			var err error
			if stores[i], err = p.open(t.Context(), history.Gateway{Node: fmt.Sprint(i), Started: time.Now()}, patience); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	runs := make(map[int64]bool)
	for _, s := range stores {
		if s != nil {
			runs[s.Run()] = true
			defer s.Close()
		}
	}
	var rows, version int
	if err := p.db.QueryRowContext(t.Context(), "SELECT count(*), max(version) FROM schema_version").Scan(&rows, &version); err != nil || rows != 1 || version != len(migrations) || len(runs) != len(stores) {
		t.Errorf("%d rows of the version, %d, %d gateways, %v", rows, version, len(runs), err)
	}
}

func TestASchemaGoesForwardAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := openAt(t, p, historytest.ThisNode)
	exec(t, p, fmt.Sprintf("UPDATE schema_version SET version = %d", len(migrations)+1))
	_, err := p.open(t.Context(), historytest.ThisNode, patience)
	if !errors.Is(err, history.ErrRefused) || !strings.Contains(err.Error(), "use the newer build") {
		t.Errorf("a newer one: %v", err)
	}
	historytest.Write(t, s, historytest.Over(historytest.Began("a", time.Now()), outcome.OK, 0)) // what runs goes on
	if err := s.Beat(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	foreign := newPlace(t)
	exec(t, foreign, `CREATE SCHEMA "`+foreign.schema+`"`)
	exec(t, foreign, "CREATE TABLE calls (x int)")
	if _, err := foreign.open(t.Context(), historytest.ThisNode, patience); !errors.Is(err, history.ErrRefused) || !strings.Contains(err.Error(), "another program's") {
		t.Errorf("another program's: %v", err)
	}
	exec(t, newPlace(t), "CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
	latin, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	latin.Path = "/latin"
	if _, err := newPlaceOf(latin.String(), "erpsync").open(t.Context(), historytest.ThisNode, patience); !errors.Is(err, history.ErrRefused) || !strings.Contains(err.Error(), "encoding UTF8") {
		t.Errorf("LATIN1: %v", err)
	}
}

func TestASchemaThatWasDroppedIsToldAndMadeAnew(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := openAt(t, p, historytest.ThisNode)
	exec(t, p, `DROP SCHEMA "`+p.schema+`" CASCADE`)
	if err := s.Write(t.Context(), []history.Row{historytest.Began("a", time.Now())}); !errors.Is(err, history.ErrGone) {
		t.Errorf("written: %v", err)
	}
	if err := s.Beat(t.Context(), time.Now()); !errors.Is(err, history.ErrGone) {
		t.Errorf("heartbeat: %v", err)
	}
	historytest.Write(t, openAt(t, p, historytest.ThisNode), historytest.Began("a", time.Now()))
}

// TestTheRoleOfTheDocsIsEnough runs what docs/history.md says, and a history as that role.
func TestTheRoleOfTheDocsIsEnough(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "history.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```sql\n(CREATE ROLE.*?)```").FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/history.md says no role")
	}
	admin := postgrestest.Database(t)
	p := newPlaceAt(t, admin, "erpsync")
	exec(t, p, string(found[1]))
	as, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.UserPassword("erpsync", "PASSWORD")
	p.url = as.String()
	s := openAt(t, p, historytest.ThisNode)
	c := historytest.NewCalls()
	historytest.Write(t, s, c.Call(5, outcome.Error, 612, 1), historytest.Over(historytest.Began("a", time.Now()), outcome.OK, 0))
	if err := s.Beat(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	if steps := historytest.Trim(t, s, time.Now(), history.Retention{Keep: time.Hour, MaxSize: 1}); steps < 2 {
		t.Errorf("%d steps", steps)
	}
	var foreign bool
	if err := p.db.QueryRowContext(t.Context(), "SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb OR has_database_privilege('erpsync', current_database(), 'CREATE')) FROM pg_roles WHERE rolname = 'erpsync'").Scan(&foreign); err != nil || foreign {
		t.Errorf("the role may more: %v", err)
	}
	_, err = newPlaceOf(as.String(), "another").open(t.Context(), historytest.ThisNode, patience)
	if err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("a schema that it may not create: %v", err)
	}
}

// What is asked at every call must not read through a table.
func TestNothingReadsThroughATable(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	openAt(t, p, historytest.ThisNode)
	conn, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run := func(text string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	run("SET enable_seqscan = off") // the tables are empty: a plan that can do without does
	run("SET plan_cache_mode = force_generic_plan")
	d := newDialect(p.schema, patience)
	for _, question := range append(append(sqlstore.Frequent(), sqlstore.Retrying()...), "SELECT count(*) FROM failing WHERE failure = ?", "SELECT id FROM calls WHERE started < ? ORDER BY started LIMIT 1") {
		run("PREPARE question AS " + d.Text(question))
		rows, err := conn.QueryContext(t.Context(), "EXPLAIN EXECUTE question ("+strings.TrimSuffix(strings.Repeat("NULL, ", strings.Count(question, "?")), ", ")+")")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, "Seq Scan") {
				t.Errorf("%s: %s", question, line)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		run("DEALLOCATE question")
	}
}
