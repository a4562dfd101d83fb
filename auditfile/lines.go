package auditfile

import "iter"

// lines are lines that are written together, in the order in which they came.
type lines struct {
	text  []byte // a newline, to begin with where the file ends within a line, and then the lines
	marks []mark
	// deferred is how many bytes nobody waits for.
	deferred int
}

// mark is where a line ends in the text.
type mark struct {
	end      int
	deferred bool // nobody waits for it
}

func (l *lines) empty() bool { return len(l.marks) == 0 }

// add appends a line and returns where it ends.
func (l *lines) add(line []byte, deferred bool) (end int) {
	if len(l.text) == 0 {
		l.text = append(l.text, '\n')
	}
	l.text = append(l.text, line...)
	l.marks = append(l.marks, mark{len(l.text), deferred})
	if deferred {
		l.deferred += len(line)
	}
	return len(l.text)
}

// addDeferred appends the lines of another that end behind an offset and that nobody waits for.
func (l *lines) addDeferred(of *lines, behind int) {
	start := 1
	for _, m := range of.marks {
		if m.deferred && m.end > behind {
			l.add(of.text[start:m.end], true)
		}
		start = m.end
	}
}

// parts yields from where to where whole lines can be written at once: as many as fit, or one that is longer.
func (l *lines) parts(size int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		from, to := 1, 1
		for _, m := range l.marks {
			if m.end-from > size && to > from {
				if !yield(from, to) {
					return
				}
				from = to
			}
			to = m.end
		}
		if to > from {
			yield(from, to)
		}
	}
}

// wholeAt returns where the last line ends that is whole in the first n bytes of the text. One that lacks nothing but its newline is whole: the
// line behind it begins with one.
func (l *lines) wholeAt(n int) (end int) {
	for _, m := range l.marks {
		if m.end > n && (m.end != n+1 || l.text[n] != '\n') {
			break
		}
		end = m.end
	}
	return end
}

// maxSpare is how much memory is kept between two writes, in bytes.
const maxSpare = 256 << 10

// reset takes the lines out and keeps their memory, unless it was much.
func (l *lines) reset() {
	if cap(l.text) > maxSpare {
		*l = lines{}
		return
	}
	l.text, l.marks, l.deferred = l.text[:min(1, len(l.text))], l.marks[:0], 0
}
