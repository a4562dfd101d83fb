package guard

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestACallWhoseEndIsNotKnownMayRunForItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running Running
		if id, _ := running.MayRun("a"); id != "" {
			t.Errorf("%s runs before anything did", id)
		}
		running.Unended("a", "one", time.Now().Add(time.Minute))
		time.Sleep(59 * time.Second)
		if id, left := running.MayRun("a"); id != "one" || left != time.Second {
			t.Errorf("%q, for %s", id, left)
		}
		if other := running.TryStart("a", "two"); other != "" {
			t.Errorf("%s is in the way of a call that is meant once more", other)
		}
		if id, _ := running.MayRun("b"); id != "" {
			t.Errorf("%s runs under another name", id)
		}
		time.Sleep(time.Second)
		if id, _ := running.MayRun("a"); id != "" {
			t.Errorf("%s runs for ever", id)
		}
		running.Unended("b", "three", time.Now().Add(time.Minute))
		if len(running.unended) != 1 {
			t.Errorf("what is over is kept: %v", running.unended)
		}
	})
}
