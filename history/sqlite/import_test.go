package sqlite

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func imported(t *testing.T, s *store, rows ...history.Row) (taken int) {
	t.Helper()
	taken, err := s.Import(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func TestAnImportFillsGapsAndDoublesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s, c := openAt(t, path, thisNode), newCalls()
	lost, known, cut, cured := c.call(superoffice.ForceResync, outcome.Error, 612, 1, 2), c.call(superoffice.ForceResync, outcome.OK, 612, 7), c.call(superoffice.ForceResync, outcome.Error, 612, 3), c.call(superoffice.ForceResync, outcome.OK, 612, 1)
	began := cut
	began.Ended, began.Outcome, began.ErrorCode = time.Time{}, "", ""
	write(t, s, known, began, cured)
	s = openAt(t, path, thisNode) // nobody saw the end of cut
	changed := known
	changed.Outcome = outcome.Error
	if taken := imported(t, s, lost, changed, cut, cured); taken != 2 {
		t.Errorf("%d taken", taken)
	}
	for range 2 {
		found := failures(t, s, history.Filter{})
		if len(found) != 1 || found[0].Keys != 2 || found[0].Outcome != outcome.Error || count(t, s) != 4 || became(t, s, known.RequestID) != "ok" || became(t, s, cut.RequestID) != "error" {
			t.Errorf("%+v, %d rows", found, count(t, s)) // 2 of lost, which nothing cured, and 3
		}
		if taken := imported(t, s, lost, known, cut, cured); taken != 0 {
			t.Errorf("%d taken again", taken)
		}
	}
}

func TestACallThatWasImportedWithoutItsEndBecomesUnknown(t *testing.T) {
	t.Parallel()
	s := openAt(t, newPath(t), thisNode)
	began := row("a", time.Now().Add(-2*history.LongestCall))
	imported(t, s, began)
	if err := s.Beat(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := became(t, s, "a"); got != "unknown no_end" {
		t.Error(got)
	}
	if found := failures(t, s, history.Filter{}); len(found) != 1 || found[0].Keys != 2 {
		t.Errorf("%+v", found)
	}
}

func TestAnIncompleteCallOpensAndClosesWhatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	s, c := openAt(t, newPath(t), thisNode), newCalls()
	failed, succeeded := c.call(superoffice.ForceResync, outcome.Error, 612, 1, 2, 3), c.call(superoffice.ForceResync, outcome.OK, 612, 1, 2)
	succeeded.Partial, succeeded.KeyCount = true, 101
	untyped := c.call(superoffice.ForceResyncExternal, outcome.Error, 612, "K1")
	untyped.ActorType, untyped.Partial = "", true
	imported(t, s, failed, succeeded, untyped)
	if left := failing(t, s); len(left) != 1 {
		t.Errorf("%v", left)
	}
}
