package outcome

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestAnAnswerHasOneClass(t *testing.T) {
	t.Parallel()
	const js = "application/json; charset=utf-8"
	for _, c := range []struct {
		name, media, body string
		status            int
		op                superoffice.Operation
		masked            bool
		end               error
		class             Class
		cause             string
	}{
		{name: "ok", body: `{"IsOk":true,"Status":"Ok"}`, class: OK},
		{name: "BOM", body: "\xef\xbb\xbf" + `{"IsOk":true,"Status":"Ok"}`, class: OK},
		{name: "info", body: `{"IsOk":true,"Status":"OkWithInfo"}`, class: Info},
		{name: "warning", body: `{"IsOk":true,"Status":"Warning"}`, class: Warning},
		{name: "the prose's warn", body: `{"IsOk":true,"Status":"Warn"}`, class: Warning},
		{name: "the seed's failure", body: `{"IsOk":false,"UserExplanation":"quo","TechExplanation":"quo","ErrorCode":"sunt","Changes":null,"Status":"Error","TableRight":null,"FieldProperties":{"fieldName":{"FieldRight":null,"FieldType":"System.Int32","FieldLength":171}}}`, class: Error},
		{name: "IsOk alone", body: `{"IsOk":true,"Status":null}`, class: OK},
		{name: "not IsOk alone", body: `{"IsOk":false}`, class: Error},
		{name: "Status alone", body: `{"Status":"Error"}`, class: Error},
		{name: "both disagree", body: `{"IsOk":true,"Status":"Error"}`, class: Contradictory, cause: "status_disagrees"},
		{name: "both disagree the other way", body: `{"IsOk":false,"Status":"Ok"}`, class: Contradictory, cause: "status_disagrees"},
		{name: "masked", body: `{"IsOk":null,"Status":null}`, masked: true, class: Masked, cause: "select"},
		{name: "nothing to tell from", body: `{"IsOk":null,"Status":null}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "null", body: `null`, class: Empty},
		{name: "a batch task", status: 204, op: superoffice.ForceResyncBatchTask, class: Accepted},
		{name: "204 of a plain call", status: 204, class: Unreadable, cause: "no_body"},
		{name: "engine status", body: `{"Anything":1}`, op: superoffice.GetEngineStatus, class: OK},
		{name: "login page", media: "text/html", body: `<html>`, class: Unreadable, cause: "html"},
		{name: "a picture", media: "image/png", body: `x`, class: Unreadable, cause: "media_type"},
		{name: "two media types", media: "application/json, text/html", body: `{"IsOk":true}`, class: Unreadable, cause: "media_type"},
		{name: "unknown charset", media: "application/json; charset=klingon", body: `{"IsOk":true}`, class: Unreadable, cause: "charset"},
		{name: "UTF-16 with a mark", media: js, body: utf16le(`{"IsOk":false,"Status":"Error"}`), class: Error},
		{name: "UTF-16 in the head", media: "text/json; charset=utf-16le", body: utf16le(`{"IsOk":true}`)[2:], class: OK},
		{name: "XML", media: "application/xml", body: `<?xml version="1.0" encoding="utf-8"?><PluginResponse><IsOk>true</IsOk><Status>Ok</Status></PluginResponse>`, class: OK},
		{name: "XML with namespaces", media: "text/xml", body: `<a:PluginResponse xmlns:a="urn:a" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><a:ErrorCode i:nil="true"/><a:IsOk>0</a:IsOk><a:Status>Error</a:Status></a:PluginResponse>`, class: Error},
		{name: "XML in Latin-1", media: "application/xml", body: "<?xml version='1.0' encoding='iso-8859-1'?><PluginResponse><UserExplanation>\xe6\xf8\xe5</UserExplanation><IsOk>true</IsOk></PluginResponse>", class: OK},
		{name: "XML in an unknown charset", media: "application/xml", body: `<?xml version="1.0" encoding="klingon"?><PluginResponse/>`, class: Unreadable, cause: "charset"},
		{name: "XML in UTF-16", media: "application/xml", body: utf16le(`<?xml version="1.0" encoding="utf-16"?><PluginResponse><IsOk>true</IsOk></PluginResponse>`), class: OK},
		{name: "XML nothing", media: "application/xml", body: `<PluginResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true" />`, class: Empty},
		{name: "XML twice", media: "application/xml", body: `<PluginResponse><IsOk>false</IsOk><IsOk>true</IsOk></PluginResponse>`, class: Unreadable, cause: "duplicate_property"},
		{name: "XML twice in two namespaces", media: "application/xml", body: `<PluginResponse><IsOk>false</IsOk><IsOk xmlns="urn:b">true</IsOk></PluginResponse>`, class: Unreadable, cause: "duplicate_property"},
		{name: "XML not a bool", media: "application/xml", body: `<PluginResponse><IsOk>yes</IsOk></PluginResponse>`, class: Unreadable, cause: "not_plugin_response"},
		{name: "XML of something else", media: "application/xml", body: `<Contact><IsOk>true</IsOk></Contact>`, class: Unreadable, cause: "not_plugin_response"},
		{name: "XML element inside", media: "application/xml", body: `<PluginResponse><IsOk><b>true</b></IsOk></PluginResponse>`, class: Unreadable, cause: "not_plugin_response"},
		{name: "XML cut short", media: "application/xml", body: `<PluginResponse><IsOk>true</IsOk>`, class: Unreadable, cause: "cut_short"},
		{name: "XML malformed", media: "application/xml", body: `<PluginResponse><IsOk>true</Ok></PluginResponse>`, class: Unreadable, cause: "malformed"},
		{name: "XML with trailing bytes", media: "application/xml", body: `<PluginResponse><IsOk>true</IsOk></PluginResponse><PluginResponse/>`, class: Unreadable, cause: "not_plugin_response"},
		{name: "XML with a document type", media: "application/xml", body: `<!DOCTYPE x [<!ENTITY e "true">]><PluginResponse><IsOk>&e;</IsOk></PluginResponse>`, class: Unreadable, cause: "document_type"},
		{name: "XML with an entity", media: "application/xml", body: `<PluginResponse><IsOk>&e;</IsOk></PluginResponse>`, class: Unreadable, cause: "malformed"},
		{name: "XML too deep", media: "application/xml", body: "<PluginResponse>" + strings.Repeat("<X>", 20000), class: Unreadable, cause: "too_deep"},
		{name: "XML error body", media: "application/xml", status: 400, body: `<Error><Message>M</Message></Error>`, class: Fault},
		{name: "XML error body under 200", media: "application/xml", body: `<Error><Message>M</Message></Error>`, class: Contradictory, cause: "error_body_under_success"},
		{name: "SOAP", media: "application/soap+xml", body: `<Envelope><Body><PluginResponse><IsOk>true</IsOk></PluginResponse></Body></Envelope>`, class: Unreadable, cause: "not_plugin_response"},
		{name: "cut short", body: `{"IsOk":tr`, class: Unreadable, cause: "cut_short"},
		{name: "malformed", body: `{"IsOk":xx}`, class: Unreadable, cause: "malformed"},
		{name: "broke off", body: `{"IsOk":true`, end: io.ErrUnexpectedEOF, class: Unknown, cause: "truncated"},
		{name: "trailing bytes", body: `{"IsOk":true,"Status":"Ok"}{}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "duplicate", body: `{"IsOk":false,"IsOk":true}`, class: Unreadable, cause: "duplicate_property"},
		{name: "other case", body: `{"isOk":true}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "wrong type", body: `{"IsOk":"yes"}`, class: Unreadable, cause: "not_plugin_response"},
		{name: "unknown status", body: `{"Status":"Fine"}`, class: Unreadable, cause: "status_unknown"},
		{name: "fault one", status: 400, body: `{"Error":true,"ErrorType":"T","ErrorMessage":"M","ErrorSource":"S"}`, class: Fault},
		{name: "fault two", status: 400, body: `{"Error":true,"ErrorType":"T","Message":"M"}`, class: Fault},
		{name: "fault three", status: 404, body: `{"Message":"M","MessageDetail":"D"}`, class: Fault},
		{name: "fault without a body", status: 500, class: Fault, cause: "no_body"},
		{name: "error body under 200", body: `{"Message":"M"}`, class: Contradictory, cause: "error_body_under_success"},
		{name: "answer under 400", status: 400, body: `{"IsOk":false,"Status":"Error"}`, class: Contradictory, cause: "plugin_response_under_error_status"},
		{name: "another case beside it", body: `{"IsOk":false,"isOk":true}`, class: Unreadable, cause: "duplicate_property"},
		{name: "a text too long", body: `{"X":"` + strings.Repeat("x", 300<<10) + `"}`, class: Unreadable, cause: "too_large"},
		{name: "long, with the end at the end", body: `{"X":[` + strings.Repeat(`"x",`, 100<<10) + `1],"IsOk":false,"Status":"Error"}`, class: Error},
		{name: "long, and cut short", body: `{"IsOk":true,"X":[` + strings.Repeat(`"x",`, 100<<10), class: Unreadable, cause: "cut_short"},
		{name: "long, and broken off", body: `{"IsOk":true,"X":[` + strings.Repeat(`"x",`, 100<<10), end: io.ErrUnexpectedEOF, class: Unknown, cause: "truncated"},
		{name: "long, and known to be nothing early", body: `[` + strings.Repeat(`"x",`, 100<<10), class: Unreadable, cause: "not_plugin_response"},
		{name: "deep", body: strings.Repeat("[", 20000), class: Unreadable, cause: "not_plugin_response"},
		{name: "deep inside", body: `{"X":` + strings.Repeat("[", 20000), class: Unreadable, cause: "too_deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.status == 0 {
				c.status = 200
			}
			if c.op == superoffice.UnknownOperation {
				c.op = superoffice.ForceResync
			}
			if c.media == "" {
				c.media = js
			}
			tap := NewTap(c.op, c.status, http.Header{"Content-Type": {c.media}}, c.masked)
			for body := c.body; body != ""; {
				n := min(len(body), 700)
				_, _ = tap.Write([]byte(body[:n]))
				body = body[n:]
			}
			got := tap.Outcome(c.end)
			if got.Class != c.class || got.Cause != c.cause {
				t.Errorf("%s (%s), want %s (%s)", got.Class, got.Cause, c.class, c.cause)
			}
		})
	}
}

