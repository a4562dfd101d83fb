package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// ledger keeps what fails, within a transaction. Where it ends up does not depend on the order in which calls are written.
type ledger struct {
	ctx      context.Context
	tx       *sql.Tx
	closeKey *sql.Stmt // nil: it is prepared when it is needed
}

// everything stands for the keys of a call that names none.
var everything = []byte{}

// closeKey closes one key.
const closeKey = "DELETE FROM failing WHERE scope = ? AND key = ? AND ended <= ?"

// keysOf returns the keys of a call as failing has them.
func keysOf(r *history.Row) ([]any, error) {
	if r.Everything {
		return []any{everything}, nil
	}
	internal, external, err := history.UnpackKeys(r.Keys)
	if err != nil {
		return nil, err
	}
	keys := make([]any, 0, len(internal)+len(external))
	for _, key := range internal {
		keys = append(keys, int64(key))
	}
	for _, key := range external {
		keys = append(keys, key)
	}
	return keys, nil
}

// apply opens or closes what follows from a call's end.
func (l *ledger) apply(r *history.Row) error {
	scope, moves := r.Scope()
	switch {
	case !moves:
		return nil
	case history.Closes(r.Outcome):
		return l.succeeded(r, scope)
	case history.Opens(r.Outcome):
		return l.failed(r, scope)
	}
	return nil
}

