// Package command is the root of `caddy erpsync`. Packages add their commands to it from their init.
package command

import (
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
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
			explainArgs(root)
		},
	})
}

// explainArgs has a command and all below it answer wrong arguments with what to write. Cobra counts arguments, and takes
// one too many for the name of a command.
func explainArgs(cmd *cobra.Command) {
	if takes := cmd.Args; takes != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			switch {
			case takes(cmd, args) == nil:
				return nil
			case cmd.HasSubCommands():
				var names []string
				for _, sub := range cmd.Commands() {
					names = append(names, sub.Name())
				}
				return fmt.Errorf("there is no command %q%s (%s --help lists them)", cmd.CommandPath()+" "+args[0], nearest.Hint(args[0], names), cmd.CommandPath())
			default:
				return fmt.Errorf("wrong arguments; write: %s (%s --help says more)", cmd.UseLine(), cmd.CommandPath())
			}
		}
	}
	for _, sub := range cmd.Commands() {
		explainArgs(sub)
	}
}
