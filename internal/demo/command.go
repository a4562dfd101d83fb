// Package demo adds the commands that need the sandbox: erpsync demo and erpsync
// sandbox. Only the repository's own build of Caddy holds it.
package demo

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func init() {
	command.Add(demoCommand)
	command.Add(sandboxCommand)
}

func demoCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Sign in to a SuperOffice sandbox, resync, and show what happened at every step", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), cmd.OutOrStdout(), once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the calls instead of staying up")
	return cmd
}

func sandboxCommand() *cobra.Command {
	var options sandboxOptions
	cmd := &cobra.Command{
		Use: "sandbox", Short: "Run a SuperOffice sandbox that fails on demand", Args: cobra.NoArgs, SilenceUsage: true,
		Long: "Runs a stand-in for SuperOffice on loopback, Online and (with --onsite) onsite, prints how to start a gateway before it and one call, and keeps its\n" +
			"secrets over a restart. It is told how to behave by --behaviour and --control, and while it runs by POST " + sandbox.ControlPath + ".\n\n" + switchHelp(),
		Example: "  caddy erpsync sandbox --behaviour fault=401 --behaviour fault_times=1\n" +
			`  caddy erpsync sandbox --control '{"actions":[{"do":"withdraw_consent","app":"erp","tenant":"Cust12345"}]}'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSandbox(cmd.Context(), cmd.OutOrStdout(), options)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.listen, "listen", defaultListen, "where to listen; loopback only")
	flags.StringVar(&options.secrets, "secrets", defaultSecrets, "the folder that holds the sandbox's secrets")
	flags.StringVar(&options.onsite, "onsite", "", "serve an onsite installation too, below this directory, such as /crm7")
	flags.StringArrayVar(&options.behaviours, "behaviour", nil, "set a switch, name=value; may be repeated")
	flags.StringVar(&options.control, "control", "", "carry an order out at the start, in the JSON of the control endpoint")
	flags.IntVar(&options.tenants, "tenants", 0, "add that many tenants, Cust20001 and on")
	return cmd
}

// switchHelp lists every switch with its values, the default first.
func switchHelp() string {
	var b strings.Builder
	b.WriteString("Switches (docs/sandbox.md says what each does):\n")
	for _, info := range sandbox.AllSwitches() {
		values := strings.Join(info.Values, " ")
		if values == "" {
			values = strings.TrimSpace(info.Default + " (" + info.Kind + ")")
		}
		fmt.Fprintf(&b, "  %-24s %s\n", info.Name, values)
	}
	return b.String()
}
