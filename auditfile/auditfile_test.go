package auditfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/logging"
)

// openAudit opens a file as a log would, rolled or not.
func openAudit(t *testing.T, path string, roll bool) io.WriteCloser {
	t.Helper()
	w, err := Writer{logging.FileWriter{Filename: path, Roll: &roll}}.OpenWriter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func put(t *testing.T, w io.Writer, line string) {
	t.Helper()
	if n, err := io.WriteString(w, line+"\n"); err != nil || n != len(line)+1 {
		t.Fatalf("%s: %d, %v", line, n, err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAnAuditFileThatWasMovedOrDeletedIsOpenedAnew(t *testing.T) {
	t.Parallel()
	for _, roll := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "audit.log")
		w := openAudit(t, path, roll)
		put(t, w, "one")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		put(t, w, "two")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		put(t, w, "three")
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		put(t, w, "four")
		if got := content(t, path); got != "four\n" {
			t.Errorf("rolled %v: %q", roll, got)
		}
		if err := os.Rename(path, path+".1"); err != nil { // as logrotate does, which makes the new one itself
			t.Fatal(err)
		}
		write(t, path, "")
		put(t, w, "five")
		if moved, got := content(t, path+".1"), content(t, path); moved != "four\n" || got != "five\n" {
			t.Errorf("rolled %v: %q and %q", roll, moved, got)
		}
	}
}

func TestALineBehindOneThatBrokeOffIsItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	write(t, path, "one\nkilled in the mid") // as a process leaves it that is killed
	w := openAudit(t, path, true)
	put(t, w, "two")
	put(t, w, "three")
	if got := content(t, path); got != "one\nkilled in the mid\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
}

// short is a file that takes so many bytes more, and is then full.
type short struct {
	io.WriteCloser
	left *int
}

var errFull = errors.New("no space left on device")

func (s short) Write(p []byte) (int, error) {
	if len(p) <= *s.left {
		*s.left -= len(p)
		return s.WriteCloser.Write(p)
	}
	n, _ := s.WriteCloser.Write(p[:*s.left])
	*s.left = 0
	return n, errFull
}

func TestALineOnADiskThatFillsUpIsSaidToBeLost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	opened, ok := openAudit(t, path, false).(*groups)
	if !ok {
		t.Fatal("another writer")
	}
	left := len("one\nbro")
	opened.disk.to = short{opened.disk.to, &left}
	put(t, opened, "one")
	for range 3 { // the first one breaks off, and nothing is left for the others
		if n, err := io.WriteString(opened, "broken off\n"); n != 0 || !errors.Is(err, errFull) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	left = 100
	put(t, opened, "two")
	put(t, opened, "three")
	if got := content(t, path); got != "one\nbro\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
}

func TestAnAuditFileTakesTheOptionsOfCaddysFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	var f Writer
	if err := f.UnmarshalCaddyfile(caddyfile.NewTestDispenser("erpsync_file " + path + " {\nroll_keep 1000\nmode 0640\n}")); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(&f)
	if err != nil {
		t.Fatal(err)
	}
	var again Writer
	if err := json.Unmarshal(raw, &again); err != nil || again.RollKeep != 1000 || again.Filename != path || !strings.HasPrefix(again.WriterKey(), "erpsync_") {
		t.Errorf("%s: %+v, %v", raw, again, err)
	}
	w, err := again.OpenWriter()
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, "one")
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(path), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Caddy wraps the error of a log whose writer cannot be opened as this does.
func TestAnAuditFileThatCannotBeOpenedIsNamedByItsOption(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprintf("%#v", &Writer{logging.FileWriter{Filename: "/var/log/erpsync/audit.log"}}); got != "output erpsync_file /var/log/erpsync/audit.log" {
		t.Error(got)
	}
}
