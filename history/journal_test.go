package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

var errLocked = errors.New("the file is locked")

// memory is a store whose troubles a test makes.
type memory struct {
	Store // what no test here asks for

	mu     sync.Mutex
	groups [][]Row
	beats  int
	excess int // rows that are too many
	closed bool
	fail   error // of every writing
	gone   bool
	lost   bool          // is gone for what is written too, until it is opened anew
	bad    string        // the request id of a row that can never be written
	gate   chan struct{} // not nil: each writing waits for it
	opens  []error       // of the next openings
}

func (m *memory) Key() string          { return "memory" }
func (m *memory) Retention() Retention { return Retention{Keep: time.Hour} }

func (m *memory) Open(context.Context, Gateway) (Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.opens) > 0 {
		err := m.opens[0]
		m.opens = m.opens[1:]
		return nil, err
	}
	m.lost = false
	return m, nil
}

func (m *memory) Write(ctx context.Context, rows []Row) error {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost {
		return ErrGone
	}
	if m.fail != nil {
		return m.fail
	}
	if slices.ContainsFunc(rows, func(r Row) bool { return r.RequestID == m.bad }) {
		return fmt.Errorf("%w: too long", ErrNeverWritten)
	}
	m.groups = append(m.groups, slices.Clone(rows))
	return nil
}

func (m *memory) Beat(context.Context, time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats++
	if m.gone {
		m.gone = false
		return ErrGone
	}
	return m.fail
}

func (m *memory) Trim(_ context.Context, _ time.Time, retention Retention) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if retention != m.Retention() {
		return false, fmt.Errorf("retention %v", retention)
	}
	m.excess = max(m.excess-10, 0)
	return m.excess > 0, nil
}

func (m *memory) Close() error { m.closed = true; return nil }

func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// rows are those that were committed, in their order.
func (m *memory) rows() []Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Concat(m.groups...)
}

func call(id string) *outcome.Record {
	return &outcome.Record{
		RequestID: id, Proved: true, Started: time.Now(), Operation: superoffice.ForceResync, Understood: true, Began: true, Decision: "allowed", Sends: 1,
		Arguments: superoffice.Arguments{Connection: 612, Keys: []int32{386, 230}}, Outcome: outcome.Outcome{Class: outcome.OK},
	}
}

// start opens a journal over a store.
func start(t *testing.T, m *memory) (*Journal, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	j := New("node", zap.New(core))
	if err := j.Open(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return j, logs
}

func TestRowsAreCommittedInGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{gate: make(chan struct{})}
		j, _ := start(t, m)
		r := j.Recorder("online")
		r.Ended(call("first"))
		synctest.Wait() // it is being written
		for i := range maxGroup + 5 {
			r.Ended(call(fmt.Sprint(i)))
		}
		close(m.gate)
		synctest.Wait()
		if len(m.groups) != 3 || len(m.groups[0]) != 1 || len(m.groups[1]) != maxGroup || len(m.groups[2]) != 5 {
			t.Errorf("%d groups", len(m.groups))
		}
		j.Close()
		if !m.closed || j.held.Load() != 0 || j.Queued() != 0 {
			t.Errorf("closed %v, %d bytes are held, %d rows wait", m.closed, j.held.Load(), j.Queued())
		}
	})
}

func TestACallHasARowBeforeAndAfterWhichHoldWhatTheyMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		j, _ := start(t, m)
		r := j.Recorder("https://so.example")
		record := call("a")
		record.Principal, record.Privacy = "tove@uno.example", outcome.Privacy{Principals: outcome.Omit}
		time.Sleep(time.Second) // it waited for its turn
		r.Began(record)
		synctest.Wait() // it is written
		record.Outcome = outcome.Outcome{Class: outcome.Error, ErrorCode: "E1", UserExplanation: "Tove's phone number"}
		record.Duration = time.Minute
		r.Ended(record)
		fault := call("b")
		fault.Outcome = outcome.Outcome{}
		r.Ended(fault)
		j.Close()
		rows := m.rows()
		if len(rows) != 3 {
			t.Fatalf("%+v", rows)
		}
		before, after := rows[0], rows[1]
		if !before.Ended.IsZero() || before.Sent.Sub(before.Started) != time.Second || before.Environment != "https://so.example" || before.KeyCount != 2 || before.Connection != 612 {
			t.Errorf("before: %+v", before)
		}
		if after.Ended.Sub(after.Started) != time.Minute || after.Outcome != outcome.Error || after.ErrorCode != "E1" || after.Sent.IsZero() {
			t.Errorf("after: %+v", after)
		}
		if after.Principal != "" || after.UserExplanation != "" {
			t.Errorf("a person is in it: %+v", after)
		}
		if rows[2].Outcome != outcome.Unknown {
			t.Errorf("sent, and a fault of ours: %+v", rows[2])
		}
	})
}

