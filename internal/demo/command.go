// Package demo adds the commands that need the sandbox: erpsync demo and erpsync
// sandbox. Only the repository's own build of Caddy holds it.
package demo

import (
	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
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
	var listen, dir string
	cmd := &cobra.Command{
		Use: "sandbox", Short: "Run the SuperOffice sandbox that Caddyfile.example expects", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSandbox(cmd.Context(), cmd.OutOrStdout(), listen, dir)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8088", "where to listen; loopback only")
	cmd.Flags().StringVar(&dir, "secrets", "sandbox-secrets", "the folder that the sandbox's secrets are written to")
	return cmd
}
