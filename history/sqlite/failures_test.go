package sqlite

import (
	"database/sql"
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

// calls makes rows of one tenant, each a minute after the one before.
type calls struct {
	n  int
	at time.Time
}

func newCalls() *calls { return &calls{at: time.Now().Add(-24 * time.Hour).Truncate(time.Microsecond)} }

// call is over a second after it began. keys are int32 or string; none means everything.
func (c *calls) call(op superoffice.Operation, class outcome.Class, connection int32, keys ...any) history.Row {
	c.n++
	a := superoffice.Arguments{Connection: connection, Everything: len(keys) == 0}
	for _, key := range keys {
		switch key := key.(type) {
		case int:
			a.Keys = append(a.Keys, int32(key))
		case string:
			a.ExternalKeys = append(a.ExternalKeys, key)
		}
	}
	if op.Arguments() == superoffice.ExternalKeys {
		a.ActorType = "Customer"
	}
	r := row(fmt.Sprint(c.n), c.at.Add(time.Duration(c.n)*time.Minute))
	r.Operation, r.Connection, r.Everything, r.ActorType = op, connection, a.Everything, a.ActorType
	r.Keys, r.KeyCount = history.PackKeys(&a), len(keys)
	r = over(r, class, time.Second)
	if class == outcome.Error {
		r.ErrorCode = "E1"
	}
	return r
}

func failures(t testing.TB, s *store, filter history.Filter) []history.Failure {
	t.Helper()
	found, err := s.Failures(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// failing returns every key that fails, with its cause.
func failing(t testing.TB, s *store) (all []string) {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), "SELECT s.connection, s.kind, s.no_blank, k.key, f.outcome, f.error_code, k.ended FROM failing k JOIN failures f ON f.id = k.failure JOIN scopes s ON s.id = k.scope AND s.id = f.scope")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var connection, ended int64
		var kind, class, code string
		var noBlank bool
		var key any
		if err := rows.Scan(&connection, &kind, &noBlank, &key, &class, &code, &ended); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(connection, kind, noBlank, key, class, code, ended))
	}
	slices.Sort(all)
	return all
}

// TestWhatOpensAndWhatCloses is the table of docs/history.md.
func TestWhatOpensAndWhatCloses(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "history.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range outcome.Classes() {
		s, c := openAt(t, newPath(t), thisNode), newCalls()
		does := "neither"
		write(t, s, c.call(superoffice.ForceResync, class, 612, 1, 2))
		if fails := failures(t, s, history.Filter{}); len(fails) == 1 && fails[0].Keys == 2 && fails[0].Outcome == class {
			does = "opens"
		}
		write(t, s, c.call(superoffice.ForceResync, outcome.Error, 612, 1, 2, 3), c.call(superoffice.ForceResync, class, 612, 1, 2))
		if fails := failures(t, s, history.Filter{}); len(fails) == 1 && fails[0].Keys == 1 {
			does = "closes"
		}
		if row := fmt.Sprintf("| `%s` | %s |", class, does); !strings.Contains(string(page), row) {
			t.Errorf("docs/history.md lacks %s", row)
		}
	}
}

func TestASuccessClosesWhatItCoversAndNothingElse(t *testing.T) {
	t.Parallel()
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
		s, all := openAt(t, newPath(t), thisNode), newCalls()
		write(t, s, all.call(c.failed.op, outcome.Error, c.failed.connection, c.failed.keys...))
		write(t, s, all.call(c.succeeded.op, outcome.Warning, c.succeeded.connection, c.succeeded.keys...))
		if left := failing(t, s); len(left) != c.left {
			t.Errorf("%s: left are %v", name, left)
		}
	}
}

func TestASuccessThatBeganBeforeTheFailureWasOverProvesNothing(t *testing.T) {
	t.Parallel()
	s, c := openAt(t, newPath(t), thisNode), newCalls()
	failed, overlapping, later := c.call(superoffice.ForceResync, outcome.Error, 612, 1), c.call(superoffice.ForceResync, outcome.OK, 612, 1), c.call(superoffice.ForceResync, outcome.OK, 612, 1)
	overlapping.Started = failed.Ended.Add(-time.Microsecond)
	write(t, s, failed, overlapping)
	if left := failing(t, s); len(left) != 1 {
		t.Errorf("%v", left)
	}
	later.Started = failed.Ended
	write(t, s, later)
	if left := failing(t, s); len(left) != 0 {
		t.Errorf("at the same moment: %v", left)
	}
}

func TestAnotherTenantOrEnvironmentIsAnother(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*history.Row){
		func(r *history.Row) { r.Tenant = "Cust2" }, func(r *history.Row) { r.Environment = "sod" }, func(r *history.Row) { r.Understood = false },
	} {
		s, c := openAt(t, newPath(t), thisNode), newCalls()
		failed, succeeded := c.call(superoffice.ForceResync, outcome.Error, 612, 1), c.call(superoffice.ForceResync, outcome.OK, 612, 1)
		change(&succeeded)
		write(t, s, failed, succeeded)
		if left := failing(t, s); len(left) != 1 {
			t.Errorf("%+v: %v", succeeded, left)
		}
	}
}

