package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Sink takes an answer: head first, then the body as it comes. Every http.ResponseWriter is one.
type Sink interface {
	Header() http.Header
	WriteHeader(status int)
	Write(part []byte) (int, error)
}

// returnedHeaders are SuperOffice's headers that the caller gets.
var returnedHeaders = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Length", "Retry-After", "So-Timezone"}

const (
	// outcomeHeader says what the answer said, where it was read before it was passed on.
	outcomeHeader = "Erpsync-Outcome"

	// maxHeld is how much of an answer is read before any of it is passed on. What
	// the call holds is given back then, however slowly its caller reads. With what else
	// it takes a call stays below a mebibyte.
	maxHeld = 960 << 10

	// stalledAfter is how long a caller of an answer that is longer may take to read a part of it, before
	// it counts as gone.
	stalledAfter = 30 * time.Second

	// partSize is how much of an answer is copied at a time.
	partSize = 16 << 10
)

// A third of what a call would allocate is this buffer.
var parts = sync.Pool{New: func() any { return new([partSize]byte) }}

// keptAnswer is an answer that is kept under an Idempotency-Key, and one byte more than is kept of one too long.
type keptAnswer struct {
	status int
	header http.Header
	body   []byte
	whole  bool
}

func (k *keptAnswer) Write(p []byte) (int, error) {
	room := guard.MaxKept + 1 - len(k.body)
	k.body = append(k.body, p[:min(len(p), room)]...)
	return len(p), nil
}

// pass hands SuperOffice's answer on to sink, byte for byte, and reads it on the way. A caller
// that leaves ends nothing: the answer is read to its end and recorded.
func (c *upstreamCall) pass(resp *http.Response, sink Sink) *auth.Refusal {
	tap := outcome.NewTap(c.order.Operation, resp.StatusCode, resp.Header, c.order.Select.Hides())
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		c.record.Outcome = outcome.Outcome{Class: outcome.Fault, Cause: "credential_refused"}
		return c.exhausted()
	case replaced(resp.StatusCode):
		_, err := io.CopyN(tap, resp.Body, 64<<10)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		c.record.Outcome = tap.Outcome(err)
		c.withheld = !turnedAway(resp.StatusCode)
		return auth.Refuse(auth.UpstreamAnswerRefused, errors.New(resp.Status))
	}
	p := passage{sink: sink, resp: resp, tap: tap}
	if c.entry != nil {
		c.answer = &keptAnswer{status: resp.StatusCode, header: make(http.Header, len(returnedHeaders))}
		copyHeaders(c.answer.header, resp.Header)
		p.keep = c.answer
	}
	pooled := parts.Get().(*[partSize]byte)
	defer parts.Put(pooled)
	err := p.read(pooled[:])

	// SuperOffice has answered in full: nobody waits for a caller that reads slowly.
	c.record.Status, c.record.Outcome, c.record.Broken = resp.StatusCode, tap.Outcome(err), err != nil && p.begun
	if c.answer != nil {
		c.answer.whole = err == nil
		// Who comes back for the answer is told as the first was.
		c.answer.header[outcomeHeader] = []string{string(c.record.Outcome.Class)}
	}
	c.Release()
	if !p.begun && err != nil {
		// Nothing was passed on, so that the caller can be told: clients repeat a call whose connection breaks.
		return auth.Refuse(auth.OutcomeUnknown, err)
	}
	if !p.begun {
		sink.Header()[outcomeHeader] = []string{string(c.record.Outcome.Class)}
		p.begin()
		p.writeHeld()
	}
	p.allow(0) // the connection serves others after this call
	c.record.Bytes = p.written
	return nil
}

// replaced reports whether an answer of that status is not passed on: redirects and challenges are not
// the caller's to follow, and browsers repeat a POST after 408, 421 and 425.
func replaced(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly:
		return true
	}
	return status < 200 || status/100 == 3
}

// turnedAway reports whether a status means by its definition that the call was not looked at.
func turnedAway(status int) bool {
	return status == http.StatusProxyAuthRequired || status == http.StatusMisdirectedRequest || status == http.StatusTooEarly
}

