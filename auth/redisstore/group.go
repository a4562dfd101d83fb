package redisstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Questions that are asked in the same moment travel together, in one pipeline: for the gateway a question that has the way to itself
// costs mostly the write, the read and the waking, and together they cost one of each.
//
// Nobody waits for company. While few batches are under way a question goes at once, alone. One that comes while they are waits for the
// first of them to end, or for groupWait, whatever is sooner, and then takes along all that wait: so a store next door gets few batches,
// and one far away many.
const (
	// groupPlaces is how many batches are under way before questions wait for each other.
	groupPlaces = 2
	// groupWait bounds how long a question waits for that.
	groupWait = 2 * time.Millisecond
	// groupMost is how many questions travel together.
	groupMost = 100
)

// group asks questions of a store. It is safe for concurrent use.
type group struct {
	client redis.UniversalClient
	// busy says that the last batch had more than one question. With few callers giving way would only wake another processor.
	busy atomic.Bool
	wait time.Duration // groupWait

	mu      sync.Mutex
	waiting []*question // the first is the oldest
	running int         // batches that are under way
	called  bool        // one that waited is about to take the others along
	watched bool        // overdue is going to look
	late    *time.Timer // calls overdue
}

// question is a command on its way. It belongs to the batch until it is answered.
type question struct {
	*redis.Cmd
	waited      bool // for a place
	since, ends time.Time
	// together says that it had company, so that the client has not tried it again by itself.
	together bool
	// read says that its answer was read, whatever happened to the batch then.
	read bool
	turn chan turn
}

// NoRetry reports true: the client would repeat the whole batch, for what Redis answered to the first of it.
func (q *question) NoRetry() bool { return true }

// SetErr sets the error. The client also gives that of a batch which broke off to those that were answered before.
func (q *question) SetErr(err error) {
	if q.read {
		return
	}
	q.read = err == nil
	q.Cmd.SetErr(err)
}

// turn is what a question that waits is told.
type turn bool

const (
	answered turn = false // it has an answer, or an error in place of one
	leads    turn = true  // it is asked by who waits for it, together with all that wait
)

func newGroup(client redis.UniversalClient) *group {
	g := &group{client: client, wait: groupWait}
	g.late = time.AfterFunc(time.Hour, g.overdue)
	g.late.Stop()
	return g
}

// ask asks a question that must be answered until ends, and returns when there is an answer. When ctx is done before, it returns the
// error of ctx, and the command must not be looked at any more. Only who asks for others too stays until they have their answer.
func (g *group) ask(ctx context.Context, cmd *redis.Cmd, ends time.Time) (together bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	q := &question{Cmd: cmd, ends: ends}
	g.mu.Lock()
	leading := g.running < groupPlaces
	if leading {
		g.running++
	} else {
		q.waited, q.turn, q.since = true, make(chan turn, 1), time.Now()
		g.waiting = append(g.waiting, q)
		g.watch()
	}
	g.mu.Unlock()
	if !leading {
		if leading, err = g.await(ctx, q); err != nil {
			return false, err
		}
	}
	if !leading {
		return q.together, nil
	}
	if own, bounded := ctx.Deadline(); bounded && own.Before(ends) { // the others have longer
		q.turn = make(chan turn, 1)
		go g.lead(q)
		if _, err = g.await(ctx, q); err != nil {
			return false, err
		}
		return q.together, nil
	}
	g.lead(q)
	return q.together, nil
}

// await waits for the question's turn.
func (g *group) await(ctx context.Context, q *question) (leading bool, _ error) {
	select {
	case is := <-q.turn:
		return is == leads, nil
	case <-ctx.Done():
		g.leave(q)
		return false, ctx.Err()
	}
}

// leave takes a question back, unless it is under way: then its answer is nobody's.
func (g *group) leave(q *question) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, q); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return
	}
	select {
	case is := <-q.turn:
		if is == leads {
			g.called = false
			g.pass()
		}
	default:
	}
}

// pass gives up a batch's place, to the question that waits for longest unless another is about to take them all along. Places beyond
// groupPlaces end with their batch. g.mu is held.
func (g *group) pass() {
	g.running--
	g.call()
}

// call has the question that waits for longest ask, if there is a place. g.mu is held.
func (g *group) call() {
	if len(g.waiting) > 0 && !g.called && g.running < groupPlaces {
		g.begin()
	}
}

// begin has the question that waits for longest ask. g.mu is held.
func (g *group) begin() {
	g.running++
	g.called = true
	q := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	q.turn <- leads
}

// watch has overdue look when the first question has waited for long enough. g.mu is held.
func (g *group) watch() {
	if !g.watched {
		g.watched = true
		g.late.Reset(g.wait)
	}
}

// overdue gives a place of its own to a question that has waited for long enough.
func (g *group) overdue() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.watched = false
		return
	}
	left := g.wait - time.Since(g.waiting[0].since)
	if left <= 0 {
		if !g.called {
			g.begin()
		}
		left = g.wait
	}
	g.late.Reset(left)
}

// lead asks a question and all that wait, up to groupMost.
func (g *group) lead(own *question) {
	if g.busy.Load() {
		runtime.Gosched() // those that are about to ask do so, and come along
	}
	batch := []*question{own}
	g.mu.Lock()
	n := min(len(g.waiting), groupMost-1)
	batch = append(batch, g.waiting[:n]...)
	g.waiting = slices.Delete(g.waiting, 0, n)
	if own.waited {
		g.called = false
	}
	g.call()
	g.mu.Unlock()
	g.busy.Store(len(batch) > 1)

	g.askAll(batch)

	for _, q := range batch[1:] {
		q.turn <- answered
	}
	if own.turn != nil {
		own.turn <- answered
	}
	g.mu.Lock()
	g.pass()
	g.mu.Unlock()
}

// askAll has each question of a batch answered, or sets an error of its own. The oldest says how long it takes.
func (g *group) askAll(batch []*question) {
	ends := batch[0].ends
	for _, q := range batch[1:] {
		if q.ends.Before(ends) {
			ends = q.ends
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), ends)
	defer cancel()
	if len(batch) == 1 {
		_ = g.client.Process(ctx, batch[0].Cmd) // the command has it
		return
	}
	for _, q := range batch {
		q.together = true
	}
	// A connection that the other side had closed is found out by asking: what got no answer is asked once more.
	for range 2 {
		if batch = g.send(ctx, batch); len(batch) == 0 || ctx.Err() != nil {
			return
		}
	}
}

// send asks in one pipeline and returns those that got no answer.
func (g *group) send(ctx context.Context, batch []*question) (unanswered []*question) {
	pipe := g.client.Pipeline()
	for _, q := range batch {
		_ = pipe.Process(ctx, q)
	}
	_, err := pipe.Exec(ctx)
	for _, q := range batch {
		var said redis.Error
		switch own := q.Err(); {
		case q.read:
		case own == nil: // there was no connection, and Redis itself said why: then the client leaves the commands as they were
			q.SetErr(fmt.Errorf("no connection: %w", err))
		case !errors.As(own, &said):
			unanswered = append(unanswered, q)
		}
	}
	return unanswered
}
