package operator

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

const revokeHelp = `Ends what an app, a tenant or a person has at a running gateway, at once and on
every gateway that shares its store: sessions, tickets of the system user, and
answers that were kept under an Idempotency-Key. People sign in again; tickets are
minted again unless the tenant is suspended or its system token is gone.

  caddy erpsync revoke --app portal
  caddy erpsync revoke --tenant Cust12345
  caddy erpsync revoke --tenant Cust12345 --user tove@uno.example --address unix//run/caddy/admin.sock`

func revokeCommand() *cobra.Command {
	var what Revocation
	var gateway gateway
	cmd := &cobra.Command{
		Use: "revoke", Short: "End the sessions, tickets and kept answers of an app, a tenant or a person", Long: revokeHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var told struct{ Revoked string }
			if err := gateway.ask(cmd.Context(), http.MethodPost, RevokePath, what, &told); err != nil {
				return fmt.Errorf("revoke: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "revoked:", told.Revoked)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&what.App, "app", "", "everybody and everything of this app")
	flags.StringVar(&what.Tenant, "tenant", "", "everybody and everything of this tenant, or with --user one person of it")
	flags.StringVar(&what.User, "user", "", "this person, by UPN")
	gateway.flags(flags)
	return cmd
}
