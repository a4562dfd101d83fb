// Package history keeps the outcomes of calls as rows that can be asked for afterwards. Rows go through a bounded queue
// and are committed in groups, so that no call waits for a disk: what cannot be written is counted. It knows no database
// and no Caddy; drivers such as history/sqlite have both.
package history

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const (
	// maxQueued bounds the queue by rows, maxQueuedBytes by what they hold: one key set may have a hundred thousand keys.
	maxQueued      = 8192
	maxQueuedBytes = 64 << 20
	// maxGroup is how many rows are committed together at most.
	maxGroup = 512

	beatEvery = 30 * time.Second
	trimEvery = time.Minute
	// A group that cannot be written is tried again after firstRetry, and then ever later, up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
	// closeTimeout is how long the last rows may take to be written.
	closeTimeout = 5 * time.Second
	// sayAgain is how often rows that can never be written are said in the log.
	sayAgain = time.Hour
)

// Health is what is known of a history.
type Health struct {
	// Fails is since when rows cannot be written; zero: they can.
	Fails time.Time
	Cause error
	// Lost is how many rows were not written since the process began, LostLast when the last one was not.
	Lost     uint64
	LostLast time.Time
}

// Journal writes the rows of one store. It outlives configurations: one process has one for each store.
type Journal struct {
	gateway Gateway
	logger  *zap.Logger
	queue   chan *event
	held    atomic.Int64 // bytes in the queue
	waiting atomic.Int64 // rows that are neither written nor lost

	retention atomic.Pointer[Retention]
	closing   chan struct{}
	closed    chan struct{}

	mu     sync.Mutex
	opened bool
	ended  bool
	store  Store // nil until it could be opened
	health Health
	said   time.Time // when rows that can never be written were last logged
}

// event is a call that began or ended. The record is the event's own; what its slices hold does not change.
type event struct {
	record      outcome.Record
	environment string
	ended       bool
	size        int64
}

// New returns a journal that takes rows and writes none until it is opened.
func New(node string, logger *zap.Logger) *Journal {
	return &Journal{gateway: Gateway{Node: node, Started: time.Now()}, logger: logger, queue: make(chan *event, maxQueued), closing: make(chan struct{}), closed: make(chan struct{})}
}

// Open begins to write, and takes over how much is kept. A journal that writes already only does the latter. It fails if the
// store is refused for good; trouble that may pass is waited for beside the calls.
func (j *Journal) Open(ctx context.Context, driver Driver) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	retention := driver.Retention()
	if j.opened {
		j.retention.Store(&retention)
		return nil
	}
	store, err := driver.Open(ctx, j.gateway)
	if errors.Is(err, ErrRefused) {
		return err
	}
	j.retention.Store(&retention)
	j.opened, j.store = true, store
	if err != nil {
		j.store = nil
		j.failed(err)
	}
	go j.write(driver)
	return nil
}

// Close writes what is queued, for a few seconds at most, and closes the store. What comes later is lost.
func (j *Journal) Close() {
	j.mu.Lock()
	opened, ended := j.opened, j.ended
	j.ended = true
	j.mu.Unlock()
	if ended {
		return
	}
	close(j.closing)
	if opened {
		<-j.closed
	}
}

// Health returns what is known of the history.
func (j *Journal) Health() Health {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.health
}

// Queued returns how many rows wait to be written.
func (j *Journal) Queued() int { return int(j.waiting.Load()) }

// Recorder returns what records the calls of a gateway in that environment.
func (j *Journal) Recorder(environment string) outcome.Recorder { return &recorder{j, environment} }

// recorder puts calls into the queue.
type recorder struct {
	journal     *Journal
	environment string
}

// Began queues a call that is about to be sent.
func (r *recorder) Began(record *outcome.Record) { r.enqueue(record, false) }

// Ended queues a call of a proved caller that is over.
func (r *recorder) Ended(record *outcome.Record) { r.enqueue(record, true) }

func (r *recorder) enqueue(record *outcome.Record, ended bool) {
	if !record.Proved || record.DryRun || record.Decision == "preflight" {
		return
	}
	j := r.journal
	e := &event{*record, r.environment, ended, sizeOf(record)}
	if !ended {
		e.record.Duration = time.Since(record.Started) // until it is sent
	}
	j.waiting.Add(1)
	if j.held.Add(e.size) <= maxQueuedBytes {
		select {
		case j.queue <- e:
			return
		default:
		}
	}
	j.held.Add(-e.size)
	j.lose(1, nil)
}

// sizeOf returns about how many bytes a record holds in memory.
func sizeOf(r *outcome.Record) int64 {
	size := int64(unsafe.Sizeof(event{})) + 4*int64(len(r.Arguments.Keys)) + int64(unsafe.Sizeof(""))*int64(len(r.Arguments.ExternalKeys))
	for _, key := range r.Arguments.ExternalKeys {
		size += int64(len(key))
	}
	return size
}

// lose counts rows that are not written. why is nil for those that found the queue full, which needs no line of its own: what
// keeps the queue from getting shorter has one.
func (j *Journal) lose(rows int, why error) {
	j.waiting.Add(-int64(rows))
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.health.Lost += uint64(rows)
	j.health.LostLast = now
	if why != nil && now.Sub(j.said) >= sayAgain {
		j.said = now
		j.logger.Error("rows of the history can never be written and are dropped", zap.Error(why), zap.Uint64("lost", j.health.Lost))
	}
}

