package auditfile

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	// maxDelay is how long the line of a call's end may wait to be written.
	maxDelay = 5 * time.Millisecond
	// retryDelay is when lines that nobody waits for are tried again once writing has failed, unless another line comes before.
	retryDelay = time.Second
	// maxDeferred bounds the lines of a group that nobody waits for, in bytes. Beyond it every line is waited for, so that a disk that
	// hangs holds callers up and takes no memory.
	maxDeferred = 256 << 10
)

// groups is an open Writer. The lines that come while others are being written are a group: the first caller that has to wait for its
// line writes them all at once, and the others wait for that. The line of a call's end is waited for by nobody: it is written with the
// next group, at the latest after maxDelay. While lines cannot be written every line is waited for, so that every caller has its error.
type groups struct {
	after   func(time.Duration, func()) // time.AfterFunc
	exiting func() bool                 // caddy.Exiting
	in      *registry

	mu       sync.Mutex
	next     lines // the group that is written next
	result   *result
	flushing bool // a timer will write what nobody waits for
	retrying bool // and one what could not be written

	// They change with both locks held, so that either is enough to read them.
	failing bool // the last write failed
	closed  bool // nobody would write what nobody waits for

	writing sync.Mutex // held while a group is written, and taken before mu
	disk    disk
	kept    lines // what nobody waited for and could not be written. Some is kept only while failing, of two groups at most
	spare   lines // the memory of the group before
}

// result is what followed from writing a group. It is made for the first line that is waited for.
type result struct {
	written chan struct{} // closed when it is there; nil: nobody waits but the one who writes
	whole   int           // lines that end up to here are in the file
	err     error         // why the others are not
}

var errInterrupted = errors.New("writing audit lines was interrupted") // by a panic of the writer below

func open(d disk, in *registry) (*groups, error) {
	w := &groups{in: in, disk: d, after: func(d time.Duration, f func()) { time.AfterFunc(d, f) }, exiting: caddy.Exiting}
	if err := w.disk.reopen(); err != nil {
		return nil, err
	}
	in.add(w)
	return w, nil
}

// Write writes one line, or returns why it could not. For the line of a call's end nil says that it is noted: it is written within
// maxDelay, and if that fails it is kept and tried again, and the next line's Write has the error.
func (w *groups) Write(line []byte) (int, error) {
	ended := endsCall(line)
	w.mu.Lock()
	if ended && !w.failing && !w.closed && !w.exiting() && w.next.deferred+len(line) <= maxDeferred {
		w.next.add(line, true)
		if !w.flushing {
			w.flushing = true
			w.after(maxDelay, func() { w.fire(&w.flushing) })
		}
		w.mu.Unlock()
		return len(line), nil
	}
	end := w.next.add(line, false)
	r, leads := w.result, w.result == nil
	switch {
	case leads:
		r = &result{err: errInterrupted}
		w.result = r
	case r.written == nil:
		r.written = make(chan struct{})
	}
	w.mu.Unlock()
	if leads {
		runtime.Gosched() // callers that are about to write join
		w.commit()
	} else {
		<-r.written
	}
	if end > r.whole {
		return 0, r.err
	}
	return len(line), nil
}

// fire is what a timer does.
func (w *groups) fire(timer *bool) {
	w.mu.Lock()
	*timer = false
	w.mu.Unlock()
	w.commit()
}

// commit writes all lines that were added before, unless somebody has.
func (w *groups) commit() {
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.writeGroup() // each line's caller has the error
}

// writeGroup writes the next group, behind what was kept.
func (w *groups) writeGroup() error {
	w.mu.Lock()
	group, r := w.next, w.result
	w.next, w.result = w.spare, nil
	w.mu.Unlock()
	w.spare = lines{}
	if r == nil {
		r = new(result)
	}
	if r.written != nil {
		defer close(r.written)
	}
	if w.kept.empty() && group.empty() {
		w.spare = group
		return nil
	}
	r.whole, r.err = w.put(&group)
	if failing := r.err != nil; failing != w.failing {
		w.mu.Lock()
		w.failing = failing
		w.mu.Unlock()
	}
	if !w.kept.empty() {
		w.retry()
	}
	if w.closed {
		_ = w.disk.close() // a call that outlives its configuration opens the file for its line alone
	}
	group.reset()
	w.spare = group
	return r.err
}

// put writes what was kept and then a group, and keeps what nobody waits for and is not in the file. It returns up to where the group is.
func (w *groups) put(group *lines) (whole int, err error) {
	if whole, err = w.disk.put(&w.kept); err != nil {
		var rest lines
		rest.addDeferred(&w.kept, whole)
		rest.addDeferred(group, 0)
		w.kept = rest
		return 0, err
	}
	w.kept = lines{}
	if whole, err = w.disk.put(group); err != nil {
		w.kept.addDeferred(group, whole)
	}
	return whole, err
}

// retry sets a timer for what is kept, should no line come before.
func (w *groups) retry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.retrying && !w.closed {
		w.retrying = true
		w.after(retryDelay, func() { w.fire(&w.retrying) })
	}
}

// finish writes what waits, and returns an error if lines are lost. The caller holds writing.
func (w *groups) finish() error {
	err := w.writeGroup()
	if lost := len(w.kept.marks); lost > 0 {
		return fmt.Errorf("%s: %d audit lines could not be written: %w", w.disk.path, lost, err)
	}
	return nil
}

// Close writes what nobody waited for and closes the file. A line that comes later is still written.
func (w *groups) Close() error {
	w.in.remove(w)
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	return errors.Join(w.finish(), w.disk.close())
}
