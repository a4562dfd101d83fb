package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// A resync takes as long as it takes, and what stands between a caller and the gateway waits for a minute. With Prefer:
// respond-async a call is answered with 202 once its start is recorded, and goes on beside its connection. Everything that can be refused
// before is refused as of any call. Its answer is noted where those to calls with an Idempotency-Key are, and asked for at {prefix}/calls.

const (
	// leastCallRetry and mostCallRetry bound when a caller is told to ask again for a call that runs: a tenth of the time that it has run.
	leastCallRetry = 2 * time.Second
	mostCallRetry  = 15 * time.Second
)

// readPreferences reads Prefer. A call that only reads is short, and so is a dry run: they run while their caller waits.
func (o *Order) readPreferences(header http.Header, taken bool) {
	if !taken || o.DryRun || !o.Operation.Resyncs() {
		return
	}
	preferred := readPreferences(header[preferHeader])
	if !preferred.async {
		return
	}
	o.Async, o.Wait = true, preferred.wait
	if o.IdempotencyKey == "" {
		o.Handle = rand.Text()
	}
}

// asyncCall is a call that outlives its connection. Until it is over its record and its decision are its own.
type asyncCall struct {
	g        *Gateway
	decision *Decision
	record   outcome.Record
	id       string // of its request
	began    time.Time
	bearer   bool // the caller brought a Bearer token

	started  chan struct{}  // closed when its start is recorded
	snapshot outcome.Record // as the record was then

	over    chan struct{} // closed when everything about it is known; then one of these is set
	answer  *guard.Answer
	refusal *auth.Refusal
	outcome string // of an answer too long to be kept
}

// runAsync makes the call beside its connection, and answers with 202 unless it is over soon enough. The decision is the call's to release.
func (x *exchange) runAsync(ctx context.Context, d *Decision) *auth.Refusal {
	c := &asyncCall{g: x.g, decision: d, id: x.record.RequestID, began: x.record.Started, bearer: bringsBearer(x.r), started: make(chan struct{}), over: make(chan struct{})}
	if full := x.g.state.background.enter(c, x.g.config.Async); full {
		d.Release()
		refusal := auth.Refuse(auth.TooManyInFlight, fmt.Errorf("async %d of app %s is full", x.g.config.Async, d.app.Name)).After(runningRetry)
		refusal.Detail += " (async " + strconv.Itoa(x.g.config.Async) + ")"
		return refusal
	}
	x.record.Async, x.recorded = true, true
	c.record = x.record
	d.record = &c.record
	// The caller may leave before the call has begun, and not after. Of its context the call has the trace alone.
	detached, cancel := context.WithCancel(trace.ContextWithSpanContext(x.g.platform.Background(), trace.SpanContextFromContext(ctx)))
	stop := context.AfterFunc(ctx, cancel)
	d.started = func() {
		stop()
		c.snapshot = c.record
		close(c.started)
	}
	x.g.Enter()
	go func() {
		defer x.g.Leave()
		defer cancel()
		c.run(detached)
	}()

	if c.await(ctx, d.order.Wait) {
		x.answerAsync(c)
		return nil
	}
	x.record = c.snapshot
	x.record.Status = http.StatusAccepted
	x.accept(preferences{async: true, wait: d.order.Wait}, x.g.callURL(d.Principal, d.order.Operation, d.key), guard.Standing{RequestID: c.id, Began: c.began})
	return nil
}

