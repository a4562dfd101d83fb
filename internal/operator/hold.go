package operator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const holdHelp = `Refuses new calls with 503 on_hold, on every gateway that shares the store, within a
second. Calls under way go on; calls that wait for a credential or are sent again look
first. A hold lasts until it is released, over restarts, or as long as --for says. Callers
that proved themselves are told the reason.

It says which calls: of an app, in a tenant, through a connection, as far as named, or all.

  caddy erpsync hold --tenant Cust12345 --connection 612 --reason "ERP is being repaired" --for 2h
  caddy erpsync hold --app nightly --reason "wrong keys"
  caddy erpsync hold --all --reason "moving the data centre"

It says on how many gateways it is in force. One that has not said so within 5 s is named,
and the command ends with 1.

caddy erpsync status lists what is on hold, and who ordered it.`

const releaseHelp = `Ends a hold, on every gateway that shares the store. It names the same app, tenant and
connection as the hold; others stay in force.

  caddy erpsync release --tenant Cust12345 --connection 612
  caddy erpsync release --all

--all ends the hold that was ordered with --all, not those of single apps or tenants.

  caddy erpsync release --all --unreadable

gives up what is kept as holds and cannot be read, because of which status says
holds_unknown and calls are refused. Nothing is on hold then but what another
gateway of the store still knows. Try to restore it first.`

// target is what flags name.
type target struct {
	app, tenant string
	connection  int32
	all         bool
}

func (t *target) flags(flags *pflag.FlagSet) {
	flags.StringVar(&t.app, "app", "", "calls of this app")
	flags.StringVar(&t.tenant, "tenant", "", "calls in this tenant")
	flags.Int32Var(&t.connection, "connection", 0, "calls through this ERP connection, by number; Online with --tenant")
	flags.BoolVar(&t.all, "all", false, "every call")
}

// named returns what was named, and an error if that is nothing.
func (t *target) named(flags *pflag.FlagSet) (request report.HoldTarget, err error) {
	if flags.Changed("app") {
		request.App = &t.app
	}
	if flags.Changed("tenant") {
		request.Tenant = &t.tenant
	}
	if flags.Changed("connection") {
		request.Connection = &t.connection
	}
	request.All = t.all
	if request == (report.HoldTarget{}) {
		err = errors.New("name an app, a tenant, a connection, some of them together, or --all")
	}
	return request, err
}

func holdCommand() *cobra.Command {
	var target target
	var reason string
	var lasts time.Duration
	var gateway gateway
	cmd := &cobra.Command{
		Use: "hold", Short: "Refuse new calls of an app, in a tenant, through a connection, or all", Long: holdHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := report.HoldRequest{Reason: reason}
			var err error
			if request.HoldTarget, err = target.named(cmd.Flags()); err != nil {
				return fmt.Errorf("hold: %w", err)
			}
			if cmd.Flags().Changed("for") {
				request.For = lasts.String()
			}
			var held report.Held
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.HoldPath, request, &held); err != nil {
				return fmt.Errorf("hold: %w", err)
			}
			printHold(cmd.OutOrStdout(), held.Hold, time.Now())
			effect := printEffect(cmd.OutOrStdout(), "hold", held.Effect)
			if held.Remark != "" {
				command.Fprintw(cmd.ErrOrStderr(), "", "%s", held.Remark)
			}
			if held.Unknown != "" {
				return errors.Join(fmt.Errorf("hold: %s. It is on hold all the same", command.Printable(held.Unknown)), effect)
			}
			return effect
		},
	}
	flags := cmd.Flags()
	target.flags(flags)
	flags.StringVar(&reason, "reason", "", "why, in up to 200 bytes; callers are told it")
	flags.DurationVar(&lasts, "for", 0, "how long, such as 30m or 2h; otherwise until it is released")
	gateway.flags(flags)
	return cmd
}

func releaseCommand() *cobra.Command {
	var target target
	var unreadable bool
	var gateway gateway
	cmd := &cobra.Command{
		Use: "release", Short: "End a hold", Long: releaseHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			named, err := target.named(cmd.Flags())
			if err != nil {
				return fmt.Errorf("release: %w", err)
			}
			request := report.ReleaseRequest{HoldTarget: named, Unreadable: unreadable}
			var done report.Released
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.ReleasePath, request, &done); err != nil {
				return fmt.Errorf("release: %w", err)
			}
			out := cmd.OutOrStdout()
			if done.Found {
				command.Fprintw(out, "", "released: %s", done.Target)
			}
			effect := printEffect(out, "release", done.Effect)
			if len(done.Remaining) == 0 {
				command.Fprintw(out, "", "Nothing is on hold.")
			}
			for _, h := range done.Remaining {
				printHold(out, h, time.Now())
			}
			if done.Remark != "" {
				command.Fprintw(cmd.ErrOrStderr(), "", "%s", done.Remark)
			}
			if !done.Found && unreadable {
				return errors.New("release: everything that is kept as holds can be read; nothing was changed")
			}
			if !done.Found {
				return fmt.Errorf("release: no hold names %s and nothing else; name the same app, tenant and connection as the hold", command.Printable(done.Target))
			}
			return effect
		},
	}
	flags := cmd.Flags()
	target.flags(flags)
	flags.BoolVar(&unreadable, "unreadable", false, "with --all: give up what is kept as holds and cannot be read")
	gateway.flags(flags)
	return cmd
}

// printHold prints one hold in a sentence.
func printHold(out io.Writer, h report.HoldStatus, now time.Time) {
	until := "until it is released"
	if h.Until != nil {
		until = "until " + h.Until.Local().Format(time.DateTime)
	}
	command.Fprintw(out, "", "on hold: %s, %s", h.Target, until)
	command.Fprintw(out, "  ", "by %s, %s ago: %s", h.By, age(now, h.Since), h.Reason)
}
