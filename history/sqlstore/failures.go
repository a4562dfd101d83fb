package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// selectFailure selects a group; its first argument is the key of everything. Keys are counted in an index of nothing else.
const selectFailure = `SELECT f.id, f.app, s.environment, s.tenant, s.connection, s.kind, s.actor_type, s.no_blank, f.outcome, f.outcome_cause, f.error_code, f.reason, f.first, f.last, f.tries, f.request_id,
(SELECT count(*) FROM failing WHERE failure = f.id), EXISTS (SELECT 1 FROM failing WHERE scope = f.scope AND key = ? AND failure = f.id)
FROM failures f JOIN scopes s ON s.id = f.scope WHERE EXISTS (SELECT 1 FROM failing WHERE failure = f.id)`

// scanFailure reads what selectFailure selects.
func scanFailure(f *history.Failure, scan func(...any) error) error {
	var class, kind string
	var first, last int64
	err := scan(&f.ID, &f.App, &f.Environment, &f.Tenant, &f.Connection, &kind, &f.ActorType, &f.NoBlankValues, &class, &f.OutcomeCause, &f.ErrorCode, &f.Reason, &first, &last, &f.Tries, &f.RequestID, &f.Keys, &f.Everything)
	f.Kind, f.Outcome, f.First, f.Last = history.Kind(kind), outcome.Class(class), time.UnixMicro(first), time.UnixMicro(last)
	if f.Everything {
		f.Keys--
	}
	return err
}

// Failures is history.Store's.
func (s *Store) Failures(ctx context.Context, filter history.Filter) (failures []history.Failure, err error) {
	where, args := []string{selectFailure}, []any{s.Dialect.Key(Everything)}
	add := func(condition string, value any) { where, args = append(where, condition), append(args, value) }
	if filter.Tenant != "" {
		add("s.tenant = ?", clean(filter.Tenant))
	}
	if filter.App != "" {
		add("f.app = ?", clean(filter.App))
	}
	if filter.Connection != nil {
		add("s.connection = ?", max(*filter.Connection, 0))
	}
	if !filter.Since.IsZero() {
		add("f.last >= ?", filter.Since.UnixMicro())
	}
	err = s.Read(ctx, func(tx *Tx) (err error) {
		failures, err = scan(scanFailure)(tx.Query(fmt.Sprintf("%s ORDER BY f.last DESC, f.id LIMIT %d", strings.Join(where, " AND "), history.MaxFailures), args...))
		return err
	})
	return failures, err
}

// CloseFailure is history.Store's.
func (s *Store) CloseFailure(ctx context.Context, group int64, closure history.Closure) (closed history.Failure, err error) {
	err = s.Change(ctx, func(tx *Tx) error {
		if err := lockGroup(tx, group); err != nil {
			return err
		}
		closed = history.Failure{}
		err := scanFailure(&closed, tx.QueryRow(selectFailure+" AND f.id = ?", tx.Dialect.Key(Everything), group).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return history.ErrNoFailure
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO closures (scope, app, outcome, outcome_cause, error_code, reason, at, actor, proof, why, keys, request_id)
SELECT scope, app, outcome, outcome_cause, error_code, reason, ?, ?, ?, ?, ?, request_id FROM failures WHERE id = ?`, closure.At.UnixMicro(), clean(closure.By), clean(closure.Proof), clean(closure.Reason), closed.Keys, group); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM failing WHERE failure = ?", group); err != nil {
			return err
		}
		_, err = tx.Exec("DELETE FROM failures WHERE id = ?", group)
		return err
	})
	return closed, err
}

// lockGroup takes the lock of the tenant of which a group is; none if there is no such group.
func lockGroup(tx *Tx, group int64) error {
	var of Tenant
	err := tx.QueryRow("SELECT s.environment, s.tenant FROM failures f JOIN scopes s ON s.id = f.scope WHERE f.id = ?", group).Scan(&of.Environment, &of.Tenant)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return lock(tx, []Tenant{of})
}
