package console

import (
	"fmt"
	"time"
)

// The size of a chart, in its own units.
const (
	chartWidth  = 720
	chartHeight = 140
	chartBase   = 116 // the y of zero
	chartTop    = 8
)

// chartView is a bar chart as its template draws it. Each bar is stacked from what went through up to what was not sent.
type chartView struct {
	ID, Title, Summary string
	Bars               []barView
	Lines              []lineView
	Rows               []chartRow // the same as a table
	Empty              bool
}

type barView struct {
	X, Width int
	Parts    []partView
	Tip      string
}

type partView struct {
	Y, Height int
	Tone      Tone
}

type lineView struct {
	Y    int
	Text string
}

type chartRow struct {
	At time.Time
	// Day shows the day alone: it is one of UTC.
	Day    bool
	Counts Counts
}

// draw draws counts in their order.
func draw(id, title string, rows []chartRow) chartView {
	v := chartView{ID: id, Title: title, Rows: rows, Empty: true}
	most, sum := 0, Counts{}
	for _, row := range rows {
		most = max(most, row.Counts.All())
		sum.Add(row.Counts)
	}
	v.Summary = countsWords(sum)
	if most == 0 || len(rows) == 0 {
		return v
	}
	v.Empty = false
	scale := niceCeiling(most)
	for _, n := range []int{scale, scale / 2} {
		if n > 0 {
			v.Lines = append(v.Lines, lineView{chartBase - n*(chartBase-chartTop)/scale, thousands(n)})
		}
	}
	const left = 44
	step := float64(chartWidth-left) / float64(len(rows))
	for i, row := range rows {
		x := left + int(float64(i)*step)
		bar := barView{X: x, Width: max(int(step)-3, 2), Tip: row.label() + ": " + countsWords(row.Counts)}
		y := chartBase
		for _, part := range []struct {
			n    int
			tone Tone
		}{{row.Counts.Succeeded, Good}, {row.Counts.Other, Waiting}, {row.Counts.Refused, Quiet}, {row.Counts.Unclear, Unclear}, {row.Counts.Failed, Bad}} {
			if part.n == 0 {
				continue
			}
			height := max(part.n*(chartBase-chartTop)/scale, 2) // one failure among thousands is to be seen
			y -= height
			bar.Parts = append(bar.Parts, partView{max(y, 0), height, part.tone})
		}
		v.Bars = append(v.Bars, bar)
	}
	return v
}

func (r chartRow) label() string {
	if r.Day {
		return r.At.UTC().Format("2 January")
	}
	return r.At.UTC().Format("2 January 15:04 UTC")
}

// countsWords says counts in a line.
func countsWords(c Counts) string {
	if c.All() == 0 {
		return "no calls"
	}
	text := fmt.Sprintf("%s, %s went through", count(c.All(), "call", "calls"), thousands(c.Succeeded))
	for _, part := range []struct {
		n    int
		word string
	}{{c.Failed, "failed"}, {c.Unclear, "unclear"}, {c.Refused, "not sent"}, {c.Other, "under way or in the background"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %s %s", thousands(part.n), part.word)
		}
	}
	return text
}

// niceCeiling returns the smallest of 1, 2, 4, 10, 20, 40, 100 and so on that is not below n.
func niceCeiling(n int) int {
	for ten := 1; ; ten *= 10 {
		for _, m := range []int{1, 2, 4} {
			if n <= m*ten {
				return m * ten
			}
		}
	}
}
