package outcome

import (
	"fmt"
	"strings"
	"unicode"
)

// Printable returns a text in which whatever steers a terminal or turns the direction of a line is written as an escape
// (\\u202e): control and format characters, and separators of lines. JSON leaves most of them as they are.
func Printable(text string) string {
	if strings.IndexFunc(text, steers) < 0 {
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

func steers(r rune) bool {
	return (r < ' ' || r > '~') && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
}