func (l *ledger) succeeded(r *history.Row, scope history.Scope) error {
	for _, covered := range scope.Covers() {
		id, found, err := l.scope(covered, false)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if r.Everything {
			if _, err := l.tx.ExecContext(l.ctx, "DELETE FROM failing WHERE scope = ? AND ended <= ?", id, r.Started.UnixMicro()); err != nil {
				return err
			}
			continue
		}
		var any bool
		if err := l.tx.QueryRowContext(l.ctx, "SELECT EXISTS (SELECT 1 FROM failing WHERE scope = ?)", id).Scan(&any); err != nil {
			return err
		}
		if !any {
			continue
		}
		keys, err := keysOf(r)
		if err != nil {
			return err
		}
		if err := l.remove(id, keys, r.Started.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// remove closes keys that failed until then.
func (l *ledger) remove(scope int64, keys []any, until int64) error {
	if l.closeKey == nil {
		var err error
		if l.closeKey, err = l.tx.PrepareContext(l.ctx, closeKey); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if _, err := l.closeKey.ExecContext(l.ctx, scope, key, until); err != nil {
			return err
		}
	}
	return nil
}

// failed opens the keys of a call, but for those that a success which began later covers, as calls may be written in any order.
func (l *ledger) failed(r *history.Row, scope history.Scope) error {
	id, _, err := l.scope(scope, true)
	if err != nil {
		return err
	}
	keys, err := l.uncovered(r, scope)
	if err != nil || len(keys) == 0 {
		return err
	}
	cause := []any{id, r.App, string(r.Outcome), r.OutcomeCause, r.ErrorCode, r.Reason}
	var settled bool
	if err := l.tx.QueryRowContext(l.ctx, "SELECT EXISTS (SELECT 1 FROM closures WHERE "+sameCause+" AND at >= ?)", append(cause, r.Ended.UnixMicro())...).Scan(&settled); err != nil || settled {
		return err
	}
	// A group without keys is over: what fails now is another one.
	if _, err := l.tx.ExecContext(l.ctx, "DELETE FROM failures WHERE "+sameCause+" AND NOT EXISTS (SELECT 1 FROM failing WHERE failure = failures.id)", cause...); err != nil {
		return err
	}
	var failure int64
	if err := l.tx.QueryRowContext(l.ctx, `INSERT INTO failures (scope, app, outcome, outcome_cause, error_code, reason, first, last, tries, request_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1, ?8)
ON CONFLICT (scope, app, outcome, outcome_cause, error_code, reason) DO UPDATE SET
	tries = tries + 1, first = min(first, excluded.first), request_id = iif(excluded.last >= last, excluded.request_id, request_id), last = max(last, excluded.last)
RETURNING id`, append(cause, r.Ended.UnixMicro(), r.RequestID)...).Scan(&failure); err != nil {
		return err
	}
	fail, err := l.tx.PrepareContext(l.ctx, `INSERT INTO failing (scope, key, failure, ended) VALUES (?, ?, ?, ?)
ON CONFLICT (scope, key) DO UPDATE SET failure = excluded.failure, ended = excluded.ended WHERE excluded.ended >= ended`)
	if err != nil {
		return err
	}
	defer fail.Close()
	for _, key := range keys {
		if _, err := fail.ExecContext(l.ctx, id, key, failure, r.Ended.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// sameCause compares scope, app, outcome, outcome_cause, error_code and reason.
const sameCause = "scope = ? AND app = ? AND outcome = ? AND outcome_cause = ? AND error_code = ? AND reason = ?"

// laterSuccesses are read from the index of successes.
const laterSuccesses = " FROM calls WHERE outcome IN ('ok', 'info', 'warning') AND tenant = ? AND started >= ?"

// uncovered returns the keys of a call that failed which no success that began afterwards covers.
func (l *ledger) uncovered(r *history.Row, scope history.Scope) ([]any, error) {
	keys, err := keysOf(r)
	if err != nil {
		return nil, err
	}
	rows, err := l.tx.QueryContext(l.ctx, "SELECT "+effectColumns+laterSuccesses, r.Tenant, r.Ended.UnixMicro())
	if err != nil {
		return nil, err
	}
	later, err := scanEffects(rows)
	if err != nil {
		return nil, err
	}
	for i := range later {
		of, moves := later[i].Scope()
		if !moves || !slices.Contains(of.Covers(), scope) {
			continue
		}
		if later[i].Everything {
			return nil, nil
		}
		covered, err := keysOf(&later[i])
		if err != nil {
			return nil, err
		}
		if r.Everything {
			continue
		}
		known := make(map[any]bool, len(covered))
		for _, key := range covered {
			known[key] = true
		}
		left := keys[:0]
		for _, key := range keys {
			if !known[key] {
				left = append(left, key)
			}
		}
		keys = left
	}
	return keys, nil
}

// withdraw takes back what followed from an end that was only supposed.
func (l *ledger) withdraw(r *history.Row, supposed int64) error {
	scope, moves := r.Scope()
	if !moves {
		return nil
	}
	id, found, err := l.scope(scope, false)
	if err != nil || !found {
		return err
	}
	keys, err := keysOf(r)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := l.tx.ExecContext(l.ctx, "DELETE FROM failing WHERE scope = ? AND key = ? AND ended = ? AND failure IN (SELECT id FROM failures WHERE outcome_cause = ?)", id, key, supposed, history.NoEnd); err != nil {
			return err
		}
	}
	return nil
}

// scope returns the number of a scope, and enters it if it is to be there.
func (l *ledger) scope(s history.Scope, enter bool) (id int64, found bool, err error) {
	values := []any{s.Environment, s.Tenant, s.Connection, string(s.Kind), s.ActorType, s.NoBlankValues}
	err = l.tx.QueryRowContext(l.ctx, "SELECT id FROM scopes WHERE environment = ? AND tenant = ? AND connection = ? AND kind = ? AND actor_type = ? AND no_blank = ?", values...).Scan(&id)
	switch {
	case err == nil:
		return id, true, nil
	case !errors.Is(err, sql.ErrNoRows):
		return 0, false, err
	case !enter:
		return 0, false, nil
	}
	result, err := l.tx.ExecContext(l.ctx, "INSERT INTO scopes (environment, tenant, connection, kind, actor_type, no_blank) VALUES (?, ?, ?, ?, ?, ?)", values...)
	if err != nil {
		return 0, false, err
	}
	id, err = result.LastInsertId()
	return id, true, err
}

// effectColumns are those of a call that say what opens or closes with it.
const effectColumns = "request_id, environment, app, tenant, operation, understood, connection, everything, keys, partial, actor_type, outcome, outcome_cause, error_code, reason, started, ended"

func scanEffects(rows *sql.Rows) (calls []history.Row, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r history.Row
		var operation, class string
		var started, ended int64
		if err := rows.Scan(&r.RequestID, &r.Environment, &r.App, &r.Tenant, &operation, &r.Understood, &r.Connection, &r.Everything, &r.Keys, &r.Partial, &r.ActorType, &class, &r.OutcomeCause, &r.ErrorCode, &r.Reason, &started, &ended); err != nil {
			return nil, err
		}
		r.Operation, _ = superoffice.ParseOperation(operation)
		r.Outcome, r.Started, r.Ended = outcome.Class(class), time.UnixMicro(started), time.UnixMicro(ended)
		calls = append(calls, r)
	}
	return calls, rows.Err()
}

// replay finds what fails from the calls of a file that an earlier build wrote.
func replay(ctx context.Context, tx *sql.Tx) error {
	var last int64
	for {
		rows, err := tx.QueryContext(ctx, "SELECT "+effectColumns+" FROM calls WHERE ended IS NOT NULL AND id > ? ORDER BY id LIMIT 1000", last)
		if err != nil {
			return err
		}
		calls, err := scanEffects(rows)
		if err != nil || len(calls) == 0 {
			return err
		}
		for i := range calls {
			if err := (&ledger{ctx: ctx, tx: tx}).apply(&calls[i]); err != nil {
				return err
			}
		}
		if err := tx.QueryRowContext(ctx, "SELECT id FROM calls WHERE request_id = ?", calls[len(calls)-1].RequestID).Scan(&last); err != nil {
			return err
		}
	}
}

// failureColumns select a group. Its keys are counted in an index of nothing else.
const failureColumns = `f.id, f.app, s.environment, s.tenant, s.connection, s.kind, s.actor_type, s.no_blank, f.outcome, f.outcome_cause, f.error_code, f.reason, f.first, f.last, f.tries, f.request_id,
(SELECT count(*) FROM failing WHERE failure = f.id), EXISTS (SELECT 1 FROM failing WHERE scope = f.scope AND key = x'' AND failure = f.id)`

// scanFailure reads what failureColumns select.
func scanFailure(scan func(...any) error) (f history.Failure, err error) {
	var class, kind string
	var first, last int64
	err = scan(&f.ID, &f.App, &f.Environment, &f.Tenant, &f.Connection, &kind, &f.ActorType, &f.NoBlankValues, &class, &f.OutcomeCause, &f.ErrorCode, &f.Reason, &first, &last, &f.Tries, &f.RequestID, &f.Keys, &f.Everything)
	f.Kind, f.Outcome, f.First, f.Last = history.Kind(kind), outcome.Class(class), time.UnixMicro(first), time.UnixMicro(last)
	if f.Everything {
		f.Keys--
	}
	return f, err
}

// Failures is history.Store's.
func (s *store) Failures(ctx context.Context, filter history.Filter) (failures []history.Failure, err error) {
	where, args := []string{"EXISTS (SELECT 1 FROM failing WHERE failure = f.id)"}, []any(nil)
	add := func(condition string, value any) { where, args = append(where, condition), append(args, value) }
	if filter.Tenant != "" {
		add("s.tenant = ?", filter.Tenant)
	}
	if filter.App != "" {
		add("f.app = ?", filter.App)
	}
	if filter.Connection != nil {
		add("s.connection = ?", max(*filter.Connection, 0))
	}
	if !filter.Since.IsZero() {
		add("f.last >= ?", filter.Since.UnixMicro())
	}
	rows, err := s.db.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM failures f JOIN scopes s ON s.id = f.scope WHERE %s ORDER BY f.last DESC, f.id LIMIT %d", failureColumns, strings.Join(where, " AND "), history.MaxFailures), args...)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { err = classify(errors.Join(err, rows.Close())) }()
	for rows.Next() {
		f, err := scanFailure(rows.Scan)
		if err != nil {
			return nil, err
		}
		failures = append(failures, f)
	}
	return failures, rows.Err()
}

// CloseFailure is history.Store's.
func (s *store) CloseFailure(ctx context.Context, group int64, closure history.Closure) (closed history.Failure, err error) {
	err = s.change(ctx, func(tx *sql.Tx) (err error) {
		closed, err = scanFailure(tx.QueryRowContext(ctx, "SELECT "+failureColumns+" FROM failures f JOIN scopes s ON s.id = f.scope WHERE f.id = ? AND EXISTS (SELECT 1 FROM failing WHERE failure = f.id)", group).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return history.ErrNoFailure
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO closures (scope, app, outcome, outcome_cause, error_code, reason, at, actor, proof, why, keys, request_id)
SELECT scope, app, outcome, outcome_cause, error_code, reason, ?, ?, ?, ?, ?, request_id FROM failures WHERE id = ?`, closure.At.UnixMicro(), closure.By, closure.Proof, closure.Reason, closed.Keys, group); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM failing WHERE failure = ?", group); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM failures WHERE id = ?", group)
		return err
	})
	return closed, err
}

// removeFailures removes a few keys of the groups that which says, the oldest first, and groups that are over.
func (s *store) removeFailures(ctx context.Context, which string, args ...any) (removed int64, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		var group int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM failures WHERE "+which+" ORDER BY last LIMIT 1", args...).Scan(&group)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM failing WHERE (scope, key) IN (SELECT scope, key FROM failing WHERE failure = ? LIMIT %d)", trimStep), group)
		if err != nil {
			return err
		}
		if removed, err = result.RowsAffected(); err != nil || removed == trimStep {
			return err
		}
		removed++
		_, err = tx.ExecContext(ctx, "DELETE FROM failures WHERE id = ?", group)
		return err
	})
	return removed, err
}
