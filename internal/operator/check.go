package operator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const checkHelp = `Tries out whether an app can really do its work in a tenant, step by step, through a
running gateway: what the registry says, the tenant's state, the system token, a new ticket,
GetEngineStatus (is this app granted the ErpSync agent there?), and the connections by name.
It moves no data. The first step that fails ends it and says what to do.

  caddy erpsync check erp Cust12345
  caddy erpsync check erp --all --json > check.json
  caddy erpsync check erp Cust12345 --erp                     # are the ERP systems alive?
  caddy erpsync check office                                  # onsite

It ends with 0 when every step of every tenant went well, with 2 when one did not, and with 1
when the gateway cannot be asked. A check of a tenant mints a ticket and sends up to five requests;
--erp adds two for each connection that the app may use, of at most 20.`

func checkCommand() *cobra.Command {
	var gateway gateway
	var asJSON, all, wide, erp bool
	var environment string
	var atOnce int
	cmd := &cobra.Command{
		Use: "check <app> [<tenant>...]", Short: "Try out whether an app can do its work in a tenant", Long: checkHelp, Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			app, tenants := args[0], args[1:]
			if err := checkArguments(app, tenants, all); err != nil {
				return err
			}
			if atOnce < 1 || atOnce > 32 {
				return errors.New("--at-once: want 1 to 32")
			}
			if all {
				var err error
				if tenants, err = gateway.tenantsOf(cmd, app, environment); err != nil {
					return err
				}
			} else if len(tenants) == 0 {
				tenants = []string{""} // onsite
			}
			began := time.Now()
			checks, err := gateway.checkAll(cmd, report.CheckRequest{App: app, Environment: environment, ERP: erp}, tenants, atOnce)
			if len(checks) == 1 && err != nil {
				return err
			}
			failed, printErr := printChecks(cmd.OutOrStdout(), checks, asJSON, wide, time.Since(began))
			switch {
			case err != nil || printErr != nil:
				return errors.Join(err, printErr)
			case failed > 0:
				return errAttention
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "as JSON, a list of checks")
	flags.BoolVar(&all, "all", false, "every tenant that the app is granted in, but for suspended ones")
	flags.BoolVar(&erp, "erp", false, "ask too whether the ERP systems answer, and when they last synchronised")
	flags.IntVar(&atOnce, "at-once", 4, "with several tenants, how many at a time")
	wideFlag(flags, &wide)
	environmentFlag(flags, &environment)
	gateway.flags(flags)
	return cmd
}

// checkArguments refuses what cannot be meant before anything is asked: a check mints tickets.
func checkArguments(app string, tenants []string, all bool) error {
	if _, isTenant := superoffice.ParseTenant(app); isTenant {
		return fmt.Errorf("argument %q: the app comes first: caddy erpsync check <app> %s", app, app)
	}
	if all && len(tenants) > 0 {
		return fmt.Errorf("argument %q: name tenants or write --all, not both", tenants[0])
	}
	seen := make(map[superoffice.Tenant]bool)
	for _, name := range tenants {
		tenant, ok := superoffice.ParseTenant(name)
		switch {
		case !ok:
			return fmt.Errorf("argument %q: want a tenant of the form Cust12345", name)
		case seen[tenant]:
			return fmt.Errorf("argument %q: named twice", name)
		}
		seen[tenant] = true
	}
	return nil
}

// tenantsOf lists the tenants that the app is granted in.
func (g *gateway) tenantsOf(cmd *cobra.Command, app, environment string) (tenants []string, err error) {
	var found report.Tenants
	if err := g.ask(cmd.Context(), http.MethodGet, report.TenantsPath+ofApp(app, environment), nil, &found); err != nil {
		return nil, err
	}
	printRemark(cmd, found)
	for _, t := range found.Tenants {
		if t.Granted && !t.Suspended {
			tenants = append(tenants, t.Tenant)
		}
	}
	if len(tenants) == 0 {
		return nil, fmt.Errorf("app %s is granted in no tenant that the gateway knows by name", app)
	}
	return tenants, nil
}

// checkAll checks tenants, several at a time, and gives the checks in the order of the tenants; one that could not
// be made has an Error. What has been checked is told on a terminal.
func (g *gateway) checkAll(cmd *cobra.Command, request report.CheckRequest, tenants []string, atOnce int) ([]report.Check, error) {
	checks, errs := make([]report.Check, len(tenants)), make([]error, len(tenants))
	progress := newProgress(cmd.ErrOrStderr(), len(tenants))
	defer progress.end()
	next := make(chan int)
	var group sync.WaitGroup
	for range min(atOnce, len(tenants)) {
		group.Go(func() {
			for i := range next {
				its := request
				its.Tenant = tenants[i]
				errs[i] = g.ask(cmd.Context(), http.MethodPost, report.CheckPath, its, &checks[i])
				if errs[i] != nil {
					checks[i] = report.Check{App: its.App, Tenant: tenants[i], Error: errs[i].Error()}
				}
				progress.done(errs[i] == nil && checks[i].OK)
			}
		})
	}
	for i := range tenants {
		next <- i
	}
	close(next)
	group.Wait()
	for _, err := range errs {
		if err != nil && len(tenants) == 1 {
			return checks, fmt.Errorf("check: %w", err)
		}
		if err != nil {
			return checks, fmt.Errorf("not every tenant was checked: %w", err) // one says it for all
		}
	}
	return checks, nil
}

// progress tells on a terminal how many are done.
type progress struct {
	out           io.Writer // nil: nobody is told
	mu            sync.Mutex
	of, n, failed int
}

func newProgress(out io.Writer, of int) *progress {
	if of > 1 && command.IsTerminal(out) {
		return &progress{out: out, of: of}
	}
	return &progress{of: of}
}

func (p *progress) done(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if !well {
		p.failed++
	}
	if p.out != nil {
		fmt.Fprintf(p.out, "\rchecked %d of %d, %d failed ", p.n, p.of, p.failed)
	}
}

func (p *progress) end() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\033[K")
	}
}

