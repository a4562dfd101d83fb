package sqlite

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// randomCall is a call of one of a few tenants within a few days, of any kind.
func randomCall(random *rand.Rand, n int, from time.Time) history.Row {
	r := row(fmt.Sprint(n), from.Add(time.Duration(random.IntN(96*3600))*time.Second))
	r.Tenant, r.App, r.Connection = fmt.Sprintf("Cust%d", random.IntN(3)), []string{"erp", "portal"}[random.IntN(2)], int32(random.IntN(3)-1)
	took := time.Duration(random.IntN(100)*random.IntN(10_000)) * time.Millisecond
	switch random.IntN(10) {
	case 0:
		r.Operation = superoffice.GetEngineStatus
		return over(r, outcome.OK, took)
	case 1:
		r.Decision, r.Reason, r.Status, r.Sent, r.Ended = "refused", []string{"rate_limited", "operation_not_granted"}[random.IntN(2)], 403, time.Time{}, r.Started
		return r
	case 2:
		r = over(r, outcome.OK, took)
		r.Decision, r.Replays = "replayed", "another"
		return r
	}
	return over(r, outcome.Classes()[random.IntN(len(outcome.Classes()))], took)
}

// counted is what a history should say, from the rows alone.
func counted(t testing.TB, s *store, whole bool) map[string]history.Usage {
	t.Helper()
	all := make(map[string]history.Usage)
	var before int64
	for {
		page, err := s.Calls(t.Context(), history.CallFilter{Before: before, Limit: history.MaxCalls})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Calls {
			if c.Ended.IsZero() {
				continue
			}
			key := history.Usage{Environment: c.Environment, App: c.App, Tenant: c.Tenant, Connection: max(c.Connection, 0)}
			if !whole {
				key.Day = history.DayOf(c.Started)
			}
			name := nameOf(key)
			u, found := all[name]
			if !found {
				u = key
			}
			u.Count(&c.Row, 1)
			if c.Decision != "replayed" && c.Operation.Resyncs() {
				if history.Closes(c.Outcome) && c.Started.After(u.LastSuccess) {
					u.LastSuccess = c.Started
				}
				if history.Opens(c.Outcome) && c.Started.After(u.LastFailure) {
					u.LastFailure = c.Started
				}
			}
			all[name] = u
		}
		if before = page.Next; before == 0 {
			return all
		}
	}
}

func nameOf(u history.Usage) string {
	return fmt.Sprint(u.Day.Unix(), u.Environment, u.Tenant, u.App, u.Connection)
}

func usage(t testing.TB, s *store, filter history.UsageFilter) history.Usages {
	t.Helper()
	found, err := s.Usage(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sameUsage compares what is counted with what the rows say.
func sameUsage(t testing.TB, s *store) {
	t.Helper()
	for _, whole := range []bool{false, true} {
		want := counted(t, s, whole)
		got := usage(t, s, history.UsageFilter{Whole: whole}).Entries
		for _, u := range got {
			w := want[nameOf(u)]
			delete(want, nameOf(u))
			if len(w.Refused) == 0 {
				w.Refused = nil
			}
			if w.String() != u.String() || !w.LastSuccess.Equal(u.LastSuccess) || !w.LastFailure.Equal(u.LastFailure) {
				t.Errorf("%s:\n got %v, %v, %v\nwant %v, %v, %v", nameOf(u), u.Counts, u.LastSuccess, u.LastFailure, w.Counts, w.LastSuccess, w.LastFailure)
			}
		}
		for name, u := range want {
			t.Errorf("%s is missing: %v", name, u.Counts)
		}
	}
}

func TestEachCallIsCountedOnceHoweverItsRowsAreWritten(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 20)) //nolint:gosec // no secret
			path, from := newPath(t), time.Now().Add(-120*time.Hour).Truncate(time.Microsecond)
			s := openAt(t, path, thisNode)
			var rows, ends []history.Row
			for n := range 200 {
				end := randomCall(random, n, from)
				if began := end; !end.Sent.IsZero() && random.IntN(3) > 0 {
					began.Ended, began.Outcome, began.Decision, began.Sends, began.Status = time.Time{}, "", "", 0, 0
					rows = append(rows, began)
				}
				ends = append(ends, end)
			}
			random.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
			rows = append(rows, ends[:100]...)
			for len(rows) > 0 {
				n := min(len(rows), 1+random.IntN(60))
				write(t, s, rows[:n]...)
				rows = rows[n:]
			}
			sameUsage(t, s)
			s = openAt(t, path, thisNode) // what has no end is unknown now
			sameUsage(t, s)
			write(t, s, ends[50:150]...) // it has after all
			sameUsage(t, s)
			imported(t, s, ends...)
			imported(t, s, ends...)
			sameUsage(t, s)
			if n := len(usage(t, s, history.UsageFilter{}).Entries); n < 30 || count(t, s) != 200 {
				t.Errorf("%d entries of %d rows", n, count(t, s))
			}
		})
	}
}

