package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// bytesOfDay is about how much a row of days takes in the file, with its indices.
const bytesOfDay = 320

// TrimUsage removes a few of the days that are too old, and reports whether there are more. Days outlive the calls that were
// counted, if these are kept for a shorter time than history.KeepUsage.
func (s *Store) TrimUsage(ctx context.Context, now time.Time, keep time.Duration) (more bool, err error) {
	removed, err := s.removeDays(ctx, dayNumber(now.Add(-max(keep, history.KeepUsage))))
	return removed > 0, err
}

// RemoveExcess removes a few of the oldest rows of a store that is larger than maxSize bytes: days if they take more than a
// quarter of it, or else calls, then what fails, and days at last. It returns how many rows were removed.
func (s *Store) RemoveExcess(ctx context.Context, now time.Time, maxSize int64) (removed int64, err error) {
	var days int64
	if err := s.Read(ctx, func(tx *Tx) error { return tx.QueryRow("SELECT count(*) FROM days").Scan(&days) }); err != nil {
		return 0, err
	}
	if days*bytesOfDay <= maxSize/4 {
		if removed, err = s.RemoveOldest(ctx); err != nil || removed > 0 {
			return removed, err
		}
	}
	return s.removeDays(ctx, dayNumber(now))
}

// removeDays removes a few of the days before one, the oldest first, and connections that have not been called since.
func (s *Store) removeDays(ctx context.Context, before int64) (removed int64, err error) {
	err = s.Change(ctx, func(tx *Tx) error {
		days, err := scan(func(day *int64, scan func(...any) error) error { return scan(day) })(
			tx.Query(fmt.Sprintf("DELETE FROM days WHERE id IN (SELECT id FROM days WHERE day < ? ORDER BY day LIMIT %d) RETURNING day", TrimStep), before))
		removed = int64(len(days))
		if err != nil || removed == 0 {
			return err
		}
		last := slices.Max(days)
		since := (last + 1) * secondsOfDay * 1e6
		if _, err := tx.Exec("DELETE FROM refusals WHERE day <= ? AND NOT EXISTS (SELECT 1 FROM days WHERE days.day <= ?)", last, last); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM latest WHERE last_at < ? AND NOT EXISTS (SELECT 1 FROM days WHERE days.day <= ?)", since, last); err != nil {
			return err
		}
		return raise(tx, factSince, since)
	})
	return removed, err
}
