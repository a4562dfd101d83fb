package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// childFile names the file for the process that is killed.
const childFile = "ERPSYNC_TEST_HISTORY"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		callUntilKilled(path)
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

// said prints what was committed, so that the parent knows what must be there.
type said struct {
	history.Store
	out io.Writer
}

func (s said) Write(ctx context.Context, rows []history.Row) error {
	if err := s.Store.Write(ctx, rows); err != nil {
		return err
	}
	for i := range rows {
		state := "began"
		if !rows[i].Ended.IsZero() {
			state = "ended"
		}
		fmt.Fprintln(s.out, state, rows[i].RequestID)
	}
	return nil
}

// saying is a driver of such stores.
type saying struct{ path string }

func (d saying) Key() string                  { return d.path }
func (d saying) Retention() history.Retention { return history.Retention{} }
func (d saying) Open(ctx context.Context, gateway history.Gateway) (history.Store, error) {
	s, err := open(ctx, d.path, gateway)
	return said{s, os.Stdout}, err
}

// stuck is the caller whose calls SuperOffice never answers, and stuckCalls how many it makes.
const (
	stuck      = 9
	stuckCalls = 20
)

// callUntilKilled makes calls, ten at a time, until the process is killed.
func callUntilKilled(path string) {
	j := history.New("this", zap.NewNop())
	if err := j.Open(context.Background(), saying{path}); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	recorder := j.Recorder("online")
	for caller := range 10 {
		go func() {
			for n := 0; ; n++ {
				record := &outcome.Record{RequestID: fmt.Sprintf("%d-%d", caller, n), Node: "this", Proved: true, Started: time.Now(), Operation: superoffice.ForceResync, Understood: true, Began: true}
				recorder.Began(record)
				if caller == stuck {
					if n+1 < stuckCalls {
						continue
					}
					return
				}
				time.Sleep(time.Duration(caller) * time.Millisecond) // SuperOffice answers
				record.Decision, record.Sends, record.Outcome.Class = "allowed", 1, outcome.OK
				recorder.Ended(record)
			}
		}()
	}
	select {}
}

func TestAKilledProcessLosesNothingThatWasCommittedAndLeavesItsCallsUnknown(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	child := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test itself
	child.Env = append(os.Environ(), childFile+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	committed, ended, waiting := make(map[string]string), 0, 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		state, id, _ := strings.Cut(lines.Text(), " ")
		if state == "error" {
			t.Fatal(id)
		}
		committed[id] = state
		switch {
		case state == "ended":
			ended++
		case strings.HasPrefix(id, fmt.Sprint(stuck, "-")):
			waiting++
		}
		if ended >= 200 && waiting == stuckCalls {
			if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) { // what is in the pipe is read still
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
	s := openAt(t, path, thisNode)
	unknown, ok := 0, 0
	for id, state := range committed {
		switch got := became(t, s, id); {
		case got == "ok":
			ok++
		case state == "began" && got == "unknown no_end":
			unknown++
		default:
			t.Errorf("%s had %s, and is %q", id, state, got)
		}
	}
	var open int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM calls WHERE ended IS NULL").Scan(&open); err != nil || open > 0 {
		t.Errorf("%d open, %v", open, err)
	}
	if ok < 200 || unknown < stuckCalls {
		t.Errorf("%d ended, %d unknown", ok, unknown)
	}
	t.Logf("%d calls were committed before the kill: %d with their end, %d unknown now; %d rows in all", len(committed), ok, unknown, count(t, s))
}
