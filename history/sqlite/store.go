package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const (
	// trimStep is how many rows are removed at once, vacuumStep how many pages are given back: writers wait meanwhile.
	trimStep   = 200
	vacuumStep = 500
	// freePages is how many free pages a file keeps for the rows to come.
	freePages = 1000
	// walLimit is how long the write-ahead log stays once it was longer, in bytes.
	walLimit = 16 << 20
)

// store is one open file.
type store struct {
	db   *sql.DB
	run  int64
	path string
	file os.FileInfo // as it was opened

	mu sync.Mutex // one writer at a time: SQLite has no more, and would have the others poll

	// The statements of each row.
	insert, supposed, closeKey *sql.Stmt
}

// open opens the file, and creates it with mode 0600 if there is none.
func open(ctx context.Context, path string, gateway history.Gateway) (_ *store, err error) {
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	// temp_store in memory: a temporary file would have the mode that the driver gives it.
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(1000)", "auto_vacuum(incremental)", "journal_mode(wal)", "synchronous(normal)", fmt.Sprintf("journal_size_limit(%d)", walLimit), "temp_store(memory)", "trusted_schema(off)",
		},
	}.Encode()}
	db, err := sql.Open(driverName, address.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2) // one writes, one reads
	s := &store{db: db, path: path}
	defer func() {
		if err != nil {
			err = errors.Join(classify(err), db.Close())
		}
	}()
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	if s.file, err = os.Stat(path); err != nil {
		return nil, err
	}
	for into, text := range map[**sql.Stmt]string{&s.insert: insertCall, &s.supposed: supposedEnd, &s.closeKey: closeKey} {
		if *into, err = db.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	return s, s.enter(ctx, gateway)
}

// prepareFile creates the file and its folder for this user alone, before the driver would create it for all.
func prepareFile(path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := checkFileSystem(folder); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%w: %s is no regular file", history.ErrRefused, name)
		case info.Mode().Perm()&0o077 != 0:
			if err := os.Chmod(name, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// enter notes that a process of the gateway begins, and makes the calls unknown that an earlier one of it left open.
func (s *store) enter(ctx context.Context, gateway history.Gateway) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		now := time.Now()
		if err := s.abandon(ctx, tx, now, "run IN (SELECT run FROM gateways WHERE node = ? AND NOT over)", gateway.Node); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE gateways SET over = 1 WHERE node = ?", gateway.Node); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO gateways (node, started, seen) VALUES (?, ?, ?)", gateway.Node, gateway.Started.UnixMicro(), now.UnixMicro())
		if err != nil {
			return err
		}
		s.run, err = result.LastInsertId()
		return err
	})
}

// abandon makes open calls unknown, and their keys failing. When they ended nobody knows: at the latest now.
func (s *store) abandon(ctx context.Context, tx *sql.Tx, now time.Time, which string, args ...any) error {
	rows, err := tx.QueryContext(ctx, "UPDATE calls SET ended = ?, outcome = ?, outcome_cause = ?, decision = 'allowed' WHERE ended IS NULL AND "+which+" RETURNING "+effectColumns,
		append([]any{now.UnixMicro(), string(outcome.Unknown), history.NoEnd}, args...)...)
	if err != nil {
		return err
	}
	calls, err := scanEffects(rows)
	if err != nil {
		return err
	}
	for i := range calls {
		if err := (&ledger{ctx: ctx, tx: tx}).apply(&calls[i]); err != nil {
			return err
		}
	}
	return nil
}

// change runs a transaction; no other writes meanwhile.
func (s *store) change(ctx context.Context, do func(*sql.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return classify(err)
	}
	return classify(tx.Commit())
}

// callColumns are in the order of callValues.
const callColumns = `request_id, run, node, environment, app, tenant, principal, scheme, credential, operation, understood, connection, everything, keys, key_count, partial,
actor_type, stated, decision, reason, cause, replays, outcome, outcome_cause, error_code, user_explanation, tech_explanation, status, sends, started, sent, ended`

// insertCall takes the end of a call that has none yet, or one that was only supposed.
var insertCall = "INSERT INTO calls (" + callColumns + ") VALUES (" + strings.TrimSuffix(strings.Repeat("?, ", strings.Count(callColumns, ",")+1), ", ") + `)
ON CONFLICT (request_id) DO UPDATE SET
	app = excluded.app, tenant = excluded.tenant, principal = excluded.principal, scheme = excluded.scheme, credential = excluded.credential,
	decision = excluded.decision, reason = excluded.reason, cause = excluded.cause, outcome = excluded.outcome, outcome_cause = excluded.outcome_cause,
	error_code = excluded.error_code, user_explanation = excluded.user_explanation, tech_explanation = excluded.tech_explanation,
	status = excluded.status, sends = excluded.sends, sent = coalesce(calls.sent, excluded.sent), ended = excluded.ended
WHERE excluded.ended IS NOT NULL AND (calls.ended IS NULL OR calls.outcome_cause = '` + history.NoEnd + `')`

