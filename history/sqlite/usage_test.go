package sqlite

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// dropUsage makes a file of the fourth schema one of the third.
const dropUsage = "DROP INDEX calls_tenant; DROP INDEX calls_failed; DROP TABLE days; DROP TABLE refusals; DROP TABLE latest; DROP TABLE facts; PRAGMA user_version = 3; "

func TestAFileOfTheThirdSchemaIsBroughtForwardAndCounted(t *testing.T) {
	t.Parallel()
	path, random := newPath(t), rand.New(rand.NewPCG(1, 20)) //nolint:gosec // no secret
	before := openAt(t, path, thisNode)
	from, first, rows := time.Now().Add(-120*time.Hour).Truncate(time.Microsecond), time.Now(), []history.Row(nil)
	for n := range 2100 { // more than one reading
		r := historytest.RandomCall(random, n, from)
		if r.Started.Before(first) {
			first = r.Started
		}
		rows = append(rows, r)
	}
	historytest.Write(t, before, rows...)
	historytest.Imported(t, before, historytest.Over(historytest.Began("imported", from.Add(-1000*time.Hour)), outcome.OK, 0))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), dropUsage); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, thisNode)
	historytest.SameUsage(t, s)
	if since := historytest.UsageOf(t, s, history.UsageFilter{}).Since; !since.Equal(first) {
		t.Errorf("counted since %v, and the first call of a gateway was at %v", since, first)
	}
}

func TestAFullFileGivesUpDaysOnceTheyTakeAQuarterOfIt(t *testing.T) {
	t.Parallel()
	s, now := openAt(t, newPath(t), thisNode), time.Now()
	var rows []history.Row
	for i := range 2000 {
		r := historytest.Over(historytest.Began(fmt.Sprint(i), now.Add(-time.Duration(i)*time.Hour)), outcome.OK, 0)
		r.Tenant = fmt.Sprintf("Cust%d", i)
		rows = append(rows, r)
	}
	historytest.Write(t, s, rows...)
	if _, err := s.db.ExecContext(t.Context(), "UPDATE facts SET value = 0"); err != nil { // as if it had run all the time
		t.Fatal(err)
	}
	historytest.Trim(t, s, now, history.Retention{MaxSize: 500 << 10})
	left := historytest.UsageOf(t, s, history.UsageFilter{})
	if n := len(left.Entries); n == 2000 || n > 500<<10/4/320 || n < 200 || count(t, s) < 200 || count(t, s) == 2000 {
		t.Errorf("%d days, %d rows", n, count(t, s))
	}
	for _, u := range left.Entries {
		if u.Day.Before(left.Since.Add(-24 * time.Hour)) {
			t.Errorf("%v, and all before %v is gone", u.Day, left.Since)
		}
	}
}
