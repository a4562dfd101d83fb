package auditfile

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// stand is a writer whose disk and timers a test has in its hands.
type stand struct {
	*groups
	t      *testing.T
	path   string
	writes atomic.Int32
	inside atomic.Int32 // writes that hang
	opened atomic.Int32 // and not closed

	rolling atomic.Int32 // those of them that roll the file

	mu     sync.Mutex
	full   bool          // no byte more fits but those that are
	left   int           // while full
	hangs  chan struct{} // not nil: each write waits until it is closed
	panics bool          // the next write does
	packs  chan struct{} // not nil: a writer that rolls is not closed until it is
	timers []timer
}

type timer struct {
	after time.Duration
	fire  func()
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
	w, err := open(disk{path: s.path, rolls: true, open: s.open}, &registry{files: map[*groups]struct{}{}})
	if err != nil {
		t.Fatal(err)
	}
	w.after = func(d time.Duration, f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.timers = append(s.timers, timer{d, f})
	}
	s.groups = w
	t.Cleanup(func() { _ = w.Close() })
	return s
}

func (s *stand) open(roll bool) (io.WriteCloser, error) {
	file, err := os.OpenFile(filepath.Clean(s.path), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s.opened.Add(1)
	if roll && s.rolling.Add(1) > 1 {
		s.t.Error("two writers pack the same files")
	}
	return opened{file, s, roll}, nil
}

// opened is the file of a stand.
type opened struct {
	*os.File
	stand *stand
	rolls bool
}

func (o opened) Write(p []byte) (int, error) {
	s := o.stand
	s.writes.Add(1)
	s.mu.Lock()
	hangs, panics := s.hangs, s.panics
	s.panics = false
	s.mu.Unlock()
	if panics {
		panic("a defect of the writer below")
	}
	if hangs != nil {
		s.inside.Add(1)
		<-hangs
		s.inside.Add(-1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.full || len(p) <= s.left {
		s.left -= len(p)
		return o.File.Write(p)
	}
	n, _ := o.File.Write(p[:s.left])
	s.left = 0
	return n, errFull
}

func (o opened) Close() error {
	if o.rolls {
		o.stand.mu.Lock()
		packs := o.stand.packs
		o.stand.mu.Unlock()
		if packs != nil {
			<-packs
		}
		o.stand.rolling.Add(-1)
	}
	o.stand.opened.Add(-1)
	return o.File.Close()
}

// fill leaves so many bytes on the disk; free makes room again.
func (s *stand) fill(left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.left = true, left
}

func (s *stand) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = false
}

// hang makes writes wait for what it returns, with one of them in it.
func (s *stand) hang() (goOn func()) {
	s.t.Helper()
	hangs := make(chan struct{})
	s.mu.Lock()
	s.hangs = hangs
	s.mu.Unlock()
	before := s.writes.Load()
	wait := s.write(started("first"))
	waitFor(s.t, func() bool { return s.writes.Load() == before+1 })
	return func() {
		s.mu.Lock()
		s.hangs = nil
		s.mu.Unlock()
		close(hangs)
		if err := wait(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// write writes a line as a call of its own, and returns what waits for its end.
func (s *stand) write(line string) (wait func() error) {
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(s.groups, line)
		done <- err
	}()
	return func() error {
		s.t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			s.t.Fatal("still waiting")
			return nil
		}
	}
}

// sets is how many timers with this delay are set.
func (s *stand) sets(delay time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, timer := range s.timers {
		if timer.after == delay {
			n++
		}
	}
	return n
}

// must writes a line that is written, or noted.
func (s *stand) must(line string) {
	s.t.Helper()
	if err := s.write(line)(); err != nil {
		s.t.Fatal(err)
	}
}

// pending is how many lines wait to be written.
func (s *stand) pending() int {
	n, _ := s.group()
	return n
}

// group is how many lines wait to be written, and whether a caller does.
func (s *stand) group() (lines int, led bool) {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	return len(s.next.marks), s.result != nil
}

// fire ends the timers that are set, and returns their times.
func (s *stand) fire() (times []time.Duration) {
	s.mu.Lock()
	timers := s.timers
	s.timers = nil
	s.mu.Unlock()
	for _, timer := range timers {
		times = append(times, timer.after)
		timer.fire()
	}
	return times
}

func (s *stand) is(want ...string) {
	s.t.Helper()
	if got := content(s.t, s.path); got != strings.Join(want, "") {
		s.t.Errorf("the file is\n%swant\n%s", got, strings.Join(want, ""))
	}
}

func started(id string) string { return audit(outcome.StartedMessage, id) }
func ended(id string) string   { return audit(outcome.EndedMessage, id) }

func audit(message, id string) string {
	return `{"level":"info","ts":1795539442.5123,"logger":"` + outcome.AuditLogger + `","msg":"` + message + `","request_id":"` + id + "\"}\n"
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}
