package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

// MaxKept is the longest answer that is kept, in bytes.
const MaxKept = 1 << 20

const (
	// askTimeout bounds what is written about a call that is over.
	askTimeout = 5 * time.Second

	lookAgain = 10 * time.Millisecond
)

// Answer is what the first call with an Idempotency-Key was answered.
type Answer struct {
	RequestID string
	Status    int
	Header    http.Header
	Body      []byte
	// Outcome is what the answer says, for one that is too long to be kept.
	Outcome string
}

// Answers keep answers by Idempotency-Key, sealed: what is written before a call is
// sent tells for ever that it may have run.
type Answers struct {
	KV     auth.KV
	Locker lease.Locker
	Sealer auth.Sealer
	// Keep is how long they are kept.
	Keep time.Duration
	// Longest is how long a call runs at most: what is noted before it is sent is kept at least that long.
	Longest time.Duration
	// Mark changes when what was kept is revoked: answers of another are not given again. That the
	// calls ran is remembered all the same.
	Mark string
}

const answerPurpose = "erpsync kept answer"

// note is what is kept, under the seal.
type note struct {
	State       state       `json:"s"`
	Fingerprint string      `json:"f"` // of the request
	RequestID   string      `json:"r"`
	Mark        string      `json:"m,omitempty"`
	Began       int64       `json:"t,omitempty"` // Unix time in seconds
	Status      int         `json:"c,omitempty"`
	Header      http.Header `json:"h,omitempty"`
	Body        []byte      `json:"b,omitempty"`
	Outcome     string      `json:"o,omitempty"` // of an answer that is unkept
}

type state string

const (
	started  state = "started"
	answered state = "answered"
	unkept   state = "unkept" // answered, and too long to keep
	unknown  state = "unknown"
	refused  state = "refused" // not run; kept under a key of its own, so that the caller's may be used again
)

// Entry is a call that has begun under a key.
type Entry struct {
	answers *Answers
	key     string
	note    note
	lease   *lease.Held // nil: the claimer of the key releases it
	refused *Answer     // what the caller was told in place of an answer; nil: nothing is kept of that
}

// Begin notes that the call is about to be sent. key names the caller's key
// together with who uses it and for what; fingerprint is of the request. It gives an entry to end,
// or the answer of the first call, or a refusal.
func (a *Answers) Begin(ctx context.Context, key, fingerprint, requestID string) (*Entry, *Answer, *auth.Refusal) {
	for {
		first, found, err := a.load(ctx, key)
		if err == nil && found && (first.State != started || first.Fingerprint != fingerprint) {
			answer, refusal := first.repeat(fingerprint, a.Mark)
			return nil, answer, refusal
		}
		var held *lease.Held
		var holder string
		if err == nil {
			held, holder, err = lease.Hold(ctx, a.Locker, key, requestID)
		}
		switch {
		case err != nil:
			return nil, nil, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
		case holder != requestID && found:
			return nil, nil, first.running()
		case holder != requestID: // it is just beginning, or has just ended without having run
			select {
			case <-ctx.Done():
				return nil, nil, auth.Refuse(auth.StoreUnavailable, ctx.Err()).After(time.Second)
			case <-time.After(lookAgain):
			}
			continue
		case found: // nobody is at work on it: its gateway died, unless it ended between the two questions
			still, _, err := a.load(ctx, key)
			held.Release()
			if err == nil && still.State == started {
				_, refusal := note{State: unknown, Fingerprint: fingerprint, RequestID: first.RequestID}.repeat(fingerprint, a.Mark)
				return nil, nil, refusal
			}
			continue
		}
		e := &Entry{answers: a, key: key, note: note{State: started, Fingerprint: fingerprint, RequestID: requestID, Mark: a.Mark, Began: time.Now().Unix()}, lease: held}
		set, err := a.KV.SetNX(ctx, key, a.seal(key, e.note), max(a.Keep, a.Longest))
		if set && err == nil {
			return e, nil, nil
		}
		held.Release()
		if err != nil {
			return nil, nil, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
		}
	}
}

// Prepare returns the entry of a call that is about to claim its key at the store, and the note to claim it with. Nothing is
// written before that.
func (a *Answers) Prepare(key, fingerprint, requestID string) (e *Entry, sealed string) {
	e = &Entry{answers: a, key: key, note: note{State: started, Fingerprint: fingerprint, RequestID: requestID, Began: time.Now().Unix()}}
	return e, a.seal(key, e.note)
}

// Claimed completes the entry of a call that has claimed its key, with what Answers.Mark is.
func (e *Entry) Claimed(mark string) { e.answers.Mark, e.note.Mark = mark, mark }

