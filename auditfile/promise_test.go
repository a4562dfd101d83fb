package auditfile

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
)

// promise checks what a stand's files hold against what its callers were told: a line whose Write returned nil is there once, also one
// that nobody waited for, and any other is not; those of one caller are in their order.
type promise struct {
	*stand
	mu    sync.Mutex
	moved int
	lines []said
}

// said is a line and what its caller was told.
type said struct {
	caller int
	line   string
	err    error
}

func (p *promise) put(caller int, line string) {
	_, err := io.WriteString(p.groups, line)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, said{caller, line, err})
}

// move moves the file away, as an operator does.
func (p *promise) move() {
	if err := os.Rename(p.path, fmt.Sprint(p.path, ".", p.moved)); err == nil {
		p.moved++
	} else if !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
}

func (p *promise) check() {
	p.t.Helper()
	p.free()
	if err := p.Close(); err != nil {
		p.t.Fatal(err)
	}
	all := ""
	for i := range p.moved {
		all += content(p.t, fmt.Sprint(p.path, ".", i))
		if !strings.HasSuffix(all, "\n") {
			all += "\n" // a line may be behind one that broke off, in the next file
		}
	}
	if raw, err := os.ReadFile(p.path); err == nil {
		all += string(raw)
	}
	at := map[string][]int{}
	n := 0
	for line := range strings.Lines(all) {
		at[strings.TrimSuffix(line, "\n")] = append(at[strings.TrimSuffix(line, "\n")], n)
		n++
	}
	last := map[int]int{}
	for _, said := range p.lines {
		places := at[strings.TrimSuffix(said.line, "\n")]
		if said.err != nil {
			if len(places) != 0 {
				p.t.Errorf("said to be lost, and in the file: %s", said.line)
			}
			continue
		}
		if len(places) != 1 {
			p.t.Errorf("in the file %d times: %s", len(places), said.line)
			continue
		}
		if places[0] < last[said.caller] {
			p.t.Errorf("out of order: %s", said.line)
		}
		last[said.caller] = places[0]
	}
}

func TestEveryLineKeepsItsPromiseWhateverHappensMeanwhile(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := &promise{stand: newStand(t)}
		var callers sync.WaitGroup
		for caller := range 8 {
			callers.Go(func() {
				for i := range 60 {
					p.put(caller, started(fmt.Sprint(caller, "-", i)))
					p.put(caller, ended(fmt.Sprint(caller, "-", i)))
				}
			})
		}
		over := make(chan struct{})
		go func() {
			callers.Wait()
			close(over)
		}()
		for going := true; going; {
			switch rand.IntN(6) { //nolint:gosec // a test's
			case 0:
				p.fill(rand.IntN(2000)) //nolint:gosec // a test's
			case 1:
				p.free()
			case 2:
				p.move()
			default:
				p.fire()
			}
			select {
			case <-over:
				going = false
			default:
			}
		}
		p.check()
	}
}

// FuzzGroup lets lines, timers and trouble come in any order. A byte is what comes next, and how much of it.
func FuzzGroup(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 4, 5, 0, 2 + 8*20, 0, 1, 1, 4, 3, 0})
	f.Add([]byte{6, 0, 1, 0, 1, 2 + 8*17, 6, 3, 4, 0})
	f.Add([]byte{1, 1, 2, 4, 5, 0, 3, 4, 1, 7, 0, 1})
	f.Fuzz(func(t *testing.T, does []byte) {
		p := &promise{stand: newStand(t)}
		if len(does) > 200 {
			return
		}
		var waiting sync.WaitGroup
		var hangs chan struct{}
		goOn := func() {
			if hangs != nil {
				p.stand.mu.Lock()
				p.hangs = nil
				p.stand.mu.Unlock()
				close(hangs)
				waiting.Wait()
				hangs = nil
			}
		}
		for i, what := range does {
			much := int(what >> 3)
			switch what & 7 {
			case 0, 1:
				line := started(fmt.Sprint(i))
				if what&7 == 1 {
					line = ended(fmt.Sprint(i))
				}
				if hangs == nil {
					p.put(0, line)
					continue
				}
				before, inside := p.pending(), p.inside.Load() > 0
				waiting.Go(func() { p.put(i+1, line) })
				waitFor(t, func() bool { // until it is in the write that hangs, or in the group behind
					n, led := p.group()
					return n > before && (inside || !led) || !inside && p.inside.Load() > 0
				})
			case 2:
				p.fill(much * 17)
			case 3:
				p.free()
			case 4:
				if hangs == nil {
					p.fire()
				}
			case 5:
				if hangs == nil {
					p.move()
				}
			case 6, 7:
				if hangs != nil {
					goOn()
					continue
				}
				hangs = make(chan struct{})
				p.stand.mu.Lock()
				p.hangs = hangs
				p.stand.mu.Unlock()
			}
		}
		goOn()
		p.check()
	})
}
