package guard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// lookTTL bounds how long a look at a call may be taken for the call itself, should the one who looks die.
const lookTTL = 2 * time.Second

// Standing is what is known of a call that began under a key.
type Standing struct {
	// RequestID is the call's, Began when it was noted; zero is not known.
	RequestID string
	Began     time.Time
	// Running reports that a gateway is at work on it.
	Running bool
	// Answer is what the call was answered, or refused with; nil: see Refusal.
	Answer *Answer
	// Refusal is why there is no answer of a call that is over.
	Refusal *auth.Refusal
	// Outcome is what an answer said that is too long to be kept.
	Outcome string
}

// Look returns what is known of the call under key; found is false if none is noted. It begins nothing. A call whose gateway
// has died is unknown once its lease has lapsed. A refusal means that the store gave no answer, never that there is no such call.
func (a *Answers) Look(ctx context.Context, key string) (standing Standing, found bool, refusal *auth.Refusal) {
	n, found, err := a.load(ctx, key)
	if err == nil && found && n.State == started {
		n, found, err = a.lookAgain(ctx, key, n)
	}
	if err == nil && !found {
		n, found, err = a.load(ctx, refusedKey(key))
	}
	if err != nil {
		return Standing{}, false, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	}
	if !found {
		return Standing{}, false, nil
	}
	return n.standing(a.Mark), true, nil
}

// lookAgain finds out whether anybody is at work on a call that was noted as started, by trying to take its lease.
func (a *Answers) lookAgain(ctx context.Context, key string, n note) (note, bool, error) {
	looker := "look " + rand.Text()
	holder, err := a.Locker.Acquire(ctx, key, looker, lookTTL)
	if err != nil || holder != looker {
		return n, true, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		_ = a.Locker.Release(ctx, key, looker)
	}()
	n, found, err := a.load(ctx, key)
	if err == nil && found && n.State == started { // and it did not end between the two questions
		n.State = unknown
	}
	return n, found, err
}

// standing is what somebody gets who asks for a call rather than making it again.
func (n note) standing(mark string) Standing {
	s := Standing{RequestID: n.RequestID}
	if n.Began > 0 {
		s.Began = time.Unix(n.Began, 0)
	}
	switch {
	case n.State == started:
		s.Running = true
	case n.State == unknown && (n.Status == 0 || n.Mark != mark):
		s.Refusal = auth.Refuse(auth.OutcomeUnknown, errors.New("the call was sent and its end is not known")).Of(n.RequestID)
	case n.State == unkept:
		s.Outcome, s.Refusal = n.Outcome, n.over(fmt.Errorf("the answer was longer than %d bytes", MaxKept))
	case n.Mark != mark:
		s.Refusal = n.over(errors.New("what was kept before a revocation is not given again"))
	default:
		s.Answer = n.answer()
	}
	return s
}

// over returns the refusal for a call that has ended and whose answer is not kept any more.
func (n note) over(cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.AnswerNotKept, cause).Of(n.RequestID)
	refusal.Detail = "The call is over. Its answer was too long to be kept, or was revoked."
	return refusal
}

func (n note) answer() *Answer {
	return &Answer{RequestID: n.RequestID, Status: n.Status, Header: n.Header, Body: n.Body}
}

// refusedKey names what a call was refused with that did not run.
func refusedKey(key string) string { return auth.Key("refused", key) }

func (a *Answers) keepRefused(ctx context.Context, key string, n note) {
	key = refusedKey(key)
	_ = a.KV.Set(ctx, key, a.seal(key, n), a.Keep)
}
