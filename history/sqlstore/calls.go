package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// callColumns are in the order of callValues.
const callColumns = `request_id, run, node, environment, app, tenant, principal, scheme, credential, operation, understood, connection, everything, keys, key_count, partial,
actor_type, stated, decision, reason, cause, replays, retries, outcome, outcome_cause, error_code, user_explanation, tech_explanation, status, sends, started, sent, ended`

// takeEnd takes the end of a call that has none yet, or one that was only supposed.
const takeEnd = `
ON CONFLICT (request_id) DO UPDATE SET
	app = excluded.app, tenant = excluded.tenant, principal = excluded.principal, scheme = excluded.scheme, credential = excluded.credential,
	decision = excluded.decision, reason = excluded.reason, cause = excluded.cause, outcome = excluded.outcome, outcome_cause = excluded.outcome_cause,
	error_code = excluded.error_code, user_explanation = excluded.user_explanation, tech_explanation = excluded.tech_explanation,
	status = excluded.status, sends = excluded.sends, sent = coalesce(calls.sent, excluded.sent), ended = excluded.ended
WHERE excluded.ended IS NOT NULL AND (calls.ended IS NULL OR calls.outcome_cause = '` + history.NoEnd + `')`

var insertCall = "INSERT INTO calls (" + callColumns + ") VALUES (" + strings.TrimSuffix(strings.Repeat("?, ", strings.Count(callColumns, ",")+1), ", ") + ")" + takeEnd

func callValues(r *history.Row, run int64) []any {
	return []any{
		r.RequestID, run, r.Node, r.Environment, r.App, r.Tenant, r.Principal, r.Scheme, r.Credential, r.Operation.String(), r.Understood, r.Connection, r.Everything, r.Keys, r.KeyCount, r.Partial,
		r.ActorType, int(r.Stated), r.Decision, r.Reason, r.Cause, r.Replays, r.Retries, string(r.Outcome), r.OutcomeCause, r.ErrorCode, r.UserExplanation, r.TechExplanation, r.Status, r.Sends,
		r.Started.UnixMicro(), micros(r.Sent), micros(r.Ended),
	}
}

// micros is a time that may be missing.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// Write is history.Store's.
func (s *Store) Write(ctx context.Context, rows []history.Row) error {
	_, err := s.write(ctx, rows, s.run)
	return err
}

// Import is history.Store's.
func (s *Store) Import(ctx context.Context, rows []history.Row) (taken int, err error) {
	return s.write(ctx, rows, importRun)
}

// write writes rows, and returns how many were taken.
func (s *Store) write(ctx context.Context, rows []history.Row, run int64) (taken int, err error) {
	rows = cleaned(rows)
	err = s.Change(ctx, func(tx *Tx) error {
		taken = 0
		if s.Timeout == 0 { // the database is in this process: a statement that can be broken off costs a goroutine
			tx.Context = context.WithoutCancel(tx.Context)
		}
		var tenants []Tenant
		for i := range rows {
			if !rows[i].Ended.IsZero() {
				tenants = append(tenants, tenantOf(&rows[i]))
			}
		}
		if err := lock(tx, tenants); err != nil {
			return err
		}
		tally := newTally(tx)
		for i := range rows {
			changed, err := writeRow(tx, &rows[i], run, tally)
			if err != nil {
				return err
			}
			if changed {
				taken++
			}
		}
		return tally.flush()
	})
	return taken, err
}

func tenantOf(r *history.Row) Tenant { return Tenant{r.Environment, r.Tenant} }

// lock takes the locks of tenants in one order, so that no two transactions wait for each other.
func lock(tx *Tx, tenants []Tenant) error {
	slices.SortFunc(tenants, func(a, b Tenant) int {
		if order := strings.Compare(a.Environment, b.Environment); order != 0 {
			return order
		}
		return strings.Compare(a.Tenant, b.Tenant)
	})
	if tenants = slices.Compact(tenants); len(tenants) == 0 {
		return nil
	}
	return tx.Dialect.Lock(tx, tenants)
}

// writeRow writes a row, and what follows from its end for what fails and for what is counted.
func writeRow(tx *Tx, r *history.Row, run int64, tally *tally) (taken bool, err error) {
	var before sql.NullInt64 // the end that was only supposed
	if !r.Ended.IsZero() {
		if err := tx.QueryRow(supposedEnd, r.RequestID).Scan(&before); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, err
		}
	}
	old, known, err := tally.before(r, before.Valid, run == importRun)
	if err != nil {
		return false, err
	}
	changed, err := tx.Exec(insertCall, callValues(r, run)...)
	if err != nil || changed == 0 || r.Ended.IsZero() {
		return changed > 0, err
	}
	if !known {
		tally.replace(old, r)
	}
	if before.Valid {
		if err := withdraw(tx, r, before.Int64); err != nil {
			return false, err
		}
	}
	return true, apply(tx, r)
}

// supposedEnd finds when a call was supposed to have ended whose end nobody had seen.
const supposedEnd = "SELECT ended FROM calls WHERE request_id = ? AND ended IS NOT NULL AND outcome_cause = '" + history.NoEnd + "'"

// effectColumns are those of a call that say what opens or closes with it.
const effectColumns = "request_id, environment, app, tenant, operation, understood, connection, everything, keys, partial, actor_type, outcome, outcome_cause, error_code, reason, started, ended"

func scanEffect(r *history.Row, scan func(...any) error) error {
	var operation, class string
	var started int64
	var ended sql.NullInt64
	err := scan(&r.RequestID, &r.Environment, &r.App, &r.Tenant, &operation, &r.Understood, &r.Connection, &r.Everything, &r.Keys, &r.Partial, &r.ActorType, &class, &r.OutcomeCause, &r.ErrorCode, &r.Reason, &started, &ended)
	r.Operation, _ = superoffice.ParseOperation(operation)
	r.Outcome, r.Started = outcome.Class(class), time.UnixMicro(started)
	if ended.Valid {
		r.Ended = time.UnixMicro(ended.Int64)
	}
	return err
}

// scan returns a function that reads all rows of an answer.
func scan[T any](one func(into *T, scan func(...any) error) error) func(*sql.Rows, error) ([]T, error) {
	return func(rows *sql.Rows, err error) (all []T, _ error) {
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var next T
			if err := one(&next, rows.Scan); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			all = append(all, next)
		}
		return all, errors.Join(rows.Err(), rows.Close())
	}
}
