package historytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// TestWhatOpensAndWhatCloses is the table of docs/history.md.
func whatOpensAndWhatCloses(t *testing.T, fresh New) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "history.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range outcome.Classes() {
		s, c := fresh(t).Open(t, ThisNode), NewCalls()
		does := "neither"
		Write(t, s, c.Call(superoffice.ForceResync, class, 612, 1, 2))
		if fails := Failures(t, s, history.Filter{}); len(fails) == 1 && fails[0].Keys == 2 && fails[0].Outcome == class {
			does = "opens"
		}
		Write(t, s, c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2, 3), c.Call(superoffice.ForceResync, class, 612, 1, 2))
		if fails := Failures(t, s, history.Filter{}); len(fails) == 1 && fails[0].Keys == 1 {
			does = "closes"
		}
		if row := fmt.Sprintf("| `%s` | %s |", class, does); !strings.Contains(string(page), row) {
			t.Errorf("docs/history.md lacks %s", row)
		}
	}
}

func aSuccessClosesWhatItCoversAndNothingElse(t *testing.T, fresh New) {
	const (
		full, noBlank, batch         = superoffice.ForceResync, superoffice.ForceResyncNoBlankValues, superoffice.ForceResyncBatchTask
		external, externalNoBlank    = superoffice.ForceResyncExternal, superoffice.ForceResyncExternalNoBlankValues
		syncAll, forceAll, getEngine = superoffice.SyncAll, superoffice.ForceSyncAll, superoffice.GetEngineStatus
	)
	type made struct {
		op         superoffice.Operation
		connection int32
		keys       []any
	}
	none, one, two := []any(nil), []any{1}, []any{1, 2}
	for name, c := range map[string]struct {
		failed, succeeded made
		left              int // keys that fail still, everything as one
	}{
		"the same keys":                        {made{full, 612, two}, made{full, 612, two}, 0},
		"in another order, and more":           {made{full, 612, two}, made{full, 612, []any{3, 2, 1}}, 0},
		"one of two":                           {made{full, 612, two}, made{full, 612, one}, 1},
		"everything of the connection":         {made{full, 612, two}, made{full, 612, none}, 0},
		"everything, by everything":            {made{full, 612, none}, made{full, 612, none}, 0},
		"everything, by keys":                  {made{full, 612, none}, made{full, 612, two}, 1},
		"another connection":                   {made{full, 612, two}, made{full, 613, two}, 2},
		"everything of another connection":     {made{full, 612, two}, made{full, 613, none}, 2},
		"in the other direction":               {made{full, 612, two}, made{full, 0, two}, 2},
		"from the CRM, in two spellings":       {made{full, -1, two}, made{full, 0, two}, 0},
		"a full resync, by without blanks":     {made{full, 612, two}, made{noBlank, 612, two}, 2},
		"everything of without blanks":         {made{full, 612, two}, made{noBlank, 612, none}, 2},
		"without blanks, by a full resync":     {made{noBlank, 612, two}, made{full, 612, two}, 0},
		"without blanks, by the same":          {made{noBlank, 612, two}, made{noBlank, 612, two}, 0},
		"a batch task, by a call":              {made{batch, 612, two}, made{full, 612, two}, 0},
		"internal, by external":                {made{full, 612, two}, made{external, 612, []any{"1", "2"}}, 2},
		"internal, by everything external":     {made{full, 612, two}, made{external, 612, none}, 2},
		"external, by internal":                {made{external, 612, []any{"1", "2"}}, made{full, 612, two}, 2},
		"external, by everything internal":     {made{external, 612, []any{"1", "2"}}, made{full, 612, none}, 2},
		"external, by external":                {made{external, 612, []any{"1", ""}}, made{external, 612, []any{"", "1"}}, 0},
		"external, by without blanks":          {made{external, 612, []any{"1"}}, made{externalNoBlank, 612, []any{"1"}}, 1},
		"external everything, by an empty key": {made{external, 612, none}, made{external, 612, []any{""}}, 1},
		"SyncAll, by itself":                   {made{syncAll, 0, none}, made{syncAll, 0, none}, 0},
		"SyncAll, by the forced one":           {made{syncAll, 0, none}, made{forceAll, 0, none}, 1},
		"keys, by ForceSyncAll":                {made{full, 0, two}, made{forceAll, 0, none}, 2},
		"a question fails, and moves nothing":  {made{getEngine, 0, none}, made{full, 612, two}, 0},
	} {
		s, all := fresh(t).Open(t, ThisNode), NewCalls()
		Write(t, s, all.Call(c.failed.op, outcome.Error, c.failed.connection, c.failed.keys...))
		Write(t, s, all.Call(c.succeeded.op, outcome.Warning, c.succeeded.connection, c.succeeded.keys...))
		if left := Failing(t, s); len(left) != c.left {
			t.Errorf("%s: left are %v", name, left)
		}
	}
}

