package operator

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const tenantsHelp = `Looks after the system tokens that a running gateway keeps for its tenants, sealed in
Caddy's storage. An approval through the gateway's own link keeps one by itself; import
takes those that exist already.

  caddy erpsync tenants import erp < tenants.csv
  caddy erpsync tenants list erp
  caddy erpsync tenants export erp > backup.json
  caddy erpsync tenants remove erp Cust12345`

const importHelp = `Reads tenants with their system tokens from standard input and has the gateway keep
them: every line, or none. Each line is reported. What is read is either

  CSV with a header, with commas or semicolons:   tenant,system_token,name
  JSON, such as a tenants file or an export:       {"tenants": [{"tenant": …, "system_token": …, "name": …}]}

An export holds sealed tokens; a gateway takes them that has the same keys, environment and client id.

It ends with 0 when all lines were kept, and with 2 when one was wrong and so none was.`

// maxImport bounds what is read from standard input.
const maxImport = 16 << 20

func tenantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tenants", Short: "Look after the system tokens that a gateway keeps", Long: tenantsHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(importCommand(), listCommand(), exportCommand(), removeCommand())
	return cmd
}

func importCommand() *cobra.Command {
	var gateway gateway
	var asJSON, wide bool
	var request report.ImportRequest
	cmd := &cobra.Command{
		Use: "import <app>", Short: "Take system tokens from standard input", Long: importHelp, Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxImport+1))
			if err != nil {
				return err
			}
			if len(raw) > maxImport {
				return fmt.Errorf("standard input holds more than %d bytes: split it", maxImport)
			}
			request.App = args[0]
			if request.Tenants, err = readTenants(raw); err != nil {
				return fmt.Errorf("nothing was kept: %w", err)
			}
			var done report.Import
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.ImportPath, request, &done); err != nil {
				return fmt.Errorf("import: %w", err)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), done)
			} else {
				err = printImport(cmd.OutOrStdout(), done, request.DryRun, wide)
			}
			if err == nil && !done.Kept && !(request.DryRun && countWrong(done) == 0) {
				return errAttention
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "the report as JSON")
	flags.BoolVar(&request.DryRun, "dry-run", false, "report, and keep nothing")
	wideFlag(flags, &wide)
	environmentFlag(flags, &request.Environment)
	gateway.flags(flags)
	return cmd
}

// readTenants reads what an import brings. Its errors name the line and never hold a token.
func readTenants(raw []byte) ([]report.ImportTenant, error) {
	raw = bytes.TrimRight(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch begins := bytes.TrimLeft(raw, " \t\r\n"); {
	case len(begins) == 0:
		return nil, errors.New("standard input is empty")
	case begins[0] == '{' || begins[0] == '[':
		return readTenantsJSON(raw, begins[0] == '[')
	}
	return readTenantsCSV(raw)
}

// readTenantsJSON reads a list of tenants, or an object with one in it, whatever else it holds.
func readTenantsJSON(raw []byte, isList bool) (tenants []report.ImportTenant, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	line := func() int { // of what comes next
		offset := int(decoder.InputOffset())
		gap := len(raw[offset:]) - len(bytes.TrimLeft(raw[offset:], " \t\r\n,"))
		return 1 + bytes.Count(raw[:offset+gap], []byte("\n"))
	}
	defer func() {
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &syntax):
			tenants, err = nil, fmt.Errorf("line %d: no JSON", 1+bytes.Count(raw[:min(int(syntax.Offset), len(raw))], []byte("\n")))
		case err != nil:
			tenants, err = nil, errors.New(`want {"tenants": [{"tenant": "Cust12345", "system_token": "…"}]}`)
		case len(tenants) == 0:
			err = errors.New("no tenants are in it")
		}
	}()
	list := func() error {
		if open, err := decoder.Token(); err != nil || open != json.Delim('[') {
			return errors.Join(err, errors.New("no list"))
		}
		for decoder.More() {
			tenant := report.ImportTenant{Line: line()}
			at := tenant.Line
			if err := decoder.Decode(&tenant); err != nil {
				return err
			}
			tenant.Line = at
			tenants = append(tenants, tenant)
		}
		_, err := decoder.Token()
		return err
	}
	if isList {
		err = list()
		return tenants, err
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		if key == "tenants" {
			err = list()
		} else {
			err = decoder.Decode(new(json.RawMessage))
		}
		if err != nil {
			return nil, err
		}
	}
	_, err = decoder.Token()
	return tenants, err
}

func readTenantsCSV(raw []byte) ([]report.ImportTenant, error) {
	reader := csv.NewReader(bytes.NewReader(raw))
	head, _, _ := bytes.Cut(bytes.TrimLeft(raw, " \t\r\n"), []byte("\n"))
	if bytes.Count(head, []byte(";")) > bytes.Count(head, []byte(",")) {
		reader.Comma = ';' // what spreadsheets write where the comma is decimal
	}
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err != nil {
		return nil, csvProblem(err)
	}
	column := func(name string) int {
		return slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) })
	}
	tenant, token, sealed, name := column("tenant"), column("system_token"), column("sealed"), column("name")
	if tenant < 0 || token < 0 && sealed < 0 {
		return nil, errors.New("line 1: want a header with the columns tenant and system_token, and name if there are names")
	}
	var tenants []report.ImportTenant
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, csvProblem(err)
		}
		field := func(i int) string {
			if i < 0 {
				return ""
			}
			return strings.TrimSpace(record[i])
		}
		line, _ := reader.FieldPos(0)
		tenants = append(tenants, report.ImportTenant{Line: line, Tenant: field(tenant), Name: field(name), SystemToken: field(token), Sealed: field(sealed)})
	}
	if len(tenants) == 0 {
		return nil, errors.New("no tenants are in it: only a header")
	}
	return tenants, nil
}

