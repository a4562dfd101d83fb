package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// TestAFullDiskHoldsNoCallUpAndLosesNothingOnceItHasSpace mounts a disk of its own, which takes root.
func TestAFullDiskHoldsNoCallUpAndLosesNothingOnceItHasSpace(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a disk takes root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	path := filepath.Join(disk, "history.db")
	journal := history.New("this", zap.NewNop())
	if err := journal.Open(t.Context(), historytest.Opener(func(ctx context.Context, gateway history.Gateway) (history.Store, error) {
		return open(ctx, path, gateway)
	})); err != nil {
		t.Fatal(err)
	}
	recorder, calls := journal.Recorder("online"), 0
	call := func() {
		calls++
		recorder.Ended(&outcome.Record{
			RequestID: fmt.Sprint(calls), Node: "this", Proved: true, Started: time.Now(), Operation: superoffice.ForceResync, Understood: true, Decision: "allowed",
			Arguments: superoffice.Arguments{Keys: make([]int32, 1000)}, Outcome: outcome.Outcome{Class: outcome.OK},
		})
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not %s: %+v", what, journal.Health())
			}
		}
	}
	call()
	until("written", func() bool { return journal.Queued() == 0 })
	ballast := filepath.Join(disk, "ballast")
	file, err := os.Create(ballast) //nolint:gosec // in a folder of the test's own
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	_ = file.Close()
	until("full", func() bool { call(); return !journal.Health().Fails.IsZero() })
	for range 500 {
		call()
	}
	if h := journal.Health(); h.Lost > 0 || h.Cause == nil {
		t.Errorf("%+v", h)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	until("written again", func() bool { return journal.Queued() == 0 })
	journal.Close()
	s := openAt(t, path, thisNode)
	if h := journal.Health(); count(t, s) != calls || h.Lost != 0 || !h.Fails.IsZero() {
		t.Errorf("%d rows of %d calls, %+v", count(t, s), calls, h)
	}
}
