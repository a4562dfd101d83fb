package operator

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const reportHelp = `Reports what was called in a month, by tenant, app and ERP connection: calls, keys, outcomes, how long
they took, and what fails still. It asks the running gateway, which needs history among its global
options.

  caddy erpsync report --month 2026-11
  caddy erpsync report --month 2026-11 --tenant Cust12345 --csv > Cust12345-2026-11.csv
  caddy erpsync report --month 2026-11 --json | jq '.lines[] | select(.failed > 0)'

Months are of UTC, and a call belongs to the day on which it began. Counts are kept for 400 days at
least, longer than calls may be. Where the history does not cover the whole month the report says
since when it counts: what was before is not known, which is not zero.

It ends with 1 for a month that is still to come, or of which nothing is known.`

func reportCommand() *cobra.Command {
	var gateway gateway
	var month, tenant, app, environment string
	var asCSV, asJSON, wide bool
	cmd := &cobra.Command{
		Use: "report", Short: "Report what was called in a month", Long: reportHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if month == "" {
				return errors.New("report: name the month, such as --month 2026-11")
			}
			if asCSV && asJSON {
				return errors.New("report: --csv and --json exclude each other")
			}
			query := url.Values{"month": {month}}
			for name, value := range map[string]string{"tenant": tenant, "app": app, "environment": environment} {
				if value != "" {
					query.Set(name, value)
				}
			}
			var found report.Month
			if err := gateway.ask(cmd.Context(), http.MethodGet, report.MonthPath+"?"+query.Encode(), nil, &found); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return printJSON(out, found)
			case asCSV:
				remarkMonth(cmd.ErrOrStderr(), &found)
				return writeMonthCSV(out, &found)
			}
			return printMonth(out, &found, wide)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&month, "month", "", "the month of UTC, such as 2026-11")
	flags.StringVar(&tenant, "tenant", "", "what was called for this tenant")
	flags.StringVar(&app, "app", "", "what this app called")
	flags.StringVar(&environment, "environment", "", "what was called in this environment: online, stage, sod, or a base URL or upstream as configured")
	flags.BoolVar(&asCSV, "csv", false, "as CSV with a header, for a spreadsheet")
	flags.BoolVar(&asJSON, "json", false, "as JSON")
	wideFlag(flags, &wide)
	gateway.flags(flags)
	return cmd
}

// remarkMonth says what the numbers do not.
func remarkMonth(out io.Writer, m *report.Month) {
	if m.Partial {
		command.Fprintw(out, "", "The history counts since %s: what was called in %s before is not known.", m.Since.UTC().Format("2006-01-02 15:04 UTC"), m.Month)
	}
	if m.ToDate {
		command.Fprintw(out, "", "%s is not over.", m.Month)
	}
	if m.FailingMore {
		command.Fprintw(out, "", "More fails than was counted: name a tenant or an app.")
	}
}

func printMonth(out io.Writer, m *report.Month, wide bool) error {
	if len(m.Lines) == 0 {
		fmt.Fprintf(out, "Nothing was called in %s.\n", command.Printable(m.Month))
		remarkMonth(out, m)
		return nil
	}
	table := command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{
		{Head: "TENANT"},
		{Head: "NAME", Wide: true},
		{Head: "APP", Least: 6},
		{Head: "FROM", Least: 4},
		{Head: "CALLS"},
		{Head: "KEYS"},
		{Head: "OK"},
		{Head: "FAILED"},
		{Head: "ACCEPTED", Wide: true},
		{Head: "REFUSED"},
		{Head: "REPLAYED", Wide: true},
		{Head: "MEDIAN"},
		{Head: "95%"},
		{Head: "LONGEST", Wide: true},
		{Head: "STILL FAIL", Least: 10},
		{Head: "ENVIRONMENT", Wide: true},
	}}
	for i := range m.Lines {
		l := &m.Lines[i]
		colors := map[string]command.Color{}
		if l.Failed > 0 {
			colors["FAILED"] = command.Warning
		}
		still := stillFails(l)
		if still != "" {
			colors["STILL FAIL"] = command.Bad
		}
		median, most, longest := "", "", ""
		if l.Timed > 0 {
			median, most, longest = duration(l.Median), duration(l.Percentile95), duration(l.Longest)
		}
		table.Colored(colors, tenantOrOnsite(l.Tenant), l.Name, l.App, connectionName(&l.Connection), number(l.Calls), number(l.Keys), number(l.Succeeded), number(l.Failed), number(l.Accepted), number(l.Refused), number(l.Replayed), median, most, longest, still, l.Environment)
	}
	if err := table.Write(out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	remarkMonth(out, m)
	return nil
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// stillFails says what fails now; "" for nothing.
func stillFails(l *report.MonthLine) string {
	switch {
	case l.FailingEverything && l.FailingKeys == 0:
		return "everything"
	case l.FailingEverything:
		return count(l.FailingKeys, "key") + " and everything"
	case l.FailingKeys > 0:
		return count(l.FailingKeys, "key")
	}
	return ""
}

// writeMonthCSV writes CSV as RFC 4180 has it: a header, commas, CRLF.
func writeMonthCSV(out io.Writer, m *report.Month) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	header := []string{
		"month", "covered_since", "environment", "tenant", "name", "app", "connection", "calls", "keys", "succeeded", "failed", "accepted", "refused", "replayed", "questions",
		"median_seconds", "p95_seconds", "mean_seconds", "longest_seconds", "last_success", "last_failure", "failing_keys", "failing_everything",
	}
	for _, class := range outcome.Classes() {
		header = append(header, "outcome_"+string(class))
	}
	if err := w.Write(header); err != nil {
		return err
	}
	since := m.From
	if m.Partial {
		since = m.Since
	}
	for i := range m.Lines {
		l := &m.Lines[i]
		times := []string{"", "", "", ""}
		if l.Timed > 0 {
			times = []string{decimal(l.Median), decimal(l.Percentile95), decimal(l.Mean), decimal(l.Longest)}
		}
		record := []string{
			m.Month, since.UTC().Format(time.RFC3339), l.Environment, l.Tenant, l.Name, l.App, strconv.Itoa(int(l.Connection)), number(l.Calls), number(l.Keys), number(l.Succeeded), number(l.Failed), number(l.Accepted),
			number(l.Refused), number(l.Replayed), number(l.Questions), times[0], times[1], times[2], times[3], csvTime(l.LastSuccess), csvTime(l.LastFailure), strconv.Itoa(l.FailingKeys), strconv.FormatBool(l.FailingEverything),
		}
		for _, class := range outcome.Classes() {
			record = append(record, number(l.Outcomes[string(class)]))
		}
		for i, text := range record {
			record[i] = inert(text)
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func decimal(seconds float64) string { return strconv.FormatFloat(seconds, 'f', 3, 64) }

func csvTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// inert returns a text that no spreadsheet takes for a formula: the name of a tenant is the customer's, the file another's.
func inert(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n|", rune(text[0])) || strings.HasPrefix(text, "＝") || strings.HasPrefix(text, "＋") || strings.HasPrefix(text, "－") || strings.HasPrefix(text, "＠") {
		return "'" + text
	}
	return text
}
