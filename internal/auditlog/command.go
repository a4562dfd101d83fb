package auditlog

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

func init() { command.Add(outcomesCommand) }

const outcomesHelp = `Reads the audit files of one or more gateways and tells what the calls did, in
the order of time. A folder stands for its *.log* files; rolled files may be
packed with gzip or zstd; - is standard input.

  caddy erpsync outcomes --since 24h --outcome error,unreadable /var/log/erpsync
  caddy erpsync outcomes --summary gateway-1/audit.log gateway-2/audit.log
  caddy erpsync outcomes --tenant Cust12345 --key 386 --json /var/log/erpsync | jq .

Calls that resynced everything touched every key and match each --key.`

// outcomesCommand is `caddy erpsync outcomes`.
func outcomesCommand() *cobra.Command {
	var (
		since, until     string
		asJSON, asCounts bool
		report           = report{filter: new(Filter)}
	)
	cmd := &cobra.Command{
		Use: "outcomes <file|folder|->...", Short: "Tell from audit files what the calls did", Long: outcomesHelp,
		Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			now := time.Now()
			if report.filter.Since, err = parseMoment(since, now); err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			if report.filter.Until, err = parseMoment(until, now); err != nil {
				return fmt.Errorf("--until: %w", err)
			}
			if err := report.filter.validate(); err != nil {
				return err
			}
			files, err := Open(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, files.Close()) }()
			report.json, report.counts, report.out, report.errs = asJSON, asCounts, bufio.NewWriter(cmd.OutOrStdout()), cmd.ErrOrStderr()
			stop := showProgress(cmd.ErrOrStderr(), files)
			err = report.run(files)
			stop()
			if flushed := report.out.Flush(); err == nil {
				err = flushed
			}
			if err == nil {
				report.remarks(files)
			}
			return err
		},
	}
	flags := cmd.Flags()
	f := report.filter
	flags.StringVar(&since, "since", "", "calls that ended at this time or later: 2026-11-24, 2026-11-24T08:00, or how long ago: 90m, 7d")
	flags.StringVar(&until, "until", "", "calls that ended before this time")
	flags.StringSliceVar(&f.Apps, "app", nil, "calls for these apps")
	flags.StringSliceVar(&f.Tenants, "tenant", nil, "calls in these tenants")
	flags.StringSliceVar(&f.Principals, "principal", nil, "calls of these principals, as they stand in the lines")
	flags.StringSliceVar(&f.Classes, "outcome", nil, "calls with these outcomes")
	flags.StringSliceVar(&f.Decisions, "decision", nil, "calls that were allowed, or refused")
	flags.StringSliceVar(&f.RequestIDs, "request", nil, "calls with these request ids")
	flags.Int32SliceVar(&f.Connections, "connection", nil, "calls through these ERP connections")
	flags.StringSliceVar(&f.Keys, "key", nil, "calls that touched these keys")
	flags.BoolVar(&asJSON, "json", false, "the lines as they stand in the files; with --summary the summary as JSON")
	flags.BoolVar(&asCounts, "summary", false, "counts by outcome, reason and error code, the slowest calls, calls without an end")
	return cmd
}

// report is one reading of audit files.
type report struct {
	filter *Filter
	json   bool
	counts bool
	out    *bufio.Writer
	errs   io.Writer

	unsure int // calls that may have touched a wanted key
}

func (r *report) run(files *Files) error {
	summary, open := newSummary(), make(map[string]unfinished)
	if !r.json && !r.counts {
		fmt.Fprintln(r.out, tableHead)
	}
	err := files.Each(func(l *Line) error {
		yes, unsure := r.filter.matches(l)
		if l.Started {
			if yes {
				open[l.RequestID] = unfinished{l.Time, l.RequestID, l.Tenant, l.Operation, l.Node}
			}
			return nil
		}
		delete(open, l.RequestID)
		if unsure {
			r.unsure++
		}
		switch {
		case !yes:
		case r.counts:
			summary.add(l)
		case r.json:
			_, err := fmt.Fprintf(r.out, "%s\n", l.Raw)
			return err
		default:
			_, err := fmt.Fprintln(r.out, row(l))
			return err
		}
		return nil
	})
	if err != nil || !r.counts {
		return err
	}
	summary.Unfinished = slices.SortedFunc(maps.Values(open), func(a, b unfinished) int { return a.Started.Compare(b.Started) })
	if r.json {
		encoder := json.NewEncoder(r.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(summary)
	}
	return summary.write(r.out)
}

// remarks tells what the lines alone would not.
func (r *report) remarks(files *Files) {
	if files.Foreign > 0 {
		fmt.Fprintf(r.errs, "%d lines are no audit lines and were passed over. Audit lines are read in the format json.\n", files.Foreign)
	}
	if r.unsure > 0 {
		fmt.Fprintf(r.errs, "%d more calls may have touched the key: their lines name the first hundred keys alone.\n", r.unsure)
	}
}

const tableFormat = "%-19s  %-9s  %-8s  %-24s  %6s  %8s  %-13s  %6s  %9s  %s"

var tableHead = fmt.Sprintf(tableFormat, "TIME", "TENANT", "APP", "OPERATION", "CONN", "KEYS", "OUTCOME", "STATUS", "DURATION", "DETAIL")

func row(l *Line) string {
	connection, keys := "-", "-"
	if l.ConnectionID != nil {
		connection, keys = fmt.Sprint(*l.ConnectionID), fmt.Sprint(l.Keys.Count)
	}
	if l.ResyncAll {
		keys = "all"
	}
	var detail []string
	for _, part := range []string{l.Reason, l.Cause, l.ErrorCode, l.Principal, l.RequestID} {
		if part != "" {
			detail = append(detail, command.Printable(part))
		}
	}
	return fmt.Sprintf(tableFormat, l.Time.Local().Format(time.DateTime), command.Cell(l.Tenant), command.Cell(l.App), command.Cell(l.Operation), connection, keys,
		cmp.Or(l.Outcome, l.Decision), fmt.Sprint(l.Status), fmt.Sprintf("%.3fs", l.Duration), strings.Join(detail, " "))
}

// showProgress tells on a terminal how far long files have been read, until stop is called.
func showProgress(errs io.Writer, files *Files) (stop func()) {
	terminal, ok := errs.(*os.File)
	if !ok || files.Total == 0 {
		return func() {}
	}
	if info, err := terminal.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-tick.C:
				shown = true
				fmt.Fprintf(terminal, "\rread %d of %d MB (%d %%) ", files.Read()>>20, files.Total>>20, 100*files.Read()/files.Total)
			case <-done:
				if shown {
					fmt.Fprint(terminal, "\r\033[K")
				}
				return
			}
		}
	}()
	return func() { close(done); <-gone }
}
