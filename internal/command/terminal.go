package command

import (
	"cmp"
	"strings"
	"unicode"
)

// Printable keeps what others wrote from steering a terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// Cell is a text in a table, which shows that there is none.
func Cell(text string) string { return cmp.Or(Printable(text), "-") }
