package console

import (
	"encoding/csv"
	"io"
	"strings"
	"unicode"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// writeCSV writes rows as RFC 4180 has it, with the mark by which Excel knows UTF-8. No cell becomes a formula.
func writeCSV(w io.Writer, rows [][]string) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, text := range row {
			safe[i] = inert(text)
		}
		if err := out.Write(safe); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// inert returns a text that no spreadsheet runs: what could begin a formula gets an apostrophe before it. Spreadsheets skip
// blanks before a formula, and some read the wide forms of its signs.
func inert(text string) string {
	text = outcome.Printable(text)
	first := strings.TrimLeftFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '\'' })
	if first != "" && strings.ContainsAny(first[:1], "=+-@|%") || strings.IndexFunc(first, func(r rune) bool { return strings.ContainsRune("＝＋－＠", r) }) == 0 {
		return "'" + text
	}
	return text
}
