package auditfile

import (
	"os"
	"testing"
)

// Caddy's writer packs what it has rolled before it is closed.
func TestNoLineWaitsUntilARolledFileIsPacked(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(started("a"))
	packs := make(chan struct{})
	s.mu.Lock()
	s.packs = packs
	s.mu.Unlock()
	for _, id := range []string{"b", "c"} { // and again while that goes on
		if err := os.Rename(s.path, s.path+".1"); err != nil {
			t.Fatal(err)
		}
		s.must(started(id))
		s.must(started(id + "2"))
		s.is(started(id), started(id+"2"))
		if n := s.opened.Load(); n != 2 || s.rolling.Load() != 1 {
			t.Errorf("%d open, %d of them roll", n, s.rolling.Load())
		}
	}
	close(packs)
	waitFor(t, s.disk.packed)
	s.must(started("d"))
	s.is(started("c"), started("c2"), started("d"))
	if n := s.opened.Load(); n != 1 || s.rolling.Load() != 1 {
		t.Errorf("afterwards %d open, %d of them roll", n, s.rolling.Load())
	}
}

func TestCloseWaitsUntilWhatWasRolledIsPacked(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(started("a"))
	packs := make(chan struct{})
	s.mu.Lock()
	s.packs = packs
	s.mu.Unlock()
	if err := os.Rename(s.path, s.path+".1"); err != nil {
		t.Fatal(err)
	}
	s.must(started("b"))
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	waitFor(t, func() bool { return s.opened.Load() == 1 })
	select {
	case <-closed:
		t.Error("closed while files are packed")
	default:
	}
	close(packs)
	if err := <-closed; err != nil || s.opened.Load() != 0 {
		t.Errorf("%d open, %v", s.opened.Load(), err)
	}
}
