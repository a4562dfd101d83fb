package sqlstore

import (
	"database/sql"
	"errors"
	"time"
)

// fillStep is how many calls are read at once, of a file that an earlier build wrote.
const fillStep = 2000

// Recount counts the calls that an earlier build wrote.
func Recount(tx *Tx, now time.Time) error {
	var first sql.NullInt64
	if err := tx.QueryRow("SELECT min(started) FROM calls WHERE run <> ?", importRun).Scan(&first); err != nil {
		return err
	}
	since := now.UnixMicro()
	if first.Valid {
		since = first.Int64
	}
	if err := raise(tx, factSince, since); err != nil {
		return err
	}
	t, last := newTally(tx), int64(0)
	for {
		n, err := t.read(&last)
		if err != nil || n == 0 {
			return err
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
}

// read counts the next calls behind the one of that number.
func (t *tally) read(last *int64) (n int, err error) {
	rows, err := t.tx.Query("SELECT "+tallyColumns+" FROM calls WHERE ended IS NOT NULL AND id > ? ORDER BY id LIMIT ?", *last, fillStep)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for ; rows.Next(); n++ {
		id, r, err := scanTallied(rows.Scan)
		if err != nil {
			return 0, err
		}
		*last = id
		t.count(&r, 1)
	}
	return n, rows.Err()
}
