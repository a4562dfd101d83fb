// Package command is the root of `caddy erpsync`. Packages add their commands to it from their init.
package command

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

var makers []func() *cobra.Command

// Add adds a command. Call it from an init: Caddy makes the commands when it starts.
func Add(maker func() *cobra.Command) { makers = append(makers, maker) }

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "erpsync",
		Short: "Look after the ErpSync gateway",
		CobraFunc: func(root *cobra.Command) {
			for _, maker := range makers {
				root.AddCommand(maker())
			}
			root.Args = cobra.NoArgs
			root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		},
	})
}