// utf16le writes a text as Windows does, with a byte order mark.
func utf16le(s string) string {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return string(out)
}

// observe lets an answer pass a tap in pieces.
func observe(tap *Tap, body string) Outcome {
	for piece := range slices.Chunk([]byte(body), 16<<10) {
		_, _ = tap.Write(piece)
	}
	return tap.Outcome(nil)
}

// encoders write what HTTP calls content codings.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 1) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		e, err := zstd.NewWriter(w, zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err)
		}
		return e
	},
}

func TestABombIsLetGoAndTheTapsMemoryIsBounded(t *testing.T) {
	const limit, promised = 256 << 10, 48 << 20
	for coding, encoder := range encoders {
		var bomb bytes.Buffer
		w := encoder(&bomb)
		_, _ = io.WriteString(w, `{"IsOk":true,"X":[0`)
		zeros := bytes.Repeat([]byte(",0"), 1<<19)
		for range 20 { // 20 MiB
			_, _ = w.Write(zeros)
		}
		_, _ = io.WriteString(w, `]}`)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		tap := NewTap(superoffice.ForceResync, 200, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {coding}}, false)
		tap.format.limit = limit
		tap.stream = tap.format.stream() // however small it is packed
		got := observe(tap, bomb.String())
		runtime.ReadMemStats(&after)
		if got.Class != Unreadable || got.Cause != "too_large" {
			t.Errorf("%s: %s (%s)", coding, got.Class, got.Cause)
		}
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > promised {
			t.Errorf("%s: the heap grew by %d MiB", coding, grown>>20)
		}
	}
}