// failed notes that rows cannot be written. The caller holds mu.
func (j *Journal) failed(err error) {
	j.health.Cause = err
	if j.health.Fails.IsZero() {
		j.health.Fails = time.Now()
		j.logger.Error("history cannot be written; calls go on", zap.Error(err))
	}
}

// worked notes that rows can be written.
func (j *Journal) worked() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if since := j.health.Fails; !since.IsZero() {
		j.logger.Info("history can be written again", zap.Uint64("lost", j.health.Lost), zap.Duration("after", time.Since(since)))
	}
	j.health.Fails, j.health.Cause = time.Time{}, nil
}

// write writes until the journal is closed.
func (j *Journal) write(driver Driver) {
	defer close(j.closed)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the last rows have their time, and no more
		<-j.closing
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer j.closeStore()
	if !j.reopen(ctx, driver) {
		j.lose(len(j.queue), errors.New("closed before the store could be opened"))
		return
	}
	if !j.beat(ctx, driver) {
		return
	}
	beat, trim := time.NewTicker(beatEvery), time.NewTicker(trimEvery)
	defer beat.Stop()
	defer trim.Stop()
	excess := make(chan struct{}, 1) // a step of trimming waits for its turn behind the rows that came meanwhile
	for {
		select {
		case e := <-j.queue:
			if !j.commit(ctx, driver, j.gather(e)) {
				return
			}
		case <-beat.C:
			if !j.beat(ctx, driver) {
				return
			}
		case <-trim.C:
			again(excess)
		case <-excess:
			more, err := j.store.Trim(ctx, time.Now(), *j.retention.Load())
			if more && err == nil {
				again(excess)
			}
			j.tried(ctx, err)
		case <-j.closing:
			for len(j.queue) > 0 && j.commit(ctx, driver, j.gather(<-j.queue)) { //nolint:revive // committing is what does the work
			}
			return
		}
	}
}

func again(excess chan struct{}) {
	select {
	case excess <- struct{}{}:
	default:
	}
}

func (j *Journal) closeStore() {
	if j.store == nil {
		return
	}
	if err := j.store.Close(); err != nil {
		j.logger.Warn("history was not closed as it should be", zap.Error(err))
	}
}

// reopen opens the store if that has not succeeded yet, and reports whether it has now.
func (j *Journal) reopen(ctx context.Context, driver Driver) bool {
	retry := firstRetry
	for j.store == nil {
		if !pause(ctx, retry) {
			return false
		}
		retry = min(2*retry, lastRetry)
		store, err := driver.Open(ctx, j.gateway)
		j.mu.Lock()
		if err == nil {
			j.store = store
		} else {
			j.failed(err)
		}
		j.mu.Unlock()
	}
	j.worked()
	return true
}

// pause waits, and reports false if the journal must end meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// beat notes that this gateway lives, and opens a store anew that is gone. It reports false if the journal must end meanwhile.
func (j *Journal) beat(ctx context.Context, driver Driver) bool {
	err := j.store.Beat(ctx, time.Now())
	if err == nil { // it was written
		j.worked()
	}
	j.tried(ctx, err)
	return !errors.Is(err, ErrGone) || j.renew(ctx, driver)
}

// renew opens a store anew that is gone. It reports false if the journal must end meanwhile.
func (j *Journal) renew(ctx context.Context, driver Driver) bool {
	j.closeStore()
	j.mu.Lock()
	j.store = nil
	j.mu.Unlock()
	return j.reopen(ctx, driver)
}

// tried notes what came of something that is not worth being tried again at once.
func (j *Journal) tried(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed(err)
}

// gather returns the rows of an event and of those that wait behind it. A call that is over by then is one row.
func (j *Journal) gather(e *event) []Row {
	rows := make([]Row, 0, min(len(j.queue)+1, maxGroup))
	begun := make(map[string]int, cap(rows)/2)
	for {
		row := newRow(&e.record, e.environment, e.ended)
		j.held.Add(-e.size)
		at, both := begun[row.RequestID]
		switch {
		case !e.ended:
			begun[row.RequestID] = len(rows)
			rows = append(rows, row)
		case both:
			delete(begun, row.RequestID)
			row.Sent = rows[at].Sent
			rows[at] = row
			j.waiting.Add(-1)
		default:
			rows = append(rows, row)
		}
		if len(rows) == maxGroup {
			return rows
		}
		select {
		case e = <-j.queue:
		default:
			return rows
		}
	}
}

// commit writes a group, as often as it takes. Of a group that holds a row which can never be written the others are written.
// It reports false if the journal must end meanwhile and has no store any more.
func (j *Journal) commit(ctx context.Context, driver Driver, rows []Row) bool {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		err := j.store.Write(ctx, rows)
		switch {
		case err == nil:
			j.waiting.Add(-int64(len(rows)))
			j.worked()
			return true
		case errors.Is(err, ErrNeverWritten) && len(rows) == 1:
			j.lose(1, err)
			return true
		case errors.Is(err, ErrNeverWritten):
			for i := range rows {
				if !j.commit(ctx, driver, rows[i:i+1]) {
					j.lose(len(rows)-i-1, err)
					return false
				}
			}
			return true
		}
		j.mu.Lock()
		j.failed(err)
		j.mu.Unlock()
		if !pause(ctx, retry) {
			j.lose(len(rows), err)
			return true
		}
		if errors.Is(err, ErrGone) && !j.renew(ctx, driver) {
			j.lose(len(rows), err)
			return false
		}
	}
}
