package historytest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// textsThatADatabaseRefusesAreKeptAllTheSame writes what callers and SuperOffice may say: PostgreSQL takes neither NUL nor what
// is no UTF-8, nor an index of a long text.
func textsThatADatabaseRefusesAreKeptAllTheSame(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	strange := c.Call(superoffice.ForceResyncExternal, outcome.Error, 612, "a\x00b", "\xff\xfe", "")
	for _, text := range []*string{&strange.RequestID, &strange.App, &strange.Tenant, &strange.Principal, &strange.ActorType, &strange.Reason, &strange.Cause, &strange.ErrorCode, &strange.UserExplanation, &strange.TechExplanation} {
		*text = "x\x00y\xff" + strings.Repeat("å", 5000)
	}
	Write(t, s, strange)
	if n := Count(t, s); n != 1 {
		t.Fatalf("%d rows", n)
	}
	found := Failures(t, s, history.Filter{Tenant: strange.Tenant})
	if len(found) != 1 || found[0].Keys != 3 || !strings.HasPrefix(found[0].ErrorCode, "x\uFFFDy\uFFFDåå") {
		t.Fatalf("%d failures", len(found))
	}
	cured := strange
	cured.RequestID, cured.Outcome, cured.Started, cured.Ended = "cured", outcome.OK, strange.Ended, strange.Ended.Add(time.Second)
	another := cured
	another.RequestID, another.ActorType = "another", strange.ActorType+"x"
	Write(t, s, another)
	if left := Failing(t, s); len(left) != 3 {
		t.Errorf("keys of another type closed some: %d left", len(left))
	}
	Write(t, s, cured)
	if left := Failing(t, s); len(left) != 0 {
		t.Errorf("%d left", len(left))
	}
	if _, err := s.CloseFailure(t.Context(), 1<<40, history.Closure{Reason: "a\x00b\xff", At: time.Now()}); !errors.Is(err, history.ErrNoFailure) {
		t.Error(err)
	}
}

func keysOfAnyKindAndLengthOpenAndClose(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	long := strings.Repeat("k", 20_000)
	external := []any{"", "1", "K\x00", "\xff", long, long + "x", "1"} // one of them twice
	Write(t, s, c.Call(superoffice.ForceResyncExternal, outcome.Error, 612, external...), c.Call(superoffice.ForceResync, outcome.Error, 612, -1, 1<<31-1, -1<<31, 0, 0))
	if left := Failing(t, s); len(left) != 6+4 {
		t.Fatalf("%d keys fail", len(left))
	}
	Write(t, s, c.Call(superoffice.ForceResyncExternal, outcome.OK, 612, long, "\xff", "\xfe", "K"))
	if left := Failing(t, s); len(left) != 4+4 {
		t.Errorf("%d keys fail", len(left))
	}
	Write(t, s, c.Call(superoffice.ForceResyncExternal, outcome.OK, 612, external...), c.Call(superoffice.ForceResync, outcome.OK, 612, 1<<31-1, -1, 0))
	if left := Failing(t, s); len(left) != 1 {
		t.Errorf("%d keys fail", len(left))
	}
	many := make([]any, 100_000)
	for i := range many {
		many[i] = i * 3
	}
	Write(t, s, c.Call(superoffice.ForceResync, outcome.Error, 613, many...), c.Call(superoffice.ForceResync, outcome.OK, 613, many[1:]...))
	if left := Failing(t, s); len(left) != 2 {
		t.Errorf("of many: %d keys fail", len(left))
	}
}

// A commit whose answer was lost is tried again.
func whatWasCommittedAlreadyIsNotCountedAgain(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	failed := c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2)
	began := failed
	began.Ended, began.Outcome, began.ErrorCode = time.Time{}, "", ""
	group := []history.Row{began, failed, c.Call(superoffice.ForceResync, outcome.OK, 612, 2), Began("open", time.Now())}
	Write(t, s, group...)
	before := fmt.Sprint(Failures(t, s, history.Filter{}), Failing(t, s), Count(t, s))
	Write(t, s, group...)
	if after := fmt.Sprint(Failures(t, s, history.Filter{}), Failing(t, s), Count(t, s)); after != before || Count(t, s) != 3 {
		t.Errorf("%s\nnow %s", before, after)
	}
}

func aGatewayThatIsForgottenIsToldSo(t *testing.T, fresh New) {
	at := fresh(t)
	s, other := at.Open(t, ThisNode), at.Open(t, history.Gateway{Node: "other", Started: time.Now()})
	now := time.Now().Add(2 * history.LongestCall)
	if err := other.Beat(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Beat(t.Context(), now); !errors.Is(err, history.ErrGone) {
		t.Errorf("it was silent for so long that nobody knows it: %v", err)
	}
	Write(t, s, Over(Began("a", time.Now()), outcome.OK, 0)) // what it knows is taken all the same
	if got := Became(t, s, "a"); got != "ok" {
		t.Error(got)
	}
}

func theOldestGoFirst(t *testing.T, fresh New) {
	s, now := fresh(t).Open(t, ThisNode), time.Now()
	rows := make([]history.Row, 0, 1000)
	for i := range 1000 {
		rows = append(rows, Over(Began(fmt.Sprintf("%04d", i), now.Add(time.Duration(i-1000)*time.Hour)), outcome.OK, 0))
	}
	Write(t, s, rows...)
	Write(t, s, Began("open", now.Add(-400*time.Hour)))
	if steps := Trim(t, s, now, history.Retention{Keep: 500*time.Hour + time.Minute}); steps < 3 || Count(t, s) != 501 || Became(t, s, "0499") != "" || Became(t, s, "0500") != "ok" {
		t.Errorf("%d rows in %d steps", Count(t, s), steps)
	}
	if steps := Trim(t, s, now, history.Retention{}); steps != 1 || Count(t, s) != 501 {
		t.Errorf("without bounds: %d rows in %d steps", Count(t, s), steps)
	}
}
