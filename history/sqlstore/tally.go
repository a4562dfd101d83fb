package sqlstore

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// tally counts the calls of a transaction, and writes at its end what has changed: a group of rows costs one statement for
// each tenant that it is of, not one for each row.
type tally struct {
	tx     *Tx
	days   map[dayKey]*dayCounts
	latest map[connectionKey]*latest
	// withdrawn are calls that were taken for failed, and were not.
	withdrawn []history.Row
	// trimmed is until when rows were removed, which were counted before; -1: not asked yet.
	trimmed int64
}

func newTally(tx *Tx) *tally {
	return &tally{tx: tx, days: make(map[dayKey]*dayCounts), latest: make(map[connectionKey]*latest), trimmed: -1}
}

// connectionKey is what is counted apart.
type connectionKey struct {
	environment, tenant, app string
	connection               int32
}

func keyOf(r *history.Row) connectionKey {
	return connectionKey{r.Environment, r.Tenant, r.App, max(r.Connection, 0)}
}

func (k connectionKey) values() []any {
	return []any{k.environment, k.tenant, k.app, k.connection}
}

func (k connectionKey) order(other connectionKey) int {
	return cmp.Or(cmp.Compare(k.tenant, other.tenant), cmp.Compare(k.environment, other.environment), cmp.Compare(k.app, other.app), cmp.Compare(k.connection, other.connection))
}

type dayKey struct {
	day int64 // since 1970
	connectionKey
}

const secondsOfDay = 86400

// dayNumber returns the number of the day of a time.
func dayNumber(t time.Time) int64 { return history.DayOf(t).Unix() / secondsOfDay }

func (k dayKey) order(other dayKey) int {
	return cmp.Or(k.connectionKey.order(other.connectionKey), cmp.Compare(k.day, other.day))
}

// dayCounts is a day's. Times are microseconds, 0 for none.
type dayCounts struct {
	history.Counts
	success, failure int64
}

// latest are the last calls of a connection: any, one that succeeded, one that failed.
type latest [3]lastCall

type lastCall struct {
	at                               int64 // 0: there is none
	request, outcome, reason, errors string
}

func lastOf(r *history.Row) lastCall {
	return lastCall{r.Started.UnixMicro(), r.RequestID, string(r.Outcome), r.Reason, r.ErrorCode}
}

func (l *lastCall) take(r *history.Row) {
	if at := r.Started.UnixMicro(); at >= l.at {
		*l = lastOf(r)
	}
}

// moved reports whether a call is a resync that ran or was to run.
func moved(r *history.Row) bool { return r.Decision != "replayed" && r.Operation.Resyncs() }

// count counts a call that is over.
func (t *tally) count(r *history.Row, sign int64) {
	key := dayKey{dayNumber(r.Started), keyOf(r)}
	day := t.days[key]
	if day == nil {
		day = new(dayCounts)
		t.days[key] = day
	}
	day.Count(r, sign)
	if sign < 0 {
		return
	}
	last := t.latest[key.connectionKey]
	if last == nil {
		last = new(latest)
		t.latest[key.connectionKey] = last
	}
	last[0].take(r)
	switch {
	case !moved(r):
	case history.Closes(r.Outcome):
		last[1].take(r)
		day.success = max(day.success, r.Started.UnixMicro())
	case history.Opens(r.Outcome):
		last[2].take(r)
		day.failure = max(day.failure, r.Started.UnixMicro())
	}
}

// before returns what has to be known of a call before its row is written: how it was counted until now, if it was, and
// whether it is not to be counted: a row that was removed for its age or for the file's size was counted once already.
func (t *tally) before(r *history.Row, supposed, imported bool) (old *history.Row, known bool, err error) {
	if supposed {
		old, err = t.find(r.RequestID)
		return old, false, err
	}
	if !imported || r.Ended.IsZero() {
		return nil, false, nil
	}
	if t.trimmed < 0 {
		if t.trimmed, err = fact(t.tx, factTrimmed); err != nil {
			return nil, false, err
		}
	}
	if r.Started.UnixMicro() > t.trimmed {
		return nil, false, nil
	}
	var there bool
	err = t.tx.QueryRow("SELECT EXISTS (SELECT 1 FROM calls WHERE request_id = ?)", r.RequestID).Scan(&there)
	return nil, !there, err
}

