package auditfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/logging"
)

func TestCallersThatWaitTogetherShareOneWrite(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	goOn := s.hang()
	want := []string{started("first")}
	var waits []func() error
	for i := range 32 {
		line := started(fmt.Sprint("c", i))
		want, waits = append(want, line), append(waits, s.write(line))
		waitFor(t, func() bool { return s.pending() == i+1 })
	}
	before := s.writes.Load()
	goOn()
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Error(err)
		}
	}
	if n := s.writes.Load() - before; n != 1 {
		t.Errorf("%d writes for %d lines", n, len(waits))
	}
	s.is(want...)
}

func TestAStartedLineIsInTheFileWhenItsCallGoesOn(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	done := make(chan error)
	for g := range 8 {
		go func() {
			for i := range 100 {
				line := started(fmt.Sprint(g, "-", i))
				if _, err := io.WriteString(s, line); err != nil {
					done <- err
					return
				}
				if raw, err := os.ReadFile(s.path); err != nil || !strings.Contains(string(raw), line) {
					done <- fmt.Errorf("%s is not in the file, %w", line, err)
					return
				}
				_, _ = io.WriteString(s, ended(fmt.Sprint(g, "-", i)))
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestTheEndOfACallWaitsForNoWrite(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	goOn := s.hang()
	s.must(ended("a"))
	next := s.write(started("b"))
	waitFor(t, func() bool { return s.pending() == 2 })
	before := s.writes.Load()
	goOn()
	if err := next(); err != nil || s.writes.Load() != before+1 {
		t.Errorf("%d writes, %v", s.writes.Load()-before, err)
	}
	s.is(started("first"), ended("a"), started("b"))
}

func TestTheEndOfACallIsWrittenFiveMillisecondsLaterAtTheLatest(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, ids := range [][]string{{"a", "b", "c"}, {"d", "e"}} {
		before := s.writes.Load()
		for _, id := range ids {
			s.must(ended(id))
		}
		if s.writes.Load() != before {
			t.Error("a line did not wait")
		}
		if times := s.fire(); !slices.Equal(times, []time.Duration{5 * time.Millisecond}) || s.writes.Load() != before+1 {
			t.Errorf("timers %v, %d writes", times, s.writes.Load()-before)
		}
	}
	s.is(ended("a"), ended("b"), ended("c"), ended("d"), ended("e"))
}

// With the real timer, and without another line.
func TestTheEndOfACallIsWrittenByItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	w := openAudit(t, path, true)
	if _, err := io.WriteString(w, ended("a")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return content(t, path) == ended("a") })
}

func TestCloseWritesWhatWaits(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	if err := s.Close(); err != nil || s.opened.Load() != 0 {
		t.Errorf("%d open, %v", s.opened.Load(), err)
	}
	s.is(ended("a"))

	// A call that outlives its configuration: nobody would write what waits, or close the file.
	s.fire()
	s.must(ended("b"))
	s.is(ended("a"), ended("b"))
	if len(s.timers) != 0 || s.opened.Load() != 0 {
		t.Errorf("%d timers, %d open", len(s.timers), s.opened.Load())
	}
}

// Caddy closes no log when it ends.
func TestNothingWaitsWhenTheProcessEnds(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	if err := s.in.finish(); err != nil {
		t.Fatal(err)
	}
	s.is(ended("a"))
	s.exiting = func() bool { return true }
	s.must(ended("b"))
	s.is(ended("a"), ended("b"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.in.files) != 0 {
		t.Error("a closed file is remembered")
	}
}

func TestALineThatNobodyWaitedForIsKeptUntilItIsWritten(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(started("a"))
	s.must(ended("a"))
	s.fill(0)
	if times := s.fire(); !slices.Equal(times, []time.Duration{maxDelay}) {
		t.Errorf("timers %v", times)
	}
	for _, line := range []string{started("b"), ended("b")} { // now each one has its error, that of an end too
		if err := s.write(line)(); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", line, err)
		}
	}
	s.is(started("a"))
	if n := s.sets(retryDelay); n != 1 {
		t.Errorf("%d timers for one line", n)
	}
	s.free()
	s.must(started("c"))
	s.is(started("a"), ended("a"), started("c"))
	before := s.writes.Load()
	s.must(ended("c"))
	if s.writes.Load() != before {
		t.Error("the end of a call is waited for when lines can be written again")
	}
	s.fire()
	s.is(started("a"), ended("a"), started("c"), ended("c"))
}

func TestALineThatIsKeptIsTriedAgainWithoutAnother(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	s.fill(0)
	s.fire()
	for range 2 { // each try sets the next
		if times := s.fire(); !slices.Equal(times, []time.Duration{time.Second}) {
			t.Errorf("timers %v", times)
		}
	}
	s.free()
	s.fire()
	s.is(ended("a"))
	if times := s.fire(); times != nil {
		t.Errorf("timers %v", times)
	}
	// The second that is over for one has nothing to do with the five milliseconds of the next.
	s.fill(0)
	s.must(ended("b"))
	s.fire()
	s.free()
	s.must(started("c"))
	s.must(ended("c"))
	if times := s.fire(); !slices.Contains(times, maxDelay) {
		t.Errorf("timers %v", times)
	}
	s.is(ended("a"), ended("b"), started("c"), ended("c"))
}

func TestEveryLineOfAGroupHasItsOwnError(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	goOn := s.hang()
	lines := []string{ended("a"), started("b"), ended("c"), started("d"), ended("e")}
	var waits []func() error
	for i, line := range lines {
		wait := s.write(line)
		if waitFor(t, func() bool { return s.pending() == i+1 }); i%2 == 0 {
			if err := wait(); err != nil {
				t.Error(err)
			}
			continue
		}
		waits = append(waits, wait)
	}
	first := len(started("first"))
	s.fill(first + len(lines[0]+lines[1]) + 7) // the third line breaks off
	goOn()
	if err := waits[0](); err != nil {
		t.Errorf("what is in the file is said to be lost: %v", err)
	}
	if err := waits[1](); !errors.Is(err, errFull) {
		t.Errorf("what is lost: %v", err)
	}
	s.free()
	s.must(started("f"))
	s.is(started("first"), lines[0], lines[1], lines[2][:7]+"\n", lines[2], lines[4], started("f"))
}

func TestALineThatLacksItsNewlineAloneIsNotWrittenTwice(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	s.must(ended("b"))
	s.fill(len(ended("a")) - 1)
	s.fire()
	s.free()
	s.must(started("c"))
	s.is(ended("a"), ended("b"), started("c"))
}

func TestWhatIsKeptBreaksOffAndIsWrittenWhole(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	s.must(ended("b"))
	s.fill(0)
	s.fire()
	s.fill(len(ended("a")) + 3)
	if err := s.write(started("c"))(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	s.free()
	s.must(started("d"))
	s.is(ended("a"), ended("b")[:3]+"\n", ended("b"), started("d"))
}

func TestADiskThatHangsHoldsCallersUpAndTakesNoMemory(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	goOn := s.hang()
	big := strings.Repeat("x", 10<<10)
	want := []string{started("first")}
	var last func() error
	for held := 0; last == nil; {
		line := ended(fmt.Sprint(big, len(want)))
		want = append(want, line)
		wait := s.write(line)
		waitFor(t, func() bool { return s.pending() == len(want)-1 })
		if held += len(line); held <= maxDeferred {
			if err := wait(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		last = wait
		if _, led := s.group(); !led {
			t.Error("nobody waits")
		}
	}
	goOn()
	if err := last(); err != nil {
		t.Error(err)
	}
	s.is(want...)
}

// Caddy's writer refuses what is longer than its roll_size, and rolls before a write that does not fit.
func TestAGroupThatIsLongerThanAFileIsWrittenInParts(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	rolled := Writer{logging.FileWriter{Filename: s.path, RollSizeMB: 1, RollCompression: "none"}}
	s.disk.open = func(roll bool) (io.WriteCloser, error) {
		to, err := rolled.open(roll)
		return holding{to, s}, err
	}
	if err := s.disk.reopen(); err != nil {
		t.Fatal(err)
	}
	goOn := s.hang()
	big := strings.Repeat("x", 60<<10)
	want := []string{started("first")}
	var waits []func() error
	for i := range 40 {
		line := started(fmt.Sprint(i, big))
		want, waits = append(want, line), append(waits, s.write(line))
		waitFor(t, func() bool { return s.pending() == i+1 })
	}
	goOn()
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(s.path), "*.log"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	all := ""
	for _, file := range files {
		all += content(t, file)
	}
	if sorted := slices.Sorted(strings.Lines(all)); !slices.Equal(sorted, slices.Sorted(slices.Values(want))) {
		t.Errorf("%d whole lines of %d", len(sorted), len(want))
	}
}

// holding is a writer that hangs when its stand does.
type holding struct {
	io.WriteCloser
	stand *stand
}

func (h holding) Write(p []byte) (int, error) {
	s := h.stand
	s.writes.Add(1)
	s.mu.Lock()
	hangs := s.hangs
	s.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	return h.WriteCloser.Write(p)
}

func TestCloseSaysHowManyLinesAreLost(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	s.must(ended("b"))
	s.fill(0)
	if err := s.in.finish(); err == nil || !strings.Contains(err.Error(), s.path+": 2 audit lines could not be written: "+errFull.Error()) {
		t.Error(err)
	}
	s.timers = nil
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "2 audit lines could not be written: "+errFull.Error()) {
		t.Error(err)
	}
	if n := s.sets(retryDelay); n != 0 {
		t.Errorf("%d timers of a closed file", n)
	}
}

func TestALineIsKeptBehindThoseThatWereKeptBeforeIt(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.fill(0)
	hangs := make(chan struct{})
	s.mu.Lock()
	s.hangs = hangs
	s.mu.Unlock()
	s.must(ended("a"))
	first := s.write(started("a"))
	waitFor(t, func() bool { return s.inside.Load() == 1 })
	s.must(ended("b")) // it is not known yet that the disk is full
	s.mu.Lock()
	s.hangs = nil
	s.mu.Unlock()
	close(hangs)
	if err := first(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if err := s.write(started("c"))(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	s.free()
	s.must(started("d"))
	s.is(ended("a"), ended("b"), started("d"))
}

func TestADiskThatFillsUpBetweenTwoLinesLeavesNoEmptyOne(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ended("a"))
	s.must(ended("b"))
	s.fill(len(ended("a")))
	s.fire()
	s.free()
	s.must(started("c"))
	s.is(ended("a"), ended("b"), started("c"))
}

func TestLinesThatAreWrittenMakeRoomForOthersToWait(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	line := ended(strings.Repeat("x", 50<<10))
	for range 4 * maxDeferred / len(line) { // two memories take turns
		before := s.writes.Load()
		s.must(line)
		if s.writes.Load() != before {
			t.Fatal("a line did not wait")
		}
		s.fire()
	}
}

func TestAWriterThatPanicsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for round := range 3 { // the memory of the lines is used again
		s.mu.Lock()
		s.panics = true
		s.mu.Unlock()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a panic that nobody sees")
				}
			}()
			_, _ = io.WriteString(s.groups, started("panics"))
		}()
		s.must(started(fmt.Sprint("a", round)))
		s.must(started(fmt.Sprint("b", round)))
	}
	goOn := s.hang()
	led := make(chan any)
	go func() {
		defer func() { led <- recover() }()
		_, _ = io.WriteString(s.groups, started("leads"))
	}()
	waitFor(t, func() bool { return s.pending() == 1 })
	follows := s.write(started("follows"))
	waitFor(t, func() bool { return s.pending() == 2 })
	s.mu.Lock()
	s.panics = true
	s.mu.Unlock()
	goOn()
	if why := <-led; why == nil {
		t.Error("a panic that nobody sees")
	}
	if err := follows(); !errors.Is(err, errInterrupted) {
		t.Error(err)
	}
	s.is(started("a0"), started("b0"), started("a1"), started("b1"), started("a2"), started("b2"), started("first"))
}