// BenchmarkHugeAnswer shows what the tap costs where an answer is as long as it
// reads, and what it costs to let a longer one go.
func BenchmarkHugeAnswer(b *testing.B) {
	record := []byte(`{"Tablename":"contact","RecordId":1234567,"TableRight":null,"FieldProperties":null},`)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for i := range zeros {
		zeros[i] = '0'
	}
	_, _ = io.WriteString(w, `{"IsOk":true,"X":"`)
	for range 10 << 10 { // 10 GiB
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	b.Run("100MB", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tap := NewTap(superoffice.ForceResync, 200, http.Header{"Content-Type": {"application/json"}}, false)
			_, _ = io.WriteString(tap, `{"IsOk":true,"Changes":{"AddedRecords":[`)
			for range 100_000_000 / len(record) {
				_, _ = tap.Write(record)
			}
			_ = tap.Outcome(nil)
		}
	})
	b.Run("10GB_bomb", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tap := NewTap(superoffice.ForceResync, 200, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, false)
			if got := observe(tap, packed.String()); got.Cause != "too_large" {
				b.Fatal(got)
			}
		}
	})
}

// FuzzAnswer lets strangers' answers pass in every form: none may hang, panic
// or go by without a class, and the pieces that an answer comes in must not matter.
func FuzzAnswer(f *testing.F) {
	for _, media := range []string{"application/json", "application/xml; charset=utf-8", "text/json; charset=utf-16"} {
		f.Add(media, "", []byte(`{"IsOk":false,"Status":"Error","Changes":{"AddedRecords":[{"Tablename":"contact","RecordId":1}]}}`))
		f.Add(media, "gzip", []byte("\x1f\x8b\x08\x00"))
		f.Add(media, "br, deflate", []byte(`<PluginResponse xmlns="urn:a"><IsOk>true</IsOk><Changes><AddedRecords><a/></AddedRecords></Changes></PluginResponse>`))
		f.Add(media, "zstd", []byte("\x28\xb5\x2f\xfd"))
	}
	f.Fuzz(func(t *testing.T, media, coding string, body []byte) {
		header := http.Header{"Content-Type": {media}, "Content-Encoding": {coding}}
		newTap := func() *Tap { return NewTap(superoffice.ForceResync, 200, header, false) }
		whole, pieces, lent := newTap(), newTap(), newTap()
		_, _ = whole.Write(body)
		pieces.stream = pieces.format.stream()
		for piece := range slices.Chunk(body, 1+len(body)/64) {
			_, _ = pieces.Write(piece)
		}
		one, other := whole.Outcome(nil), pieces.Outcome(nil)
		if lent.Whole(body); lent.Outcome(nil) != one {
			t.Fatalf("%+v taken at once", one)
		}
		if one.Class == Unreadable && other.Class == Unreadable {
			other.Cause = one.Cause // of several things that are wrong, either may be met first
		}
		if len(body) > 0 && one != other || one.Class == "" {
			t.Fatalf("%+v whole, %+v in pieces", one, other)
		}
	})
}

