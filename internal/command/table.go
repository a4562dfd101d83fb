package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Width is how wide a table is at most, unless all of it was asked for: what a window of one and a
// half terminals, a ticket and a mail show without wrapping.
const Width = 100

// gap is what stands between two columns.
const gap = "  "

// Column is a column of a table.
type Column struct {
	Head string
	// Least is how narrow the column may become, in characters, to keep the table within Width; 0: not
	// narrower than what is in it.
	Least int
	// Wide columns stand in the wide table alone.
	Wide bool
}

// Table is a table for people. What is written into it is made printable; a cell that is cut ends with an ellipsis.
type Table struct {
	Columns []Column
	// Wide keeps every column as wide as what is in it.
	Wide bool
	// Colors are what colours text; the zero value leaves it alone.
	Colors Colors

	rows [][]cell
}

type cell struct {
	text  string
	color Color
}

// Row adds a row, with a text for each column; "" is shown as -.
func (t *Table) Row(texts ...string) { t.Colored(nil, texts...) }

// Colored adds a row and colours cells by their column's head.
func (t *Table) Colored(colors map[string]Color, texts ...string) {
	row := make([]cell, len(texts))
	for i, text := range texts {
		row[i] = cell{cmp.Or(Printable(text), "-"), colors[t.Columns[i].Head]}
	}
	t.rows = append(t.rows, row)
}

// Write writes the table.
func (t *Table) Write(out io.Writer) error {
	widths := t.widths()
	var text strings.Builder
	head := make([]cell, len(t.Columns))
	for i, column := range t.Columns {
		head[i].text = column.Head
	}
	for _, row := range append([][]cell{head}, t.rows...) {
		line, pending := "", ""
		for i, width := range widths {
			if width < 0 {
				continue
			}
			shown := Cut(row[i].text, width)
			line += pending + t.Colors.Paint(row[i].color, shown)
			pending = strings.Repeat(" ", width-utf8.RuneCountInString(shown)) + gap // not behind the last one
		}
		text.WriteString(line + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// widths returns how wide each column is; -1 for one that is not shown.
func (t *Table) widths() []int {
	widths, all := make([]int, len(t.Columns)), -len(gap)
	for i, column := range t.Columns {
		if column.Wide && !t.Wide {
			widths[i] = -1
			continue
		}
		widths[i] = utf8.RuneCountInString(column.Head)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
		all += widths[i] + len(gap)
	}
	for ; !t.Wide && all > Width; all-- {
		// The widest that may become narrower loses a character, the last of equals first.
		widest := -1
		for i, column := range slices.Backward(t.Columns) {
			if column.Least > 0 && widths[i] > max(column.Least, utf8.RuneCountInString(column.Head)) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// Cut shortens a text to a number of characters, the last of which is an ellipsis then.
func Cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(width-1, 0)]) + "…"
}

// Wrap breaks a text at spaces into lines of at most Width characters, each with the indentation before it. A
// longer word, such as a link, stays whole.
func Wrap(text, indentation string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(Printable(text)) {
		if line != "" && utf8.RuneCountInString(indentation+line+" "+word) > Width {
			lines, line = append(lines, indentation+line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return strings.Join(append(lines, indentation+line), "\n")
}

// Fprintw prints wrapped text and a new line.
func Fprintw(out io.Writer, indentation, format string, args ...any) {
	fmt.Fprintln(out, Wrap(fmt.Sprintf(format, args...), indentation))
}
