package operator

import (
	"cmp"
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
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const statusHelp = `Tells what a running gateway knows of its tenants: where they live, whether SuperOffice
takes the app's system user there, how old its ticket is, what is under way, what the last
call came to, and what to do where something is wrong. It asks SuperOffice nothing;
caddy erpsync check does. What is wrong with the gateway itself, such as a store that gives no
answer, or with another one of its store, stands first; then each gateway of the store, with
its version, its start and its last sign of life. Tickets and calls under way are those of
the gateway that answers.

  caddy erpsync status
  caddy erpsync status Cust12345
  caddy erpsync status --attention
  caddy erpsync status --attention --json | jq -r '.apps[].tenants[].tenant'

It ends with 0 when all is well, with 2 when something needs attention, and with 1 when the
gateway cannot be asked.`

func statusCommand() *cobra.Command {
	var gateway gateway
	var asJSON, attention, wide bool
	cmd := &cobra.Command{
		Use: "status [<tenant>]", Short: "Tell how the tenants are", Long: statusHelp, Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 1 {
				query.Set("tenant", args[0])
			}
			var status report.Status
			if err := gateway.ask(cmd.Context(), http.MethodGet, report.StatusPath+"?"+query.Encode(), nil, &status); err != nil {
				return err
			}
			if len(status.Apps) == 0 {
				return fmt.Errorf("the gateway at %s has no app configured: no erpsync handler stands in its configuration", gateway.address())
			}
			wanted, all, apps := len(status.Troubles), 0, len(status.Apps)
			for _, app := range status.Apps {
				all += len(app.Tenants)
				for _, t := range app.Tenants {
					if t.Attention != "" {
						wanted++
					}
				}
			}
			if attention {
				keepAttention(&status)
			}
			wanted += len(status.Holds)
			out := cmd.OutOrStdout()
			if !asJSON {
				for _, h := range status.Holds {
					printHold(out, h, time.Now())
				}
				if len(status.Holds) > 0 {
					fmt.Fprintln(out)
				}
			}
			var err error
			switch {
			case asJSON:
				err = printJSON(out, status)
			case attention && wanted == 0 && len(status.Apps) == 0:
				_, err = fmt.Fprintf(out, "All is well: %s of %s, and none needs attention.\n", count(all, "tenant"), count(apps, "app"))
			case len(args) == 1:
				err = printDetails(out, &status, time.Now())
			default:
				err = printTable(out, &status, time.Now(), wide)
			}
			if err == nil && wanted > 0 {
				return errAttention
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "as JSON")
	flags.BoolVar(&attention, "attention", false, "only the tenants that need attention")
	wideFlag(flags, &wide)
	gateway.flags(flags)
	return cmd
}

func keepAttention(s *report.Status) {
	for i := range s.Apps {
		s.Apps[i].Tenants = slices.DeleteFunc(s.Apps[i].Tenants, func(t report.TenantStatus) bool { return t.Attention == "" })
	}
	s.Apps = slices.DeleteFunc(s.Apps, func(a report.AppStatus) bool { return len(a.Tenants) == 0 && a.Remark == "" })
}

// printTroubles prints what is wrong with the gateway itself.
func printTroubles(out io.Writer, s *report.Status, now time.Time) {
	for _, t := range s.Troubles {
		command.Fprintw(out, "", "%s%s", command.Printable(t.What), moment(now, t.Since, ", since "))
		if t.Cause != "" {
			command.Fprintw(out, "  ", "%s", command.Printable(t.Cause))
		}
		command.Fprintw(out, "  ", "%s", command.Printable(t.Means))
		command.Fprintw(out, "  ", "What to do: %s", command.Printable(t.Remedy))
	}
}

// printTable prints what is wrong with the gateway, a line for each tenant, and below what needs attention.
func printTable(out io.Writer, s *report.Status, now time.Time, wide bool) error {
	printTroubles(out, s, now)
	if len(s.Troubles) > 0 && (len(s.Gateways) > 1 || s.GatewaysUnknown != "") {
		fmt.Fprintln(out)
	}
	printGateways(out, s, now)
	for i, app := range s.Apps {
		if i > 0 || len(s.Troubles) > 0 {
			fmt.Fprintln(out)
		}
		var trouble []report.TenantStatus
		accepted := false
		for _, t := range app.Tenants {
			if t.Attention != "" {
				trouble = append(trouble, t)
			}
			accepted = accepted || t.Last != nil && t.Last.Explanation() != ""
		}
		command.Fprintw(out, "", "%s: %s, %s", appLabel(app), count(len(app.Tenants), "tenant"), needs(len(trouble)))
		if app.Remark != "" {
			command.Fprintw(out, "", "%s", app.Remark)
		}
		if len(app.Tenants) == 0 {
			continue
		}
		if err := statusTable(out, app, now, wide).Write(out); err != nil {
			return err
		}
		if accepted {
			command.Fprintw(out, "", "accepted: %s", outcome.Accepted.Explanation())
		}
		for _, t := range trouble {
			fmt.Fprintln(out)
			command.Fprintw(out, "", "%s: %s", tenantLabel(t), attentionText(t, now))
			for _, line := range remedies(t) {
				command.Fprintw(out, "  ", "%s", line)
			}
		}
	}
	return nil
}

// appLabel names an app and where it is.
func appLabel(app report.AppStatus) string {
	at := ""
	if len(app.Sites) > 0 {
		at = " at " + strings.Join(app.Sites, " and ")
	}
	return fmt.Sprintf("%s%s (%s, call_as %s)", app.App, at, app.Environment, app.CallAs)
}

func statusTable(out io.Writer, app report.AppStatus, now time.Time, wide bool) *command.Table {
	table := &command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{
		{Head: "TENANT"},
		{Head: "NAME", Least: 8},
		{Head: "HOST", Wide: true},
		{Head: "STATE", Least: 8},
		{Head: "CONSENT", Least: 8},
		{Head: "TICKET"},
		{Head: "RUNNING"},
		{Head: "LAST CALL", Least: 16},
		{Head: "ATTENTION", Least: 12},
	}}
	for _, t := range app.Tenants {
		last, ticket, colors := "", "", map[string]command.Color{}
		if t.Last != nil {
			last = fmt.Sprintf("%s, %s ago", t.Last.What(), age(now, t.Last.At))
			colors["LAST CALL"] = callColor(t.Last)
		}
		if t.TicketSince != nil {
			ticket = age(now, *t.TicketSince)
		}
		if t.Attention != "" {
			colors["ATTENTION"] = command.Bad
		}
		table.Colored(colors, tenantLabel(t), t.Name, t.Host, tenantState(t), tenantConsent(t, app.CallAs), ticket, fmt.Sprint(t.InFlight), last, t.Attention)
	}
	return table
}

// callColor is what a call's result looks like.
func callColor(c *report.CallStatus) command.Color {
	switch class := outcome.Class(c.Outcome); {
	case class == outcome.Warning, class == outcome.Accepted:
		return command.Warning
	case class.Succeeded():
		return command.Good
	}
	return command.Bad
}

// printDetails prints one tenant, a line for each thing that is known of it.
func printDetails(out io.Writer, s *report.Status, now time.Time) error {
	printTroubles(out, s, now)
	for i, app := range s.Apps {
		for _, t := range app.Tenants {
			if i > 0 {
				fmt.Fprintln(out)
			}
			if app.Remark != "" {
				command.Fprintw(out, "", "%s", app.Remark)
			}
			line := func(name, format string, args ...any) {
				value := strings.TrimLeft(command.Wrap(fmt.Sprintf(format, args...), strings.Repeat(" ", detailColumn)), " ")
				fmt.Fprintf(out, "%-*s%s\n", detailColumn, name, value)
			}
			line("tenant", "%s %s", tenantLabel(t), t.Name)
			line("app", "%s", appLabel(app))
			line("granted", "%s", yes(t.Granted)+suspended(t.Suspended))
			line("host", "%s", cmp.Or(t.Host, "not asked yet"))
			line("state", "%s", cmp.Or(tenantState(t), "not asked yet"))
			if t.Token != "" {
				since := ""
				if t.TokenSince != nil {
					since = ", since " + t.TokenSince.Local().Format(time.DateTime)
				}
				if t.ApprovedBy != "" {
					since += ", by " + t.ApprovedBy
				}
				line("system token", "%s%s", t.Token, since)
				line("consent", "%s%s", cmp.Or(t.Consent, "not asked yet"), moment(now, t.ConsentSince, ", since "))
				if t.Message != "" {
					line("", "SuperOffice says: %s", t.Message)
				}
				if t.TicketSince == nil {
					line("ticket", "none")
				} else {
					line("ticket", "%s old", age(now, *t.TicketSince))
				}
			}
			line("running", "%d", t.InFlight)
			line("last call", "%s", describeCall(t.Last, now))
			if t.Unknown != nil {
				line("end unknown", "%s", describeCall(t.Unknown, now))
			}
			line("last failure", "%s", describeCall(t.Failed, now))
			line("last success", "%s", cmp.Or(strings.TrimPrefix(moment(now, t.Succeeded, ""), " "), "none since the gateway began"))
			if t.Attention != "" {
				line("attention", "%s", attentionText(t, now))
			}
			for i, todo := range remedies(t) {
				line([]string{"what to do", ""}[min(i, 1)], "%s", todo)
			}
		}
	}
	return nil
}

// detailColumn is where the values of details begin.
const detailColumn = 14

func tenantLabel(t report.TenantStatus) string { return cmp.Or(command.Printable(t.Tenant), "onsite") }

func tenantState(t report.TenantStatus) string {
	switch {
	case t.Suspended:
		return "suspended here"
	case !t.Granted:
		return "not granted"
	}
	return t.State
}

func tenantConsent(t report.TenantStatus, callAs string) string {
	if callAs != "system" {
		return ""
	}
	if t.Consent == "" && (t.Token == "none" || t.Token == "unreadable") {
		return "no token"
	}
	return t.Consent
}

// attentionText returns in a line what is wrong.
func attentionText(t report.TenantStatus, now time.Time) string {
	text := t.Attention
	switch {
	case t.Attention == t.Consent:
		text += moment(now, t.ConsentSince, ", since ")
		if t.Message != "" {
			text += "; SuperOffice says: " + t.Message
		}
	case t.Unknown != nil && t.Attention == report.AttentionUnknown:
		text = describeCall(t.Unknown, now)
		if t.Unknowns > 1 {
			text += fmt.Sprintf("; %d calls in all", t.Unknowns)
		}
	case t.Failed != nil && t.Attention == t.Failed.What():
		text = describeCall(t.Failed, now)
	}
	return command.Printable(text)
}

// remedies returns in lines what to do about it.
func remedies(t report.TenantStatus) (lines []string) {
	if t.Remedy != "" {
		lines = append(lines, command.Printable(t.Remedy))
	}
	if t.Approve != "" && t.Attention != "" {
		lines = append(lines, command.Printable(t.Approve))
	}
	return lines
}

func describeCall(c *report.CallStatus, now time.Time) string {
	if c == nil {
		return "none since the gateway began"
	}
	what := c.What()
	if means := c.Explanation(); means != "" {
		what += ": " + means
	}
	text := fmt.Sprintf("%s, %s, %s ago, request %s", what, c.Operation, age(now, c.At), c.RequestID)
	if c.ErrorCode != "" {
		text += ", error code " + c.ErrorCode
	}
	return text
}

func moment(now time.Time, t *time.Time, before string) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s%s (%s ago)", before, t.Local().Format(time.DateTime), age(now, *t))
}

// age is how long ago something was, in its largest unit.
func age(now, then time.Time) string {
	switch d := max(now.Sub(then), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no: neither the configuration nor the tenants file names it"
}

func suspended(b bool) string {
	if b {
		return ", and suspended"
	}
	return ""
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func needs(n int) string {
	switch n {
	case 0:
		return "all is well"
	case 1:
		return "1 needs attention"
	}
	return fmt.Sprintf("%d need attention", n)
}