func TestACallThatIsOverBeforeItsBeginningIsWrittenIsOneRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{gate: make(chan struct{})}
		j, _ := start(t, m)
		r := j.Recorder("online")
		r.Ended(call("first"))
		synctest.Wait() // it is being written
		quick, long := call("quick"), call("long")
		time.Sleep(time.Second)
		r.Began(quick)
		r.Began(long)
		quick.Duration = time.Minute
		r.Ended(quick)
		r.Ended(call("late"))
		r.Ended(call("late")) // nothing is told of the beginning of either
		close(m.gate)
		synctest.Wait()
		var got []string
		for _, row := range m.rows()[1:] {
			got = append(got, fmt.Sprint(row.RequestID, " ", row.Sent.Sub(row.Started), " ", !row.Ended.IsZero()))
		}
		if want := []string{"quick 1s true", "long 1s false", "late 0s true", "late 0s true"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		if j.Queued() != 0 || j.held.Load() != 0 {
			t.Errorf("%d rows wait, %d bytes are held", j.Queued(), j.held.Load())
		}
		j.Close()
	})
}

func TestOnlyCallsOfProvedCallersThatAreMeantAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		j, _ := start(t, m)
		r := j.Recorder("")
		for name, change := range map[string]func(*outcome.Record){
			"stranger":  func(r *outcome.Record) { r.Proved = false },
			"dry run":   func(r *outcome.Record) { r.DryRun = true },
			"preflight": func(r *outcome.Record) { r.Decision = "preflight" },
			"refused": func(r *outcome.Record) {
				r.Decision, r.Reason, r.Sends, r.Began = "refused", "operation_not_granted", 0, false
			},
		} {
			record := call(name)
			change(record)
			r.Ended(record)
		}
		j.Close()
		if rows := m.rows(); len(rows) != 1 || rows[0].RequestID != "refused" || rows[0].Reason != "operation_not_granted" || !rows[0].Sent.IsZero() {
			t.Errorf("%+v", rows)
		}
	})
}

func TestAFullQueueHoldsNoCallUpAndIsCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys, calls int
	}{"many calls": {2, maxQueued + maxGroup + 100}, "many keys": {100_000, 400}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{fail: errLocked}
				j, logs := start(t, m)
				r, record := j.Recorder(""), call("a")
				record.Arguments.Keys = make([]int32, c.keys)
				for range c.calls {
					r.Ended(record)
				}
				synctest.Wait()
				lost := j.Health().Lost
				if lost == 0 || j.held.Load() > maxQueuedBytes {
					t.Errorf("%d lost, %d bytes held", lost, j.held.Load())
				}
				if n := j.Queued(); uint64(n)+lost != uint64(c.calls) {
					t.Errorf("%d wait, %d lost of %d", n, lost, c.calls)
				}
				m.set(func() { m.fail = nil })
				time.Sleep(lastRetry)
				synctest.Wait()
				if j.Queued() != 0 {
					t.Errorf("%d wait still", j.Queued())
				}
				if n := len(m.rows()); uint64(n)+lost != uint64(c.calls) || j.Health().Lost != lost {
					t.Errorf("%d written, %d lost of %d", n, lost, c.calls)
				}
				if logs.FilterMessage("history cannot be written; calls go on").Len() != 1 || logs.FilterMessage("history can be written again").Len() != 1 {
					t.Errorf("%v", logs.All())
				}
				j.Close()
			})
		})
	}
}

func TestTroubleThatPassesLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fail: errLocked, opens: []error{errLocked, errLocked}}
		j, _ := start(t, m)
		r := j.Recorder("")
		for i := range 50 {
			r.Ended(call(fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		if h := j.Health(); h.Fails.IsZero() || !errors.Is(h.Cause, errLocked) || h.Lost != 0 {
			t.Errorf("%+v", h)
		}
		m.set(func() { m.fail = nil })
		time.Sleep(lastRetry)
		synctest.Wait()
		if h := j.Health(); !h.Fails.IsZero() || h.Cause != nil || h.Lost != 0 || len(m.rows()) != 50 {
			t.Errorf("%+v, %d rows", h, len(m.rows()))
		}
		j.Close()
	})
}

func TestARowThatCanNeverBeWrittenTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{bad: "bad", gate: make(chan struct{})}
		j, logs := start(t, m)
		r := j.Recorder("")
		for _, id := range []string{"a", "b", "bad", "c", "bad", "d"} {
			r.Ended(call(id))
		}
		close(m.gate)
		synctest.Wait()
		var ids []string
		for _, row := range m.rows() {
			ids = append(ids, row.RequestID)
		}
		if !slices.Equal(ids, []string{"a", "b", "c", "d"}) || j.Health().Lost != 2 || logs.FilterMessage("rows of the history can never be written and are dropped").Len() != 1 {
			t.Errorf("%v, %+v, %v", ids, j.Health(), logs.All())
		}
		j.Close()
	})
}

