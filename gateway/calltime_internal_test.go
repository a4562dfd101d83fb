package gateway

import (
	"testing"
	"time"
)

func TestCallsOfTheSameMomentShareOneTimeLimitAndLaterOnesHaveAnother(t *testing.T) {
	t.Parallel()
	var times callTimes
	began := time.Now()
	first := times.from(began)
	if times.from(began.Add(callPeriod)) != first {
		t.Error("a call of the same period has a limit of its own")
	}
	if times.from(began.Add(callPeriod+1)) == first {
		t.Error("a call of the next period has the limit of the one before")
	}
	for _, at := range []time.Time{began.Add(callPeriod + 1), began.Add(2 * callPeriod), began.Add(3 * callPeriod)} { // in this order, as time passes
		end, bounded := times.from(at).Deadline()
		if left := end.Sub(at); !bounded || left < maxCallTime || left > maxCallTime+callPeriod {
			t.Errorf("a call may take %s", left)
		}
	}
}
