package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// gate stands between a store and its way. While it is closed nothing passes; it counts what comes.
type gate struct {
	mu      sync.Mutex
	open    chan struct{}
	batches []int       // how many questions each had
	ends    []time.Time // when each has to be answered
}

func withGate(s *Store) *gate {
	g := &gate{open: make(chan struct{})}
	s.client.AddHook(g)
	return g
}

func (g *gate) pass(ctx context.Context, cmds ...redis.Cmder) error {
	g.mu.Lock()
	ends, _ := ctx.Deadline()
	g.batches, g.ends = append(g.batches, len(cmds)), append(g.ends, ends)
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) lift() { close(g.open) }

// came returns the sizes of the batches.
func (g *gate) came() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.batches)
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }
func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" { // a new connection's, or one that is asked again
			return next(ctx, cmd)
		}
		if err := g.pass(ctx, cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() != "evalsha" {
			return next(ctx, cmds)
		}
		if err := g.pass(ctx, cmds...); err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
		return next(ctx, cmds)
	}
}

func sum(sizes []int) (n int) {
	for _, size := range sizes {
		n += size
	}
	return n
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

func (g *group) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// isIdle fails the test unless nothing is left of what was asked.
func isIdle(t *testing.T, g *group) {
	t.Helper()
	until(t, "every place is free", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.running == 0 && len(g.waiting) == 0
	})
}

var (
	countUp = redis.NewScript(`return redis.call('INCR', KEYS[1])`)
	refuse  = redis.NewScript(`redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])`)
	oneTime = redis.NewScript(`if redis.call('INCR', KEYS[1]) == 1 then return redis.error_reply(ARGV[1]) end return 7`)
	scripts = []*redis.Script{countUp, refuse, oneTime}
)

// gated returns a store with a gate whose questions wait for each other as long as it takes, and which knows the scripts.
func gated(t *testing.T, server *redistest.Server, timeout time.Duration) (*Store, *gate) {
	t.Helper()
	s := New(Config{Addresses: []string{server.Address}, Prefix: "p", Timeout: timeout})
	t.Cleanup(func() { _ = s.Close() })
	s.group.wait = time.Hour
	client := clientOf(t, server)
	for _, script := range scripts {
		if err := script.Load(t.Context(), client).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return s, withGate(s)
}

// fill has a question take every place, so that the next ones wait.
func fill(t *testing.T, s *Store, g *gate, group *sync.WaitGroup) {
	t.Helper()
	for range groupPlaces {
		group.Go(func() {
			if err := s.run(context.Background(), countUp, []string{"{p}fill"}).Err(); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "every place is taken", func() bool { return sum(g.came()) == groupPlaces })
}

func TestQuestionsOfTheSameMomentTravelTogether(t *testing.T) {
	t.Parallel()
	s, g := gated(t, redistest.Start(t), patience)
	var group sync.WaitGroup
	fill(t, s, g, &group)
	for i := range 250 {
		group.Go(func() {
			if n, err := s.run(t.Context(), countUp, []string{fmt.Sprint("{p}", i)}).Int(); n != 1 || err != nil {
				t.Error(n, err)
			}
		})
	}
	until(t, "all wait", func() bool { return s.group.waits() == 250 })
	g.lift()
	group.Wait()
	sizes := g.came()[groupPlaces:]
	slices.Sort(sizes)
	if !slices.Equal(sizes, []int{50, groupMost, groupMost}) {
		t.Errorf("%v", sizes)
	}
	isIdle(t, s.group)
}

// With a slow way nobody waits for the answer of others: all are under way although nothing has been answered.
func TestAtADistanceNoQuestionWaitsForTheAnswerOfAnother(t *testing.T) {
	t.Parallel()
	s, g := gated(t, redistest.Start(t), patience)
	s.group.wait = groupWait
	var group sync.WaitGroup
	for range 3 { // the watch goes on after a pause
		before := sum(g.came())
		for range 100 {
			group.Go(func() {
				if err := s.run(t.Context(), countUp, []string{"{p}n"}).Err(); err != nil {
					t.Error(err)
				}
			})
		}
		until(t, "all are under way", func() bool { return sum(g.came()) == before+100 })
	}
	g.lift()
	group.Wait()
	isIdle(t, s.group)
	until(t, "nobody looks where nobody waits", func() bool {
		s.group.mu.Lock()
		defer s.group.mu.Unlock()
		return !s.group.watched
	})
}

// together asks questions in one batch, the first of them first.
func together(t *testing.T, s *Store, g *gate, ask ...func()) {
	t.Helper()
	var group sync.WaitGroup
	fill(t, s, g, &group)
	for i, f := range ask {
		group.Go(f)
		until(t, "it waits", func() bool { return s.group.waits() == i+1 })
	}
	g.lift()
	group.Wait()
	if sizes := g.came(); !slices.Contains(sizes, len(ask)) {
		t.Errorf("not together: %v", sizes)
	}
	isIdle(t, s.group)
}

// What Redis refuses one question, its neighbours do not hear of, and they are not asked twice for it.
func TestARefusalBelongsToItsQuestionAlone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := clientOf(t, server)
	for name, c := range map[string]struct {
		script *redis.Script
		says   string
		err    string // "": it is asked again, and has its answer then
		runs   int64
	}{
		"out of memory":         {refuse, "OOM command not allowed", "OOM ", 1},
		"busy":                  {refuse, "BUSY Redis is busy", "BUSY ", 1},
		"wrong type":            {refuse, "WRONGTYPE x", "WRONGTYPE ", 1},
		"loading":               {oneTime, "LOADING Redis is loading the dataset in memory", "", 2},
		"tries again":           {oneTime, "TRYAGAIN x", "", 2},
		"a replica":             {oneTime, "READONLY You can't write against a read only replica.", "", 2},
		"a slot that moves":     {oneTime, "ERR Script attempted to access a non local key in a cluster node", "", 2},
		"the script is unknown": {redis.NewScript(`redis.call('INCR', KEYS[1]) return 7`), "", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, g := gated(t, server, patience)
			key := "{p}" + name
			bad := func(place string) func() {
				return func() {
					n, err := s.run(t.Context(), c.script, []string{key + place}, c.says).Int()
					if c.err == "" && (n != 7 || err != nil) || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
						t.Errorf("%s: %d %v", place, n, err)
					}
				}
			}
			good := func() {
				if err := s.run(t.Context(), countUp, []string{key}).Err(); err != nil {
					t.Error(err)
				}
			}
			together(t, s, g, bad("first"), good, good, bad("later"), good)
			if n, _ := client.Get(t.Context(), key).Int(); n != 3 {
				t.Errorf("the three others were run %d times", n)
			}
			for _, place := range []string{"first", "later"} {
				if n, _ := client.Get(t.Context(), key+place).Int64(); n != c.runs {
					t.Errorf("%s was run %d times", place, n)
				}
			}
		})
	}
}

