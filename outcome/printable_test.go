package outcome

import (
	"strings"
	"testing"
)

func TestWhatSteersATerminalIsWrittenAsAnEscape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Tove Ås <tove@uno.example>": "Tove Ås <tove@uno.example>", "": "", "a\u202eb": `a\u202eb`, "\u2028": `\u2028`, "a\u0085": `a\u0085`, "\x1b[31m": `\u001b[31m`, "a\nb": `a\u000ab`,
		"\u200f": `\u200f`, "\ufeff": `\ufeff`, "日本": "日本",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Every byte at every place of texts that are read eight bytes at a time, and in the rest.
func TestPlainASCIIIsWhatHasPrintableASCIIAlone(t *testing.T) {
	t.Parallel()
	for _, around := range []byte{' ', 'a', '~'} {
		for length := range 20 {
			text := []byte(strings.Repeat(string(around), length))
			if !isPlainASCII(string(text)) {
				t.Errorf("%q is not plain", text)
			}
			for i := range text {
				for b := range 256 {
					text[i] = byte(b)
					if want := b >= ' ' && b <= '~'; isPlainASCII(string(text)) != want {
						t.Errorf("%q: plain is not %v", text, want)
					}
				}
				text[i] = around
			}
		}
	}
}
