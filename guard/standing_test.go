package guard

import (
	"errors"
	"net/http"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

func TestWhoAsksForACallLearnsWhatItCameTo(t *testing.T) {
	t.Parallel()
	told := Answer{RequestID: "one", Status: http.StatusBadGateway, Header: http.Header{"Content-Type": {"x"}}, Body: []byte("refused")}
	for name, c := range map[string]struct {
		end             func(*Entry)
		running         bool
		answer, outcome string
		reason          auth.Reason
		absent          bool
	}{
		"running":                      {end: func(*Entry) {}, running: true},
		"answered":                     {end: func(e *Entry) { e.Answered(Answer{Status: 200, Body: []byte("body")}) }, answer: "body"},
		"too long":                     {end: func(e *Entry) { e.Answered(Answer{Body: make([]byte, MaxKept+1), Outcome: "error"}) }, reason: auth.AnswerNotKept, outcome: "error"},
		"unknown":                      {end: func(e *Entry) { e.Unknown() }, reason: auth.OutcomeUnknown},
		"unknown, and told more of it": {end: func(e *Entry) { e.Refused(told); e.Unknown() }, answer: "refused"},
		"not run":                      {end: func(e *Entry) { e.NotRun() }, absent: true},
		"not run, and told why":        {end: func(e *Entry) { e.Refused(told); e.NotRun() }, answer: "refused"},
		"its gateway died":             {end: func(e *Entry) { e.lease.Release() }, reason: auth.OutcomeUnknown},
	} {
		a, _ := newAnswers(t)
		entry, _, _ := begin(t, a, "f", "one")
		c.end(entry)
		for range 2 { // to look changes nothing
			got, found, refusal := a.Look(t.Context(), "key")
			answer, reason := "", auth.Reason("")
			if got.Answer != nil {
				answer = string(got.Answer.Body)
			}
			if got.Refusal != nil {
				reason = got.Refusal.Reason
			}
			if refusal != nil || found == c.absent || got.Running != c.running || answer != c.answer || reason != c.reason || got.Outcome != c.outcome {
				t.Errorf("%s: found %v, %+v, %v", name, found, got, refusal)
			}
			if found && (got.RequestID != "one" || got.Began.IsZero()) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		entry.lease.Release()
	}
}

func TestAKeyWhoseCallWasRefusedMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	a, _ := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	entry.Refused(Answer{Status: http.StatusBadGateway, Body: []byte("refused")})
	entry.NotRun()
	again, answer, reason := begin(t, a, "g", "two")
	if again == nil || answer != nil {
		t.Fatalf("%v %s", answer, reason)
	}
	if got, found, _ := a.Look(t.Context(), "key"); !found || !got.Running || got.RequestID != "two" {
		t.Errorf("the second call: %v %+v", found, got)
	}
	again.Answered(Answer{RequestID: "two", Status: http.StatusOK, Body: []byte("body")})
	if got, _, _ := a.Look(t.Context(), "key"); got.Answer == nil || string(got.Answer.Body) != "body" {
		t.Errorf("its answer: %+v", got)
	}
}

func TestWhatWasToldBeforeARevocationIsNotToldAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(*Entry)
		reason auth.Reason
	}{
		"answered":                     {func(e *Entry) { e.Answered(Answer{Status: 200, Body: []byte("secret")}) }, auth.AnswerNotKept},
		"not run, and told why":        {func(e *Entry) { e.Refused(Answer{Status: 502, Body: []byte("secret")}); e.NotRun() }, auth.AnswerNotKept},
		"unknown, and told more of it": {func(e *Entry) { e.Refused(Answer{Status: 502, Body: []byte("secret")}); e.Unknown() }, auth.OutcomeUnknown},
	} {
		a, _ := newAnswers(t)
		entry, _, _ := begin(t, a, "f", "one")
		c.end(entry)
		a.Mark = "2"
		if got, found, _ := a.Look(t.Context(), "key"); !found || got.Answer != nil || got.Refusal == nil || got.Refusal.Reason != c.reason {
			t.Errorf("%s: %v %+v", name, found, got)
		}
	}
}

// That the store gives no answer never says that there is no such call.
func TestAStoreThatGivesNoAnswerSaysNothingOfACall(t *testing.T) {
	t.Parallel()
	a, kv := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	for name, fail := range map[string]int{"the note": 1, "the note once more": 2, "the refusal": 2} {
		kv.gets, kv.fail = 0, nil
		kv.onGet = func(n int) {
			if n == fail {
				kv.fail = errors.New("down")
			}
		}
		if name == "the note once more" {
			entry.lease.Release()
		}
		key := "key"
		if name == "the refusal" {
			key = "another"
		}
		if _, found, refusal := a.Look(t.Context(), key); found || refusal == nil || refusal.Reason != auth.StoreUnavailable {
			t.Errorf("%s: %v %v", name, found, refusal)
		}
	}
}

// A call that runs for longer than its answer is kept is not forgotten meanwhile.
func TestACallIsNotedForAsLongAsItRuns(t *testing.T) {
	t.Parallel()
	a, _ := newAnswers(t)
	a.Keep, a.Longest = 1, 1<<40
	begin(t, a, "f", "one")
	if got, found, _ := a.Look(t.Context(), "key"); !found || !got.Running {
		t.Errorf("%v %+v", found, got)
	}
}

// The call ends between the two questions of whoever looks, which must not take that for a death.
func TestACallThatEndsWhileItIsLookedAtIsAnswered(t *testing.T) {
	t.Parallel()
	a, kv := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	kv.gets = 0
	kv.onGet = func(n int) {
		if n == 2 {
			kv.onGet = nil
			entry.Answered(Answer{RequestID: "one", Status: 200, Body: []byte("body")})
		}
	}
	entry.lease.Release()
	if got, _, refusal := a.Look(t.Context(), "key"); refusal != nil || got.Answer == nil || string(got.Answer.Body) != "body" {
		t.Errorf("%+v %v", got, refusal)
	}
}
