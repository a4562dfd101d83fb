package operator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/auditlog"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const failuresHelp = `Lists the keys whose last call failed and that no later success covers, grouped by cause: what
is still to be done, not what once went wrong. It asks the running gateway, which needs
history among its global options.

  caddy erpsync failures
  caddy erpsync failures --tenant Cust12345 --connection 612
  caddy erpsync failures --since 24h --json | jq -r '.failures[].request_id'
  caddy erpsync failures close 17 --reason "corrected by hand in the ERP"

docs/history.md says what opens and closes a failure.

It ends with 0 when nothing fails, with 2 when something does, and with 1 when the gateway
cannot be asked.`

const closeFailureHelp = `Takes a group of failures for settled, by its number. Who closed it and why is kept in the history
and in the audit log. A later call that fails for the same cause opens another group.

  caddy erpsync failures close 17 --reason "corrected by hand in the ERP"`

func failuresCommand() *cobra.Command {
	var gateway gateway
	var tenant, app, since string
	var connection int32
	var asJSON, wide bool
	cmd := &cobra.Command{
		Use: "failures", Short: "List the keys that still fail", Long: failuresHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for name, value := range map[string]string{"tenant": tenant, "app": app} {
				if value != "" {
					query.Set(name, value)
				}
			}
			if cmd.Flags().Changed("connection") {
				query.Set("connection", strconv.Itoa(int(connection)))
			}
			from, err := auditlog.ParseMoment(since, time.Now())
			if err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			if !from.IsZero() {
				query.Set("since", from.UTC().Format(time.RFC3339))
			}
			var found report.Failures
			if err := gateway.ask(cmd.Context(), http.MethodGet, report.FailuresPath+"?"+query.Encode(), nil, &found); err != nil {
				return fmt.Errorf("failures: %w", err)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), found)
			} else {
				err = printFailures(cmd.OutOrStdout(), found, time.Now(), wide)
			}
			if err == nil && len(found.Failures) > 0 {
				return errAttention
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&tenant, "tenant", "", "what fails in this tenant")
	flags.StringVar(&app, "app", "", "what fails of this app")
	flags.Int32Var(&connection, "connection", 0, "what fails through this ERP connection, by number; 0 is from the CRM")
	flags.StringVar(&since, "since", "", "what failed at this time or later: 2026-11-24, 2026-11-24T08:00, or how long ago: 90m, 7d")
	flags.BoolVar(&asJSON, "json", false, "as JSON")
	wideFlag(flags, &wide)
	gateway.flags(flags)
	cmd.AddCommand(closeFailureCommand())
	return cmd
}

func closeFailureCommand() *cobra.Command {
	var gateway gateway
	var reason string
	cmd := &cobra.Command{
		Use: "close <group>", Short: "Take a group of failures for settled", Long: closeFailureHelp, Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			group, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return errors.New("failures close: want the number of a group, as failures lists it")
			}
			var done report.FailureClosed
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.CloseFailurePath, report.CloseFailureRequest{Group: group, Reason: reason}, &done); err != nil {
				return fmt.Errorf("failures close: %w", err)
			}
			f := done.Closed
			command.Fprintw(cmd.OutOrStdout(), "", "closed: group %d, %s of %s through %s, %s", f.Group, failingKeys(f), failingTenant(f), failingConnection(f), f.Outcome)
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in up to 200 bytes")
	gateway.flags(cmd.Flags())
	return cmd
}

// printFailures prints a line for each group, and below what to do.
func printFailures(out io.Writer, found report.Failures, now time.Time, wide bool) error {
	if len(found.Failures) == 0 {
		_, err := fmt.Fprintln(out, "Nothing fails.")
		return err
	}
	table := command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{
		{Head: "GROUP"},
		{Head: "TENANT"},
		{Head: "FROM", Least: 4},
		{Head: "APP", Least: 6},
		{Head: "OUTCOME", Least: 7},
		{Head: "CODE", Least: 6},
		{Head: "KEYS", Least: 8},
		{Head: "TRIES"},
		{Head: "FIRST"},
		{Head: "LAST"},
		{Head: "REQUEST", Least: 8},
	}}
	type advice struct{ outcome, remedy string }
	var advices []advice
	for _, f := range found.Failures {
		table.Colored(map[string]command.Color{"OUTCOME": command.Bad}, strconv.FormatInt(f.Group, 10), failingTenant(f), failingConnection(f), f.App, failingOutcome(f), f.ErrorCode, failingKeys(f), strconv.Itoa(f.Tries), age(now, f.First), age(now, f.Last), f.RequestID)
		if a := (advice{failingOutcome(f), f.Remedy}); f.Remedy != "" && !slices.Contains(advices, a) {
			advices = append(advices, a)
		}
	}
	if err := table.Write(out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, a := range advices {
		command.Fprintw(out, "", "%s: %s", a.outcome, a.remedy)
	}
	if found.More {
		command.Fprintw(out, "", "There are more: name a tenant, an app or a connection.")
	}
	return nil
}

func failingTenant(f report.Failure) string {
	if f.Tenant == "" {
		return "onsite"
	}
	return f.Tenant
}

// failingConnection says from where is synchronised.
func failingConnection(f report.Failure) string {
	switch {
	case f.Kind != "internal" && f.Kind != "external":
		return f.Kind
	case f.Connection == 0:
		return "crm"
	}
	return strconv.Itoa(int(f.Connection))
}

func failingOutcome(f report.Failure) string {
	if f.Cause != "" {
		return f.Outcome + " " + f.Cause
	}
	return f.Outcome
}

// failingKeys says how many keys fail, of which kind, and in which form they were to go.
func failingKeys(f report.Failure) string {
	text := strconv.Itoa(f.Keys)
	switch {
	case f.Everything && f.Keys == 0:
		text = "everything"
	case f.Everything:
		text += " and everything"
	}
	if f.Kind == "external" {
		text += " " + f.ActorType
	}
	if f.NoBlankValues {
		text += " (no blank)"
	}
	return text
}
