package operator

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const forgetHelp = `Ends what running gateways keep of a person, as revoke --user does: sessions, with name,
associate id and tokens, and answers that were kept under an Idempotency-Key. Nobody
can use or read them from now on; their sealed records are dropped when their time is over.

Of a tenant that is named instead it does so for all its people, and removes the tenant from the
history: its calls with their keys, what fails, what was closed, and what was counted. --dry-run
counts what would go. A call that is under way comes back with its end: suspend the tenant first.
With --environment it is the history of that environment alone; onsite, where there are no tenants,
it names the installation.

Audit lines and access logs are files of yours, and stay: docs/production.md says how
to cut them. So do a person's rows in a history, until its keep is over; they name people as the
audit log does. A system token stays until caddy erpsync tenants remove.

  caddy erpsync forget --tenant Cust12345 --user tove@uno.example
  caddy erpsync forget Cust12345 --dry-run
  caddy erpsync forget Cust12345`

func forgetCommand() *cobra.Command {
	var tenant, user, environment string
	var dryRun bool
	var gateway gateway
	cmd := &cobra.Command{
		Use: "forget [<tenant>]", Short: "End what gateways keep of a person, or of a tenant", Long: forgetHelp, Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			person := tenant != "" || user != ""
			switch {
			case person && (len(args) > 0 || environment != "" || dryRun):
				return errors.New("forget: a person is named by --tenant and --user, a tenant without them: caddy erpsync forget Cust12345")
			case person && (tenant == "" || user == "") || !person && len(args) == 0 && environment == "":
				return errors.New("forget: name the person: --tenant Cust12345 --user tove@uno.example, or the tenant: forget Cust12345")
			case !person:
				request := report.ForgetRequest{Environment: environment, DryRun: dryRun}
				if len(args) > 0 {
					request.Tenant = args[0]
				}
				return forgetTenant(cmd, &gateway, request)
			}
			err := revoke(cmd, &gateway, report.Revocation{Tenant: &tenant, User: &user})
			command.Fprintw(cmd.ErrOrStderr(), "", "Audit lines and access logs are not touched. Those of calls: caddy erpsync outcomes --tenant %s --json FILE", tenant)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&tenant, "tenant", "", "the person's tenant")
	flags.StringVar(&user, "user", "", "the person, by UPN")
	flags.StringVar(&environment, "environment", "", "of a tenant: in this environment alone, as configured; needed onsite")
	flags.BoolVar(&dryRun, "dry-run", false, "of a tenant: count what would be removed, and change nothing")
	gateway.flags(flags)
	return cmd
}

// forgetTenant ends the sessions of a tenant, and removes it from the history. What cannot be done does not keep the rest from it.
func forgetTenant(cmd *cobra.Command, gateway *gateway, request report.ForgetRequest) error {
	var revoked report.Revoked
	var failed error
	if !request.DryRun && request.Tenant != "" && request.Environment == "" {
		if failed = gateway.ask(cmd.Context(), http.MethodPost, report.RevokePath, report.Revocation{Tenant: &request.Tenant}, &revoked); failed == nil {
			command.Fprintw(cmd.OutOrStdout(), "", "revoked: %s", revoked.Revoked)
			command.Fprintw(cmd.OutOrStdout(), "  ", "%s", ended(revoked))
		}
	}
	var done report.Forgotten
	if err := gateway.ask(cmd.Context(), http.MethodPost, report.ForgetPath, request, &done); err != nil {
		return fmt.Errorf("forget: %w", errors.Join(failed, err))
	}
	verb := "removed from the history"
	if request.DryRun {
		verb = "would be removed from the history"
	}
	command.Fprintw(cmd.OutOrStdout(), "", "%s: %s: %s, %s of failures with %s, %s, %s of counts", done.Forgotten, verb, count64(done.Calls, "call"), count64(done.Failures, "group"), count64(done.FailingKeys, "key"), count64(done.Closures, "closed group"), count64(done.Days, "day"))
	if !request.DryRun {
		command.Fprintw(cmd.ErrOrStderr(), "", "Audit lines and access logs are not touched. What the tenant calls from now on is kept again.")
	}
	switch {
	case failed != nil:
		return fmt.Errorf("forget: %w", failed)
	case revoked.Unknown != "" && done.Nothing():
		return fmt.Errorf("forget: %s, and the history has nothing of it", command.Printable(revoked.Unknown))
	}
	return nil
}

// count64 is count of a larger number.
func count64(n int64, what string) string { return count(int(n), what) }
