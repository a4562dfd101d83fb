package command

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Color says what a text is about.
type Color int

const (
	Plain Color = iota
	// Good is what is as it should be, Warning what somebody should look at, Bad what failed.
	Good
	Warning
	Bad
)

// Colors colours text, or leaves it alone.
type Colors struct{ on bool }

// ColorsFor returns colours for a terminal, unless NO_COLOR is set to something (no-color.org) or TERM is dumb.
func ColorsFor(out io.Writer) Colors { return colorsFor(IsTerminal(out), os.Getenv) }

func colorsFor(terminal bool, getenv func(string) string) Colors {
	return Colors{on: terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

// IsTerminal reports whether somebody looks at what is written.
func IsTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Paint returns the text in a colour.
func (c Colors) Paint(color Color, text string) string {
	if !c.on || color == Plain {
		return text
	}
	return map[Color]string{Good: "\x1b[32m", Warning: "\x1b[33m", Bad: "\x1b[31m"}[color] + text + "\x1b[0m"
}