func TestWhatFailsDoesNotDependOnTheOrderInWhichCallsAreWritten(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	operations := []superoffice.Operation{superoffice.ForceResync, superoffice.ForceResync, superoffice.ForceResyncNoBlankValues, superoffice.ForceResyncBatchTask}
	classes := []outcome.Class{outcome.OK, outcome.OK, outcome.Info, outcome.Error, outcome.Fault, outcome.Unknown, outcome.Accepted}
	for range 6 {
		c, rows := newCalls(), []history.Row(nil)
		for range 40 {
			var keys []any
			for range random.IntN(4) {
				keys = append(keys, random.IntN(5))
			}
			r := c.call(operations[random.IntN(len(operations))], classes[random.IntN(len(classes))], int32(random.IntN(2)), keys...)
			r.Ended = r.Ended.Add(time.Duration(random.IntN(5)) * time.Minute) // some overlap
			r.Ended = r.Ended.Add(time.Duration(c.n) * time.Millisecond)       // and no two end together
			rows = append(rows, r)
		}
		first := openAt(t, newPath(t), thisNode)
		write(t, first, rows...)
		want := failing(t, first)
		for range 2 {
			shuffled := slices.Clone(rows)
			random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			other := openAt(t, newPath(t), thisNode)
			for i := range shuffled {
				write(t, other, shuffled[i])
			}
			if got := failing(t, other); !slices.Equal(got, want) {
				t.Fatalf("in order:\n%s\nshuffled:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
			}
		}
	}
}

func TestFailuresAreGroupedByCauseWithTheirFirstAndLastCall(t *testing.T) {
	t.Parallel()
	s, c := openAt(t, newPath(t), thisNode), newCalls()
	first, second := c.call(superoffice.ForceResync, outcome.Error, 612, 1, 2), c.call(superoffice.ForceResync, outcome.Error, 612, 2, 3)
	fault := c.call(superoffice.ForceResync, outcome.Fault, 612, 4)
	elsewhere := c.call(superoffice.ForceResync, outcome.Error, 700, 1)
	elsewhere.Tenant, elsewhere.App = "Cust2", "other"
	write(t, s, first, second, fault, elsewhere)
	found := failures(t, s, history.Filter{})
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
		if found := failures(t, s, filter); len(found) != 1 || found[0].Tenant != tenant || class != "" && string(found[0].Outcome) != class {
			t.Errorf("%+v: %+v", filter, found)
		}
	}
	// A key that fails for another cause is in that group alone.
	write(t, s, c.call(superoffice.ForceResync, outcome.Fault, 612, 1, 2, 3))
	if found := failures(t, s, history.Filter{Tenant: "Cust12345"}); len(found) != 1 || found[0].Keys != 4 || found[0].Tries != 2 {
		t.Errorf("%+v", found)
	}
	// And what was over is begun anew.
	write(t, s, c.call(superoffice.ForceResync, outcome.OK, 612), c.call(superoffice.ForceResync, outcome.Fault, 612))
	if found := failures(t, s, history.Filter{Tenant: "Cust12345"}); len(found) != 1 || found[0].Keys != 0 || !found[0].Everything || found[0].Tries != 1 || found[0].First != found[0].Last {
		t.Errorf("%+v", found)
	}
}

func TestACallWithoutEndFailsUntilItsEndComesAfterAll(t *testing.T) {
	t.Parallel()
	for class, left := range map[outcome.Class]string{outcome.OK: "", outcome.Accepted: "", outcome.Error: "error"} {
		path := newPath(t)
		s, c := openAt(t, path, thisNode), newCalls()
		ended := c.call(superoffice.ForceResync, class, 612, 1, 2)
		began := ended
		began.Ended, began.Outcome, began.ErrorCode = time.Time{}, "", ""
		write(t, s, began)
		if found := failures(t, s, history.Filter{}); len(found) != 0 {
			t.Errorf("it runs: %+v", found)
		}
		again := openAt(t, path, thisNode)
		if found := failures(t, again, history.Filter{}); len(found) != 1 || found[0].Outcome != outcome.Unknown || found[0].OutcomeCause != history.NoEnd || found[0].Keys != 2 {
			t.Errorf("nobody saw its end: %+v", found)
		}
		write(t, s, ended)
		found := failures(t, again, history.Filter{})
		if len(found) != min(len(left), 1) || left != "" && string(found[0].Outcome) != left {
			t.Errorf("%s came after all: %+v", class, found)
		}
	}
}

