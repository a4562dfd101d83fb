package operator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const findHelp = `Finds which internal key, ERP number and CRM record belong together behind an ERP connection,
through a running gateway, with the app's own rights. It only reads.

  caddy erpsync find erp Cust12345 --connection 612 --erp 10023
  caddy erpsync find erp Cust12345 --connection 612 --contact 4711
  caddy erpsync find erp Cust12345 --connection 612 --name "Uno AS"
  caddy erpsync find erp --connection 612 --key 386                 # onsite

--name finds companies whose name begins so, those without a key too. ForceResync takes what
stands under KEY; a contact's id and an ERP number are no keys. What SuperOffice does not answer
as expected is an error, and never "nothing found".

It ends with 0 when something was found, with 2 when nothing was, and with 1 when there is no answer.`

func findCommand() *cobra.Command {
	var gateway gateway
	var asJSON, wide bool
	var request report.FindRequest
	var words question
	cmd := &cobra.Command{
		Use: "find <app> [<tenant>]", Short: "Find the internal key of an ERP number or a CRM record", Long: findHelp, Args: cobra.RangeArgs(1, 2), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			if err := checkArguments(args[0], args[1:], false); err != nil {
				return err
			}
			request.App = args[0]
			if len(args) > 1 {
				request.Tenant = args[1]
			}
			if err := words.ask(cmd.Flags(), &request); err != nil {
				return fmt.Errorf("find: %w", err)
			}
			if _, err := request.Lookup(); err != nil {
				return fmt.Errorf("find: --%w", err)
			}
			var found report.Found
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.FindPath, request, &found); err != nil {
				return fmt.Errorf("find: %w", err)
			}
			var err error
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), found)
			} else {
				err = printFound(cmd.OutOrStdout(), found, wide)
			}
			if err == nil && len(found.Matches) == 0 {
				err = errAttention
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.Int32Var(&request.Connection, "connection", 0, "the ERP connection, by number")
	words.flags(flags)
	flags.Int32Var(&request.After, "after", 0, "continue behind the page that said so")
	flags.IntVar(&request.Limit, "limit", 0, "how many at most: 1 to 100, or with --name 1 to 10 companies, which are the defaults")
	flags.BoolVar(&asJSON, "json", false, "as JSON")
	wideFlag(flags, &wide)
	environmentFlag(flags, &request.Environment)
	gateway.flags(flags)
	return cmd
}

// question is what flags ask for.
type question struct {
	erp, name                     string
	key, contact, person, project int32
}

func (q *question) flags(flags *pflag.FlagSet) {
	flags.StringVar(&q.erp, "erp", "", "by the number in the ERP system, whole")
	flags.Int32Var(&q.key, "key", 0, "by internal key")
	flags.Int32Var(&q.contact, "contact", 0, "by the id of a company in the CRM")
	flags.Int32Var(&q.person, "person", 0, "by the id of a person in the CRM")
	flags.Int32Var(&q.project, "project", 0, "by the id of a project in the CRM")
	flags.StringVar(&q.name, "name", "", "by how a company's name begins")
}

// ask sets what was asked for, which is one thing.
func (q *question) ask(flags *pflag.FlagSet, request *report.FindRequest) error {
	n := 0
	for name, set := range map[string]func(){
		"erp": func() { request.ERP = &q.erp }, "name": func() { request.Name = &q.name }, "key": func() { request.Key = &q.key },
		"contact": func() { request.Contact = &q.contact }, "person": func() { request.Person = &q.person }, "project": func() { request.Project = &q.project },
	} {
		if flags.Changed(name) {
			set()
			n++
		}
	}
	if n != 1 {
		return errors.New("want one of --erp, --key, --contact, --person, --project and --name")
	}
	return nil
}

func printFound(out io.Writer, found report.Found, wide bool) error {
	if len(found.Matches) == 0 {
		command.Fprintw(out, "", "Nothing was found behind connection %d.", found.Connection)
	} else {
		table := &command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{{Head: "KEY"}, {Head: "ERP NUMBER", Least: 12}, {Head: "RECORD"}, {Head: "NAME", Least: 20}}}
		for _, m := range found.Matches {
			key := "none"
			if m.Key > 0 {
				key = fmt.Sprint(m.Key)
			}
			record := m.Record.Name
			if record == "" {
				record = fmt.Sprintf("table %d", m.Record.Table)
			}
			table.Row(key, m.ERPKey, fmt.Sprintf("%s %d", record, m.Record.ID), m.Name)
		}
		if err := table.Write(out); err != nil {
			return err
		}
	}
	if found.Next > 0 {
		fmt.Fprintf(out, "\nThere is more: --after %d\n", found.Next)
	}
	fmt.Fprintln(out)
	command.Fprintw(out, "", "%s", strings.TrimSpace(found.Inferred))
	return nil
}
