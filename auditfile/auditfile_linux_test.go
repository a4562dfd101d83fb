package auditfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file system of its own, so that it is the kernel that finds the disk full in the middle of a line.
func TestAFullDiskLosesTheLinesThatAreSaidToBeLostAndNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting needs root: %v", err) // the other tests of this file's writer do without
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path, ballast := filepath.Join(dir, "audit.log"), filepath.Join(dir, "ballast")
	write(t, ballast, strings.Repeat("x", 32<<10))
	w := openAudit(t, path, true)
	line := strings.Repeat("y", 700)
	written := 0
	for ; ; written++ {
		n, err := io.WriteString(w, line+"\n")
		if err == nil {
			continue
		}
		if n != 0 || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%d, %v", n, err)
		}
		break
	}
	if _, err := io.WriteString(w, line+"\n"); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	put(t, w, line)
	whole, torn := 0, 0
	for got := range strings.Lines(content(t, path)) {
		if got == line+"\n" {
			whole++
		} else {
			torn++
		}
	}
	if whole != written+1 || torn != 1 || written == 0 {
		t.Errorf("%d whole lines of %d, %d torn", whole, written+1, torn)
	}
}
