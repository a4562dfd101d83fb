package historytest

import (
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
func RandomCall(random *rand.Rand, n int, from time.Time) history.Row {
	r := Began(fmt.Sprint(n), from.Add(time.Duration(random.IntN(96*3600))*time.Second))
	r.Tenant, r.App, r.Connection = fmt.Sprintf("Cust%d", random.IntN(3)), []string{"erp", "portal"}[random.IntN(2)], int32(random.IntN(3)-1)
	took := time.Duration(random.IntN(100)*random.IntN(10_000)) * time.Millisecond
	switch random.IntN(10) {
	case 0:
		r.Operation = superoffice.GetEngineStatus
		return Over(r, outcome.OK, took)
	case 1:
		r.Decision, r.Reason, r.Status, r.Sent, r.Ended = "refused", []string{"rate_limited", "operation_not_granted"}[random.IntN(2)], 403, time.Time{}, r.Started
		return r
	case 2:
		r = Over(r, outcome.OK, took)
		r.Decision, r.Replays = "replayed", "another"
		return r
	}
	return Over(r, outcome.Classes()[random.IntN(len(outcome.Classes()))], took)
}

// counted is what a history should say, from the rows alone.
func counted(t testing.TB, s history.Store, whole bool) map[string]history.Usage {
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

func UsageOf(t testing.TB, s history.Store, filter history.UsageFilter) history.Usages {
	t.Helper()
	found, err := s.Usage(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sameUsage compares what is counted with what the rows say.
func SameUsage(t testing.TB, s history.Store) {
	t.Helper()
	for _, whole := range []bool{false, true} {
		want := counted(t, s, whole)
		got := UsageOf(t, s, history.UsageFilter{Whole: whole}).Entries
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

func eachCallIsCountedOnceHoweverItsRowsAreWritten(t *testing.T, fresh New) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 20)) //nolint:gosec // no secret
			place, from := fresh(t), time.Now().Add(-120*time.Hour).Truncate(time.Microsecond)
			s := place.Open(t, ThisNode)
			var rows, ends []history.Row
			for n := range 200 {
				end := RandomCall(random, n, from)
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
				Write(t, s, rows[:n]...)
				rows = rows[n:]
			}
			SameUsage(t, s)
			s = place.Open(t, ThisNode) // what has no end is unknown now
			SameUsage(t, s)
			Write(t, s, ends[50:150]...) // it has after all
			SameUsage(t, s)
			Imported(t, s, ends...)
			Imported(t, s, ends...)
			SameUsage(t, s)
			if n := len(UsageOf(t, s, history.UsageFilter{}).Entries); n < 30 || Count(t, s) != 200 {
				t.Errorf("%d entries of %d rows", n, Count(t, s))
			}
		})
	}
}

func usageIsOfTheDaysTheTenantAndTheAppThatAreAskedFor(t *testing.T, fresh New) {
	s, day := fresh(t).Open(t, ThisNode), time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	at := func(id, tenant, app string, at time.Time) history.Row {
		r := Over(Began(id, at), outcome.OK, time.Second)
		r.Tenant, r.App = tenant, app
		return r
	}
	Write(t, s, at("a", "Cust1", "erp", day.Add(-time.Microsecond)), at("b", "Cust1", "erp", day), at("c", "Cust1", "erp", day.Add(24*time.Hour-time.Microsecond)), at("d", "Cust2", "erp", day.Add(24*time.Hour)), at("e", "Cust1", "portal", day))
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
		for _, u := range UsageOf(t, s, c.filter).Entries {
			got = append(got, u.Tenant, u.App, u.Calls)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%+v: %v", c.filter, got)
		}
	}
}

func daysOutliveTheirRowsAndAreNotCountedAgain(t *testing.T, fresh New) {
	s, now := fresh(t).Open(t, ThisNode), time.Now()
	old, older := Over(Began("old", now.Add(-100*24*time.Hour)), outcome.OK, time.Second), Over(Began("older", now.Add(-history.KeepUsage-48*time.Hour)), outcome.OK, time.Second)
	older.Tenant = "Cust2"
	refused := older
	refused.RequestID, refused.Outcome, refused.Decision, refused.Reason = "refused", "", "refused", "rate_limited"
	Write(t, s, old, older, refused, Over(Began("new", now), outcome.Error, time.Second))
	if n := len(UsageOf(t, s, history.UsageFilter{}).Entries); n != 3 {
		t.Fatalf("%d entries", n)
	}
	Trim(t, s, now, history.Retention{Keep: 90 * 24 * time.Hour})
	left := UsageOf(t, s, history.UsageFilter{})
	if len(left.Entries) != 2 || left.Entries[0].Calls != 1 || Became(t, s, "old") != "" || left.Since.Before(history.DayOf(older.Started)) {
		t.Errorf("%+v", left)
	}
	for table, want := range map[string]int{"refusals": 0, "latest": 1} {
		var n int
		if err := s.QueryRow(t, "SELECT Count(*) FROM "+table).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d rows, %v", table, n, err)
		}
	}
	Imported(t, s, old) // from an audit file, once more
	if again := UsageOf(t, s, history.UsageFilter{}); !reflect.DeepEqual(again, left) {
		t.Errorf("counted twice: %+v", again)
	}
}
