package guard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
)

// store is a KV that fails and acts in between as it is told.
type store struct {
	auth.MemoryKV
	fail  error
	gets  int
	onGet func(n int)
}

func (s *store) Get(ctx context.Context, key string) (string, bool, error) {
	s.gets++
	if s.onGet != nil {
		s.onGet(s.gets)
	}
	if s.fail != nil {
		return "", false, s.fail
	}
	return s.MemoryKV.Get(ctx, key)
}

func newAnswers(t *testing.T) (*Answers, *store) {
	t.Helper()
	keys, err := session.NewKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	kv := new(store)
	return &Answers{KV: kv, Locker: new(lease.Memory), Sealer: keys, Keep: time.Hour, Mark: "1"}, kv
}

func begin(t *testing.T, a *Answers, fingerprint, id string) (*Entry, *Answer, auth.Reason) {
	t.Helper()
	entry, answer, refusal := a.Begin(t.Context(), "key", fingerprint, id)
	if refusal != nil {
		return entry, answer, refusal.Reason
	}
	return entry, answer, ""
}

func TestWhatAKeyedCallCameToIsWhatItsRepeatGets(t *testing.T) {
	t.Parallel()
	ok := Answer{RequestID: "one", Status: http.StatusOK, Header: http.Header{"Content-Type": {"x"}}, Body: []byte("body")}
	for name, c := range map[string]struct {
		end    func(*Entry)
		answer string
		reason auth.Reason
	}{
		"answered":          {func(e *Entry) { e.Answered(ok) }, "body", ""},
		"as long as can be": {func(e *Entry) { e.Answered(Answer{Body: make([]byte, MaxKept)}) }, string(make([]byte, MaxKept)), ""},
		"too long":          {func(e *Entry) { e.Answered(Answer{Body: make([]byte, MaxKept+1)}) }, "", auth.AnswerNotKept},
		"unknown":           {func(e *Entry) { e.Unknown() }, "", auth.OutcomeUnknown},
		"still running":     {func(*Entry) {}, "", auth.CallRunning},
	} {
		a, _ := newAnswers(t)
		entry, _, reason := begin(t, a, "f", "one")
		if entry == nil {
			t.Fatal(name, reason)
		}
		c.end(entry)
		again, answer, reason := begin(t, a, "f", "two")
		if again != nil || reason != c.reason || (answer != nil) != (c.reason == "") || answer != nil && string(answer.Body) != c.answer {
			t.Errorf("%s: %v %v %s", name, again, answer != nil, reason)
		}
	}
}

func TestAKeyWhoseCallDidNotRunIsFree(t *testing.T) {
	t.Parallel()
	a, _ := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	entry.NotRun()
	if again, _, reason := begin(t, a, "another", "two"); again == nil {
		t.Error(reason)
	}
}

func TestAKeyOfAnotherRequestAndARevokedAnswerAreRefused(t *testing.T) {
	t.Parallel()
	a, _ := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	entry.Answered(Answer{RequestID: "one"})
	if _, _, reason := begin(t, a, "another", "two"); reason != auth.IdempotencyKeyReused {
		t.Errorf("another request: %s", reason)
	}
	a.Mark = "2"
	if _, answer, reason := begin(t, a, "f", "three"); answer != nil || reason != auth.AnswerNotKept {
		t.Errorf("revoked: %s", reason)
	}
}

// A gateway that died has left its note and not its lease.
func TestACallWhoseGatewayDiedIsUnknown(t *testing.T) {
	t.Parallel()
	a, _ := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	entry.lease.Release()
	if again, answer, reason := begin(t, a, "f", "two"); again != nil || answer != nil || reason != auth.OutcomeUnknown {
		t.Errorf("%v %v %s", again, answer, reason)
	}
}

// The call ends between the two looks of its repeat, which must not take that for a death.
func TestACallThatEndsWhileItsRepeatLooksIsAnswered(t *testing.T) {
	t.Parallel()
	a, kv := newAnswers(t)
	entry, _, _ := begin(t, a, "f", "one")
	kv.gets = 0
	kv.onGet = func(n int) {
		if n == 2 { // the second look; the lease was free at the first, as if it had just been given back
			kv.onGet = nil
			entry.Answered(Answer{RequestID: "one", Body: []byte("body")})
		}
	}
	entry.lease.Release()
	again, answer, reason := begin(t, a, "f", "two")
	if again != nil || answer == nil || string(answer.Body) != "body" {
		t.Errorf("%v %v %s", again, answer, reason)
	}
}

func TestAStoreThatGivesNoAnswerRunsNothingAndAnotherKeyDoesNeither(t *testing.T) {
	t.Parallel()
	a, kv := newAnswers(t)
	kv.fail = errors.New("down")
	if entry, _, reason := begin(t, a, "f", "one"); entry != nil || reason != auth.StoreUnavailable {
		t.Errorf("%v %s", entry, reason)
	}
	kv.fail = nil
	entry, _, _ := begin(t, a, "f", "one")
	entry.Answered(Answer{})
	other, err := session.NewKeys([]byte(strings.Repeat("o", 32)))
	if err != nil {
		t.Fatal(err)
	}
	a.Sealer = other // better refused than run twice
	if entry, _, reason := begin(t, a, "f", "two"); entry != nil || reason != auth.StoreUnavailable {
		t.Errorf("%v %s", entry, reason)
	}
}