func copyHeaders(to, from http.Header) {
	for _, name := range returnedHeaders {
		if values := from[name]; len(values) > 0 {
			to[name] = values
		}
	}
}

// passage is an answer on its way to the caller.
type passage struct {
	sink Sink
	resp *http.Response
	tap  *outcome.Tap
	keep *keptAnswer // nil: nothing is kept

	short   []byte   // a whole answer of less than a part
	held    [][]byte // of a longer one: read, and not passed on yet
	long    bool     // more than one part
	begun   bool     // the head has been passed on
	gone    bool     // the caller has left, or reads no more
	written int64
}

// read reads the answer to its end, part by part. An answer of up to maxHeld bytes is held; a longer one is passed
// on as it comes. Only trouble with reading the answer is an error.
func (p *passage) read(part []byte) error {
	// A short answer is passed on from where it was read.
	n, err := readFull(p.resp.Body, part)
	if err != nil {
		p.short = part[:n]
		p.tap.Whole(part[:n])
		p.keepPart(part[:n])
		return ended(err)
	}
	p.observe(part)
	p.long = true
	held := 0
	for {
		switch {
		case p.begun:
			p.write(part[:n])
			if err == nil {
				p.flush()
			}
		case held+n <= maxHeld:
			p.hold(part[:n])
			held += n
		default:
			p.begin()
			p.writeHeld()
			p.write(part[:n])
		}
		if err != nil {
			return ended(err)
		}
		n, err = p.resp.Body.Read(part)
		p.observe(part[:n])
	}
}

// hold copies a part, into pieces that are never moved to grow.
func (p *passage) hold(part []byte) {
	for len(part) > 0 {
		last := len(p.held) - 1
		if last < 0 || len(p.held[last]) == cap(p.held[last]) {
			p.held = append(p.held, make([]byte, 0, partSize))
			last++
		}
		n := min(len(part), cap(p.held[last])-len(p.held[last]))
		p.held[last] = append(p.held[last], part[:n]...)
		part = part[n:]
	}
}

// writeHeld passes on what is held, and lets go of it.
func (p *passage) writeHeld() {
	p.write(p.short)
	for i, piece := range p.held {
		p.write(piece)
		p.held[i] = nil
	}
	p.held = nil
}

// ended returns nil for the regular end of an answer.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readFull reads until part is full or the body has ended, which an error says. Unlike io.ReadFull it keeps io.EOF apart.
func readFull(body io.Reader, part []byte) (n int, err error) {
	for n < len(part) && err == nil {
		var m int
		m, err = body.Read(part[n:])
		n += m
	}
	return n, err
}

func (p *passage) observe(part []byte) {
	_, _ = p.tap.Write(part)
	p.keepPart(part)
}

func (p *passage) keepPart(part []byte) {
	if p.keep != nil {
		_, _ = p.keep.Write(part)
	}
}

// begin passes the head on.
func (p *passage) begin() {
	header := p.sink.Header()
	copyHeaders(header, p.resp.Header)
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	p.sink.WriteHeader(p.resp.StatusCode)
	p.begun = true
}

// write passes on what was read. A caller that takes none of it for too long counts as gone.
func (p *passage) write(read []byte) {
	for len(read) > 0 && !p.gone {
		part := read[:min(len(read), partSize)]
		p.allow(stalledAfter)
		n, err := p.sink.Write(part)
		p.written += int64(n)
		p.gone, read = err != nil, read[len(part):]
	}
}

// allow bounds how long the caller of a long answer may take to read a part; 0 for as long as it likes.
func (p *passage) allow(period time.Duration) {
	w, ok := p.sink.(http.ResponseWriter)
	if !ok || !p.long {
		return
	}
	until := time.Time{}
	if period > 0 {
		until = time.Now().Add(period)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(until)
}

// flush passes on what the sink holds back. A sink that cannot is no caller that left.
func (p *passage) flush() {
	w, ok := p.sink.(http.ResponseWriter)
	if !ok || p.gone {
		return
	}
	err := http.NewResponseController(w).Flush()
	p.gone = err != nil && !errors.Is(err, http.ErrNotSupported)
}