func aSuccessThatBeganBeforeTheFailureWasOverProvesNothing(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	failed, overlapping, later := c.Call(superoffice.ForceResync, outcome.Error, 612, 1), c.Call(superoffice.ForceResync, outcome.OK, 612, 1), c.Call(superoffice.ForceResync, outcome.OK, 612, 1)
	overlapping.Started = failed.Ended.Add(-time.Microsecond)
	Write(t, s, failed, overlapping)
	if left := Failing(t, s); len(left) != 1 {
		t.Errorf("%v", left)
	}
	later.Started = failed.Ended
	Write(t, s, later)
	if left := Failing(t, s); len(left) != 0 {
		t.Errorf("at the same moment: %v", left)
	}
}

// What a transaction has found out of scopes it keeps, so that it has to keep up with what it changes itself.
func callsOfAGroupSeeWhatThoseBeforeThemDid(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	ok, failed := func(keys ...any) history.Row { return c.Call(superoffice.ForceResync, outcome.OK, 612, keys...) }, func(keys ...any) history.Row {
		return c.Call(superoffice.ForceResync, outcome.Error, 612, keys...)
	}
	Write(t, s, ok(1), failed(1, 2), ok(1), failed(3)) // nothing is known of the scope
	Write(t, s, ok(2, 3))                              // and then everything is well
	if found := Failures(t, s, history.Filter{}); len(found) != 0 {
		t.Fatalf("%+v", found)
	}
	Write(t, s, ok(1), failed(1, 2), ok(1))
	if found := Failures(t, s, history.Filter{}); len(found) != 1 || found[0].Keys != 1 {
		t.Errorf("%+v", found)
	}
}

func anotherTenantOrEnvironmentIsAnother(t *testing.T, fresh New) {
	for _, change := range []func(*history.Row){
		func(r *history.Row) { r.Tenant = "Cust2" }, func(r *history.Row) { r.Environment = "sod" }, func(r *history.Row) { r.Understood = false },
	} {
		s, c := fresh(t).Open(t, ThisNode), NewCalls()
		failed, succeeded := c.Call(superoffice.ForceResync, outcome.Error, 612, 1), c.Call(superoffice.ForceResync, outcome.OK, 612, 1)
		change(&succeeded)
		Write(t, s, failed, succeeded)
		if left := Failing(t, s); len(left) != 1 {
			t.Errorf("%+v: %v", succeeded, left)
		}
	}
}