// Without a connection the client leaves commands as they were if Redis itself said why. That is not an answer.
func TestABatchWithoutAConnectionIsAnErrorForEach(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "canary")
	s := New(Config{Addresses: []string{server.Address}, Prefix: "p", Timeout: patience, Credentials: func() (string, string) { return "", "wrong" }})
	defer s.Close()
	s.group.wait = time.Hour
	g := withGate(s)
	var group sync.WaitGroup
	ask := func() {
		if cmd := s.run(t.Context(), countUp, []string{"{p}n"}); cmd.Err() == nil || !strings.Contains(cmd.Err().Error(), "WRONGPASS") {
			t.Error(cmd.Err())
		}
	}
	for range groupPlaces {
		group.Go(ask)
	}
	until(t, "every place is taken", func() bool { return sum(g.came()) == groupPlaces })
	for range 3 {
		group.Go(ask)
	}
	until(t, "the others wait", func() bool { return s.group.waits() == 3 })
	g.lift()
	group.Wait()
	if !slices.Contains(g.came(), 3) {
		t.Errorf("not together: %v", g.came())
	}
	if read, write := s.ask(t.Context()); read == nil || write == nil {
		t.Errorf("a store that lets nobody in can be used: %v, %v", read, write)
	}
}

func TestACallerThatLeavesIsGoneAtOnceAndTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	s, g := gated(t, redistest.Start(t), patience)
	var group sync.WaitGroup
	// One leads, and has less time than the others have.
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.run(short, countUp, []string{"{p}short"}).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that led: %v", err)
	}
	for range groupPlaces - 1 {
		group.Go(func() { _ = s.run(t.Context(), countUp, []string{"{p}n"}) })
	}
	until(t, "every place is taken", func() bool { return sum(g.came()) == groupPlaces })
	leaves := func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.run(ctx, countUp, []string{"{p}left"}).Err() }()
		until(t, "it waits", func() bool { return s.group.waits() > 0 })
		n := s.group.waits()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || s.group.waits() != n-1 {
			t.Errorf("%v, %d wait", err, s.group.waits())
		}
	}
	leaves()
	for i := range 3 {
		group.Go(func() {
			if err := s.run(t.Context(), countUp, []string{"{p}stays"}).Err(); err != nil {
				t.Error(err)
			}
		})
		until(t, "it waits", func() bool { return s.group.waits() == i+1 })
	}
	g.lift()
	group.Wait()
	isIdle(t, s.group)
	before := len(g.came())
	if err := s.run(short, countUp, []string{"{p}left"}).Err(); !errors.Is(err, context.DeadlineExceeded) || len(g.came()) != before {
		t.Errorf("one that had left before: %v", err)
	}
	client := s.client
	if n, _ := client.Get(t.Context(), "{p}stays").Int(); n != 3 {
		t.Errorf("those who stayed were asked %d times", n)
	}
	if n, _ := client.Exists(t.Context(), "{p}left").Result(); n != 0 {
		t.Error("what nobody waits for is asked")
	}
}