// await returns once the call has started and was waited for, and reports whether it is over then. One that is over before it has started was refused.
func (c *asyncCall) await(ctx context.Context, wait time.Duration) (over bool) {
	select {
	case <-c.started:
	case <-c.over:
		if !c.hasStarted() {
			return true
		}
	}
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.over:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// answerAsync answers with what the call came to, as if its caller had waited for it.
func (x *exchange) answerAsync(c *asyncCall) {
	x.record = c.record
	x.record.Broken = false // what is answered now is whole
	if c.refusal != nil {
		if c.outcome != "" {
			x.w.Header()[outcomeHeader] = []string{c.outcome}
		}
		x.writeRefusal(c.refusal)
		return
	}
	writeKept(x.w, c.answer)
}

// accept answers that the call runs, and where its answer will be.
func (x *exchange) accept(applied preferences, location string, running guard.Standing) {
	h := x.w.Header()
	h["Location"] = []string{location}
	h[preferenceAppliedHeader] = applied.applied()
	writeRunning(x.w, location, running)
}

// run makes the call. It returns when everything about it is known and recorded.
func (c *asyncCall) run(ctx context.Context) {
	defer close(c.over)
	defer c.g.state.background.leave(c)
	defer func() {
		c.record.Duration = time.Since(c.record.Started)
		c.g.ended(&c.record)
	}()
	defer c.decision.Release()
	c.settle(c.runSafely(ctx))
}

// runSafely is Decision.Run. Unlike a handler's, a panic here would end the process with every other call.
func (c *asyncCall) runSafely(ctx context.Context) (refusal *auth.Refusal) {
	defer func() {
		if p := recover(); p != nil {
			c.g.platform.Logger.Error("a call panicked", zap.String("request_id", c.record.RequestID), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			refusal = auth.Refuse(auth.Internal, errors.New("a panic, which the log has"))
		}
	}()
	return c.decision.Run(ctx, make(nobody))
}

// settle notes what the call came to, and has a refusal kept for those who ask later. An answer has been kept already.
func (c *asyncCall) settle(refusal *auth.Refusal) {
	d, kept := c.decision, c.decision.answer
	if refusal == nil {
		switch whole := kept != nil && kept.whole; {
		case whole && len(kept.body) <= guard.MaxKept:
			c.answer = &guard.Answer{RequestID: c.record.RequestID, Status: kept.status, Header: kept.header, Body: kept.body}
		case whole:
			c.outcome = string(c.record.Outcome.Class)
			c.refusal = auth.Refuse(auth.AnswerNotKept, fmt.Errorf("the answer was longer than %d bytes", guard.MaxKept)).Of(c.record.RequestID)
			c.refusal.Detail = "The call is over. Its answer was too long to be kept, or was revoked."
		default:
			c.refusal = auth.Refuse(auth.OutcomeUnknown, errors.New("the answer broke off")).Of(c.record.RequestID)
		}
		return
	}
	c.refusal = refusal
	c.g.noteRefusal(&c.record, refusal)
	if c.hasStarted() && d.entry != nil { // or its caller is told now
		if c.bearer && refusal.Status == http.StatusUnauthorized {
			mine := *refusal
			mine.InvalidToken = true
			refusal = &mine
		}
		said := &saidTo{header: make(http.Header)}
		c.g.writeProblem(said, c.record.RequestID, refusal)
		d.entry.Refused(guard.Answer{Status: said.status, Header: said.header, Body: said.body})
	}
}

func (c *asyncCall) hasStarted() bool {
	select {
	case <-c.started:
		return true
	default:
		return false
	}
}

// nobody is a Sink for an answer that no caller waits for: what is kept of it is kept on its way.
type nobody http.Header

func (n nobody) Header() http.Header              { return http.Header(n) }
func (nobody) WriteHeader(int)                    {}
func (nobody) Write(part []byte) (n int, _ error) { return len(part), nil }

// saidTo takes what a caller would have been told.
type saidTo struct {
	header http.Header
	status int
	body   []byte
}

func (s *saidTo) Header() http.Header    { return s.header }
func (s *saidTo) WriteHeader(status int) { s.status = status }

func (s *saidTo) Write(part []byte) (int, error) {
	s.body = append(s.body, part...)
	return len(part), nil
}

// sameCall answers a caller of a call that runs already under its own Idempotency-Key, and that may be answered with 202 as the first was.
func (x *exchange) sameCall(ctx context.Context, a *Admission, order *Order, refusal *auth.Refusal) *auth.Refusal {
	if !order.Async || !refusal.SameKey {
		return refusal
	}
	key := noteKey(a.Principal, order)
	answers, unavailable := x.g.answers(ctx, a.Principal)
	if unavailable != nil {
		return unavailable
	}
	standing, found, waited, unavailable := x.g.awaitCall(ctx, a.Principal.App, answers, key, order.Wait)
	switch {
	case unavailable != nil:
		return unavailable
	case !found: // it was not run after all, so that it may be sent again
		return refusal
	case standing.Refusal != nil:
		return standing.Refusal
	case standing.Answer != nil:
		x.replay(standing.Answer)
		return nil
	}
	applied := preferences{async: true}
	if waited {
		applied.wait = order.Wait
	}
	x.record.Decision, x.record.Status, x.record.Replays, x.record.Async = "replayed", http.StatusAccepted, standing.RequestID, true
	x.accept(applied, x.g.callURL(a.Principal, order.Operation, key), standing)
	return nil
}