// Repeat returns what a call gets whose key was claimed before: the answer of the first call, or a refusal. sealed is the note
// under the key, and holder who works on it; "" if nobody does.
func (a *Answers) Repeat(key, sealed, holder, fingerprint string) (*Answer, *auth.Refusal) {
	first, err := a.open(key, sealed)
	switch {
	case err != nil:
		return nil, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	case first.State == started && first.Fingerprint == fingerprint && holder != "":
		return nil, first.running()
	}
	return first.repeat(fingerprint, a.Mark) // nobody is at work on one that has started: its gateway died
}

// running refuses a call while the first with its key runs.
func (n note) running() *auth.Refusal {
	refusal := auth.Refuse(auth.CallRunning, fmt.Errorf("request %s with this Idempotency-Key is running", n.RequestID)).Of(n.RequestID)
	refusal.SameKey, refusal.Detail = true, "The call with this Idempotency-Key is running. Send it again for its answer; nothing is run twice."
	return refusal
}

// repeat is what a call gets that comes with the key of one that is over.
func (n note) repeat(fingerprint, mark string) (*Answer, *auth.Refusal) {
	switch {
	case n.Fingerprint != fingerprint:
		return nil, auth.Refuse(auth.IdempotencyKeyReused, fmt.Errorf("request %s used this Idempotency-Key for another call", n.RequestID)).Of(n.RequestID)
	case n.State == answered && n.Mark != mark:
		return nil, auth.Refuse(auth.AnswerNotKept, errors.New("what was kept before a revocation is not given again")).Of(n.RequestID)
	case n.State == answered:
		return n.answer(), nil
	case n.State == unkept:
		return nil, auth.Refuse(auth.AnswerNotKept, fmt.Errorf("the answer was longer than %d bytes", MaxKept)).Of(n.RequestID)
	}
	return nil, auth.Refuse(auth.OutcomeUnknown, errors.New("the first call with this Idempotency-Key was sent and its end is not known")).Of(n.RequestID)
}

// Answered keeps the call's answer.
func (e *Entry) Answered(answer Answer) {
	e.note.State, e.note.Status, e.note.Header, e.note.Body = answered, answer.Status, answer.Header, answer.Body
	if len(answer.Body) > MaxKept {
		e.note.State, e.note.Header, e.note.Body = unkept, nil, nil
		e.note.Outcome = answer.Outcome
	}
	e.end()
}

// Refused has Unknown and NotRun keep what the call was refused with, for a caller that asks later. Nothing is kept of that otherwise.
func (e *Entry) Refused(answer Answer) { e.refused = &answer }

// Unknown keeps that nobody knows whether the call ran.
func (e *Entry) Unknown() {
	e.note.State = unknown
	if e.refused != nil {
		e.note.Status, e.note.Header, e.note.Body = e.refused.Status, e.refused.Header, e.refused.Body
	}
	e.end()
}

// NotRun forgets the call: nothing was run, and the key may be used again. What it was refused with is kept apart. The note of a
// key that was claimed goes when that is given back.
func (e *Entry) NotRun() {
	if e.lease == nil && e.refused == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if r := e.refused; r != nil {
		e.answers.keepRefused(ctx, e.key, note{State: refused, RequestID: e.note.RequestID, Mark: e.note.Mark, Began: e.note.Began, Status: r.Status, Header: r.Header, Body: r.Body})
	}
	_ = e.answers.KV.Delete(ctx, e.key)
	if e.lease != nil {
		e.lease.Release()
	}
}

// end writes the outcome of the call. If that fails, what is there says started, and
// a repeat is told that the outcome is not known: never is it sent again.
func (e *Entry) end() {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_ = e.answers.KV.Set(ctx, e.key, e.answers.seal(e.key, e.note), e.answers.Keep)
	if e.lease != nil {
		e.lease.Release()
	}
}

func (a *Answers) seal(key string, n note) string {
	plain, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings, numbers and bytes always marshal
	}
	return a.Sealer.Seal(answerPurpose, []string{key}, plain)
}

func (a *Answers) load(ctx context.Context, key string) (n note, ok bool, err error) {
	sealed, there, err := a.KV.Get(ctx, key)
	if err != nil || !there {
		return n, false, err
	}
	n, err = a.open(key, sealed)
	return n, err == nil, err
}

func (a *Answers) open(key, sealed string) (n note, err error) {
	plain, err := a.Sealer.Open(answerPurpose, []string{key}, sealed)
	if err != nil {
		return n, err // sealed under a key that is gone: better refused than run twice
	}
	return n, json.Unmarshal(plain, &n)
}