func TestAPersonClosesAGroupAndALaterFailureOpensAnother(t *testing.T) {
	t.Parallel()
	s, c := openAt(t, newPath(t), thisNode), newCalls()
	older, failed := c.call(superoffice.ForceResync, outcome.Unknown, 612, 1), c.call(superoffice.ForceResync, outcome.Unknown, 612, 1, 2)
	write(t, s, failed)
	group := failures(t, s, history.Filter{})[0].ID
	closure := history.Closure{By: "tove", Proof: "unix_peer", Reason: "looked", At: failed.Ended.Add(time.Second)}
	closed, err := s.CloseFailure(t.Context(), group, closure)
	if err != nil || closed.Keys != 2 || closed.ID != group || len(failures(t, s, history.Filter{})) != 0 {
		t.Errorf("%+v, %v", closed, err)
	}
	if _, err := s.CloseFailure(t.Context(), group, closure); !errors.Is(err, history.ErrNoFailure) {
		t.Errorf("twice: %v", err)
	}
	var kept string
	if err := s.db.QueryRowContext(t.Context(), "SELECT actor || ' ' || proof || ' ' || why || ' ' || keys || ' ' || request_id FROM closures").Scan(&kept); err != nil || kept != "tove unix_peer looked 2 "+failed.RequestID {
		t.Errorf("%s, %v", kept, err)
	}
	write(t, s, older) // from an audit file
	if found := failures(t, s, history.Filter{}); len(found) != 0 {
		t.Errorf("what was before comes back: %+v", found)
	}
	write(t, s, c.call(superoffice.ForceResync, outcome.Unknown, 612, 1))
	if found := failures(t, s, history.Filter{}); len(found) != 1 || found[0].ID <= group {
		t.Errorf("a later one: %+v", found)
	}
}

func TestWhatFailedLongAgoGoesWithItsRows(t *testing.T) {
	t.Parallel()
	s, c := openAt(t, newPath(t), thisNode), newCalls()
	keys := make([]any, 3*sqlstore.TrimStep)
	for i := range keys {
		keys[i] = i
	}
	old, young := c.call(superoffice.ForceResync, outcome.Error, 612, keys...), c.call(superoffice.ForceResync, outcome.Fault, 612, "x")
	young.Operation, young.ActorType = superoffice.ForceResyncExternal, "Customer"
	write(t, s, old, young)
	if _, err := s.CloseFailure(t.Context(), failures(t, s, history.Filter{})[0].ID, history.Closure{At: old.Ended}); err != nil {
		t.Fatal(err)
	}
	young.RequestID, young.Started, young.Ended = "young", young.Started.Add(time.Hour), young.Ended.Add(time.Hour)
	write(t, s, young)
	steps := trim(t, s, old.Ended.Add(time.Second+time.Minute), history.Retention{Keep: time.Minute})
	if found := failures(t, s, history.Filter{}); len(found) != 1 || found[0].Outcome != outcome.Fault || steps < 4 {
		t.Errorf("%+v in %d steps", found, steps)
	}
	var closures int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM closures").Scan(&closures); err != nil || closures != 0 {
		t.Errorf("%d closures, %v", closures, err)
	}
}

func TestAFileOfTheFirstSchemaIsBroughtForwardWithWhatFails(t *testing.T) {
	t.Parallel()
	path, c := newPath(t), newCalls()
	before, rows := openAt(t, path, thisNode), []history.Row(nil)
	for range 1100 { // more than one reading
		rows = append(rows, c.call(superoffice.ForceResync, outcome.Error, 612, c.n))
	}
	write(t, before, append(rows, c.call(superoffice.ForceResync, outcome.OK, 612, 5))...)
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
	if found := failures(t, s, history.Filter{}); len(found) != 1 || found[0].Keys != 1099 || found[0].Tries != 1099 || count(t, s) != 1101 {
		t.Errorf("%+v", found)
	}
}

// BenchmarkFailuresOfAMillionKeys asks for what fails among a million keys: 300 tenants, 5 causes each.
func BenchmarkFailuresOfAMillionKeys(b *testing.B) {
	s, c := openAt(b, newPath(b), thisNode), newCalls()
	const tenants, causes, keys = 300, 5, 667
	for tenant := range tenants {
		rows := make([]history.Row, 0, causes)
		for cause := range causes {
			named := make([]any, keys)
			for i := range named {
				named[i] = cause*keys + i
			}
			r := c.call(superoffice.ForceResync, outcome.Error, 612, named...)
			r.Tenant, r.ErrorCode = fmt.Sprintf("Cust%d", 10000+tenant), fmt.Sprintf("E%d", cause)
			rows = append(rows, r)
		}
		write(b, s, rows...)
	}
	for name, filter := range map[string]history.Filter{"all": {}, "one tenant": {Tenant: "Cust10007"}, "since": {Since: c.at.Add(time.Duration(c.n-100) * time.Minute)}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				failures(b, s, filter)
			}
		})
	}
	all := 0
	for _, f := range failures(b, s, history.Filter{}) {
		all += f.Keys
	}
	if all != tenants*causes*keys {
		b.Errorf("%d keys", all)
	}
}
