package command

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func written(t *testing.T, table Table) string {
	t.Helper()
	var out bytes.Buffer
	if err := table.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestATableFitsUnlessAllOfItIsAskedFor(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ø", 90)
	table := Table{Columns: []Column{{Head: "TENANT"}, {Head: "NAME", Least: 10}, {Head: "FOUND", Least: 20}, {Head: "REQUEST", Wide: true}}}
	table.Row("Cust12345", long, long, "id")
	table.Row("Cust1", "", "x", "id")
	for line := range strings.Lines(written(t, table)) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > Width {
			t.Errorf("%d characters: %s", n, line)
		}
		if strings.TrimRight(line, " \n")+"\n" != line {
			t.Errorf("blanks at the end: %q", line)
		}
	}
	narrow := written(t, table)
	if !strings.Contains(narrow, "Cust12345") || !strings.Contains(narrow, "…") || strings.Contains(narrow, "REQUEST") || !strings.Contains(narrow, "Cust1      -") {
		t.Errorf("%s", narrow)
	}
	table.Wide = true
	if wide := written(t, table); strings.Count(wide, long) != 2 || strings.Contains(wide, "…") || !strings.Contains(wide, "REQUEST") {
		t.Errorf("%s", wide)
	}
}

func TestAColumnThatMayNotBecomeNarrowerStaysWhole(t *testing.T) {
	t.Parallel()
	table := Table{Columns: []Column{{Head: "A"}, {Head: "B", Least: 30}}}
	table.Row(strings.Repeat("a", 120), strings.Repeat("b", 40))
	if got := written(t, table); !strings.Contains(got, strings.Repeat("a", 120)+gap+strings.Repeat("b", 29)+"…\n") {
		t.Errorf("%s", got)
	}
}

func TestColoursAreForTerminalsAlone(t *testing.T) {
	t.Parallel()
	if ColorsFor(new(bytes.Buffer)).on {
		t.Error("a pipe is coloured")
	}
	null, err := os.Open(os.DevNull) // a device, and no terminal
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if ColorsFor(null).on {
		t.Error("a device that is no terminal is coloured")
	}
	for _, c := range []struct {
		terminal      bool
		noColor, term string
		want          bool
	}{{true, "", "xterm", true}, {true, "1", "xterm", false}, {true, "", "dumb", false}, {false, "", "xterm", false}} {
		if got := colorsFor(c.terminal, func(name string) string { return map[string]string{"NO_COLOR": c.noColor, "TERM": c.term}[name] }); got.on != c.want {
			t.Errorf("%+v: %t", c, got.on)
		}
	}
	table := Table{Columns: []Column{{Head: "A"}, {Head: "B"}}, Colors: Colors{on: true}}
	table.Colored(map[string]Color{"A": Bad}, "x", "y")
	if got := written(t, table); got != "A  B\n\x1b[31mx\x1b[0m  y\n" {
		t.Errorf("%q", got)
	}
	table.Colors = Colors{}
	if got := written(t, table); got != "A  B\nx  y\n" {
		t.Errorf("%q", got)
	}
}

func TestTextIsWrappedAtSpacesAndLinksStayWhole(t *testing.T) {
	t.Parallel()
	link := "https://" + strings.Repeat("x", 120)
	got := Wrap(strings.Repeat("word ", 30)+link+" end\x1b", "  ")
	if strings.Join(strings.Fields(got), " ") != strings.TrimSpace(strings.Repeat("word ", 30))+" "+link+" end?" {
		t.Errorf("%s", got)
	}
	for line := range strings.Lines(got) {
		if !strings.HasPrefix(line, "  ") || utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > Width && !strings.Contains(line, link) {
			t.Errorf("%q", line)
		}
	}
}
