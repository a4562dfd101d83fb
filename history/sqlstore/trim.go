package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// TrimStep is how many rows are removed at once: writers wait meanwhile.
const TrimStep = 200

// TrimAge removes a few of the rows that are older, the oldest first, and reports whether there are more.
func (s *Store) TrimAge(ctx context.Context, before time.Time) (more bool, err error) {
	at := before.UnixMicro()
	removed, err := s.removeCalls(ctx, "started < ?", at)
	if err != nil || removed == TrimStep {
		return true, err
	}
	if removed, err = s.removeFailures(ctx, "last < ?", at); err != nil || removed > 0 {
		return true, err
	}
	return false, s.Change(ctx, func(tx *Tx) error {
		_, err := tx.Exec("DELETE FROM closures WHERE at < ?", at)
		return err
	})
}

// RemoveOldest removes the oldest calls that have their end, TrimStep of them at most, or what fails where there are none.
func (s *Store) RemoveOldest(ctx context.Context) (removed int64, err error) {
	removed, err = s.removeCalls(ctx, "ended IS NOT NULL")
	if err == nil && removed == 0 {
		removed, err = s.removeFailures(ctx, "TRUE")
	}
	return removed, err
}

// removeCalls removes the oldest of the rows that which says.
func (s *Store) removeCalls(ctx context.Context, which string, args ...any) (removed int64, err error) {
	err = s.Change(ctx, func(tx *Tx) error {
		started, err := scan(func(at *int64, scan func(...any) error) error { return scan(at) })(
			tx.Query(fmt.Sprintf("DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE %s ORDER BY started LIMIT %d) RETURNING started", which, TrimStep), args...))
		removed = int64(len(started))
		if err != nil || removed == 0 {
			return err
		}
		return raise(tx, factTrimmed, slices.Max(started))
	})
	return removed, err
}

// removeFailures removes a few keys of the groups that which says, the oldest first, and groups that are over.
func (s *Store) removeFailures(ctx context.Context, which string, args ...any) (removed int64, err error) {
	err = s.Change(ctx, func(tx *Tx) error {
		removed = 0
		var group int64
		oldest := tx.QueryRow("SELECT id FROM failures WHERE "+which+" ORDER BY last LIMIT 1", args...)
		if err := oldest.Scan(&group); err != nil {
			return none(err)
		}
		if err := lockGroup(tx, group); err != nil {
			return err
		}
		// It may have failed again before it was locked.
		if err := tx.QueryRow("SELECT id FROM failures WHERE id = ? AND "+which, append([]any{group}, args...)...).Scan(&group); err != nil {
			removed = 1
			return none(err)
		}
		keys, err := tx.Exec(fmt.Sprintf("DELETE FROM failing WHERE (scope, key) IN (SELECT scope, key FROM failing WHERE failure = ? LIMIT %d)", TrimStep), group)
		if removed = keys; err != nil || removed == TrimStep {
			return err
		}
		removed++
		_, err = tx.Exec("DELETE FROM failures WHERE id = ?", group)
		return err
	})
	return removed, err
}

// none is nil for an answer without rows.
func none(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
