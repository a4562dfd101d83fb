package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// plainSink can do nothing but take an answer.
type plainSink struct {
	header http.Header
	status int
	bytes.Buffer
}

func (s *plainSink) Header() http.Header    { return s.header }
func (s *plainSink) WriteHeader(status int) { s.status = status }

// flushingSink flushes as said, and records write deadlines.
type flushingSink struct {
	plainSink
	flush     error
	flushes   int
	deadlines []time.Time
}

func (s *flushingSink) FlushError() error {
	s.flushes++
	return s.flush
}

func (s *flushingSink) SetWriteDeadline(t time.Time) error {
	s.deadlines = append(s.deadlines, t)
	return nil
}

// slowly reads a part at a time, as an answer arrives.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 4096)]) }

func answerOf(body io.Reader, length int64) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body), ContentLength: length}
}

func passing(resp *http.Response, sink Sink) (*passage, error) {
	p := &passage{sink: sink, resp: resp, tap: outcome.NewTap(superoffice.ForceResync, resp.StatusCode, resp.Header, false)}
	err := p.read(make([]byte, partSize))
	if !p.begun {
		p.begin()
		p.writeHeld()
	}
	p.allow(0)
	return p, err
}

// A sink that cannot flush is no caller that left: 16,384 of 204,834 bytes arrived once.
func TestASinkThatCannotFlushGetsTheWholeAnswer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, partSize - 1, partSize, partSize + 1, 204_834, maxHeld, maxHeld + 1, 3 * maxHeld} {
		body := strings.Repeat("x", size)
		for name, sink := range map[string]interface {
			Sink
			String() string
		}{
			"plain":             &plainSink{header: make(http.Header)},
			"flush unsupported": &flushingSink{plainSink: plainSink{header: make(http.Header)}, flush: http.ErrNotSupported},
			"flush":             &flushingSink{plainSink: plainSink{header: make(http.Header)}},
		} {
			p, err := passing(answerOf(slowly{strings.NewReader(body)}, -1), sink)
			if err != nil || sink.String() != body || p.written != int64(size) {
				t.Errorf("%s, %d bytes: %d arrived, %d counted, %v", name, size, len(sink.String()), p.written, err)
			}
		}
	}
}

func TestALongAnswerIsPassedOnAsItComesWithADeadlineForEachPart(t *testing.T) {
	t.Parallel()
	sink := &flushingSink{plainSink: plainSink{header: make(http.Header)}}
	if _, err := passing(answerOf(slowly{strings.NewReader(strings.Repeat("x", 2*maxHeld))}, -1), sink); err != nil {
		t.Fatal(err)
	}
	if sink.flushes < 200 {
		t.Errorf("flushed %d times", sink.flushes)
	}
	last := len(sink.deadlines) - 1
	if last < 100 || !sink.deadlines[last].IsZero() {
		t.Fatalf("%d deadlines, the last %v: the connection serves others afterwards", last+1, sink.deadlines[max(last, 0)])
	}
	for _, d := range sink.deadlines[:last] {
		if left := time.Until(d); left < stalledAfter/2 || left > stalledAfter {
			t.Fatalf("%s for a part", left)
		}
	}
	short := &flushingSink{plainSink: plainSink{header: make(http.Header)}}
	if _, err := passing(answerOf(strings.NewReader("x"), 1), short); err != nil || len(short.deadlines) != 0 || short.flushes != 0 {
		t.Errorf("a short one: %d deadlines, %d flushes", len(short.deadlines), short.flushes)
	}
}

func TestACallerThatLeftEndsNothing(t *testing.T) {
	t.Parallel()
	sink := &flushingSink{plainSink: plainSink{header: make(http.Header)}, flush: errors.New("gone")}
	read := 0
	counted := readerFunc(func(p []byte) (int, error) {
		if read >= 3*maxHeld {
			return 0, io.EOF
		}
		read += len(p)
		return len(p), nil
	})
	p, err := passing(answerOf(counted, -1), sink)
	if err != nil || read < 3*maxHeld || !p.gone || p.written > 2*maxHeld {
		t.Errorf("%d read, %d written, gone %v, %v", read, p.written, p.gone, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAnAnswerThatBreaksOffIsAnErrorAndWhatCameIsPassedOn(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 200_000, 2 * maxHeld} {
		sink := &plainSink{header: make(http.Header)}
		broken := io.MultiReader(strings.NewReader(strings.Repeat("x", size)), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
		if _, err := passing(answerOf(broken, -1), sink); !errors.Is(err, io.ErrUnexpectedEOF) || sink.Len() != size {
			t.Errorf("%d bytes: %v, %d passed on", size, err, sink.Len())
		}
	}
}

// A WaitGroup may not be added to from zero while somebody waits for it; a kept connection does just that.
func TestARequestMayComeWhileItIsWaitedForTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a activity
		select {
		case <-a.drained():
		default:
			t.Fatal("nothing is being served")
		}
		a.enter()
		waiting := a.drained()
		a.enter()
		a.leave()
		select {
		case <-waiting:
			t.Fatal("one is still being served")
		default:
		}
		a.leave()
		<-waiting
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				a.enter()
				<-time.After(time.Millisecond)
				a.leave()
			})
			all.Go(func() { <-a.drained() })
		}
		all.Wait()
		if n := a.count(); n != 0 {
			t.Errorf("%d are being served", n)
		}
	})
}