// replace counts a call that is over in the place of what it was counted as.
func (t *tally) replace(old, r *history.Row) {
	if old != nil {
		t.count(old, -1)
		t.withdrawn = append(t.withdrawn, *old)
	}
	t.count(r, 1)
}

// tallyColumns are those of a call that say how it is counted.
const tallyColumns = "id, request_id, environment, app, tenant, operation, connection, key_count, decision, outcome, outcome_cause, error_code, reason, sends, started, ended"

func scanTallied(scan func(...any) error) (id int64, r history.Row, err error) {
	var operation, class string
	var started, ended int64
	err = scan(&id, &r.RequestID, &r.Environment, &r.App, &r.Tenant, &operation, &r.Connection, &r.KeyCount, &r.Decision, &class, &r.OutcomeCause, &r.ErrorCode, &r.Reason, &r.Sends, &started, &ended)
	r.Operation, _ = superoffice.ParseOperation(operation)
	r.Outcome, r.Started, r.Ended = outcome.Class(class), time.UnixMicro(started), time.UnixMicro(ended)
	return id, r, err
}

// find returns a call that is over.
func (t *tally) find(requestID string) (*history.Row, error) {
	_, r, err := scanTallied(t.tx.QueryRow("SELECT "+tallyColumns+" FROM calls WHERE request_id = ?", requestID).Scan)
	return &r, err
}

// abandoned counts a call that was just made unknown.
func (t *tally) abandoned(requestID string) error {
	r, err := t.find(requestID)
	if err == nil {
		t.count(r, 1)
	}
	return err
}

// The columns of days that are summed, after its key.
var (
	countColumns = func() []string {
		columns := []string{"calls", "keys", "replayed", "questions", "refused", "timed", "duration"}
		for _, class := range outcome.Classes() {
			columns = append(columns, "o_"+string(class))
		}
		for i := range len(history.DurationBounds) + 1 {
			columns = append(columns, fmt.Sprintf("w_%d", i))
		}
		return columns
	}()
	// maxColumns are those of which the largest counts.
	maxColumns = []string{"longest", "success", "failure"}
)

func countValues(d *dayCounts) []any {
	values := []any{d.Calls, d.Keys, d.Replayed, d.Questions, d.RefusedCalls(), d.Timed, d.Sum.Microseconds()}
	for _, class := range outcome.Classes() {
		values = append(values, d.Outcomes[class])
	}
	for _, n := range d.Within {
		values = append(values, n)
	}
	return append(values, d.Longest.Microseconds(), d.success, d.failure)
}

// placeholders are n arguments.
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// dayColumns are in the order of dayKey.values.
const dayColumns = "day, environment, tenant, app, connection"

func (k dayKey) values() []any { return append([]any{k.day}, k.connectionKey.values()...) }

var addDay = func() string {
	columns := slices.Concat(countColumns, maxColumns)
	set := make([]string, 0, len(columns))
	for _, c := range countColumns {
		set = append(set, c+" = days."+c+" + excluded."+c)
	}
	for _, c := range maxColumns {
		set = append(set, larger("days", c))
	}
	return "INSERT INTO days (" + dayColumns + ", " + strings.Join(columns, ", ") + ") VALUES (" + placeholders(5+len(columns)) + ")\nON CONFLICT (tenant, day, environment, app, connection) DO UPDATE SET " + strings.Join(set, ", ")
}()

func larger(table, column string) string {
	return fmt.Sprintf("%[2]s = CASE WHEN excluded.%[2]s > %[1]s.%[2]s THEN excluded.%[2]s ELSE %[1]s.%[2]s END", table, column)
}

const addRefusals = "INSERT INTO refusals (" + dayColumns + `, reason, calls) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, day, environment, app, connection, reason) DO UPDATE SET calls = refusals.calls + excluded.calls`

// lastColumns are latest's, for each of its three calls.
var lastColumns = func() (columns []string) {
	for _, which := range [...]string{"last", "success", "failure"} {
		for _, c := range [...]string{"at", "request", "outcome", "reason", "error_code"} {
			columns = append(columns, which+"_"+c)
		}
	}
	return columns
}()

