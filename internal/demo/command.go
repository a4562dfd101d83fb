// Package demo adds the commands that need the sandbox: erpsync demo and erpsync
// sandbox. Only the repository's own build of Caddy holds it.
package demo

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "erpsync",
		Short: "Try the ErpSync gateway out on a SuperOffice sandbox",
		CobraFunc: func(root *cobra.Command) {
			var once bool
			demo := &cobra.Command{
				Use: "demo", Short: "Sign in, resync, and show what happened at every step", Args: cobra.NoArgs, SilenceUsage: true,
				RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), cmd.OutOrStdout(), once) },
			}
			demo.Flags().BoolVar(&once, "once", false, "end after the calls instead of staying up")
			var listen, dir string
			box := &cobra.Command{
				Use: "sandbox", Short: "Run the SuperOffice sandbox that Caddyfile.example expects", Args: cobra.NoArgs, SilenceUsage: true,
				RunE: func(cmd *cobra.Command, _ []string) error {
					return runSandbox(cmd.Context(), cmd.OutOrStdout(), listen, dir)
				},
			}
			box.Flags().StringVar(&listen, "listen", "127.0.0.1:8088", "where to listen; loopback only")
			box.Flags().StringVar(&dir, "secrets", "sandbox-secrets", "the folder that the sandbox's secrets are written to")
			root.AddCommand(demo, box)
			root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			root.Args = cobra.NoArgs
		},
	})
}
