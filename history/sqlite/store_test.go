package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func TestMain(m *testing.M) {
	if path, is := historytest.ChildPlace(); is {
		historytest.UntilKilled(func(ctx context.Context, gateway history.Gateway) (history.Store, error) {
			return open(ctx, path, gateway)
		})
	}
	os.Exit(m.Run())
}

var thisNode = historytest.ThisNode

func openAt(t testing.TB, path string, gateway history.Gateway) *store {
	t.Helper()
	s, err := open(t.Context(), path, gateway)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "deep", "history.db") }

// became returns what a call came to: its outcome and cause, "open" while it has no end, "" if there is no such row.
func became(t testing.TB, s *store, id string) string {
	t.Helper()
	var class, cause string
	var ended sql.NullInt64
	err := s.db.QueryRowContext(t.Context(), "SELECT outcome, outcome_cause, ended FROM calls WHERE request_id = ?", id).Scan(&class, &cause, &ended)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ""
	case err != nil:
		t.Fatal(err)
	case !ended.Valid:
		return "open"
	}
	return strings.TrimSpace(class + " " + cause)
}

func count(t testing.TB, s *store) (n int) {
	t.Helper()
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM calls").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheFileIsForItsUserAlone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openAt(t, path, thisNode)
	historytest.Write(t, s, historytest.Began("a", time.Now()))
	check := func() {
		t.Helper()
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode().Perm(); mode != 0o600 {
				t.Errorf("%s: %o", filepath.Base(name), mode)
			}
		}
	}
	check()
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Chmod(name, 0o644); err != nil { //nolint:gosec // somebody opened it to all
			t.Fatal(err)
		}
	}
	openAt(t, path, history.Gateway{Node: "another"})
	check()
}

func TestASchemaGoesForwardAlone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openAt(t, path, thisNode)
	historytest.Write(t, s, historytest.Over(historytest.Began("a", time.Now()), outcome.OK, 0))
	if _, err := s.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", len(migrations)+1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := open(t.Context(), path, thisNode)
	if !errors.Is(err, history.ErrRefused) || !strings.Contains(err.Error(), "use the newer build") {
		t.Errorf("%v", err)
	}
	foreign := newPath(t)
	if err := os.MkdirAll(filepath.Dir(foreign), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driverName, foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE calls (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), foreign, thisNode); !errors.Is(err, history.ErrRefused) {
		t.Errorf("another program's: %v", err)
	}
	if err := os.WriteFile(foreign, []byte(strings.Repeat("no database at all ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), foreign, thisNode); !errors.Is(err, history.ErrRefused) {
		t.Errorf("no database: %v", err)
	}
}

func TestAFileThatIsGoneIsToldAtTheNextHeartbeat(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openAt(t, path, thisNode)
	if err := s.Beat(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := s.Beat(t.Context(), time.Now()); !errors.Is(err, history.ErrGone) {
		t.Errorf("moved: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Beat(t.Context(), time.Now()); !errors.Is(err, history.ErrGone) {
		t.Errorf("another in its place: %v", err)
	}
}

func TestALockedFileIsTroubleThatPasses(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openAt(t, path, thisNode)
	other := openAt(t, path, history.Gateway{Node: "other"})
	lock, err := other.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Write(t.Context(), []history.Row{historytest.Began("a", time.Now())})
	if err == nil || errors.Is(err, history.ErrNeverWritten) || errors.Is(err, history.ErrRefused) {
		t.Errorf("locked: %v", err)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	historytest.Write(t, s, historytest.Began("a", time.Now()))
	if became(t, s, "a") != "open" {
		t.Error("it is not there")
	}
}

func TestAFullFileIsTroubleThatPassesAndTakesNothingThatWasCommitted(t *testing.T) {
	t.Parallel()
	s := openAt(t, newPath(t), thisNode)
	s.db.SetMaxOpenConns(1) // the bound is a connection's own
	historytest.Write(t, s, historytest.Began("before", time.Now()))
	var pages int
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	bound := func(n int) {
		t.Helper()
		if _, err := s.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	bound(pages)
	large := historytest.Began("large", time.Now())
	large.Keys = make([]byte, 1<<20)
	if err := s.Write(t.Context(), []history.Row{large}); err == nil || errors.Is(err, history.ErrNeverWritten) {
		t.Errorf("full: %v", err)
	}
	if became(t, s, "before") != "open" || became(t, s, "large") != "" {
		t.Error("what was committed is not what is there")
	}
	bound(1 << 20)
	historytest.Write(t, s, large)
}

func TestARowThatCanNeverBeWrittenIsToldFromTrouble(t *testing.T) {
	t.Parallel()
	s := openAt(t, newPath(t), thisNode)
	if _, err := s.db.ExecContext(t.Context(), "CREATE TRIGGER picky BEFORE INSERT ON calls WHEN NEW.app = 'bad' BEGIN SELECT RAISE(ABORT, 'never'); END"); err != nil {
		t.Fatal(err)
	}
	bad := historytest.Began("bad", time.Now())
	bad.App = "bad"
	if err := s.Write(t.Context(), []history.Row{historytest.Began("good", time.Now()), bad}); !errors.Is(err, history.ErrNeverWritten) {
		t.Errorf("%v", err)
	}
	if became(t, s, "good") != "" {
		t.Error("half a group was committed")
	}
}

func TestWhatIsTooOldOrTooMuchGoesTheOldestFirstInSteps(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openAt(t, path, thisNode)
	now := time.Now()
	rows := make([]history.Row, 0, 3000)
	for i := range 3000 {
		r := historytest.Over(historytest.Began(fmt.Sprintf("%04d", i), now.Add(time.Duration(i-3000)*time.Hour)), outcome.OK, 0)
		r.Keys = make([]byte, 1000)
		rows = append(rows, r)
	}
	historytest.Write(t, s, rows...)
	historytest.Write(t, s, historytest.Began("open", now.Add(-1000*time.Hour)))
	if steps := historytest.Trim(t, s, now, history.Retention{Keep: 1000*time.Hour + time.Minute}); steps < 4 || count(t, s) != 1001 || became(t, s, "1999") != "" || became(t, s, "2000") != "ok" {
		t.Errorf("by age: %d rows in %d steps", count(t, s), steps)
	}
	const size = 600 << 10
	historytest.Trim(t, s, now, history.Retention{MaxSize: size})
	if n := count(t, s); n == 0 || n > 700 || became(t, s, "2999") != "ok" || became(t, s, "2000") != "" || became(t, s, "open") != "open" {
		t.Errorf("by size: %d rows", n)
	}
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > size {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if steps := historytest.Trim(t, s, now, history.Retention{}); steps != 1 {
		t.Errorf("without bounds: %d steps", steps)
	}
}

func TestAKilledProcessLosesNothingThatWasCommittedAndLeavesItsCallsUnknown(t *testing.T) {
	t.Parallel()
	at := newPlace(t)
	historytest.Killed(t, at.Place.(*place).path, at)
}