var addLatest = func() string {
	set := make([]string, 0, len(lastColumns))
	for _, c := range lastColumns {
		at := c[:strings.IndexByte(c, '_')] + "_at"
		set = append(set, fmt.Sprintf("%[2]s = CASE WHEN excluded.%[1]s >= latest.%[1]s THEN excluded.%[2]s ELSE latest.%[2]s END", at, c))
	}
	return "INSERT INTO latest (environment, tenant, app, connection, " + strings.Join(lastColumns, ", ") + ") VALUES (" + placeholders(4+len(lastColumns)) + ")\nON CONFLICT (tenant, environment, app, connection) DO UPDATE SET " + strings.Join(set, ", ")
}()

func (l *latest) values() (values []any) {
	for _, c := range l {
		values = append(values, c.at, c.request, c.outcome, c.reason, c.errors)
	}
	return values
}

// flush writes what was counted, in an order of its own: two that write at once must not wait for one another.
func (t *tally) flush() error {
	if len(t.days) == 0 {
		return nil
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.days), dayKey.order) {
		counts := t.days[key]
		if _, err := t.tx.Exec(addDay, append(key.values(), countValues(counts)...)...); err != nil {
			return err
		}
		for _, reason := range slices.Sorted(maps.Keys(counts.Refused)) {
			if _, err := t.tx.Exec(addRefusals, append(key.values(), reason, counts.Refused[reason])...); err != nil {
				return err
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.latest), connectionKey.order) {
		if _, err := t.tx.Exec(addLatest, append(key.values(), t.latest[key].values()...)...); err != nil {
			return err
		}
	}
	for i := range t.withdrawn {
		if err := t.correct(&t.withdrawn[i]); err != nil {
			return err
		}
	}
	clear(t.days)
	clear(t.latest)
	t.withdrawn = nil
	return nil
}

// lastFailure is the last call that failed of a connection, between two times.
var lastFailure = "SELECT started, request_id, outcome, reason, error_code FROM calls WHERE tenant = ? AND environment = ? AND app = ? AND CASE WHEN connection > 0 THEN connection ELSE 0 END = ? AND started >= ? AND started < ? AND " + failedOutcome + " AND decision <> 'replayed' AND operation IN (" + resyncs + ") ORDER BY started DESC, id DESC LIMIT 1"

// failedOutcome is a condition that an index has as well, so that it must be written as it is there.
const failedOutcome = "outcome IN ('error', 'contradictory', 'masked', 'empty', 'unreadable', 'fault', 'unreachable', 'unknown')"

// resyncs are the operations that move something.
var resyncs = func() string {
	var names []string
	for _, op := range superoffice.Operations() {
		if op.Resyncs() {
			names = append(names, "'"+op.String()+"'")
		}
	}
	return strings.Join(names, ", ")
}()

// correct finds the last failure anew, where it was one that was none.
func (t *tally) correct(old *history.Row) error {
	key, at, day := keyOf(old), old.Started.UnixMicro(), dayNumber(old.Started)
	find := func(from, to int64) (c lastCall, err error) {
		err = t.tx.QueryRow(lastFailure, key.tenant, key.environment, key.app, key.connection, from, to).Scan(&c.at, &c.request, &c.outcome, &c.reason, &c.errors)
		if errors.Is(err, sql.ErrNoRows) {
			return lastCall{}, nil
		}
		return c, err
	}
	last, err := find(0, at+1)
	if err != nil {
		return err
	}
	if _, err := t.tx.Exec(`UPDATE latest SET failure_at = ?, failure_request = ?, failure_outcome = ?, failure_reason = ?, failure_error_code = ?
WHERE tenant = ? AND environment = ? AND app = ? AND connection = ? AND failure_request = ?`, last.at, last.request, last.outcome, last.reason, last.errors, key.tenant, key.environment, key.app, key.connection, old.RequestID); err != nil {
		return err
	}
	start := day * secondsOfDay * 1e6
	if last.at < start {
		last.at = 0
	}
	_, err = t.tx.Exec("UPDATE days SET failure = ? WHERE tenant = ? AND day = ? AND environment = ? AND app = ? AND connection = ? AND failure = ?", last.at, key.tenant, day, key.environment, key.app, key.connection, at)
	return err
}
