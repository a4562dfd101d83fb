package auditlog

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func init() { command.Add(outcomesCommand) }

const outcomesHelp = `Reads the audit files of one or more gateways and tells what the calls did, in
the order of time. A folder stands for its *.log* files; rolled files may be
packed with gzip or zstd; - is standard input.

  caddy erpsync outcomes --since 24h --outcome error,unreadable /var/log/erpsync
  caddy erpsync outcomes --summary gateway-1/audit.log gateway-2/audit.log
  caddy erpsync outcomes --tenant Cust12345 --key 386 --json /var/log/erpsync | jq .

Lines are read in the formats json and console of Caddy's logs, bare or as Docker's json-file, CRI
(Kubernetes), journalctl -o json and -o short, and Compose wrap them:

  journalctl -u caddy -o json | caddy erpsync outcomes --since 24h -

With --request each request is told in words: who asked for what, which check refused it, what to do.
Refused sign-ins, sessions and approvals are among the lines, and no calls in --summary.

--acts tells what operators did instead: hold, release, revoke, check, probe, failures close, retry, tenants import, export and remove.

Calls that were about to be sent and whose end no line tells stand last, as unknown (no_end), with what their first line
says: they are running still, or their gateway was killed and they may have run.

Calls that resynced everything touched every key and match each --key. It ends with 1 when no
audit line was found at all.`

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
			if report.filter.Since, err = ParseMoment(since, now); err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			if report.filter.Until, err = ParseMoment(until, now); err != nil {
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
			report.colors = command.ColorsFor(cmd.OutOrStdout())
			stop := showProgress(cmd.ErrOrStderr(), files)
			err = report.run(files)
			stop()
			if flushed := report.out.Flush(); err == nil {
				err = flushed
			}
			if err == nil {
				report.remarks(files)
				err = nothingRead(files)
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
	flags.StringSliceVar(&f.RequestIDs, "request", nil, "calls with these request ids, each told in words")
	flags.Int32SliceVar(&f.Connections, "connection", nil, "calls through these ERP connections")
	flags.StringSliceVar(&f.Keys, "key", nil, "calls that touched these keys")
	flags.BoolVar(&asJSON, "json", false, "the lines as they stand in the files; with --summary the summary as JSON")
	flags.BoolVar(&report.acts, "acts", false, "what operators did, and who they were, in place of calls")
	flags.BoolVar(&report.wide, "wide", false, "every column in full, wider than 100 characters")
	flags.BoolVar(&asCounts, "summary", false, "counts by outcome, reason and error code, the slowest calls, calls without an end")
	return cmd
}

// report is one reading of audit files.
type report struct {
	filter *Filter
	json   bool
	counts bool
	acts   bool
	wide   bool
	colors command.Colors
	out    *bufio.Writer
	errs   io.Writer

	matched int // lines that were wanted
	unsure  int // calls that may have touched a wanted key
}

func (r *report) run(files *Files) error {
	summary, open := newSummary(), make(map[string]*Line)
	if r.acts && r.counts {
		return errors.New("--acts has no --summary")
	}
	layout, colors, accepted := layoutOf(r.acts, r.wide), r.colors, false
	words := len(r.filter.RequestIDs) > 0 && !r.json && !r.counts && !r.acts && !r.wide
	if !r.json && !r.counts && !words {
		fmt.Fprintln(r.out, layout.head())
	}
	err := files.Each(func(l *Line) error {
		if r.acts != (l.Act != nil) {
			return nil
		}
		if l.Started {
			begun := *l
			open[l.RequestID] = &begun
			return nil
		}
		delete(open, l.RequestID)
		yes, unsure := r.filter.matches(l)
		if unsure {
			r.unsure++
		}
		if yes {
			r.matched++
		}
		switch {
		case !yes:
		case r.counts && l.Visit: // no call
		case words:
			return l.tell(r.out)
		case r.counts:
			summary.add(l)
		case r.json:
			_, err := fmt.Fprintf(r.out, "%s\n", l.Raw)
			return err
		default:
			accepted = accepted || l.Outcome == string(outcome.Accepted)
			_, err := fmt.Fprintln(r.out, layout.row(l, colors))
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	unended := r.unended(open)
	if words {
		for _, l := range unended {
			if err := l.tell(r.out); err != nil {
				return err
			}
		}
		return nil
	}
	if !r.counts {
		for _, l := range unended {
			row := string(l.Raw)
			if !r.json {
				row = layout.row(l, colors)
			}
			fmt.Fprintln(r.out, row)
		}
		if accepted {
			fmt.Fprintf(r.out, "\naccepted: %s\n", outcome.Accepted.Explanation())
		}
		if len(unended) > 0 && !r.json {
			fmt.Fprintf(r.out, "\n%s: %s\n", noEnd, noEndMeans)
			for _, l := range unended {
				command.Fprintw(r.out, "  ", "%s", told(l))
			}
		}
		return nil
	}
	for _, l := range unended {
		summary.Unfinished = append(summary.Unfinished, unfinished{
			Started: l.Time, RequestID: l.RequestID, Tenant: l.Tenant, Operation: l.Operation, Node: l.Node,
			Principal: l.Principal, ConnectionID: l.ConnectionID, Keys: l.Keys.Count, ResyncAll: l.ResyncAll,
		})
	}
	if r.json {
		encoder := json.NewEncoder(r.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(summary)
	}
	return summary.write(r.out, r.wide)
}

const (
	noEnd      = "no_end"
	noEndMeans = "running still, or its gateway was killed and it may have run"
)

// unended returns the wanted ones of the calls that were about to be sent and whose end no file tells, the oldest first. Their
// outcome is unknown.
func (r *report) unended(open map[string]*Line) (wanted []*Line) {
	for _, l := range open {
		l.Outcome, l.Decision, l.Cause = string(outcome.Unknown), "allowed", noEnd
		yes, unsure := r.filter.matches(l)
		if unsure {
			r.unsure++
		}
		if yes {
			r.matched++
			wanted = append(wanted, l)
		}
	}
	slices.SortFunc(wanted, func(a, b *Line) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.RequestID, b.RequestID)) })
	return wanted
}

// remarks prints what the lines alone do not say.
func (r *report) remarks(files *Files) {
	if files.Foreign > 0 && files.Found > 0 {
		fmt.Fprintf(r.errs, "%s no audit lines and were passed over.\n", are(files.Foreign))
	}
	if r.matched == 0 && files.Found > 0 && !r.counts {
		fmt.Fprintf(r.errs, "Nothing matches: %d audit lines were read.\n", files.Found)
	}
	if r.unsure > 0 {
		fmt.Fprintf(r.errs, "%d more calls may have touched the key: their lines name the first hundred keys alone.\n", r.unsure)
	}
}

// nothingRead is an error that says why no audit line was found: an empty answer would pass for a quiet day.
func nothingRead(files *Files) error {
	switch {
	case files.Found > 0:
		return nil
	case files.Foreign == 0 && files.Read() == 0:
		return errors.New("no audit line was read: what was named is empty")
	case files.Foreign == 0:
		return errors.New("no audit line was read: no whole line is in what was named")
	}
	return fmt.Errorf("no audit line was read: %s something else. Name the file to which the logger http.handlers.erpsync.audit writes, in the format json or console", are(files.Foreign))
}

func are(n int) string {
	if n == 1 {
		return "1 line is"
	}
	return fmt.Sprintf("%d lines are", n)
}

// showProgress tells on a terminal how far long files have been read, until stop is called.
func showProgress(errs io.Writer, files *Files) (stop func()) {
	terminal, ok := errs.(*os.File)
	if !ok || files.Total == 0 || !command.IsTerminal(errs) {
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