// printChecks writes one check step by step, several a line each with what failed beneath.
func printChecks(out io.Writer, checks []report.Check, asJSON, wide bool, took time.Duration) (failed int, err error) {
	calls, unmade := 0, 0
	for _, c := range checks {
		calls += c.Calls
		if !c.OK {
			failed++
		}
		if c.Error != "" {
			unmade++
		}
	}
	if asJSON {
		return failed, printJSON(out, checks)
	}
	if len(checks) == 1 {
		return failed, printSteps(out, checks[0])
	}
	table := &command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{{Head: "TENANT"}, {Head: "NAME", Least: 12}, {Head: "RESULT"}, {Head: "TIME"}, {Head: "FOUND", Least: 20}}}
	for _, c := range checks {
		result, color, last := "ok", command.Good, lastStep(c)
		switch {
		case c.Error != "":
			result, color = "not checked", command.Warning
		case !c.OK:
			result, color = last.Name+" failed", command.Bad
		}
		seconds := 0.0
		for _, s := range c.Steps {
			seconds += s.Seconds
		}
		table.Colored(map[string]command.Color{"RESULT": color}, c.Tenant, c.Name, result, fmt.Sprintf("%.3fs", seconds), last.Found)
	}
	if err := table.Write(out); err != nil {
		return failed, err
	}
	for _, c := range checks {
		if last := lastStep(c); !c.OK && c.Error == "" {
			fmt.Fprintln(out)
			command.Fprintw(out, "", "%s: %s", c.Tenant, last.Found)
			command.Fprintw(out, "  ", "%s", last.Remedy)
		}
	}
	fmt.Fprintf(out, "\n%s in %.1fs with %s to SuperOffice: %d well, %d failed%s\n", count(len(checks), "tenant"), took.Seconds(), count(calls, "request"), len(checks)-failed, failed-unmade, notChecked(unmade))
	return failed, nil
}

// lastStep returns where a check ended.
func lastStep(c report.Check) report.Step {
	if len(c.Steps) == 0 {
		return report.Step{Found: c.Error}
	}
	return c.Steps[len(c.Steps)-1]
}

func notChecked(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d not checked", n)
}

func printSteps(out io.Writer, c report.Check) error {
	command.Fprintw(out, "", "%s in %s (%s)", c.App, c.Tenant+" "+c.Name, c.Environment)
	colors := command.ColorsFor(out)
	const text = 32 // where it begins: behind the mark, the name and the time
	for _, s := range c.Steps {
		mark, color := "ok", command.Good
		switch {
		case s.Skipped:
			mark, color = "-", command.Plain
		case !s.OK:
			mark, color = "FAILED", command.Bad
		}
		indentation := strings.Repeat(" ", text)
		fmt.Fprintf(out, "  %s%-12s  %7.3fs  %s\n", colors.Paint(color, fmt.Sprintf("%-7s", mark)), s.Name, s.Seconds, strings.TrimLeft(command.Wrap(s.Found, indentation), " "))
		if s.Remedy != "" {
			fmt.Fprintln(out, command.Wrap(s.Remedy, indentation))
		}
	}
	return nil
}
