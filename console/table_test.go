package console

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

type line struct {
	name string
	n    int
}

func numbered(n int) *table[line] {
	t := &table[line]{
		ID: "t", Caption: "Lines",
		Selects: []choice[line]{{Key: "even", Label: "Even", Options: []option{{"yes", "yes"}}, Lets: func(l line, value string) bool { return (l.n%2 == 0) == (value == "yes") }}},
		Columns: []column[line]{
			{Key: "name", Title: "Name", Of: func(l line) cell { return cell{Text: l.name} }},
			{Key: "n", Title: "N", Number: true, Of: func(l line) cell { return number(l.n) }},
		},
	}
	for i := range n {
		t.Rows = append(t.Rows, line{fmt.Sprintf("line %d", i), i})
	}
	return t
}

func shown(v tableView) (names []string) {
	for _, row := range v.Rows {
		names = append(names, row[0].Text)
	}
	return names
}

func TestATableSortsFiltersAndPagesByItsAddress(t *testing.T) {
	t.Parallel()
	view := func(query string) tableView {
		parsed, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		return numbered(60).view("/x", parsed)
	}
	if v := view(""); len(v.Rows) != perPage || v.From != 1 || v.To != perPage || v.Total != 60 || v.Previous != "" || v.Next != "/x?t-page=2" || v.CSV != "/x?csv=t" {
		t.Errorf("%+v", v)
	}
	if v := view("t-page=3&other=1"); len(v.Rows) != 10 || v.From != 51 || v.Next != "" || v.Previous != "/x?other=1&t-page=2" || v.Hidden[0].Value != "other" {
		t.Errorf("%+v", v)
	}
	for _, page := range []string{"99", "-1", "x"} { // one that there is not
		if v := view("t-page=" + page); len(v.Rows) == 0 {
			t.Errorf("page %s is empty", page)
		}
	}
	if v := view("t-sort=n&t-dir=desc"); !slices.Equal(shown(v)[:2], []string{"line 59", "line 58"}) || v.Heads[1].Sorted != "descending" || v.Heads[1].Href != "/x?t-dir=asc&t-sort=n" {
		t.Errorf("%v, %+v", shown(v), v.Heads)
	}
	if v := view("t-sort=n&t-page=3"); shown(v)[9] != "line 0" { // of which nothing is shown, and which comes last
		t.Errorf("%v", shown(v))
	}
	if v := view("t-q=LINE+1"); v.Matching != 15 || v.Filter != "LINE 1" || v.Clear != "/x" {
		t.Errorf("%+v", v)
	}
	if v := view("t-even=yes&t-q=line+1&t-sort=name"); v.Matching != 5 || !strings.Contains(v.Next+v.CSV, "t-even=yes") || v.Clear != "/x?t-sort=name" {
		t.Errorf("%d, %+v", v.Matching, v)
	}
	if v := view("t-q=nothing"); len(v.Rows) != 0 || v.Total != 60 || v.From != 0 {
		t.Errorf("%+v", v)
	}
	if file := numbered(60).file(url.Values{"t-q": {"line 1"}, "t-page": {"2"}}); len(file.rows) != 16 || file.rows[0][0] != "Name" {
		t.Errorf("%d rows", len(file.rows))
	}
}

func TestACellIsNoFormula(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "Uno AS": "Uno AS", "386": "386", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", " =1": "' =1", "\t=1": "\\u0009=1", `"=1`: `'"=1`, "＝1": "'＝1", "|x": "'|x", "a=1": "a=1", "\r=1": "\\u000d=1", "%x": "'%x", "'=1": "''=1",
	} {
		if got := inert(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"=1", " \u00a0=1", "a,b", "a\"b\r\nc", "\ufeff=1", "\u202e=1", "＝"} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var out strings.Builder
		if err := writeCSV(&out, [][]string{{a, b, "end"}, {"second"}}); err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(strings.NewReader(strings.TrimPrefix(out.String(), "\ufeff")))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil || len(rows) != 2 || len(rows[0]) != 3 || rows[0][2] != "end" {
			t.Fatalf("%q, %q: %v, %q", a, b, err, rows)
		}
		for _, field := range rows[0][:2] {
			if trimmed := strings.TrimSpace(field); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@|%") {
				t.Errorf("%q, %q: a formula: %q", a, b, field)
			}
		}
	})
}

func TestEveryOutcomeReasonAndOperationHasWords(t *testing.T) {
	t.Parallel()
	for _, class := range outcome.Classes() {
		v := verdictOf(string(class), "")
		if v.Short == "" || v.Long == "" || signs[v.Tone] == "" || strings.Contains(v.Short, string(class)+" ") || v.Next == "" && v.Tone != Good {
			t.Errorf("%s: %+v", class, v)
		}
	}
	for _, reason := range auth.Reasons() {
		if v := verdictOf("", string(reason)); refusals[reason] == "" || strings.Contains(v.Short, "_") || !strings.HasPrefix(v.Short, "Not sent: ") {
			t.Errorf("%s: %+v", reason, v)
		}
	}
	for _, operation := range superoffice.Operations() {
		if operationWords[operation] == "" {
			t.Errorf("%s has no words", operation)
		}
	}
	if v := verdictOf("", "of_tomorrow"); !strings.Contains(v.Short, "of_tomorrow") {
		t.Errorf("%+v", v)
	}
}

func TestAChartShowsOneFailureAmongThousands(t *testing.T) {
	t.Parallel()
	rows := make([]chartRow, 30)
	for i := range rows {
		rows[i] = chartRow{At: time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC), Day: true}
	}
	rows[3].Counts, rows[4].Counts = Counts{Succeeded: 9_999, Failed: 1}, Counts{Succeeded: 1}
	v := draw("x", "Calls", rows)
	if v.Empty || len(v.Bars) != 30 || len(v.Bars[3].Parts) != 2 || v.Bars[3].Parts[1].Height < 2 || v.Bars[3].Parts[1].Tone != Bad || len(v.Bars[0].Parts) != 0 {
		t.Errorf("%+v", v)
	}
	for _, bar := range v.Bars {
		for _, part := range bar.Parts {
			if part.Y < 0 || part.Y+part.Height > chartBase || bar.X+bar.Width > chartWidth {
				t.Errorf("outside: %+v", bar)
			}
		}
	}
	if !draw("x", "Calls", rows[:1]).Empty || !draw("x", "Calls", nil).Empty {
		t.Error("a chart of nothing")
	}
	for n, want := range map[int]int{1: 1, 3: 4, 5: 10, 10: 10, 11: 20, 399: 400, 401: 1000} {
		if got := niceCeiling(n); got != want {
			t.Errorf("%d: %d", n, got)
		}
	}
}
