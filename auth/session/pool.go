package session

// block is how many values a pool allocates at a time.
const block = 1024

// pool keeps many small values that hold no pointer, by number. The garbage collector has to look
// at none of them: a million sessions as values of their own would cost every call a share of its marking.
type pool[T any] struct {
	blocks []*[block]T
	free   []uint32
	used   uint32 // numbers that were ever given out
}

// take returns the number of a value that nobody uses.
func (p *pool[T]) take() uint32 {
	if last := len(p.free) - 1; last >= 0 {
		n := p.free[last]
		p.free = p.free[:last]
		return n
	}
	if int(p.used/block) == len(p.blocks) {
		p.blocks = append(p.blocks, new([block]T))
	}
	p.used++
	return p.used - 1
}

// at returns the value of a number that take gave.
func (p *pool[T]) at(n uint32) *T { return &p.blocks[n/block][n%block] }

// give takes a number back; the value is as new when it is taken again.
func (p *pool[T]) give(n uint32) {
	*p.at(n) = *new(T)
	p.free = append(p.free, n)
}

const cellBytes = 124

// cell is a piece of a text; the pieces of one are chained.
type cell struct {
	next  uint32
	piece [cellBytes]byte
}

// text names a text in cells.
type text struct{ first, size uint32 }

// texts keeps texts of any length in cells.
type texts struct{ cells pool[cell] }

func (t *texts) keep(raw []byte) text {
	kept := text{size: uint32(len(raw))}
	into := &kept.first
	for {
		*into = t.cells.take()
		c := t.cells.at(*into)
		raw = raw[copy(c.piece[:], raw):]
		if len(raw) == 0 {
			return kept
		}
		into = &c.next
	}
}

// read returns a copy of the text.
func (t *texts) read(kept text) []byte {
	out := make([]byte, 0, kept.size)
	for n := kept.first; ; {
		c := t.cells.at(n)
		out = append(out, c.piece[:min(int(kept.size)-len(out), cellBytes)]...)
		if len(out) == int(kept.size) {
			return out
		}
		n = c.next
	}
}

func (t *texts) drop(kept text) {
	for n, left := kept.first, int(kept.size); ; left -= cellBytes {
		next := t.cells.at(n).next
		t.cells.give(n)
		if left <= cellBytes {
			return
		}
		n = next
	}
}

// names gives strings of which there are few a number each, for good.
type names struct {
	numbers map[string]uint32
	all     []string
}

func (n *names) number(name string) uint32 {
	if number, ok := n.numbers[name]; ok {
		return number
	}
	if n.numbers == nil {
		n.numbers = make(map[string]uint32)
	}
	number := uint32(len(n.all))
	n.numbers[name] = number
	n.all = append(n.all, name)
	return number
}
