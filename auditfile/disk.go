package auditfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// disk is the file at a path, whatever happens to it there.
type disk struct {
	path  string
	rolls bool // Caddy's writer rolls the file, and packs what it has rolled
	open  func(roll bool) (io.WriteCloser, error)

	to      io.WriteCloser // nil: it is not open
	lies    os.FileInfo    // which file it was when it was opened
	torn    bool           // its last line has no end
	rolling bool           // it was opened to be rolled
	packing chan struct{}  // closed when the writer before has packed its files; nil: there is none
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
	if lies, err := os.Stat(d.path); d.to == nil || err != nil || !os.SameFile(lies, d.lies) || d.rolls && !d.rolling && d.packed() {
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

// packed reports whether no writer packs files any more.
func (d *disk) packed() bool {
	if d.packing == nil {
		return true
	}
	select {
	case <-d.packing:
		return true
	default:
		return false
	}
}

// leave lets go of the file. Caddy's writer is closed beside the lines: it packs first what it has rolled, which takes a second.
func (d *disk) leave() {
	to := d.to
	if d.to = nil; to == nil {
		return
	}
	if !d.rolling {
		_ = to.Close()
		return
	}
	packing := make(chan struct{})
	d.packing = packing
	go func() {
		defer close(packing)
		_ = to.Close()
	}()
}

// reopen opens the file that is at the path now, or makes one. While the writer before packs its files it is not rolled: two writers would pack the
// same file.
func (d *disk) reopen() (err error) {
	d.leave()
	rolling := d.rolls && d.packed()
	to, err := d.open(rolling)
	if err != nil {
		return err
	}
	d.rolling = rolling
	if d.lies, err = os.Stat(d.path); err != nil {
		return errors.Join(err, to.Close())
	}
	d.to, d.torn = to, endsTorn(d.path, d.lies)
	return nil
}

// close closes the file and waits until what was rolled is packed. It can be opened again.
func (d *disk) close() (err error) {
	if to := d.to; to != nil {
		d.to = nil
		err = to.Close()
	}
	if d.packing != nil {
		<-d.packing
	}
	return err
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
