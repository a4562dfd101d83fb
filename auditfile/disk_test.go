package auditfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
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

// Files of a version that packed otherwise are counted with the others.
func TestRolledFilesArePackedAsTheOperatorSaysOrWithZstd(t *testing.T) {
	t.Parallel()
	for options, ext := range map[string]string{"": ".zst", "roll_compression gzip": ".gz", "roll_compression zstd": ".zst", "roll_compression none": "", "roll_uncompressed": ""} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.log")
			var f Writer
			if err := f.UnmarshalCaddyfile(caddyfile.NewTestDispenser("erpsync_file " + path + " {\nroll_size 1MiB\nroll_keep 2\n" + options + "\n}")); err != nil {
				t.Fatal(err)
			}
			day := time.Now().Add(-time.Hour).UTC()
			old := func(hours int, ext string) string {
				return filepath.Join(dir, "audit-"+day.Add(time.Duration(-hours)*time.Hour).Format("2006-01-02T15-04-05.000")+"-size.log"+ext)
			}
			write(t, old(1, ".gz"), "packed before")
			write(t, old(2, ".zst"), "packed before")
			write(t, path, strings.Repeat("x", 1<<20)+"\n")
			w, err := f.OpenWriter()
			if err != nil {
				t.Fatal(err)
			}
			put(t, w, "one")
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "audit-*"))
			if err != nil || len(files) != 2 || files[0] != old(1, ".gz") || !strings.HasSuffix(files[1], "-size.log"+ext) {
				t.Errorf("%v, %v", files, err)
			}
		})
	}
}
