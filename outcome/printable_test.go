package outcome

import "testing"

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
