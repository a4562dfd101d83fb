//go:build unix

package redisstore

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

func TestAFrozenStoreFailsEveryQuestionOfABatchAndIsUsedAgainOnceItGoesOn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := New(Config{Addresses: []string{server.Address}, Prefix: "p", Timeout: 300 * time.Millisecond})
	defer s.Close()
	until(t, "it answers", func() bool { return aCall(s) == 0 })
	server.Freeze()
	defer server.Thaw()
	var group sync.WaitGroup
	var failed atomic.Int32
	for range 60 {
		group.Go(func() {
			if aCall(s) == 4 {
				failed.Add(1)
			}
		})
	}
	group.Wait()
	if failed.Load() != 60 || !s.down.Load() {
		t.Errorf("%d of 60 failed; down: %v", failed.Load(), s.down.Load())
	}
	isIdle(t, s.group)
	server.Thaw()
	until(t, "it answers again", func() bool { return aCall(s) == 0 })
	isIdle(t, s.group)
}
