package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const probeHelp = `Finds out what SuperOffice does where its documentation says nothing or contradicts itself,
through a running gateway: PKCE, nonce, upn and webapi_url in the id_token, redirect_uri at
refresh, when system_token comes, the status of an expired token, how a restricted agent is refused,
and whether internal keys are found without it. It prints what the gateway assumes beside it, and what to change where the two differ.

  caddy erpsync probe erp Cust12345
  caddy erpsync probe erp Cust12345 --json > probe.json       # no secret and no name in it
  caddy erpsync probe erp Cust12345 --wait-for-expiry         # up to 75 minutes more

It prints an address, at which a person signs in within 15 minutes in their own browser, best an
administrator of the tenant. The address works once; whoever has it can use it. Nobody is signed
in at the gateway by that, the tokens are thrown away, and no data moves. A probe ends when its
command does.

It ends with 0 when nothing differs, with 2 when something does, and with 1 when there is no report.`

func probeCommand() *cobra.Command {
	var gateway gateway
	var asJSON, wait bool
	var environment string
	cmd := &cobra.Command{
		Use: "probe <app> <tenant>", Short: "Find out what SuperOffice does where nothing is documented", Long: probeHelp, Args: cobra.ExactArgs(2), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			if err := checkArguments(args[0], args[1:], false); err != nil {
				return err
			}
			tenant, _ := superoffice.ParseTenant(args[1])
			var begun report.Probe
			request := report.ProbeRequest{App: args[0], Tenant: string(tenant), Environment: environment, WaitForExpiry: wait}
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.ProbePath, request, &begun); err != nil {
				return fmt.Errorf("probe: %w", err)
			}
			printInvitation(cmd.ErrOrStderr(), begun, string(tenant))
			ended, err := gateway.awaitProbe(cmd.Context(), begun.ID, cmd.ErrOrStderr())
			switch {
			case err != nil:
				return fmt.Errorf("probe: %w", err)
			case ended.Report == nil:
				return fmt.Errorf("probe: %s", command.Printable(cmp.Or(ended.Error, "it ended without a report")))
			case asJSON:
				err = printJSON(cmd.OutOrStdout(), ended.Report)
			default:
				err = printProbe(cmd.OutOrStdout(), ended.Report)
			}
			if err == nil && ended.Report.Differing() > 0 {
				err = errAttention
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "the report as JSON, to be attached to an issue: no secret, no name, no text of SuperOffice's")
	flags.BoolVar(&wait, "wait-for-expiry", false, "keep the access token until it has expired, up to 75 minutes, to see how it is refused then")
	environmentFlag(flags, &environment)
	gateway.flags(flags)
	return cmd
}

// printInvitation says where somebody signs in. It goes beside the report, which may be a file.
func printInvitation(out io.Writer, begun report.Probe, tenant string) {
	where := "Open this address in a browser, or give it to an administrator of " + tenant
	if strings.HasPrefix(begun.Address, "/") {
		where += " (behind the gateway's own origin, which the configuration does not name)"
	}
	command.Fprintw(out, "", "%s. It works once, until %s:", where, begun.Until.Local().Format(time.TimeOnly))
	fmt.Fprintf(out, "\n  %s\n\n", command.Printable(begun.Address))
}

// awaitProbe asks for the result until there is one. Asking keeps the probe alive.
func (g *gateway) awaitProbe(ctx context.Context, id string, progress io.Writer) (report.Probed, error) {
	last := ""
	for {
		var now report.Probed
		if err := g.ask(ctx, http.MethodGet, report.ProbedPath+"?"+url.Values{"id": {id}}.Encode(), nil, &now); err != nil {
			return now, err
		}
		if now.Stage != last {
			last = now.Stage
			if told := stages[now.Stage]; told != "" {
				fmt.Fprintf(progress, "%s (until %s at the latest)\n", told, now.Until.Local().Format(time.TimeOnly))
			}
		}
		if now.Stage == "over" {
			return now, nil
		}
		if ctx.Err() != nil {
			return now, errors.New("interrupted; the gateway ends the probe")
		}
	}
}

var stages = map[string]string{
	"sign_in": "waiting for somebody to sign in",
	"answers": "signed in; asking SuperOffice",
	"expiry":  "waiting for the access token to expire",
}

// The columns of a probe's table, in characters.
const (
	questionWidth = 24
	serviceWidth  = 38
	assumesWidth  = 34
)

// printProbe writes a row for each question. What to change stands below the row, an option a line.
func printProbe(out io.Writer, r *report.ProbeReport) error {
	colors := command.ColorsFor(out)
	var text strings.Builder
	row := func(color command.Color, question, service, assumes string) {
		columns := [][]string{fold(question, questionWidth), fold(service, serviceWidth), fold(assumes, assumesWidth)}
		for i := range max(len(columns[0]), len(columns[1]), len(columns[2])) {
			line := pad(columns[0], i, questionWidth) + "  " + colors.Paint(color, pad(columns[1], i, serviceWidth)) + "  " + pad(columns[2], i, 0)
			text.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	row(command.Plain, "QUESTION", "WHAT SUPEROFFICE DID", "WHAT THE GATEWAY ASSUMES")
	for _, f := range r.Facts {
		service, color := f.Answer+": "+f.Found, command.Good
		switch {
		case !f.Observed():
			service, color = "not observed: "+f.Found, command.Plain
		case f.Differs:
			color = command.Bad
		}
		row(color, f.Question, service, f.Assumes)
		for _, change := range f.Change {
			text.WriteString(command.Wrap("change: "+change, strings.Repeat(" ", questionWidth+2)) + "\n")
		}
	}
	differing := "none differs"
	if n := r.Differing(); n == 1 {
		differing = "1 differs"
	} else if n > 1 {
		differing = fmt.Sprintf("%d differ", n)
	}
	fmt.Fprintf(&text, "\n%d of %s answered, %s from what the gateway assumes\n", r.Observed(), count(len(r.Facts), "question"), differing)
	_, err := io.WriteString(out, text.String())
	return err
}

// fold breaks a text at spaces into lines of at most that width.
func fold(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(command.Printable(text)) {
		last := &lines[len(lines)-1]
		if *last != "" && utf8.RuneCountInString(*last+" "+word) > width {
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		*last = strings.TrimSpace(*last + " " + word)
	}
	return lines
}

// pad returns line i, or none, filled up to the width.
func pad(lines []string, i, width int) string {
	line := ""
	if i < len(lines) {
		line = lines[i]
	}
	return line + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(line)))
}
