package operator

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func aMonth() report.Month {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	failed := from.Add(36 * time.Hour)
	usage := report.Usage{
		Calls: 1234, Keys: 5678, Succeeded: 1200, Failed: 30, Accepted: 1, Refused: 3, Outcomes: map[string]int64{"ok": 1200, "error": 30, "accepted": 1}, RefusedBy: map[string]int64{"rate_limited": 3},
		Timed: 1231, Mean: 2.5, Median: 1.25, Percentile95: 12.3, Longest: 401.7,
	}
	return report.Month{Month: "2026-11", From: from, To: from.AddDate(0, 1, 0), Since: from.AddDate(0, 0, 2), Partial: true, ToDate: true, Lines: []report.MonthLine{
		{Environment: "online", Tenant: "Cust12345", Name: `=HYPERLINK("http://x", "a")`, App: "erp", Connection: 612, Usage: usage, LastFailure: &failed, FailingKeys: 1},
		{Environment: "https://crm.example.com", App: "erp", Usage: report.Usage{Calls: 2, Refused: 2}, FailingEverything: true},
	}}
}

func TestAMonthIsPrintedWithWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	month := aMonth()
	var out bytes.Buffer
	if err := printMonth(&out, &month, false); err != nil {
		t.Fatal(err)
	}
	const want = `TENANT     APP  FROM  CALLS  KEYS  OK    FAILED  REFUSED  MEDIAN  95%    STILL FAIL
Cust12345  erp  612   1234   5678  1200  30      3        1.3s    12.3s  1 key
onsite     erp  crm   2      0     0     0       2        -       -      everything

The history counts since 2026-11-03 00:00 UTC: what was called in 2026-11 before is not known.
2026-11 is not over.
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	month.Lines, month.Partial, month.ToDate = nil, false, false
	if err := printMonth(&out, &month, false); err != nil || out.String() != "Nothing was called in 2026-11.\n" {
		t.Errorf("%s%v", out.String(), err)
	}
}

func TestAMonthAsCSVIsReadByWhatReadsCSVAndIsNoFormula(t *testing.T) {
	t.Parallel()
	address, _ := answering(t, http.StatusOK, aMonth())
	out, errs, err := runs(t, reportCommand(), "--month", "2026-11", "--csv", "--address", address)
	if err != nil || !strings.Contains(errs, "counts since 2026-11-03") || strings.Count(out, "\r\n") != 3 {
		t.Fatalf("%q %s %v", out, errs, err)
	}
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) != 3 {
		t.Fatalf("%v %v", records, err)
	}
	field := func(line int, name string) string {
		t.Helper()
		for i, head := range records[0] {
			if head == name {
				return records[line][i]
			}
		}
		t.Fatalf("no column %s", name)
		return ""
	}
	for name, want := range map[string]string{
		"month": "2026-11", "covered_since": "2026-11-03T00:00:00Z", "tenant": "Cust12345", "name": `'=HYPERLINK("http://x", "a")`, "connection": "612", "calls": "1234", "keys": "5678", "succeeded": "1200", "failed": "30",
		"refused": "3", "median_seconds": "1.250", "longest_seconds": "401.700", "last_success": "", "last_failure": "2026-11-02T12:00:00Z", "failing_keys": "1", "failing_everything": "false", "outcome_error": "30", "outcome_unknown": "0",
	} {
		if got := field(1, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := field(2, "median_seconds") + field(2, "failing_everything"); got != "true" {
		t.Errorf("nothing was timed: %q", got)
	}
	if len(records[0]) != 23+len(outcome.Classes()) {
		t.Errorf("%d columns", len(records[0]))
	}
}

func TestNoTextIsAFormulaOfASpreadsheet(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "Uno AS": "Uno AS", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "|x": "'|x", "＝1": "'＝1",
	} {
		if got := inert(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestAReportRefusesWhatCannotBeMeantBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	address, asked := answering(t, http.StatusOK, aMonth())
	for args, want := range map[string]string{"": "report: name the month", "--month 2026-11 --csv --json": "report: --csv and --json"} {
		if _, _, err := runs(t, reportCommand(), append(strings.Fields(args), "--address", address)...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if *asked != 0 {
		t.Errorf("asked %d times", *asked)
	}
	if out, _, err := runs(t, reportCommand(), "--month", "2026-11", "--json", "--address", address); err != nil || !strings.Contains(out, `"p95_seconds": 12.3`) {
		t.Errorf("%s%v", out, err)
	}
}