func whatFailsDoesNotDependOnTheOrderInWhichCallsAreWritten(t *testing.T, fresh New) {
	random := rand.New(rand.NewPCG(3, 4))
	operations := []superoffice.Operation{superoffice.ForceResync, superoffice.ForceResync, superoffice.ForceResyncNoBlankValues, superoffice.ForceResyncBatchTask}
	classes := []outcome.Class{outcome.OK, outcome.OK, outcome.Info, outcome.Error, outcome.Fault, outcome.Unknown, outcome.Accepted}
	for range 6 {
		c, rows := NewCalls(), []history.Row(nil)
		for range 40 {
			var keys []any
			for range random.IntN(4) {
				keys = append(keys, random.IntN(5))
			}
			r := c.Call(operations[random.IntN(len(operations))], classes[random.IntN(len(classes))], int32(random.IntN(2)), keys...)
			r.Ended = r.Ended.Add(time.Duration(random.IntN(5)) * time.Minute) // some overlap
			r.Ended = r.Ended.Add(time.Duration(c.N) * time.Millisecond)       // and no two end together
			rows = append(rows, r)
		}
		first := fresh(t).Open(t, ThisNode)
		Write(t, first, rows...)
		want := Failing(t, first)
		for range 2 {
			shuffled := slices.Clone(rows)
			random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			other := fresh(t).Open(t, ThisNode)
			for i := range shuffled {
				Write(t, other, shuffled[i])
			}
			if got := Failing(t, other); !slices.Equal(got, want) {
				t.Fatalf("in order:\n%s\nshuffled:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
			}
		}
	}
}

func failuresAreGroupedByCauseWithTheirFirstAndLastCall(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	first, second := c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2), c.Call(superoffice.ForceResync, outcome.Error, 612, 2, 3)
	fault := c.Call(superoffice.ForceResync, outcome.Fault, 612, 4)
	elsewhere := c.Call(superoffice.ForceResync, outcome.Error, 700, 1)
	elsewhere.Tenant, elsewhere.App = "Cust2", "other"
	Write(t, s, first, second, fault, elsewhere)
	found := Failures(t, s, history.Filter{})
	if len(found) != 3 || found[0].Tenant != "Cust2" || found[1].Outcome != outcome.Fault {
		t.Fatalf("%+v", found)
	}
	got := found[2]
	if got.Keys != 3 || got.Tries != 2 || got.ErrorCode != "E1" || !got.First.Equal(first.Ended) || !got.Last.Equal(second.Ended) || got.RequestID != second.RequestID || got.App != "erp" || got.Connection != 612 || got.Kind != history.Internal || got.Everything {
		t.Errorf("%+v", got)
	}
	connection := int32(700)
	for want, filter := range map[string]history.Filter{
		"Cust2":           {Tenant: "Cust2"},
		"Cust2 ":          {App: "other"},
		"Cust2  ":         {Connection: &connection},
		"Cust2   ":        {Since: elsewhere.Ended},
		"Cust12345 fault": {Tenant: "Cust12345", Since: fault.Ended},
	} {
		tenant, class, _ := strings.Cut(strings.TrimSpace(want), " ")
		if found := Failures(t, s, filter); len(found) != 1 || found[0].Tenant != tenant || class != "" && string(found[0].Outcome) != class {
			t.Errorf("%+v: %+v", filter, found)
		}
	}
	// A key that fails for another cause is in that group alone.
	Write(t, s, c.Call(superoffice.ForceResync, outcome.Fault, 612, 1, 2, 3))
	if found := Failures(t, s, history.Filter{Tenant: "Cust12345"}); len(found) != 1 || found[0].Keys != 4 || found[0].Tries != 2 {
		t.Errorf("%+v", found)
	}
	// And what was over is begun anew.
	Write(t, s, c.Call(superoffice.ForceResync, outcome.OK, 612), c.Call(superoffice.ForceResync, outcome.Fault, 612))
	if found := Failures(t, s, history.Filter{Tenant: "Cust12345"}); len(found) != 1 || found[0].Keys != 0 || !found[0].Everything || found[0].Tries != 1 || found[0].First != found[0].Last {
		t.Errorf("%+v", found)
	}
}