func BenchmarkTap(b *testing.B) {
	const answer = `{"IsOk":false,"UserExplanation":"quo","TechExplanation":"quo","ErrorCode":"sunt","Changes":null,"Status":"Error","TableRight":null,"FieldProperties":{"fieldName":{"FieldRight":null,"FieldType":"System.Int32","FieldLength":171}}}`
	const xml = `<PluginResponse><IsOk>false</IsOk><UserExplanation>quo</UserExplanation><TechExplanation>quo</TechExplanation><ErrorCode>sunt</ErrorCode><Status>Error</Status></PluginResponse>`
	for name, c := range map[string]struct{ media, coding, body string }{
		"json": {"application/json; charset=utf-8", "", answer}, "xml": {"application/xml", "", xml}, "gzip": {"application/json", "gzip", answer},
	} {
		body := []byte(c.body)
		if c.coding != "" {
			var packed bytes.Buffer
			w := encoders[c.coding](&packed)
			_, _ = w.Write(body)
			_ = w.Close()
			body = packed.Bytes()
		}
		header := http.Header{"Content-Type": {c.media}, "Content-Encoding": {c.coding}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tap := NewTap(superoffice.ForceResync, 200, header, false)
				_, _ = tap.Write(body)
				if got := tap.Outcome(nil); got.Class != Error {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkCount(b *testing.B) {
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	r := Record{Operation: superoffice.ForceResync, Tenant: "Cust12345", Decision: "allowed", Granted: true, Outcome: Outcome{Class: OK}, Duration: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		r.Began = true
		m.Began(&r)
		m.Ended(&r)
	}
}