// csvProblem keeps to the line and the kind of trouble.
func csvProblem(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d: %w", parse.Line, parse.Err)
	}
	return err
}

func countWrong(i report.Import) (n int) {
	for _, line := range i.Lines {
		if line.Problem != "" {
			n++
		}
	}
	return n
}

func printImport(out io.Writer, i report.Import, dryRun, wide bool) error {
	table := &command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{{Head: "LINE"}, {Head: "TENANT", Least: 10}, {Head: "RESULT", Least: 40}}}
	counts := map[string]int{}
	for _, line := range i.Lines {
		result, color := line.Result, command.Plain
		if line.Problem != "" {
			result, color = "wrong: "+line.Problem, command.Bad
		}
		counts[line.Result]++
		table.Colored(map[string]command.Color{"RESULT": color}, fmt.Sprint(line.Line), line.Tenant, result)
	}
	if err := table.Write(out); err != nil {
		return err
	}
	switch wrong := countWrong(i); {
	case wrong > 0:
		fmt.Fprintf(out, "\nNothing was kept: %s of %d wrong. Mend them and import again.\n", count(wrong, "line"), len(i.Lines))
	case dryRun:
		fmt.Fprintf(out, "\nNothing was kept, as --dry-run says; all %s can be.\n", count(len(i.Lines), "line"))
	default:
		fmt.Fprintf(out, "\n%s kept: %d added, %d replaced, %d unchanged.\n", count(len(i.Lines), "system token"), counts["added"], counts["replaced"], counts["unchanged"])
	}
	return nil
}

// ofApp is the query that names an app.
func ofApp(app, environment string) string {
	query := url.Values{"app": {app}}
	if environment != "" {
		query.Set("environment", environment)
	}
	return "?" + query.Encode()
}

// printRemark prints beside the answer that it may not be all.
func printRemark(cmd *cobra.Command, t report.Tenants) {
	if t.Remark != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), command.Printable(t.Remark))
	}
}

func listCommand() *cobra.Command {
	var gateway gateway
	var asJSON, wide bool
	var environment string
	cmd := &cobra.Command{
		Use: "list <app>", Short: "List the tenants and where their system tokens are from", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var found report.Tenants
			if err := gateway.ask(cmd.Context(), http.MethodGet, report.TenantsPath+ofApp(args[0], environment), nil, &found); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, found)
			}
			table := &command.Table{Wide: wide, Columns: []command.Column{{Head: "TENANT"}, {Head: "NAME", Least: 12}, {Head: "GRANTED"}, {Head: "SYSTEM TOKEN"}, {Head: "SINCE"}, {Head: "BY", Least: 16}}}
			for _, t := range found.Tenants {
				since, granted := "-", "no"
				if t.Since != nil {
					since = t.Since.Local().Format(time.DateOnly)
				}
				if t.Granted {
					granted = "yes"
				}
				table.Row(t.Tenant, t.Name, granted, t.Token, since, t.By)
			}
			if err := table.Write(out); err != nil {
				return err
			}
			fmt.Fprintf(out, "\n%s\n", count(len(found.Tenants), "tenant"))
			printRemark(cmd, found)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "as JSON")
	wideFlag(flags, &wide)
	environmentFlag(flags, &environment)
	gateway.flags(flags)
	return cmd
}

func exportCommand() *cobra.Command {
	var gateway gateway
	var environment string
	cmd := &cobra.Command{
		Use: "export <app>", Short: "Write the kept system tokens, sealed, as JSON for import", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Long: "Writes the kept system tokens as JSON that import reads. They stay sealed under the gateway's keys: without these the file is worth nothing, to a thief as to you.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var found report.Tenants
			if err := gateway.ask(cmd.Context(), http.MethodGet, report.ExportPath+ofApp(args[0], environment), nil, &found); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), found)
		},
	}
	environmentFlag(cmd.Flags(), &environment)
	gateway.flags(cmd.Flags())
	return cmd
}

func removeCommand() *cobra.Command {
	var gateway gateway
	var request report.RemoveRequest
	cmd := &cobra.Command{
		Use: "remove <app> <tenant>", Short: "Forget a tenant's system token", Args: cobra.ExactArgs(2), SilenceUsage: true,
		Long: "Forgets a tenant's system token and its ticket. One in the configuration or the tenants file stays there.",
		RunE: func(cmd *cobra.Command, args []string) error {
			request.App, request.Tenant = args[0], args[1]
			var told report.Removed
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.RemovePath, request, &told); err != nil {
				return fmt.Errorf("remove: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "removed:", command.Printable(told.Removed))
			return nil
		},
	}
	environmentFlag(cmd.Flags(), &request.Environment)
	gateway.flags(cmd.Flags())
	return cmd
}
