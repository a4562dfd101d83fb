package auditlog

import (
	"bufio"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxLine bounds a line, in bytes: an audit line with a hundred external keys has 60 KB.
const maxLine = 1 << 20

// Files are audit files that are read together, in the order of time.
type Files struct {
	// Total and read count bytes as they lie on the disk.
	Total int64
	read  atomic.Int64
	// Foreign counts lines that are no audit lines, Found those that are.
	Foreign, Found int

	sources []*source
}

// Open opens files, "-" for standard input. A folder stands for its *.log* files;
// rolled ones may be packed with gzip or zstd.
func Open(names []string, stdin io.Reader) (*Files, error) {
	f := new(Files)
	for _, name := range names {
		if err := f.open(name, stdin); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

func (f *Files) open(name string, stdin io.Reader) error {
	if name == "-" {
		return f.add(name, stdin, nil)
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		inside, err := filepath.Glob(filepath.Join(name, "*.log*"))
		if err != nil {
			return err
		}
		if len(inside) == 0 {
			return fmt.Errorf("%s holds no *.log files", name)
		}
		for _, one := range inside {
			if err := f.open(one, nil); err != nil {
				return err
			}
		}
		return nil
	}
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	f.Total += info.Size()
	return f.add(name, file, file.Close)
}

func (f *Files) add(name string, from io.Reader, closeFile func() error) error {
	buffered := bufio.NewReader(counted{from, &f.read})
	text := io.Reader(buffered)
	magic, _ := buffered.Peek(4)
	var err error
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		text, err = gzip.NewReader(buffered)
	case string(magic) == "\x28\xb5\x2f\xfd":
		text, err = zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
	}
	s := &source{name: name, close: closeFile}
	f.sources = append(f.sources, s)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.lines = bufio.NewScanner(text)
	s.lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	return nil
}

// Read is how many bytes have been read so far.
func (f *Files) Read() int64 { return f.read.Load() }

// Close closes all files.
func (f *Files) Close() (err error) {
	for _, s := range f.sources {
		if s.close != nil {
			err = errors.Join(err, s.close())
		}
	}
	return err
}

// Each passes every audit line to visit, merged by time: each file's own order
// is kept. It ends with the first error, of a file or of visit.
func (f *Files) Each(visit func(*Line) error) error {
	var open merge
	for _, s := range f.sources {
		if ok, err := f.next(s); err != nil {
			return err
		} else if ok {
			open = append(open, s)
		}
	}
	heap.Init(&open)
	for len(open) > 0 {
		first := open[0]
		if err := visit(&first.line); err != nil {
			return err
		}
		ok, err := f.next(first)
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&open, 0)
		default:
			heap.Pop(&open)
		}
	}
	return nil
}

// source is one file with its next line.
type source struct {
	name      string
	lines     *bufio.Scanner
	unwrapper unwrapper
	close     func() error
	line      Line
}

// next reads a file up to its next audit line.
func (f *Files) next(s *source) (ok bool, err error) {
	for s.lines.Scan() {
		raw, whole := s.unwrapper.next(s.lines.Bytes())
		if !whole || len(raw) == 0 {
			continue
		}
		if s.line, err = parse(raw); err == nil {
			f.Found++
			return true, nil
		}
		f.Foreign++
	}
	if err := s.lines.Err(); err != nil {
		return false, fmt.Errorf("%s: %w", s.name, err)
	}
	return false, nil
}

// merge is a heap of files, the one with the earliest line first.
type merge []*source

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i].line.Time.Before(m[j].line.Time) }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*source)) }
func (m *merge) Pop() any {
	last := len(*m) - 1
	s := (*m)[last]
	*m = (*m)[:last]
	return s
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