func aCallWithoutEndFailsUntilItsEndComesAfterAll(t *testing.T, fresh New) {
	for class, left := range map[outcome.Class]string{outcome.OK: "", outcome.Accepted: "", outcome.Error: "error"} {
		place := fresh(t)
		s, c := place.Open(t, ThisNode), NewCalls()
		ended := c.Call(superoffice.ForceResync, class, 612, 1, 2)
		began := ended
		began.Ended, began.Outcome, began.ErrorCode = time.Time{}, "", ""
		Write(t, s, began)
		if found := Failures(t, s, history.Filter{}); len(found) != 0 {
			t.Errorf("it runs: %+v", found)
		}
		again := place.Open(t, ThisNode)
		if found := Failures(t, again, history.Filter{}); len(found) != 1 || found[0].Outcome != outcome.Unknown || found[0].OutcomeCause != history.NoEnd || found[0].Keys != 2 {
			t.Errorf("nobody saw its end: %+v", found)
		}
		Write(t, s, ended)
		found := Failures(t, again, history.Filter{})
		if len(found) != min(len(left), 1) || left != "" && string(found[0].Outcome) != left {
			t.Errorf("%s came after all: %+v", class, found)
		}
	}
}

func aPersonClosesAGroupAndALaterFailureOpensAnother(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	older, failed := c.Call(superoffice.ForceResync, outcome.Unknown, 612, 1), c.Call(superoffice.ForceResync, outcome.Unknown, 612, 1, 2)
	Write(t, s, failed)
	group := Failures(t, s, history.Filter{})[0].ID
	closure := history.Closure{By: "tove", Proof: "unix_peer", Reason: "looked", At: failed.Ended.Add(time.Second)}
	closed, err := s.CloseFailure(t.Context(), group, closure)
	if err != nil || closed.Keys != 2 || closed.ID != group || len(Failures(t, s, history.Filter{})) != 0 {
		t.Errorf("%+v, %v", closed, err)
	}
	if _, err := s.CloseFailure(t.Context(), group, closure); !errors.Is(err, history.ErrNoFailure) {
		t.Errorf("twice: %v", err)
	}
	var kept string
	if err := s.QueryRow(t, "SELECT actor || ' ' || proof || ' ' || why || ' ' || keys || ' ' || request_id FROM closures").Scan(&kept); err != nil || kept != "tove unix_peer looked 2 "+failed.RequestID {
		t.Errorf("%s, %v", kept, err)
	}
	Write(t, s, older) // from an audit file
	if found := Failures(t, s, history.Filter{}); len(found) != 0 {
		t.Errorf("what was before comes back: %+v", found)
	}
	Write(t, s, c.Call(superoffice.ForceResync, outcome.Unknown, 612, 1))
	if found := Failures(t, s, history.Filter{}); len(found) != 1 || found[0].ID <= group {
		t.Errorf("a later one: %+v", found)
	}
}

func whatFailedLongAgoGoesWithItsRows(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	keys := make([]any, 3*sqlstore.TrimStep)
	for i := range keys {
		keys[i] = i
	}
	old, young := c.Call(superoffice.ForceResync, outcome.Error, 612, keys...), c.Call(superoffice.ForceResync, outcome.Fault, 612, "x")
	young.Operation, young.ActorType = superoffice.ForceResyncExternal, "Customer"
	Write(t, s, old, young)
	if _, err := s.CloseFailure(t.Context(), Failures(t, s, history.Filter{})[0].ID, history.Closure{At: old.Ended}); err != nil {
		t.Fatal(err)
	}
	young.RequestID, young.Started, young.Ended = "young", young.Started.Add(time.Hour), young.Ended.Add(time.Hour)
	Write(t, s, young)
	steps := Trim(t, s, old.Ended.Add(time.Second+time.Minute), history.Retention{Keep: time.Minute})
	if found := Failures(t, s, history.Filter{}); len(found) != 1 || found[0].Outcome != outcome.Fault || steps < 4 {
		t.Errorf("%+v in %d steps", found, steps)
	}
	var closures int
	if err := s.QueryRow(t, "SELECT count(*) FROM closures").Scan(&closures); err != nil || closures != 0 {
		t.Errorf("%d closures, %v", closures, err)
	}
}
