package operator

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const statusHelp = `Tells what a running gateway knows of its tenants: where they live, whether SuperOffice
takes the app's system user there, how old its ticket is, what is under way, what the last
call came to, and what to do where something is wrong. It asks SuperOffice nothing;
caddy erpsync check does. Calls and tickets are those of this gateway alone, since it began.

  caddy erpsync status
  caddy erpsync status Cust12345
  caddy erpsync status --attention --json | jq -r '.apps[].tenants[].tenant'

It ends with 0 when all is well, with 2 when something needs attention, and with 1 when the
gateway cannot be asked.`

func statusCommand() *cobra.Command {
	var gateway gateway
	var asJSON, attention bool
	cmd := &cobra.Command{
		Use: "status [<tenant>]", Short: "Tell how the tenants are", Long: statusHelp, Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 1 {
				query.Set("tenant", args[0])
			}
			var status Status
			if err := gateway.ask(cmd.Context(), http.MethodGet, StatusPath+"?"+query.Encode(), nil, &status); err != nil {
				return err
			}
			if len(status.Apps) == 0 {
				return fmt.Errorf("the gateway at %s has no app configured: no erpsync handler stands in its configuration", gateway.address)
			}
			wanted := 0
			for _, app := range status.Apps {
				for _, t := range app.Tenants {
					if t.Attention != "" {
						wanted++
					}
				}
			}
			if attention {
				status.onlyAttention()
			}
			out := cmd.OutOrStdout()
			var err error
			switch {
			case asJSON:
				err = printJSON(out, status)
			case len(args) == 1:
				err = status.details(out, time.Now())
			default:
				err = status.table(out, time.Now())
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
	gateway.flags(flags)
	return cmd
}

func (s *Status) onlyAttention() {
	for i := range s.Apps {
		s.Apps[i].Tenants = slices.DeleteFunc(s.Apps[i].Tenants, func(t TenantStatus) bool { return t.Attention == "" })
	}
	s.Apps = slices.DeleteFunc(s.Apps, func(a AppStatus) bool { return len(a.Tenants) == 0 })
}

// table is all tenants, a line each, and beneath what needs attention.
func (s *Status) table(out io.Writer, now time.Time) error {
	for i, app := range s.Apps {
		if i > 0 {
			fmt.Fprintln(out)
		}
		var trouble []TenantStatus
		for _, t := range app.Tenants {
			if t.Attention != "" {
				trouble = append(trouble, t)
			}
		}
		fmt.Fprintf(out, "%s, %s, call_as %s: %s, %s\n", app.App, app.Environment, app.CallAs, count(len(app.Tenants), "tenant"), needs(len(trouble)))
		if app.Remark != "" {
			fmt.Fprintln(out, command.Printable(app.Remark))
		}
		if len(app.Tenants) == 0 {
			continue
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TENANT\tNAME\tHOST\tSTATE\tCONSENT\tTICKET\tRUNNING\tLAST CALL\tATTENTION")
		for _, t := range app.Tenants {
			last := "-"
			if t.Last != nil {
				last = fmt.Sprintf("%s, %s ago", t.Last.What(), age(now, t.Last.At))
			}
			ticket := "-"
			if t.TicketSince != nil {
				ticket = age(now, *t.TicketSince)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
				t.label(), command.Cell(t.Name), command.Cell(t.Host), command.Cell(t.state()), command.Cell(t.consent(app.CallAs)), ticket, t.InFlight, command.Cell(last), command.Cell(t.Attention))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, t := range trouble {
			fmt.Fprintf(out, "\n%s: %s\n", t.label(), t.what(now))
			for _, line := range t.todo() {
				fmt.Fprintf(out, "  %s\n", line)
			}
		}
	}
	return nil
}

// details is one tenant, a line for each thing that is known of it.
func (s *Status) details(out io.Writer, now time.Time) error {
	for i, app := range s.Apps {
		for _, t := range app.Tenants {
			if i > 0 {
				fmt.Fprintln(out)
			}
			if app.Remark != "" {
				fmt.Fprintln(out, command.Printable(app.Remark))
			}
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			line := func(name, format string, args ...any) {
				fmt.Fprintf(w, "%s\t%s\n", name, command.Printable(fmt.Sprintf(format, args...)))
			}
			line("tenant", "%s %s", t.label(), t.Name)
			line("app", "%s (%s, call_as %s)", app.App, app.Environment, app.CallAs)
			line("granted", "%s", yes(t.Granted)+suspended(t.Suspended))
			line("host", "%s", cmp.Or(t.Host, "not asked yet"))
			line("state", "%s", cmp.Or(t.state(), "not asked yet"))
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
			line("last call", "%s", t.Last.told(now))
			line("last failure", "%s", t.Failed.told(now))
			line("last success", "%s", cmp.Or(strings.TrimPrefix(moment(now, t.Succeeded, ""), " "), "none since the gateway began"))
			if t.Attention != "" {
				line("attention", "%s", t.what(now))
			}
			for i, todo := range t.todo() {
				line([]string{"what to do", ""}[min(i, 1)], "%s", todo)
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t TenantStatus) label() string { return cmp.Or(command.Printable(t.Tenant), "onsite") }

func (t TenantStatus) state() string {
	switch {
	case t.Suspended:
		return "suspended here"
	case !t.Granted:
		return "not granted"
	}
	return t.State
}

func (t TenantStatus) consent(callAs string) string {
	if callAs != "system" {
		return ""
	}
	if t.Consent == "" && (t.Token == "none" || t.Token == "unreadable") {
		return "no token"
	}
	return t.Consent
}

// what says in a line what is wrong.
func (t TenantStatus) what(now time.Time) string {
	text := t.Attention
	switch {
	case t.Attention == t.Consent:
		text += moment(now, t.ConsentSince, ", since ")
		if t.Message != "" {
			text += "; SuperOffice says: " + t.Message
		}
	case t.Failed != nil && t.Attention == t.Failed.What():
		text = t.Failed.told(now)
	}
	return command.Printable(text)
}

// todo says in lines what to do about it.
func (t TenantStatus) todo() (lines []string) {
	if t.Remedy != "" {
		lines = append(lines, command.Printable(t.Remedy))
	}
	if t.Approve != "" && t.Attention != "" {
		lines = append(lines, command.Printable(t.Approve))
	}
	return lines
}

func (c *CallStatus) told(now time.Time) string {
	if c == nil {
		return "none since the gateway began"
	}
	text := fmt.Sprintf("%s, %s, %s ago, request %s", c.What(), c.Operation, age(now, c.At), c.RequestID)
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
