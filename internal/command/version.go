package command

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
)

func init() { Add(versionCommand) }

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version and revision of the ErpSync module (caddy version prints Caddy's)", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(build.Read())
			}
			return printVersion(cmd.OutOrStdout(), build.Read())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for scripts")
	return cmd
}

func printVersion(out io.Writer, i build.Info) error {
	revision := i.Revision
	if i.Modified {
		revision += " with changes"
	}
	if i.Time != "" {
		revision += ", " + i.Time
	}
	text := fmt.Sprintf("erpsync   %s\nrevision  %s\n", i.Version, revision)
	if i.Sum != "" {
		text += fmt.Sprintf("sum       %s\n", i.Sum)
	}
	_, err := fmt.Fprintf(out, "%scaddy     %s\ngo        %s %s\n", text, i.Caddy, i.Go, i.Platform)
	return err
}
