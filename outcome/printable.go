package outcome

import (
	"fmt"
	"strings"
	"unicode"
)

// Printable returns a text in which whatever steers a terminal or turns the direction of a line is written as an escape
// (\\u202e): control and format characters, and separators of lines. JSON leaves most of them as they are.
func Printable(text string) string {
	if isPlainASCII(text) || strings.IndexFunc(text, steers) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !steers(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "\\u%04x", r)
	}
	return b.String()
}

// isPlainASCII reports whether a text has nothing but the bytes from ' ' to '~', as nearly every text of an audit line.
// It looks at eight bytes at a time: the highest bit of a byte is set if it was so, if less than ' ' was taken
// from, or if '~' was passed.
func isPlainASCII(text string) bool {
	const every, highest = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 {
		eight := uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
			uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
		if (eight|(eight-' '*every)|(eight+(0x7f-'~')*every))&highest != 0 {
			return false
		}
		text = text[8:]
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func steers(r rune) bool {
	return (r < ' ' || r > '~') && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
}
