package historytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// child names the place for the process that is killed.
const child = "ERPSYNC_TEST_HISTORY"

// ChildPlace returns where a process of Killed's is to keep its history; false for any other process. A driver's TestMain asks,
// and calls UntilKilled.
func ChildPlace() (string, bool) { return os.LookupEnv(child) }

// Opener is a driver of stores that a function opens.
type Opener func(ctx context.Context, gateway history.Gateway) (history.Store, error)

// Key is history.Driver's.
func (Opener) Key() string { return "test" }

// Retention is history.Driver's.
func (Opener) Retention() history.Retention { return history.Retention{} }

// Open is history.Driver's.
func (o Opener) Open(ctx context.Context, gateway history.Gateway) (history.Store, error) {
	return o(ctx, gateway)
}

// said prints what was committed, so that the parent knows what must be there.
type said struct{ history.Store }

func (s said) Write(ctx context.Context, rows []history.Row) error {
	if err := s.Store.Write(ctx, rows); err != nil {
		return err
	}
	for i := range rows {
		state := "began"
		if !rows[i].Ended.IsZero() {
			state = "ended"
		}
		fmt.Println(state, rows[i].RequestID)
	}
	return nil
}

// stuck is the caller whose calls SuperOffice never answers, and stuckCalls how many it makes.
const (
	stuck      = 9
	stuckCalls = 20
)

// UntilKilled makes calls, ten at a time, until the process is killed.
func UntilKilled(open Opener) {
	j := history.New("this", zap.NewNop())
	if err := j.Open(context.Background(), Opener(func(ctx context.Context, gateway history.Gateway) (history.Store, error) {
		s, err := open(ctx, gateway)
		return said{s}, err
	})); err != nil {
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

// Killed kills a gateway in the middle of its calls, and looks at what is left of them in the place that ChildPlace returned to it.
func Killed(t *testing.T, place string, at *At) {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test itself
	process.Env = append(os.Environ(), child+"="+place)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
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
			if err := process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) { // what is in the pipe is read still
				t.Fatal(err)
			}
		}
	}
	_ = process.Wait()
	s := at.Open(t, ThisNode)
	unknown, ok := 0, 0
	for id, state := range committed {
		switch got := Became(t, s, id); {
		case got == "ok":
			ok++
		case state == "began" && got == "unknown no_end":
			unknown++
		default:
			t.Errorf("%s had %s, and is %q", id, state, got)
		}
	}
	var open int
	if err := s.QueryRow(t, "SELECT count(*) FROM calls WHERE ended IS NULL").Scan(&open); err != nil || open > 0 {
		t.Errorf("%d open, %v", open, err)
	}
	if ok < 200 || unknown < stuckCalls {
		t.Errorf("%d ended, %d unknown", ok, unknown)
	}
	t.Logf("%d calls were committed before the kill: %d with their end, %d unknown now; %d rows in all", len(committed), ok, unknown, Count(t, s))
}
