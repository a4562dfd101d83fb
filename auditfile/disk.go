package auditfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// disk is the file at a path, whatever happens to it there.
type disk struct {
	path string
	open func() (io.WriteCloser, error)

	to   io.WriteCloser // nil: it is not open
	lies os.FileInfo    // which file it was when it was opened
	torn bool           // its last line has no end
}

// maxWrite bounds what is written at once, in bytes, but for a single line that is longer. Caddy's writer refuses what is longer than
// its roll_size, which is 1 MiB or more, and rolls between two writes.
const maxWrite = 256 << 10

// put writes lines and returns up to which offset they are in the file as whole lines; err is why the others are not. Caddy's writer
// rolls the file by itself: then it is opened once more.
func (d *disk) put(l *lines) (whole int, err error) {
	if l.empty() {
		return 0, nil
	}
	if lies, err := os.Stat(d.path); d.to == nil || err != nil || !os.SameFile(lies, d.lies) {
		if err := d.reopen(); err != nil {
			return 0, err
		}
	}
	for from, to := range l.parts(maxWrite) {
		start := from
		if d.torn {
			start-- // a newline stands before each line
		}
		n, err := d.to.Write(l.text[start:to])
		if err == nil && start+n < to {
			err = io.ErrShortWrite
		}
		if err != nil {
			if n > 0 {
				d.torn = l.text[start+n-1] != '\n'
			}
			return l.wholeAt(start + n), err
		}
		d.torn, whole = false, to
	}
	return whole, nil
}

// reopen opens the file that is at the path now, or makes one.
func (d *disk) reopen() (err error) {
	_ = d.close()
	to, err := d.open()
	if err != nil {
		return err
	}
	if d.lies, err = os.Stat(d.path); err != nil {
		return errors.Join(err, to.Close())
	}
	d.to, d.torn = to, endsTorn(d.path, d.lies)
	return nil
}

// close closes the file. It can be opened again.
func (d *disk) close() error {
	if d.to == nil {
		return nil
	}
	to := d.to
	d.to = nil
	return to.Close()
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