func callValues(r *history.Row, run int64) []any {
	return []any{
		r.RequestID, run, r.Node, r.Environment, r.App, r.Tenant, r.Principal, r.Scheme, r.Credential, r.Operation.String(), r.Understood, r.Connection, r.Everything, r.Keys, r.KeyCount, r.Partial,
		r.ActorType, int(r.Stated), r.Decision, r.Reason, r.Cause, r.Replays, string(r.Outcome), r.OutcomeCause, r.ErrorCode, r.UserExplanation, r.TechExplanation, r.Status, r.Sends,
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
func (s *store) Write(ctx context.Context, rows []history.Row) error {
	_, err := s.writeRows(ctx, rows, s.run)
	return err
}

// Import is history.Store's.
func (s *store) Import(ctx context.Context, rows []history.Row) (taken int, err error) {
	return s.writeRows(ctx, rows, importRun)
}

// importRun is the run of rows that no gateway wrote.
const importRun = 0

// writeRows writes rows, and returns how many were taken.
func (s *store) writeRows(ctx context.Context, rows []history.Row, run int64) (taken int, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		insert, supposed := tx.StmtContext(ctx, s.insert), tx.StmtContext(ctx, s.supposed)
		ledger := &ledger{ctx: ctx, tx: tx, closeKey: tx.StmtContext(ctx, s.closeKey)}
		for i := range rows {
			changed, err := s.writeRow(ctx, &rows[i], run, insert, supposed, ledger)
			if err != nil {
				return err
			}
			if changed {
				taken++
			}
		}
		return nil
	})
	return taken, err
}

// writeRow writes a row, and what follows from its end for what fails.
func (s *store) writeRow(ctx context.Context, r *history.Row, run int64, insert, supposed *sql.Stmt, ledger *ledger) (taken bool, err error) {
	var before sql.NullInt64 // the end that was only supposed
	if !r.Ended.IsZero() {
		if err := supposed.QueryRowContext(ctx, r.RequestID).Scan(&before); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, err
		}
	}
	result, err := insert.ExecContext(ctx, callValues(r, run)...)
	if err != nil {
		return false, err
	}
	changed, err := result.RowsAffected()
	if err != nil || changed == 0 || r.Ended.IsZero() {
		return changed > 0, err
	}
	if before.Valid {
		if err := ledger.withdraw(r, before.Int64); err != nil {
			return false, err
		}
	}
	return true, ledger.apply(r)
}

// supposedEnd finds when a call was supposed to have ended whose end nobody had seen.
const supposedEnd = "SELECT ended FROM calls WHERE request_id = ? AND ended IS NOT NULL AND outcome_cause = '" + history.NoEnd + "'"

// Beat is history.Store's.
func (s *store) Beat(ctx context.Context, now time.Time) error {
	if found, err := os.Stat(s.path); err != nil || !os.SameFile(found, s.file) {
		return fmt.Errorf("%w: %s was moved or removed", history.ErrGone, s.path)
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE gateways SET seen = ?, over = 0 WHERE run = ?", now.UnixMicro(), s.run); err != nil {
			return err
		}
		before := now.Add(-history.LongestCall).UnixMicro()
		// A gateway that is silent will write no end, nor will one whose row of the end was lost.
		if err := s.abandon(ctx, tx, now, "(run IN (SELECT run FROM gateways WHERE seen < ?) OR sent < ?)", before, before); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM gateways WHERE seen < ? AND run <> ?", before, s.run)
		return err
	})
}

// Trim is history.Store's.
func (s *store) Trim(ctx context.Context, now time.Time, retention history.Retention) (more bool, err error) {
	if retention.Keep > 0 {
		removed, err := s.remove(ctx, "started < ?", now.Add(-retention.Keep).UnixMicro())
		if err != nil || removed == trimStep {
			return true, err
		}
		if removed, err = s.removeFailures(ctx, "last < ?", now.Add(-retention.Keep).UnixMicro()); err != nil || removed > 0 {
			return true, err
		}
		if err := s.change(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM closures WHERE at < ?", now.Add(-retention.Keep).UnixMicro())
			return err
		}); err != nil {
			return false, err
		}
	}
	var pages, free, size int64
	if err := s.db.QueryRowContext(ctx, "SELECT (SELECT page_count FROM pragma_page_count), (SELECT freelist_count FROM pragma_freelist_count), (SELECT page_size FROM pragma_page_size)").Scan(&pages, &free, &size); err != nil {
		return false, classify(err)
	}
	full := retention.MaxSize > 0 && pages*size > retention.MaxSize
	switch {
	case full && free > 0, free > freePages && free > pages/4:
		return true, s.vacuum(ctx)
	case full:
		removed, err := s.remove(ctx, "ended IS NOT NULL")
		if err == nil && removed == 0 {
			removed, err = s.removeFailures(ctx, "1")
		}
		return removed > 0, err
	}
	return false, nil
}

// remove removes the oldest of the rows that which says.
func (s *store) remove(ctx context.Context, which string, args ...any) (removed int64, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE %s ORDER BY started LIMIT %d)", which, trimStep), args...)
		if err != nil {
			return err
		}
		removed, err = result.RowsAffected()
		return err
	})
	return removed, err
}

// vacuum gives free pages back to the file system. SQLite frees one page for each row that is read of its answer.
func (s *store) vacuum(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, err := s.db.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumStep))
	if err != nil {
		return classify(err)
	}
	for rows.Next() { //nolint:revive // reading is what does the work
	}
	return classify(errors.Join(rows.Err(), rows.Close()))
}

// Close is history.Store's. It says that this gateway is over, so that nobody waits for its heartbeat.
func (s *store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE gateways SET seen = ? WHERE run = ?", time.Now().UnixMicro(), s.run)
		return err
	})
	return errors.Join(err, s.insert.Close(), s.supposed.Close(), s.closeKey.Close(), s.db.Close())
}
