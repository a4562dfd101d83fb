package operator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const revokeHelp = `Ends what an app, a tenant or a person has at a running gateway, at once and on
every gateway that shares its store: sessions, tickets of the system user, and
answers that were kept under an Idempotency-Key. People sign in again; tickets are
minted again unless the tenant is suspended or its system token is gone.

It says how many sessions and tickets ended, and on how many gateways: one that has not
given a sign of life since, within 5 s, is named, and the command ends with 1. A name that nobody knows is revoked all the
same, and the command ends with 1: a slip of the pen in an emergency must not pass for done.

  caddy erpsync revoke --app portal
  caddy erpsync revoke --tenant Cust12345
  caddy erpsync revoke --tenant Cust12345 --user tove@uno.example`

func revokeCommand() *cobra.Command {
	var app, tenant, user string
	var gateway gateway
	cmd := &cobra.Command{
		Use: "revoke", Short: "End the sessions, tickets and kept answers of an app, a tenant or a person", Long: revokeHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			what := report.Revocation{}
			for name, into := range map[string]**string{"app": &what.App, "tenant": &what.Tenant, "user": &what.User} {
				if flag := cmd.Flags().Lookup(name); flag.Changed {
					value := flag.Value.String()
					*into = &value
				}
			}
			if what.App == nil && what.Tenant == nil {
				return errors.New("revoke: name an app (--app), a tenant (--tenant), or a person of a tenant (--tenant and --user)")
			}
			return revoke(cmd, &gateway, what)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&app, "app", "", "everybody and everything of this app")
	flags.StringVar(&tenant, "tenant", "", "everybody and everything of this tenant, or with --user one person of it")
	flags.StringVar(&user, "user", "", "this person, by UPN")
	gateway.flags(flags)
	return cmd
}

// revoke has a gateway revoke, and says what that ended.
func revoke(cmd *cobra.Command, gateway *gateway, what report.Revocation) error {
	var done report.Revoked
	if err := gateway.ask(cmd.Context(), http.MethodPost, report.RevokePath, what, &done); err != nil {
		return fmt.Errorf("%s: %w", cmd.Name(), err)
	}
	command.Fprintw(cmd.OutOrStdout(), "", "revoked: %s", done.Revoked)
	command.Fprintw(cmd.OutOrStdout(), "  ", "%s", ended(done))
	effect := printEffect(cmd.OutOrStdout(), cmd.Name(), done.Effect)
	if done.Remark != "" {
		command.Fprintw(cmd.ErrOrStderr(), "", "%s", done.Remark)
	}
	if done.Unknown != "" {
		stop := "."
		if strings.HasSuffix(done.Unknown, "?") { // the nearest name
			stop = ""
		}
		return errors.Join(fmt.Errorf("%s: %s%s It is revoked all the same, here and on every gateway that shares the store", cmd.Name(), command.Printable(done.Unknown), stop), effect)
	}
	return effect
}

// ended says what a revocation ended.
func ended(done report.Revoked) string {
	sessions := "sessions, which the store did not count,"
	if done.Sessions != nil {
		sessions = count(*done.Sessions, "session")
	}
	return fmt.Sprintf("%s and %s of this gateway ended; kept answers are not given again", sessions, count(done.Tickets, "ticket"))
}
