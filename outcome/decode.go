package outcome

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// maxDecoded is how much of an answer is read, in bytes after decompression.
	maxDecoded = 64 << 20

	// maxEncodings is how many content codings may lie over one another.
	maxEncodings = 2

	// maxWindow bounds the memory that a compressed answer can ask for, in bytes.
	maxWindow = 8 << 20
)

// What keeps an answer from being read. Each is a cause in the audit line.
var (
	errTooLarge  = errors.New("too_large")
	errEncoding  = errors.New("content_encoding")
	errCharset   = errors.New("charset")
	errMediaType = errors.New("media_type")
	errHTML      = errors.New("html")
)

// format is how an answer is written, as its head says.
type format struct {
	xml       bool
	charset   string
	encodings []string
	limit     int   // bytes after decompression
	err       error // why it cannot be read
}

func formatOf(header http.Header) format {
	f := format{limit: maxDecoded}
	media, parameters, err := superoffice.ParseMediaType(header.Get("Content-Type"))
	if err != nil || len(header["Content-Type"]) > 1 {
		f.err = errMediaType
		return f
	}
	switch {
	case media == "application/json", media == "text/json", strings.HasSuffix(media, "+json"):
	case media == "application/xml", media == "text/xml":
		f.xml = true
	case media == "text/html", media == "application/xhtml+xml":
		f.err = errHTML
	case strings.HasSuffix(media, "+xml"):
		f.xml = true
	default:
		f.err = errMediaType
	}
	f.charset = parameters["charset"]
	for _, line := range header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding != "" && coding != "identity" {
				f.encodings = append(f.encodings, coding)
			}
		}
	}
	if len(f.encodings) > maxEncodings {
		f.err = errEncoding
	}
	return f
}

// decoded takes the compression and the charset off.
func (f format) decoded(from io.Reader) (r io.Reader, close func(), err error) {
	close = func() {}
	for i := len(f.encodings) - 1; i >= 0; i-- {
		switch f.encodings[i] {
		case "gzip", "x-gzip":
			from, err = gzip.NewReader(from)
		case "br":
			source := bufio.NewReader(from)
			from = &exact{brotli.NewReader(source), source}
		case "deflate":
			source := bufio.NewReader(from)
			if from, err = inflater(source); err == nil {
				from = &exact{from, source}
			}
		case "zstd":
			var d *zstd.Decoder
			d, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxDecoded))
			if err == nil {
				inner := close
				from, close = d, func() { d.Close(); inner() }
			}
		default:
			err = errors.New(f.encodings[i])
		}
		if err != nil {
			close()
			return nil, nil, fmt.Errorf("%w: %w", errEncoding, err)
		}
		from = &coded{from}
	}
	r, err = f.utf8(&limited{from, f.limit})
	if err != nil {
		close()
		return nil, nil, err
	}
	return r, close, nil
}

// inflater reads what HTTP calls deflate: zlib's format, or as some servers
// understood it the raw stream.
func inflater(from *bufio.Reader) (io.Reader, error) {
	head, err := from.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(from)
	}
	return flate.NewReader(from), nil
}

// exact lets nothing stand behind the end of what a decoder reads from source.
type exact struct{ decoder, source io.Reader }

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.decoder.Read(p)
	if errors.Is(err, io.EOF) {
		if m, _ := io.ReadFull(e.source, make([]byte, 1)); m > 0 {
			return n, errors.New("bytes behind the end")
		}
	}
	return n, err
}

var bom = []byte("\xef\xbb\xbf")

// utf8 returns the text as UTF-8 without a byte order mark. A mark outweighs the
// charset that the head names, as it does for browsers.
func (f format) utf8(from io.Reader) (io.Reader, error) {
	var head [3]byte
	n, err := io.ReadFull(from, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if n == 3 && bytes.Equal(head[:], bom) {
		return from, nil
	}
	from = io.MultiReader(bytes.NewReader(head[:n]), from)
	if n >= 2 && (head[0] == 0xfe && head[1] == 0xff || head[0] == 0xff && head[1] == 0xfe) {
		return unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Reader(from), nil
	}
	if f.utf8Charset() {
		return from, nil
	}
	charset, err := htmlindex.Get(f.charset)
	if err != nil || charset == encoding.Replacement {
		return nil, errCharset
	}
	return charset.NewDecoder().Reader(from), nil
}

// utf8Charset is that of a text in UTF-8, unless a byte order mark says otherwise.
func (f format) utf8Charset() bool {
	switch strings.ToLower(f.charset) {
	case "", "utf-8", "utf8", "us-ascii":
		return true
	}
	return false
}

// prologCharset serves texts whose XML prolog names their encoding. What the head or a
// byte order mark said was heeded before, and then the prolog's word is history.
func (f format) prologCharset(label string, from io.Reader) (io.Reader, error) {
	if f.charset != "" || strings.HasPrefix(strings.ToLower(label), "utf-16") {
		return from, nil
	}
	charset, err := htmlindex.Get(label)
	if err != nil || charset == encoding.Replacement {
		return nil, errCharset
	}
	return charset.NewDecoder().Reader(from), nil
}

// coded marks the errors of a content coding.
type coded struct{ from io.Reader }

func (c *coded) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errEncoding, err)
	}
	return n, err
}

// limited ends in errTooLarge where the bound is passed.
type limited struct {
	from io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.from.Read(p[:min(len(p), l.left+1)])
	if n > l.left {
		return 0, errTooLarge
	}
	l.left -= n
	return n, err
}