func TestAStoreThatMustNotBeUsedStopsTheStart(t *testing.T) {
	t.Parallel()
	j := New("node", zap.NewNop())
	if err := j.Open(t.Context(), &memory{opens: []error{fmt.Errorf("%w: newer", ErrRefused)}}); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	j.Close()
	j.Close() // twice is no harm
}

func TestTheLastRowsHaveTheirTimeAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fail: errLocked}
		j, _ := start(t, m)
		r := j.Recorder("")
		r.Ended(call("a"))
		synctest.Wait()
		r.Ended(call("b"))
		began := time.Now()
		j.Close()
		if took := time.Since(began); took > closeTimeout || j.Queued() != 0 || j.Health().Lost != 2 || !m.closed {
			t.Errorf("after %s: %+v", took, j.Health())
		}
	})
}

func TestAStoreThatIsGoneIsOpenedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		j, logs := start(t, m)
		synctest.Wait()
		m.set(func() { m.gone, m.opens = true, []error{errLocked} })
		time.Sleep(beatEvery + time.Nanosecond)
		synctest.Wait()
		if _, err := j.Store(); !errors.Is(err, ErrNotOpen) || !m.closed {
			t.Errorf("%v", err)
		}
		r := j.Recorder("")
		r.Ended(call("a"))
		time.Sleep(lastRetry)
		synctest.Wait()
		if h := j.Health(); len(m.rows()) != 1 || !h.Fails.IsZero() || logs.FilterMessage("history cannot be written; calls go on").Len() != 1 {
			t.Errorf("%+v, %d rows, %v", h, len(m.rows()), logs.All())
		}
		j.Close()
	})
}

func TestTroubleIsOverWhenTheNextHeartbeatIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		j, _ := start(t, m)
		synctest.Wait()
		m.set(func() { m.fail = errLocked })
		time.Sleep(beatEvery + time.Nanosecond)
		synctest.Wait()
		if j.Health().Fails.IsZero() {
			t.Error("a heartbeat failed")
		}
		m.set(func() { m.fail = nil })
		time.Sleep(beatEvery)
		synctest.Wait()
		if h := j.Health(); !h.Fails.IsZero() {
			t.Errorf("%+v", h)
		}
		j.Close()
	})
}

func TestTheJournalBeatsAndTrimsInStepsBesideTheCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{excess: 95}
		j, _ := start(t, m)
		time.Sleep(5*trimEvery + time.Second)
		synctest.Wait()
		if want := 1 + int(5*trimEvery/beatEvery); m.beats != want || m.excess != 0 {
			t.Errorf("%d beats, want %d; %d rows too many", m.beats, want, m.excess)
		}
		j.Close()
	})
}

func TestACallAllocatesTwiceAtMost(t *testing.T) {
	// No writer runs: what it allocates is not the call's.
	j := New("node", zap.NewNop())
	r, record := j.Recorder("online"), call("a")
	if n := testing.AllocsPerRun(1000, func() { r.Began(record); r.Ended(record) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCall is what a call costs on its own path: its row before and its row after.
func BenchmarkCall(b *testing.B) {
	j := New("node", zap.NewNop())
	r, record := j.Recorder("online"), call("a")
	b.ReportAllocs()
	for b.Loop() {
		r.Began(record)
		r.Ended(record)
		if len(j.queue) > maxQueued/2 {
			for len(j.queue) > 0 {
				j.held.Add(-(<-j.queue).size)
			}
		}
	}
	if lost := j.Health().Lost; lost > 0 {
		b.Errorf("%d lost", lost)
	}
}

// A schema that was dropped takes no rows, however often they are tried.
func TestAStoreThatIsGoneIsOpenedAnewForTheRowsThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		j, _ := start(t, m)
		synctest.Wait()
		m.set(func() { m.lost, m.opens = true, []error{errLocked} })
		j.Recorder("online").Ended(call("a"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if h := j.Health(); j.Queued() != 0 || h.Lost != 0 || !h.Fails.IsZero() || len(m.rows()) != 1 {
			t.Errorf("%d queued, %+v", j.Queued(), h)
		}
		m.set(func() { m.lost, m.opens = true, slices.Repeat([]error{errLocked}, 100) })
		j.Recorder("online").Ended(call("b"))
		j.Recorder("online").Ended(call("c"))
		time.Sleep(time.Second)
		j.Close() // it cannot be opened any more
		if h := j.Health(); h.Lost == 0 {
			t.Errorf("%+v", h)
		}
	})
}
