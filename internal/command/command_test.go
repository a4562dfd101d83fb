package command

import (
	"testing"

	"github.com/spf13/cobra"
)

func TestWrongArgumentsAreAnsweredWithWhatToWrite(t *testing.T) {
	t.Parallel()
	run := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "caddy", SilenceErrors: true, SilenceUsage: true}
	erpsync := &cobra.Command{Use: "erpsync", Args: cobra.NoArgs, RunE: run}
	erpsync.AddCommand(
		&cobra.Command{Use: "status [<tenant>]", Args: cobra.MaximumNArgs(1), RunE: run},
		&cobra.Command{Use: "check <app> [<tenant>...]", Args: cobra.MinimumNArgs(1), RunE: run},
		&cobra.Command{Use: "revoke", Args: cobra.NoArgs, RunE: run},
	)
	root.AddCommand(erpsync)
	explainArgs(erpsync)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"erpsync"}, ""},
		{[]string{"erpsync", "status"}, ""},
		{[]string{"erpsync", "check", "erp", "Cust1", "Cust2"}, ""},
		{[]string{"erpsync", "check"}, "wrong arguments; write: caddy erpsync check <app> [<tenant>...] [flags] (caddy erpsync check --help says more)"},
		{[]string{"erpsync", "status", "Cust1", "Cust2"}, "wrong arguments; write: caddy erpsync status [<tenant>] [flags] (caddy erpsync status --help says more)"},
		{[]string{"erpsync", "revoke", "Cust1"}, "wrong arguments; write: caddy erpsync revoke [flags] (caddy erpsync revoke --help says more)"},
		{[]string{"erpsync", "statuss"}, `there is no command "caddy erpsync statuss"; did you mean status? (caddy erpsync --help lists them)`},
		{[]string{"erpsync", "tickets"}, `there is no command "caddy erpsync tickets" (caddy erpsync --help lists them)`},
	} {
		root.SetArgs(c.args)
		var got string
		if err := root.Execute(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v:\n\tsays %s\n\twant %s", c.args, got, c.want)
		}
	}
}
