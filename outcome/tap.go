package outcome

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// maxKept is how much of an answer is kept, in bytes as they come. A longer one is read
// while it passes.
const maxKept = 64 << 10

// Tap reads an answer while it passes, in bounded memory: a short one at its end, a
// long one beside the copying. It changes nothing of what passes.
type Tap struct {
	operation superoffice.Operation
	status    int
	masked    bool
	format    format
	kept      []byte
	stream    *stream
}

// NewTap begins to observe an answer with this head. masked reports whether the
// $select that was sent nulls what the outcome is told from.
func NewTap(op superoffice.Operation, status int, header http.Header, masked bool) *Tap {
	return &Tap{operation: op, status: status, format: formatOf(header), masked: masked}
}

// Write takes a part of the answer. It never fails.
func (t *Tap) Write(p []byte) (int, error) {
	switch {
	case t.stream != nil:
		t.stream.write(p)
	case len(t.kept)+len(p) <= maxKept:
		t.kept = append(t.kept, p...)
	default:
		t.stream = t.format.stream()
		t.stream.write(t.kept)
		t.stream.write(p)
		t.kept = nil
	}
	return len(p), nil
}

// Whole takes an answer at once, in place of Write. It is kept as it is, and must not change before Outcome.
func (t *Tap) Whole(answer []byte) {
	if t.stream != nil || len(t.kept) > 0 || len(answer) > maxKept {
		_, _ = t.Write(answer)
		return
	}
	t.kept = answer
}

// Outcome returns what the answer said, once, after the last Write. end is nil
// when it arrived whole.
func (t *Tap) Outcome(end error) Outcome {
	var r reading
	switch {
	case t.stream != nil:
		r = t.stream.end(end)
	case end == nil && len(t.kept) > 0:
		r = t.format.readKept(t.kept)
	case end == nil:
		r.err = errNoBody
	}
	switch {
	case end != nil:
		return Outcome{Class: Unknown, Cause: "truncated"}
	case t.status == http.StatusNoContent && t.operation.Answer() == superoffice.AnswersNothing:
		return Outcome{Class: Accepted}
	case t.status >= 400 && r.err == nil && r.answer.Present:
		return describe(r.answer, Contradictory, "plugin_response_under_error_status")
	case t.status >= 400:
		return Outcome{Class: Fault, Cause: r.cause(), ErrorCode: clip(r.answer.Fault.Type), TechExplanation: clip(r.answer.Fault.Message)}
	case t.operation.Answer() == superoffice.AnswersOther && errors.Is(r.err, superoffice.ErrNotAnAnswer):
		return Outcome{Class: OK} // whole, and of a form that is not published
	case r.err != nil:
		return Outcome{Class: Unreadable, Cause: r.cause()}
	case r.answer.Null:
		return Outcome{Class: Empty}
	case t.operation.Answer() == superoffice.AnswersOther:
		return Outcome{Class: OK}
	case r.answer.Fault.Present && !r.answer.Present:
		return Outcome{Class: Contradictory, Cause: "error_body_under_success", ErrorCode: clip(r.answer.Fault.Type), TechExplanation: clip(r.answer.Fault.Message)}
	}
	class, cause := classify(r.answer.PluginResponse, t.masked)
	return describe(r.answer, class, cause)
}

// reading is what reading an answer came to.
type reading struct {
	answer superoffice.Answer
	err    error
}

var errNoBody = errors.New("no_body")

// cause puts into a code why an answer cannot be read; "" where it can.
func (r reading) cause() string {
	var syntax *xml.SyntaxError
	switch {
	case r.err == nil:
		return ""
	case errors.Is(r.err, superoffice.ErrTwice):
		return "duplicate_property"
	case errors.Is(r.err, superoffice.ErrNotAnAnswer):
		return "not_plugin_response"
	case errors.Is(r.err, superoffice.ErrTooLong):
		return errTooLarge.Error()
	case errors.Is(r.err, superoffice.ErrTooDeep):
		return "too_deep"
	case errors.Is(r.err, superoffice.ErrDocumentType):
		return "document_type"
	case errors.As(r.err, &syntax):
		return "malformed"
	}
	for _, known := range []error{errNoBody, errTooLarge, errEncoding, errCharset, errMediaType, errHTML} {
		if errors.Is(r.err, known) {
			return known.Error()
		}
	}
	if errors.Is(r.err, io.ErrUnexpectedEOF) || errors.Is(r.err, io.EOF) {
		return "cut_short"
	}
	return "malformed"
}

// read reads an answer to its end.
func (f format) read(from io.Reader) (r reading) {
	if f.err != nil {
		return reading{err: f.err}
	}
	text, done, err := f.decoded(from)
	if err != nil {
		return reading{err: err}
	}
	defer done()
	return f.readText(text)
}

// readKept is read for an answer that is at hand. Nearly all of them are UTF-8 as they come.
func (f format) readKept(kept []byte) reading {
	if f.err == nil && len(f.encodings) == 0 && f.utf8Charset() && kept[0] < utf8.RuneSelf {
		return f.readText(bytes.NewReader(kept))
	}
	return f.read(bytes.NewReader(kept))
}

func (f format) readText(text io.Reader) (r reading) {
	if f.xml {
		r.answer, r.err = superoffice.ReadXMLAnswer(text, f.prologCharset)
	} else {
		r.answer, r.err = superoffice.ReadJSONAnswer(text)
	}
	return r
}

// stream reads a long answer beside the copying. When it knows enough, or
// cannot go on, it lets the rest go by unread.
type stream struct {
	in   *io.PipeWriter
	done chan reading
}

func (f format) stream() *stream {
	out, in := io.Pipe()
	s := &stream{in: in, done: make(chan reading, 1)}
	go func() {
		r := f.read(out)
		_ = out.Close()
		s.done <- r
	}()
	return s
}

func (s *stream) write(p []byte) { _, _ = s.in.Write(p) }

func (s *stream) end(err error) reading {
	_ = s.in.CloseWithError(err)
	return <-s.done
}
