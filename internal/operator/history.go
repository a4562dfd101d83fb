package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/auditlog"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const historyHelp = `Reads and looks after the history that a running gateway keeps with history among its global options.

  caddy erpsync history list --tenant Cust12345 --since 24h
  caddy erpsync history show ddbf1fe5-5983-48be-a5d0-f82ebdbd1ba0
  caddy erpsync history import /var/log/erpsync`

const historyImportHelp = `Fills gaps of a running gateway's history from audit files: rows that were lost, or calls of the time
before there was a history. A folder stands for its *.log* files; rolled files may be packed with
gzip or zstd; - is standard input. What the history has already stays as it is, so that the same
files can be imported again.

  caddy erpsync history import /var/log/erpsync
  caddy erpsync history import --since 2026-11-24 /var/log/erpsync/audit.log

An audit line names the first hundred keys: longer sets are kept as incomplete, and so are external
keys whose line does not say what they are keys of. Calls of strangers and dry runs are left out.
Calls whose end no file tells are kept without one, and become unknown.`

func historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history", Short: "Read the history of calls, and fill its gaps", Long: historyHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(listCallsCommand(), showCallCommand(), importHistoryCommand())
	return cmd
}

func importHistoryCommand() *cobra.Command {
	var gateway gateway
	var environment, since string
	cmd := &cobra.Command{
		Use: "import <file|folder|->...", Short: "Fill gaps of the history from audit files", Long: historyImportHelp, Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			from, err := auditlog.ParseMoment(since, time.Now())
			if err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			files, err := auditlog.Open(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, files.Close()) }()
			sent := historyImport{ctx: cmd.Context(), gateway: &gateway, environment: environment, since: from, open: make(map[string]report.ImportedCall)}
			err = errors.Join(files.Each(sent.line), sent.rest())
			if sent.done.Taken+sent.done.Known > 0 || err == nil {
				command.Fprintw(cmd.OutOrStdout(), "", "%s taken, %d known already, %d left out: strangers, dry runs, and what is no call", count(sent.done.Taken, "call"), sent.done.Known, sent.leftOut)
			}
			if err == nil && files.Found == 0 {
				err = errors.New("no audit line was read: name the files to which the logger http.handlers.erpsync.audit writes")
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&environment, "environment", "", "of the calls, where their lines do not say it: a base URL or upstream as configured")
	flags.StringVar(&since, "since", "", "calls that ended at this time or later: 2026-11-24, 2026-11-24T08:00, or how long ago: 90m, 7d")
	gateway.flags(flags)
	return cmd
}

// historyImport sends calls to a gateway as they are read.
type historyImport struct {
	ctx         context.Context
	gateway     *gateway
	environment string
	since       time.Time

	calls   []report.ImportedCall
	open    map[string]report.ImportedCall // that began, and whose end was not read yet
	done    report.HistoryImport
	leftOut int
}

// line takes one audit line.
func (h *historyImport) line(l *auditlog.Line) error {
	switch {
	case l.Time.Before(h.since):
		return nil
	case l.Act != nil || l.Visit || l.RequestID == "" || l.DryRun || l.Unproved || l.Scheme == "" || !l.Started && l.Decision != "allowed" && l.Decision != "refused" && l.Decision != "replayed":
		h.leftOut++
		delete(h.open, l.RequestID)
		return nil
	case l.Started:
		h.open[l.RequestID] = importedCall(l)
		return nil
	}
	delete(h.open, l.RequestID)
	return h.send(importedCall(l), report.MaxImportCalls)
}

// rest sends what is left, and the calls whose end no file told.
func (h *historyImport) rest() error {
	for _, id := range sortedKeys(h.open) {
		if err := h.send(h.open[id], report.MaxImportCalls); err != nil {
			return err
		}
	}
	return h.flush()
}

func sortedKeys(open map[string]report.ImportedCall) []string {
	ids := make([]string, 0, len(open))
	for id := range open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (h *historyImport) send(call report.ImportedCall, most int) error {
	if h.calls = append(h.calls, call); len(h.calls) < most {
		return nil
	}
	return h.flush()
}

func (h *historyImport) flush() error {
	if len(h.calls) == 0 {
		return nil
	}
	var done report.HistoryImport
	if err := h.gateway.ask(h.ctx, http.MethodPost, report.ImportHistoryPath, report.HistoryImportRequest{Environment: h.environment, Calls: h.calls}, &done); err != nil {
		return fmt.Errorf("history import: %w", err)
	}
	h.done.Taken += done.Taken
	h.done.Known += done.Known
	h.calls = h.calls[:0]
	return nil
}

// importedCall returns the call that a line tells.
func importedCall(l *auditlog.Line) report.ImportedCall {
	call := report.ImportedCall{
		RequestID: l.RequestID, Node: l.Node, Environment: l.Environment, App: l.App, Tenant: l.Tenant, Principal: l.Principal, Scheme: l.Scheme, Credential: l.Credential,
		Operation: l.Operation, Connection: l.ConnectionID, ActorType: l.ActorType, Everything: l.ResyncAll, KeyCount: l.Keys.Count,
		Decision: l.Decision, Reason: l.Reason, Cause: l.Check, Replays: l.Replays, Retries: l.Retries, Outcome: l.Outcome, OutcomeCause: l.Cause, ErrorCode: l.ErrorCode,
		UserExplanation: l.UserExplanation, TechExplanation: l.TechExplanation, Status: l.Status, Sends: l.Sends, Started: l.Time,
	}
	for _, key := range l.Keys.First {
		if raw, err := json.Marshal(key); err == nil {
			call.Keys = append(call.Keys, raw)
		}
	}
	if !l.Started {
		ended := l.Time
		call.Ended, call.Started = &ended, ended.Add(-time.Duration(l.Duration*float64(time.Second)))
	}
	return call
}
