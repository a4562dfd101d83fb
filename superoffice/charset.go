package superoffice

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// charset is how the text of a body is written in bytes. The zero charset is declared nowhere: UTF-8, but for
// an XML document that says otherwise.
type charset uint8

const (
	undeclared charset = iota
	utf8Text
	asciiText
	latin1Text
	utf16Text // in the order that its byte order mark says
	utf16LE
	utf16BE
)

// parseCharset finds a charset by name. Those that can write ASCII in more than one way (UTF-7, the
// stateful ones of Asia) are none: what one reader passes over is text to another.
func parseCharset(name string) (charset, bool) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8":
		return utf8Text, true
	case "us-ascii", "ascii":
		return asciiText, true
	case "iso-8859-1", "latin1":
		return latin1Text, true
	case "utf-16":
		return utf16Text, true
	case "utf-16le":
		return utf16LE, true
	case "utf-16be":
		return utf16BE, true
	}
	return undeclared, false
}

// ofForms reports whether a form can be declared in the charset: its bytes are ASCII, its escapes UTF-8.
func (c charset) ofForms() bool { return c == utf8Text || c == asciiText }

// agrees reports whether the encoding that a document declares is the charset by which it was decoded.
func (c charset) agrees(declared charset) bool {
	return declared == c || declared == utf16Text && (c == utf16LE || c == utf16BE)
}

var (
	markUTF8 = []byte("\xef\xbb\xbf")
	markLE   = []byte("\xff\xfe")
	markBE   = []byte("\xfe\xff")
)

// decode returns the body as UTF-8 without a byte order mark.
func (c charset) decode(body []byte) ([]byte, error) {
	switch c {
	case asciiText:
		if bytes.IndexFunc(body, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
			return nil, problem("", "not US-ASCII, which Content-Type declares")
		}
		return body, nil
	case latin1Text:
		text := make([]byte, 0, len(body)+len(body)/8)
		for _, b := range body {
			text = utf8.AppendRune(text, rune(b))
		}
		return text, nil
	case utf16Text:
		switch {
		case bytes.HasPrefix(body, markLE):
			return decodeUTF16(body[2:], binary.LittleEndian)
		case bytes.HasPrefix(body, markBE):
			return decodeUTF16(body[2:], binary.BigEndian)
		}
		return nil, problem("", "UTF-16 without a byte order mark; send UTF-8")
	case utf16LE:
		return decodeUTF16(bytes.TrimPrefix(body, markLE), binary.LittleEndian)
	case utf16BE:
		return decodeUTF16(bytes.TrimPrefix(body, markBE), binary.BigEndian)
	}
	if bytes.HasPrefix(body, markLE) || bytes.HasPrefix(body, markBE) {
		return nil, problem("", "UTF-16, which Content-Type does not declare")
	}
	body = bytes.TrimPrefix(body, markUTF8)
	if !utf8.Valid(body) {
		return nil, problem("", "not UTF-8")
	}
	return body, nil
}

func decodeUTF16(body []byte, order binary.ByteOrder) ([]byte, error) {
	if len(body)%2 != 0 {
		return nil, problem("", "not UTF-16")
	}
	text := make([]byte, 0, len(body)/2+len(body)/8)
	for len(body) > 0 {
		r := rune(order.Uint16(body))
		body = body[2:]
		if utf16.IsSurrogate(r) {
			if len(body) == 0 {
				return nil, problem("", "not UTF-16")
			}
			if r = utf16.DecodeRune(r, rune(order.Uint16(body))); r == utf8.RuneError {
				return nil, problem("", "not UTF-16")
			}
			body = body[2:]
		}
		text = utf8.AppendRune(text, r)
	}
	return text, nil
}
