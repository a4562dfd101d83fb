package operator

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const forgetHelp = `Ends what running gateways keep of a person, as revoke --user does: sessions, with name,
associate id and tokens, and answers that were kept under an Idempotency-Key. Nobody
can use or read them from now on; their sealed records are dropped when their time is over.

Audit lines and access logs are files of yours, and stay: docs/production.md says how
to cut them. So do rows of a history, until its keep is over; they name people as the audit
log does.

  caddy erpsync forget --tenant Cust12345 --user tove@uno.example`

func forgetCommand() *cobra.Command {
	var tenant, user string
	var gateway gateway
	cmd := &cobra.Command{
		Use: "forget", Short: "End what gateways keep of a person", Long: forgetHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tenant == "" || user == "" {
				return errors.New("forget: name the person: --tenant Cust12345 --user tove@uno.example")
			}
			err := revoke(cmd, &gateway, report.Revocation{Tenant: &tenant, User: &user})
			command.Fprintw(cmd.ErrOrStderr(), "", "Audit lines and access logs are not touched. Those of calls: caddy erpsync outcomes --tenant %s --json FILE", tenant)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&tenant, "tenant", "", "the person's tenant")
	flags.StringVar(&user, "user", "", "the person, by UPN")
	gateway.flags(flags)
	return cmd
}
