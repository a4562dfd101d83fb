//go:build outage && unix

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// TestAStoppedPostgreSQLIsFeltByNoCaller stops PostgreSQL for twenty seconds under load, or for as long as ERPSYNC_OUTAGE says.
func TestAStoppedPostgreSQLIsFeltByNoCaller(t *testing.T) {
	lasts := 20 * time.Second
	if text := os.Getenv("ERPSYNC_OUTAGE"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newSharing(t)
	s.crowd(20)
	s.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok"}`} })
	caller := s.service()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var calls, errors atomic.Int64
	var slowest atomic.Int64
	var callers sync.WaitGroup
	for n := range 10 {
		callers.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				if status, body := s.send(s.gateways[n%2], http.MethodPost, resync, caller, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, calls.Add(1))); status != http.StatusOK {
					errors.Add(1)
					t.Errorf("%d %s", status, body)
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(began))))
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	eventually(t, func() bool { rows, _, _ := s.rows(); return rows > 50 })
	before, _, _ := s.rows()
	s.postgres.Kill()
	began, at := time.Now(), calls.Load()
	timer := time.NewTimer(lasts)
	<-timer.C
	during := calls.Load() - at
	s.postgres.Run(t)
	away := time.Since(began)
	stop()
	callers.Wait()
	mended := time.Now()
	var after, open int
	eventually(t, func() bool { after, open, _ = s.rows(); return after >= int(calls.Load()) && open == 0 })
	if int64(after) != calls.Load() || errors.Load() > 0 || during == 0 {
		t.Errorf("%d calls, %d rows, %d errors", calls.Load(), after, errors.Load())
	}
	t.Logf("away for %s under load: %d calls meanwhile, %d errors to callers, slowest call %s; %d rows before, %d calls and %d rows after, %d lost; all written %s after it was back",
		away.Round(time.Second), during, errors.Load(), time.Duration(slowest.Load()).Round(time.Millisecond), before, calls.Load(), after, calls.Load()-int64(after), time.Since(mended).Round(time.Millisecond))
}
