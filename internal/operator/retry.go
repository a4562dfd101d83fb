package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/auditlog"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const retryHelp = `Makes failed calls once more, as failures lists them. It prints a plan and does nothing;
--yes makes the plan anew, prints it and carries it out.

  caddy erpsync retry 17                                   # a group
  caddy erpsync retry --tenant Cust12345 --since 2h
  caddy erpsync retry --all --yes

A resync ignores timestamps: what was changed since on the side that it writes to is lost. So
these are left out unless they are named: what failed longer ago than 24 hours (--older-than),
what may have run (--include-unknown), keys that a later call moved in the other direction
(--include-turned), resyncs of everything (--include-everything; resync_all has to allow them
too), and more than 500 calls (--limit). Calls that were made with a person's own credential,
calls of which the history does not know every key, and what is on hold are never made.

The gateway makes the calls one at a time, with the limits, holds and audit lines of every call,
in the name of whom its socket or a client certificate shows. A refusal that concerns a whole
tenant ends its calls there; --max-failures ends all. Ctrl-C ends after the call that is under
way, and the same command goes on there.

It ends with 0 when every call went through and nothing was left out, with 2 when something
still fails or was left out, and with 1 when there is no answer, or it broke off. A plan ends
with 0 when there is nothing to do, and with 2 otherwise.`

func retryCommand() *cobra.Command {
	var gateway gateway
	var asJSON, wide, yes bool
	var words retryWords
	cmd := &cobra.Command{
		Use: "retry [<group>]", Short: "Make failed calls once more", Long: retryHelp, Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			request, err := words.request(cmd.Flags(), args)
			if err != nil {
				return fmt.Errorf("retry: %w", err)
			}
			if yes {
				return words.start(cmd, &gateway, request, asJSON, wide)
			}
			var plan report.RetryPlan
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.RetryPlanPath, request, &plan); err != nil {
				return fmt.Errorf("retry: %w", err)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), plan)
			} else if err = printPlan(cmd.OutOrStdout(), plan, time.Now(), wide); err == nil && len(plan.Calls) > 0 {
				command.Fprintw(cmd.OutOrStdout(), "", "Nothing was done. --yes makes these calls; --yes --plan %s makes them only if the plan is the same then.", plan.Digest)
			}
			if err == nil && len(plan.Calls)+len(plan.LeftOut) > 0 {
				err = errAttention
			}
			return err
		}),
	}
	flags := cmd.Flags()
	words.flags(flags)
	flags.BoolVar(&yes, "yes", false, "carry the plan out")
	flags.BoolVar(&asJSON, "json", false, "as JSON; with --yes a line for each event")
	wideFlag(flags, &wide)
	gateway.flags(flags)
	return cmd
}

// retryWords are what flags ask for.
type retryWords struct {
	asked            report.RetryRequest
	connection       int32
	since, olderThan string
	pause            time.Duration
	maxFailures      int
}

func (w *retryWords) flags(flags *pflag.FlagSet) {
	flags.StringVar(&w.asked.Tenant, "tenant", "", "what fails in this tenant")
	flags.StringVar(&w.asked.App, "app", "", "what fails of this app")
	flags.Int32Var(&w.connection, "connection", 0, "what fails through this ERP connection, by number; 0 is from the CRM")
	flags.StringVar(&w.since, "since", "", "groups that failed at this time or later: 2026-11-24, 2026-11-24T08:00, or how long ago: 90m, 7d")
	flags.BoolVar(&w.asked.All, "all", false, "all that fails")
	flags.StringVar(&w.olderThan, "older-than", "", "take calls that failed up to this long ago, such as 72h or 7d (default 24h)")
	flags.BoolVar(&w.asked.IncludeUnknown, "include-unknown", false, "take calls that may have run")
	flags.BoolVar(&w.asked.IncludeTurned, "include-turned", false, "take calls of which a later one moved keys in the other direction")
	flags.BoolVar(&w.asked.IncludeEverything, "include-everything", false, "take resyncs of everything, where resync_all allows them")
	flags.IntVar(&w.asked.Limit, "limit", report.RetryLimit, "how many calls at most")
	flags.IntVar(&w.maxFailures, "max-failures", report.RetryMaxFailures, "end when this many calls have failed; 0: go on")
	flags.DurationVar(&w.pause, "pause", report.RetryPause, "time between two calls")
	flags.StringVar(&w.asked.Plan, "plan", "", "with --yes: carry out only this plan, as it was printed")
}

func (w *retryWords) request(flags *pflag.FlagSet, args []string) (report.RetryRequest, error) {
	q := w.asked
	if len(args) > 0 {
		group, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || group <= 0 {
			return q, errors.New("want the number of a group, as failures lists it")
		}
		q.Group = group
	}
	if flags.Changed("connection") {
		q.Connection = &w.connection
	}
	filtered := q.Tenant != "" || q.App != "" || q.Connection != nil || w.since != ""
	if q.Group == 0 && !filtered && !q.All || q.Group != 0 && (filtered || q.All) || filtered && q.All {
		return q, errors.New("name a group by its number, or a tenant, an app, a connection or --since, or --all")
	}
	since, err := auditlog.ParseMoment(w.since, time.Now())
	if err != nil {
		return q, fmt.Errorf("--since: %w", err)
	}
	q.Since = since.UTC()
	if q.OlderThan, err = lasting(w.olderThan); err != nil {
		return q, fmt.Errorf("--older-than %w", err)
	}
	if q.Limit <= 0 {
		return q, errors.New("--limit: want a number of calls from 1 on")
	}
	q.MaxFailures, q.Pause = &w.maxFailures, w.pause.String()
	return q, nil
}

// lasting takes days too.
func lasting(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 366 {
			return (time.Duration(n) * 24 * time.Hour).String(), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d.String(), nil
	}
	return "", fmt.Errorf("%q: want how long ago, such as 72h or 7d", text)
}

// start has the plan carried out, and prints what happens.
func (w *retryWords) start(cmd *cobra.Command, gateway *gateway, request report.RetryRequest, asJSON, wide bool) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := cmd.OutOrStdout()
	progress := &retryProgress{out: out, wide: wide}
	err := gateway.stream(ctx, report.RetryPath, request, func(line []byte) error {
		var event report.RetryEvent
		if err := json.Unmarshal(line, &event); err != nil {
			return err
		}
		if event.Done != nil {
			progress.done = event.Done
		}
		if event.Error != "" {
			return errors.New(command.Printable(event.Error))
		}
		if asJSON {
			_, err := out.Write(append(line, '\n'))
			return err
		}
		return progress.print(event, time.Now())
	})
	switch {
	case ctx.Err() != nil && cmd.Context().Err() == nil:
		return errors.New("retry: interrupted; the gateway ends after the call that is under way. The same command goes on there")
	case err != nil:
		return fmt.Errorf("retry: %w", err)
	case progress.done == nil:
		return errors.New("retry: the gateway broke off; the same command goes on where it ended")
	case !progress.done.Whole():
		return errAttention
	}
	return nil
}

// stream sends a request and hands each line of the answer to each, as it comes.
func (g *gateway) stream(ctx context.Context, uri string, in any, each func(line []byte) error) error {
	resp, err := g.send(ctx, http.MethodPost, uri, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return g.read(resp, nil)
	}
	decoder := json.NewDecoder(resp.Body)
	for {
		var line json.RawMessage
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the answer broke off: %w", err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

// printPlan says what a second try does, to which side, how old the failures are, and what is left out.
func printPlan(out io.Writer, plan report.RetryPlan, now time.Time, wide bool) error {
	if len(plan.Calls) == 0 && len(plan.LeftOut) == 0 {
		_, err := fmt.Fprintln(out, "Nothing fails.")
		return err
	}
	if len(plan.Calls) == 0 {
		fmt.Fprintln(out, "There is no call to be made once more.")
	} else if err := printPlanned(out, plan, now, wide); err != nil {
		return err
	}
	if len(plan.LeftOut) > 0 {
		fmt.Fprintln(out, "\nLeft out:")
	}
	for _, l := range plan.LeftOut {
		var why []string
		for _, o := range l.Why {
			text := o.Says
			if o.Flag != "" {
				text += " (" + o.Flag + ")"
			}
			why = append(why, text)
		}
		what := count(l.Keys, "key")
		if l.Calls > 0 {
			what = count(l.Calls, "call") + ", " + what
		}
		command.Fprintw(out, "  ", "group %d, %s, %s, failed %s ago: %s", l.Group, retryTenant(l.Tenant), what, span(now, l.Newest, l.Oldest), strings.Join(why, "; "))
	}
	if len(plan.LeftOut) > 0 {
		fmt.Fprintln(out)
	}
	if plan.Remark != "" {
		command.Fprintw(out, "", "%s.", plan.Remark)
	}
	return nil
}

// plannedGroup sums up the calls of a group.
type plannedGroup struct {
	report.PlannedCall
	calls          int
	oldest, newest time.Time
}

func printPlanned(out io.Writer, plan report.RetryPlan, now time.Time, wide bool) error {
	var groups []plannedGroup
	everything := 0
	for _, c := range plan.Calls {
		i := slices.IndexFunc(groups, func(g plannedGroup) bool { return g.Group == c.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, plannedGroup{PlannedCall: c, oldest: c.Failed, newest: c.Failed})
			groups[i].Keys = 0
		}
		g := &groups[i]
		g.calls++
		g.Keys += c.Keys
		if c.Failed.Before(g.oldest) {
			g.oldest = c.Failed
		}
		if c.Failed.After(g.newest) {
			g.newest = c.Failed
		}
		if c.Everything {
			everything++
		}
	}
	command.Fprintw(out, "", "%s, %s, %s:", count(len(plan.Calls), "call"), count(plan.Keys, "key"), count(plan.Tenants, "tenant"))
	fmt.Fprintln(out)
	table := command.Table{Wide: wide, Colors: command.ColorsFor(out), Columns: []command.Column{
		{Head: "GROUP"}, {Head: "TENANT"}, {Head: "FROM", Least: 4}, {Head: "APP", Least: 6}, {Head: "OUTCOME", Least: 7}, {Head: "CODE", Least: 6}, {Head: "CALLS"}, {Head: "KEYS"}, {Head: "FAILED"}, {Head: "OVERWRITES"},
	}}
	for _, g := range groups {
		keys := strconv.Itoa(g.Keys)
		if g.Everything {
			keys = "everything"
		}
		table.Row(strconv.FormatInt(g.Group, 10), retryTenant(g.Tenant), retryFrom(g.PlannedCall), g.App, g.Outcome, g.ErrorCode, strconv.Itoa(g.calls), keys, span(now, g.newest, g.oldest), overwritten(g.Overwrites))
	}
	if err := table.Write(out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	command.Fprintw(out, "", "%s A resync ignores timestamps: what was changed there since is lost.", overwrites(plan.Overwrites))
	if also := plan.Keys - plan.Failing; also > 0 {
		command.Fprintw(out, "", "Calls are sent as they were: %s that no longer fail, or fail for another cause, go with them.", count(also, "key"))
	}
	if everything > 0 {
		command.Fprintw(out, "", "%s of everything.", count(everything, "resync"))
	}
	return nil
}

func retryTenant(tenant string) string {
	if tenant == "" {
		return "onsite"
	}
	return tenant
}

// retryFrom says from where is synchronised.
func retryFrom(c report.PlannedCall) string {
	switch {
	case c.Overwrites == report.OverwritesBoth:
		return c.Operation
	case c.Connection == 0:
		return "crm"
	}
	return strconv.Itoa(int(c.Connection))
}

func overwritten(side string) string {
	switch side {
	case report.OverwritesCRM:
		return "the CRM"
	case report.OverwritesERP:
		return "the ERP"
	}
	return "both"
}

// overwrites says which sides lose what was changed there.
func overwrites(sides []string) string {
	switch {
	case slices.Contains(sides, report.OverwritesBoth), len(sides) > 1:
		return "Records in the CRM and in ERP systems are overwritten."
	case slices.Contains(sides, report.OverwritesCRM):
		return "Records in the CRM are overwritten from the ERP system."
	}
	return "Records in ERP systems are overwritten from the CRM."
}

// span writes how old the newest and the oldest are.
func span(now, newest, oldest time.Time) string {
	if from, to := age(now, newest), age(now, oldest); from != to {
		return from + " to " + to
	}
	return age(now, newest)
}

// retryProgress prints a second try while it goes on.
type retryProgress struct {
	out   io.Writer
	wide  bool
	total int
	done  *report.RetrySummary
}

func (p *retryProgress) print(event report.RetryEvent, now time.Time) error {
	switch {
	case event.Plan != nil:
		p.total = len(event.Plan.Calls)
		if err := printPlan(p.out, *event.Plan, now, p.wide); err != nil {
			return err
		}
		fmt.Fprintln(p.out)
	case event.Call != nil:
		p.call(event.Call)
	case event.Waiting != nil:
		w := event.Waiting
		command.Fprintw(p.out, "", "%d/%d %s waits: %s, until %s", w.Number, p.total, retryTenant(w.Tenant), w.Reason, w.Until)
	case event.Stopped != nil:
		s := event.Stopped
		command.Fprintw(p.out, "", "No further calls in %s (%s not made): %s", retryTenant(s.Tenant), count(s.NotMade, "call"), s.Says)
	case event.Done != nil:
		p.summary(event.Done)
	}
	return nil
}

func (p *retryProgress) call(c *report.RetriedCall) {
	text := fmt.Sprintf("%d/%d %s, %s: %s", c.Number, p.total, retryTenant(c.Tenant), count(c.Keys, "key"), strings.ReplaceAll(c.Result, "_", " "))
	var of []string
	for _, word := range []string{c.Outcome, c.Cause, c.Code, c.Reason} {
		if word != "" && !slices.Contains(of, word) {
			of = append(of, word)
		}
	}
	if len(of) > 0 {
		text += " (" + strings.Join(of, " ") + ")"
	}
	if c.Says != "" && c.Result != "succeeded" && c.Result != "accepted" {
		text += ": " + c.Says
	}
	if c.RequestID != "" {
		text += "; request " + c.RequestID
	}
	command.Fprintw(p.out, "", "%s", text)
}

func (p *retryProgress) summary(s *report.RetrySummary) {
	fmt.Fprintln(p.out)
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{s.Succeeded, "succeeded"}, {s.Accepted, "accepted by SuperOffice, which does not report their outcome"}, {s.Failed, "failed"}, {s.Before, "had gone through before"}, {s.Cured, "no longer failed"}, {s.NotMade, "not made"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing to do"}
	}
	command.Fprintw(p.out, "", "%s, %d sent: %s.", count(s.Planned, "call"), s.Sent, strings.Join(parts, ", "))
	if s.Stopped != "" {
		command.Fprintw(p.out, "", "It ended early: %s. The same command goes on there.", s.Stopped)
	}
}
