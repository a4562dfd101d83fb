// Package auditfile is a log writer of Caddy for lines that must not be lost unseen.
package auditfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/logging"
)

func init() { caddy.RegisterModule(Writer{}) }

// Writer is Caddy's file writer, with all its options, for lines that must not be lost unseen: a file that was
// deleted or moved is opened anew, and a line that broke off on a full disk does not swallow the one behind it.
type Writer struct{ logging.FileWriter }

// CaddyModule returns the Caddy module information.
func (Writer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.erpsync_file", New: func() caddy.Module { return new(Writer) }}
}

// WriterKey tells it from Caddy's own writer of the same file.
func (f Writer) WriterKey() string { return "erpsync_" + f.FileWriter.WriterKey() }

// GoString returns the option that sets the writer up: Caddy names a writer that cannot be opened by %#v.
func (f Writer) GoString() string { return "output erpsync_file " + f.Filename }

// OpenWriter opens the file.
func (f Writer) OpenWriter() (io.WriteCloser, error) {
	w := &file{path: f.Filename, open: f.FileWriter.OpenWriter}
	return w, w.reopen()
}

// file is an open Writer.
type file struct {
	path string
	open func() (io.WriteCloser, error)

	mu   sync.Mutex
	to   io.WriteCloser
	lies os.FileInfo // which file it was when it was opened
	torn bool        // its last line has no end
}

// Write writes one line, or returns why it could not. Caddy's writer rolls the file by itself: then it is opened once more.
func (w *file) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lies, err := os.Stat(w.path); w.to == nil || err != nil || !os.SameFile(lies, w.lies) {
		if err := w.reopen(); err != nil {
			return 0, err
		}
	}
	out := line
	if w.torn {
		out = append([]byte{'\n'}, line...)
	}
	n, err := w.to.Write(out)
	if err == nil && n < len(out) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.torn = w.torn || n > 0
		return 0, err
	}
	w.torn = false
	return len(line), nil
}

// reopen opens the file that is at the path now, or makes one.
func (w *file) reopen() (err error) {
	if w.to != nil {
		_ = w.to.Close()
		w.to = nil
	}
	to, err := w.open()
	if err != nil {
		return err
	}
	if w.lies, err = os.Stat(w.path); err != nil {
		return errors.Join(err, to.Close())
	}
	w.to, w.torn = to, endsTorn(w.path, w.lies)
	return nil
}

// endsTorn reports whether a file ends within a line, as one does whose writer was killed or whose disk was full.
func endsTorn(path string, info os.FileInfo) bool {
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return true // an empty line more is no harm
	}
	defer file.Close()
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return err != nil || last[0] != '\n'
}

// Close closes the file.
func (w *file) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.to == nil {
		return nil
	}
	to := w.to
	w.to = nil
	return to.Close()
}

var (
	_ caddy.WriterOpener = Writer{}
	_ caddy.Provisioner  = (*Writer)(nil)
)