func TestUsageIsOfTheDaysTheTenantAndTheAppThatAreAskedFor(t *testing.T) {
	t.Parallel()
	s, day := openAt(t, newPath(t), thisNode), time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	at := func(id, tenant, app string, at time.Time) history.Row {
		r := over(row(id, at), outcome.OK, time.Second)
		r.Tenant, r.App = tenant, app
		return r
	}
	write(t, s, at("a", "Cust1", "erp", day.Add(-time.Microsecond)), at("b", "Cust1", "erp", day), at("c", "Cust1", "erp", day.Add(24*time.Hour-time.Microsecond)), at("d", "Cust2", "erp", day.Add(24*time.Hour)), at("e", "Cust1", "portal", day))
	for _, c := range []struct {
		filter history.UsageFilter
		want   string
	}{
		{history.UsageFilter{From: day, To: day.Add(24 * time.Hour)}, "[Cust1 erp 2 Cust1 portal 1]"},
		{history.UsageFilter{From: day.Add(time.Hour), To: day.Add(2 * time.Hour)}, "[Cust1 erp 2 Cust1 portal 1]"},
		{history.UsageFilter{To: day}, "[Cust1 erp 1]"},
		{history.UsageFilter{From: day.Add(24 * time.Hour)}, "[Cust2 erp 1]"},
		{history.UsageFilter{Tenant: "Cust1", App: "erp", Whole: true}, "[Cust1 erp 3]"},
		{history.UsageFilter{Environment: "stage"}, "[]"},
	} {
		got := []any{}
		for _, u := range usage(t, s, c.filter).Entries {
			got = append(got, u.Tenant, u.App, u.Calls)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%+v: %v", c.filter, got)
		}
	}
}

// dropUsage makes a file of the fourth schema one of the third.
const dropUsage = "DROP INDEX calls_tenant; DROP INDEX calls_failed; DROP TABLE days; DROP TABLE refusals; DROP TABLE latest; DROP TABLE facts; PRAGMA user_version = 3; "

func TestAFileOfTheThirdSchemaIsBroughtForwardAndCounted(t *testing.T) {
	t.Parallel()
	path, random := newPath(t), rand.New(rand.NewPCG(1, 20)) //nolint:gosec // no secret
	before := openAt(t, path, thisNode)
	from, first, rows := time.Now().Add(-120*time.Hour).Truncate(time.Microsecond), time.Now(), []history.Row(nil)
	for n := range 2100 { // more than one reading
		r := randomCall(random, n, from)
		if r.Started.Before(first) {
			first = r.Started
		}
		rows = append(rows, r)
	}
	write(t, before, rows...)
	imported(t, before, over(row("imported", from.Add(-1000*time.Hour)), outcome.OK, 0))
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
	sameUsage(t, s)
	if since := usage(t, s, history.UsageFilter{}).Since; !since.Equal(first) {
		t.Errorf("counted since %v, and the first call of a gateway was at %v", since, first)
	}
}

func TestDaysOutliveTheirRowsAndAreNotCountedAgain(t *testing.T) {
	t.Parallel()
	s, now := openAt(t, newPath(t), thisNode), time.Now()
	old, older := over(row("old", now.Add(-100*24*time.Hour)), outcome.OK, time.Second), over(row("older", now.Add(-history.KeepUsage-48*time.Hour)), outcome.OK, time.Second)
	older.Tenant = "Cust2"
	refused := older
	refused.RequestID, refused.Outcome, refused.Decision, refused.Reason = "refused", "", "refused", "rate_limited"
	write(t, s, old, older, refused, over(row("new", now), outcome.Error, time.Second))
	if n := len(usage(t, s, history.UsageFilter{}).Entries); n != 3 {
		t.Fatalf("%d entries", n)
	}
	trim(t, s, now, history.Retention{Keep: 90 * 24 * time.Hour})
	left := usage(t, s, history.UsageFilter{})
	if len(left.Entries) != 2 || left.Entries[0].Calls != 1 || became(t, s, "old") != "" || left.Since.Before(history.DayOf(older.Started)) {
		t.Errorf("%+v", left)
	}
	for table, want := range map[string]int{"refusals": 0, "latest": 1} {
		var n int
		if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d rows, %v", table, n, err)
		}
	}
	imported(t, s, old) // from an audit file, once more
	if again := usage(t, s, history.UsageFilter{}); !reflect.DeepEqual(again, left) {
		t.Errorf("counted twice: %+v", again)
	}
}

func TestAFullFileGivesUpDaysOnceTheyTakeAQuarterOfIt(t *testing.T) {
	t.Parallel()
	s, now := openAt(t, newPath(t), thisNode), time.Now()
	var rows []history.Row
	for i := range 2000 {
		r := over(row(fmt.Sprint(i), now.Add(-time.Duration(i)*time.Hour)), outcome.OK, 0)
		r.Tenant = fmt.Sprintf("Cust%d", i)
		rows = append(rows, r)
	}
	write(t, s, rows...)
	if _, err := s.db.ExecContext(t.Context(), "UPDATE facts SET value = 0"); err != nil { // as if it had run all the time
		t.Fatal(err)
	}
	trim(t, s, now, history.Retention{MaxSize: 500 << 10})
	left := usage(t, s, history.UsageFilter{})
	if n := len(left.Entries); n == 2000 || n > 500<<10/4/320 || n < 200 || count(t, s) < 200 || count(t, s) == 2000 {
		t.Errorf("%d days, %d rows", n, count(t, s))
	}
	for _, u := range left.Entries {
		if u.Day.Before(left.Since.Add(-24 * time.Hour)) {
			t.Errorf("%v, and all before %v is gone", u.Day, left.Since)
		}
	}
}
