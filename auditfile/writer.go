// Package auditfile is a log writer of Caddy for lines that must not be lost unseen.
package auditfile

import (
	"io"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/logging"
)

func init() { caddy.RegisterModule(Writer{}) }

// Writer is Caddy's file writer, with all its options, for lines that must not be lost unseen: a file that was
// deleted or moved is opened anew, and a line that broke off on a full disk does not swallow the one behind it.
//
// A line is in the file when its call goes on; lines that come in the same moment are written at once. Only the line of a call's end, in Caddy's
// JSON format, may wait up to 5 ms for others, so that a process that is killed loses at most the ends of its last 5 ms.
//
// One default differs from Caddy's: roll_compression is zstd, which takes half of gzip's CPU.
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
	w, err := open(disk{path: f.Filename, rolls: f.Roll == nil || *f.Roll, open: f.open}, openFiles)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// open opens Caddy's writer, which rolls the file only if the operator lets it.
func (f Writer) open(roll bool) (io.WriteCloser, error) {
	if !roll {
		f.Roll = &roll
	}
	if f.RollCompression == "" && f.RollCompress == nil {
		f.RollCompression = "zstd"
	}
	return f.FileWriter.OpenWriter()
}

var (
	_ caddy.WriterOpener = Writer{}
	_ caddy.Provisioner  = (*Writer)(nil)
)