// One that leaves in the moment in which it is to ask for all leaves that to the next.
func TestWhoLeavesHandsTheTurnOn(t *testing.T) {
	t.Parallel()
	g := newGroup(nil)
	first, next := &question{waited: true, turn: make(chan turn, 1)}, &question{waited: true, turn: make(chan turn, 1)}
	g.running, g.waiting = groupPlaces, []*question{first, next}
	g.mu.Lock()
	g.pass()
	g.mu.Unlock()
	g.leave(first)
	select {
	case is := <-next.turn:
		if is != leads || g.running != groupPlaces {
			t.Error(is, g.running)
		}
	default:
		t.Error("nobody asks")
	}
	next.turn <- answered // and one that leaves while it is answered hands nothing on
	if g.leave(next); g.running != groupPlaces {
		t.Errorf("%d run", g.running)
	}
}

// Company makes nobody wait for longer than one question may take.
func TestABatchEndsWithTheTimeOfItsOldestQuestion(t *testing.T) {
	t.Parallel()
	s, g := gated(t, redistest.Start(t), patience)
	g.lift()
	oldest := time.Now().Add(patience / 2)
	var batch []*question
	for _, ends := range []time.Time{oldest.Add(time.Second), oldest, oldest.Add(time.Minute)} {
		batch = append(batch, &question{Cmd: redis.NewCmd(t.Context(), words(countUp, []string{"{p}n"}, 0)...), ends: ends})
	}
	s.group.askAll(batch)
	if len(g.ends) != 1 || !g.ends[0].Equal(oldest) {
		t.Errorf("%v, want %s", g.ends, oldest)
	}
	began := time.Now()
	_ = s.run(t.Context(), countUp, []string{"{p}n"})
	if last := g.ends[1]; last.Before(began.Add(patience)) || last.After(time.Now().Add(patience)) {
		t.Errorf("one alone may take %s", last.Sub(began))
	}
}

// relay passes bytes to the server and back. The first answers to a batch are cut off after some bytes.
func relay(t *testing.T, server *redistest.Server, cut *atomic.Int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server.Address)
			if err != nil {
				_ = near.Close()
				return
			}
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go func() {
				defer near.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := far.Read(buffer)
					if most := cut.Load(); most > 0 && bytes.HasPrefix(buffer[:n], []byte(":1\r\n:")) {
						cut.Store(0)
						_, _ = near.Write(buffer[:most])
						return
					}
					if _, writeErr := near.Write(buffer[:n]); err != nil || writeErr != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestAConnectionThatBreaksInTheMiddleOfABatchIsAskedAgainForTheRest(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var cut atomic.Int64
	s := New(Config{Addresses: []string{relay(t, server, &cut)}, Prefix: "p", Timeout: patience})
	defer s.Close()
	s.group.wait = time.Hour
	client := clientOf(t, server)
	_ = countUp.Load(t.Context(), client)
	g := withGate(s)
	var asks []func()
	for i := range 3 {
		asks = append(asks, func() {
			if err := s.run(t.Context(), countUp, []string{fmt.Sprint("{p}", i)}).Err(); err != nil {
				t.Error(i, err)
			}
		})
	}
	cut.Store(int64(len(":1\r\n:")))
	together(t, s, g, asks...)
	if n, _ := client.Get(t.Context(), "{p}0").Int(); n != 1 || cut.Load() != 0 {
		t.Errorf("what was answered was asked %d times", n)
	}
	for _, key := range []string{"{p}1", "{p}2"} {
		if n, _ := client.Get(t.Context(), key).Int(); n != 2 {
			t.Errorf("%s was asked %d times", key, n)
		}
	}
}
