package historytest

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func aRowTakesItsEndOnceAndKeepsWhatItHas(t *testing.T, fresh New) {
	s := fresh(t).Open(t, ThisNode)
	began := Began("a", time.Now())
	Write(t, s, began)
	if got := Became(t, s, "a"); got != "open" {
		t.Errorf("began: %s", got)
	}
	Write(t, s, Over(began, outcome.Error, time.Second), Over(Began("whole", time.Now()), outcome.OK, 0))
	Write(t, s, began, Over(began, outcome.OK, time.Minute)) // late, and twice
	if a, whole := Became(t, s, "a"), Became(t, s, "whole"); a != "error" || whole != "ok" {
		t.Errorf("%s, %s", a, whole)
	}
	var keys []byte
	if err := s.QueryRow(t, "SELECT keys FROM calls WHERE request_id = 'a'").Scan(&keys); err != nil {
		t.Fatal(err)
	}
	if internal, _, err := history.UnpackKeys(keys); err != nil || fmt.Sprint(internal) != "[386 230]" {
		t.Errorf("%v %v", internal, err)
	}
}

func aCallWithoutEndIsUnknownWhenItsGatewayStartsAgain(t *testing.T, fresh New) {
	place := fresh(t)
	s := place.Open(t, ThisNode)
	other := place.Open(t, history.Gateway{Node: "other"})
	began := Began("mine", time.Now())
	Write(t, s, began, Over(Began("done", time.Now()), outcome.OK, time.Second))
	Write(t, other, Began("theirs", time.Now()))
	again := place.Open(t, ThisNode)
	if mine, done, theirs := Became(t, again, "mine"), Became(t, again, "done"), Became(t, again, "theirs"); mine != "unknown no_end" || done != "ok" || theirs != "open" {
		t.Errorf("%s, %s, %s", mine, done, theirs)
	}
	// Two processes of one node: the first lives still, and tells the end.
	Write(t, s, Over(began, outcome.OK, time.Second))
	if got := Became(t, again, "mine"); got != "ok" {
		t.Errorf("its end came all the same: %s", got)
	}
}

func aCallIsUnknownWhenItsGatewayIsSilentForLongerThanACallMayLast(t *testing.T, fresh New) {
	place := fresh(t)
	silent := place.Open(t, history.Gateway{Node: "silent"})
	s := place.Open(t, ThisNode)
	now := time.Now()
	Write(t, silent, Began("theirs", now))
	Write(t, s, Began("mine", now.Add(history.LongestCall/2)))
	beat := func(after time.Duration) {
		t.Helper()
		if err := s.Beat(t.Context(), now.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	beat(history.LongestCall - time.Minute)
	if theirs := Became(t, s, "theirs"); theirs != "open" {
		t.Errorf("early: %s", theirs)
	}
	beat(history.LongestCall + time.Minute)
	if theirs, mine := Became(t, s, "theirs"), Became(t, s, "mine"); theirs != "unknown no_end" || mine != "open" {
		t.Errorf("%s, %s", theirs, mine)
	}
	// This one lives, and the row of its end was lost.
	beat(2 * history.LongestCall)
	if mine := Became(t, s, "mine"); mine != "unknown no_end" {
		t.Errorf("mine: %s", mine)
	}
}

func Imported(t *testing.T, s history.Store, rows ...history.Row) (taken int) {
	t.Helper()
	taken, err := s.Import(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func anImportFillsGapsAndDoublesNothing(t *testing.T, fresh New) {
	place := fresh(t)
	s, c := place.Open(t, ThisNode), NewCalls()
	lost, known, cut, cured := c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2), c.Call(superoffice.ForceResync, outcome.OK, 612, 7), c.Call(superoffice.ForceResync, outcome.Error, 612, 3), c.Call(superoffice.ForceResync, outcome.OK, 612, 1)
	began := cut
	began.Ended, began.Outcome, began.ErrorCode = time.Time{}, "", ""
	Write(t, s, known, began, cured)
	s = place.Open(t, ThisNode) // nobody saw the end of cut
	changed := known
	changed.Outcome = outcome.Error
	if taken := Imported(t, s, lost, changed, cut, cured); taken != 2 {
		t.Errorf("%d taken", taken)
	}
	for range 2 {
		found := Failures(t, s, history.Filter{})
		if len(found) != 1 || found[0].Keys != 2 || found[0].Outcome != outcome.Error || Count(t, s) != 4 || Became(t, s, known.RequestID) != "ok" || Became(t, s, cut.RequestID) != "error" {
			t.Errorf("%+v, %d rows", found, Count(t, s)) // 2 of lost, which nothing cured, and 3
		}
		if taken := Imported(t, s, lost, known, cut, cured); taken != 0 {
			t.Errorf("%d taken again", taken)
		}
	}
}

func aCallThatWasImportedWithoutItsEndBecomesUnknown(t *testing.T, fresh New) {
	s := fresh(t).Open(t, ThisNode)
	began := Began("a", time.Now().Add(-2*history.LongestCall))
	Imported(t, s, began)
	if err := s.Beat(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := Became(t, s, "a"); got != "unknown no_end" {
		t.Error(got)
	}
	if found := Failures(t, s, history.Filter{}); len(found) != 1 || found[0].Keys != 2 {
		t.Errorf("%+v", found)
	}
}

func anIncompleteCallOpensAndClosesWhatIsKnownOfIt(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	failed, succeeded := c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2, 3), c.Call(superoffice.ForceResync, outcome.OK, 612, 1, 2)
	succeeded.Partial, succeeded.KeyCount = true, 101
	untyped := c.Call(superoffice.ForceResyncExternal, outcome.Error, 612, "K1")
	untyped.ActorType, untyped.Partial = "", true
	Imported(t, s, failed, succeeded, untyped)
	if left := Failing(t, s); len(left) != 1 {
		t.Errorf("%v", left)
	}
}
