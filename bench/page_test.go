package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOnlyTheMarkedSectionsOfThePageAreReplaced(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n<!-- bench path -->\nold\n<!-- end path -->\nbetween\n<!-- bench memory -->\nkept\n<!-- end memory -->\nafter\n")
	s := section{name: "path", took: 61500 * time.Millisecond, head: []string{"way", "µs"}}.row("session", "100")
	if err := writeSections(page, "a machine", []section{s}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Clean(page))
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	for _, want := range []string{"before\n<!-- bench path -->\n", "a machine, in 1m2s\n\n| way | µs |\n|---|---|\n| session | 100 |\n<!-- end path -->\nbetween\n", "kept\n<!-- end memory -->\nafter\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("the old table stands there still")
	}
	if err := writeSections(page, "a machine", []section{{name: "scale"}}); err == nil {
		t.Error("a section without marks is let go by")
	}
	if err := checkSections(page, []string{"path", "memory"}); err != nil {
		t.Error(err)
	}
	if err := checkSections(page, []string{"path", "scale"}); err == nil {
		t.Error("a missing section is found only after it was measured")
	}
}

func TestAGoalIsMetUpToItsBound(t *testing.T) {
	t.Parallel()
	s := goalsSection([]goal{atMost(4, "b", 1.2, 1.1, "%.2f"), atMost(1, "a", 0.65, 0.65, "%.2f"), {number: 5, what: "c", measured: "7"}})
	for i, want := range []string{"1 a ≤ 0.65 0.65 met", "4 b ≤ 1.10 1.20 **missed**", "5 c  7 told"} {
		if got := strings.Join(s.rows[i], " "); got != want {
			t.Errorf("row %d: %s, want %s", i, got, want)
		}
	}
}

func TestTheBombIsOneStringThatGoesOnAndOn(t *testing.T) {
	t.Parallel()
	packed := bomb()
	if len(packed) > 20<<20 {
		t.Errorf("it has %d bytes", len(packed))
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 100)
	if _, err := io.ReadFull(reader, head); err != nil || !strings.HasPrefix(string(head), `{"IsOk":true,"X":"000`) {
		t.Fatalf("%v %s", err, head)
	}
	// A hundred megabytes tell that its parts follow each other; all of it would take a while.
	if n, err := io.CopyN(io.Discard, reader, 100<<20); err != nil {
		t.Errorf("%d bytes, then %v", n, err)
	}
}

func TestThePageHasAPlaceForEachPart(t *testing.T) {
	t.Parallel()
	if err := checkSections("../docs/performance.md", []string{"goals", "path", "peers", "scale", "expiry", "memory", "stages", "knobs"}); err != nil {
		t.Error(err)
	}
}
