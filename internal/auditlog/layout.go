package auditlog

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// layout is a table that is written line by line, so that its columns have a width of their own.
type layout struct {
	columns []column
	wide    bool
}

// column is one column; the last takes what is left of the line.
type column struct {
	head  string
	width int
	right bool
	text  func(*Line) string
	color func(*Line) command.Color // nil: none
}

func layoutOf(acts, wide bool) layout {
	when := column{head: "TIME", width: 14, text: func(l *Line) string { return l.Time.Local().Format("01-02 15:04:05") }}
	if wide {
		when = column{head: "TIME", width: 19, text: func(l *Line) string { return l.Time.Local().Format(time.DateTime) }}
	}
	tenant := column{head: "TENANT", width: 10, text: func(l *Line) string { return l.Tenant }}
	app := column{head: "APP", width: 8, text: func(l *Line) string { return l.App }}
	if acts {
		return layout{wide: wide, columns: []column{
			when,
			{head: "ACTOR", width: 14, text: func(l *Line) string { return l.Act.Actor }},
			{head: "ACT", width: 14, text: func(l *Line) string { return l.Act.Act }},
			app, tenant,
			{head: "RESULT", width: 12, color: resultColor, text: func(l *Line) string { return l.Act.Result }},
			{head: "DETAIL", text: func(l *Line) string { return joined(l.Act.User, l.Act.tenants(), l.Act.held(), l.Act.Cause) }},
		}}
	}
	operation := column{head: "OPERATION", width: 20, text: func(l *Line) string { return cmp.Or(l.Operation, l.Endpoint) }}
	result := column{head: "OUTCOME", width: 13, color: outcomeColor, text: func(l *Line) string { return cmp.Or(l.Outcome, l.Decision) }}
	took := column{head: "DURATION", width: 9, right: true, text: durationText}
	why := func(l *Line) string { return joined(l.Reason, l.Check, l.Cause, l.ErrorCode) }
	if !wide {
		return layout{columns: []column{when, tenant, operation, result, took, {head: "DETAIL", text: why}}}
	}
	return layout{wide: true, columns: []column{
		when, tenant, app, operation,
		{head: "CONN", width: 6, right: true, text: func(l *Line) string {
			if l.ConnectionID == nil {
				return ""
			}
			return fmt.Sprint(*l.ConnectionID)
		}},
		{head: "KEYS", width: 8, right: true, text: keysText},
		result,
		{head: "STATUS", width: 6, right: true, text: func(l *Line) string { return fmt.Sprint(l.Status) }},
		took,
		{head: "REQUEST", width: 36, text: func(l *Line) string { return l.RequestID }},
		{head: "DETAIL", text: func(l *Line) string { return joined(why(l), l.Principal) }},
	}}
}

func durationText(l *Line) string {
	if l.Cause == noEnd {
		return ""
	}
	return fmt.Sprintf("%.3fs", l.Duration)
}

// told returns what a call without an end wanted, for whom: nobody can look it up elsewhere.
func told(l *Line) string {
	parts := []string{l.RequestID + ":"}
	if l.ConnectionID != nil {
		parts = append(parts, fmt.Sprintf("connection %d,", *l.ConnectionID))
	}
	if keys := named(l); keys != "" {
		parts = append(parts, keys+",")
	}
	if l.Principal != "" {
		parts = append(parts, "for "+l.Principal+",")
	}
	return command.Printable(strings.Join(parts, " ")) + " begun " + l.Time.Local().Format(time.DateTime)
}

// named returns the first of a call's keys.
func named(l *Line) string {
	const most = 5
	switch {
	case l.ResyncAll:
		return "all keys"
	case l.Keys.Count == 0:
		return ""
	}
	text := "keys"
	for _, key := range l.Keys.First[:min(len(l.Keys.First), most)] {
		text += " " + fmt.Sprint(key)
	}
	if more := l.Keys.Count - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func keysText(l *Line) string {
	switch {
	case l.ResyncAll:
		return "all"
	case l.ConnectionID == nil:
		return ""
	}
	return fmt.Sprint(l.Keys.Count)
}

func joined(parts ...string) string {
	return strings.TrimSpace(strings.Join(strings.Fields(strings.Join(parts, " ")), " "))
}

func outcomeColor(l *Line) command.Color {
	switch class := outcome.Class(l.Outcome); {
	case class == "" && l.Decision != "refused":
		return command.Plain
	case class == outcome.Warning, class == outcome.Accepted:
		return command.Warning
	case class.Succeeded():
		return command.Good
	}
	return command.Bad
}

func resultColor(l *Line) command.Color {
	switch l.Act.Result {
	case "done", string(outcome.NoticeReleased), string(outcome.NoticeRefreshed), string(outcome.NoticeRepeated), string(outcome.NoticeUnchanged):
		return command.Good
	case "failed":
		return command.Bad
	}
	return command.Warning
}

func (t layout) head() string {
	return t.line(func(c column) (string, command.Color) { return c.head, command.Plain }, command.Colors{})
}

func (t layout) row(l *Line, colors command.Colors) string {
	return t.line(func(c column) (string, command.Color) {
		color := command.Plain
		if c.color != nil {
			color = c.color(l)
		}
		return command.Cell(c.text(l)), color
	}, colors)
}

// line sets a line. Where the table is to fit, what is too long is cut; the last column keeps what is left.
func (t layout) line(cell func(column) (string, command.Color), colors command.Colors) string {
	var line strings.Builder
	used := 0
	for i, c := range t.columns {
		text, color := cell(c)
		width := c.width
		if i == len(t.columns)-1 {
			width = command.Width - used
		}
		if !t.wide {
			text = command.Cut(text, width)
		}
		fill := strings.Repeat(" ", max(c.width-utf8.RuneCountInString(text), 0))
		if c.right {
			line.WriteString(fill + colors.Paint(color, text))
		} else {
			line.WriteString(colors.Paint(color, text) + fill)
		}
		if i < len(t.columns)-1 {
			line.WriteString("  ")
		}
		used += width + 2
	}
	return strings.TrimRight(line.String(), " ")
}
