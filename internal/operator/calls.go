package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/auditlog"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const historyListHelp = `Lists calls of a running gateway's history, the one that began last first: served and refused ones,
those under way, and answers that were given again. What is not named lets all through.

  caddy erpsync history list --tenant Cust12345 --since 24h
  caddy erpsync history list --outcome error,fault,unknown --limit 20
  caddy erpsync history list --tenant Cust12345 --key 386
  caddy erpsync history list --tenant Cust12345 --limit 0 --json > calls.jsonl

With --json each call is one line. Keys are not indexed: a search for one reads the calls that the
other words leave, so name the tenant.

It ends with 0 whether or not there is a call, and with 1 when the gateway cannot be asked.`

const historyShowHelp = `Shows all that a running gateway's history has of one call, with the whole key set, by the request
id that stands in ErpSync-Request-Id of the answer, in the audit log and in the lists.

  caddy erpsync history show ddbf1fe5-5983-48be-a5d0-f82ebdbd1ba0

It ends with 1 when there is no such call.`

// pageOfCalls is how many calls are asked for at once.
const pageOfCalls = 500

// callQuery is what history list asks for.
type callQuery struct {
	tenant, app, environment, key, outcome, decision, reason, principal, since, until string
	connection                                                                        int32
	everything                                                                        bool
	before                                                                            int64
}

func (q *callQuery) values(cmd *cobra.Command, now time.Time) (url.Values, error) {
	query := url.Values{}
	for name, value := range map[string]string{"tenant": q.tenant, "app": q.app, "environment": q.environment, "key": q.key, "decision": q.decision, "reason": q.reason, "principal": q.principal} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if q.outcome != "" {
		query["outcome"] = strings.Split(q.outcome, ",")
	}
	if cmd.Flags().Changed("connection") {
		query.Set("connection", strconv.Itoa(int(q.connection)))
	}
	if q.everything {
		if q.key == "" {
			return nil, errors.New("--everything: means something beside --key alone")
		}
		query.Set("everything", "true")
	}
	for name, raw := range map[string]string{"since": q.since, "until": q.until} {
		at, err := auditlog.ParseMoment(raw, now)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	if q.before != 0 {
		query.Set("before", strconv.FormatInt(q.before, 10))
	}
	return query, nil
}

func listCallsCommand() *cobra.Command {
	var gateway gateway
	var q callQuery
	var limit int
	var asJSON, wide bool
	cmd := &cobra.Command{
		Use: "list", Short: "List calls, the newest first", Long: historyListHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := q.values(cmd, time.Now())
			if err != nil {
				return fmt.Errorf("history list: %w", err)
			}
			if limit < 0 {
				return errors.New("history list: --limit: want a number of calls, or 0 for all")
			}
			if asJSON {
				query.Set("keys", "true")
			}
			out := callList{out: cmd.OutOrStdout(), asJSON: asJSON, wide: wide, now: time.Now()}
			last, err := out.read(cmd.Context(), &gateway, query, limit)
			if err != nil {
				return fmt.Errorf("history list: %w", err)
			}
			if err := out.close(); err != nil {
				return err
			}
			note := cmd.ErrOrStderr()
			if last.Next != 0 {
				command.Fprintw(note, "", "There are more: --before %d goes on, --limit 0 lists all.", last.Next)
			}
			if out.incomplete > 0 {
				command.Fprintw(note, "", "Of %s only the first keys are known: they may name %s too.", count(out.incomplete, "other call"), q.key)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.tenant, "tenant", "", "calls of this tenant")
	flags.StringVar(&q.app, "app", "", "calls of this app")
	flags.StringVar(&q.environment, "environment", "", "calls to this environment: online, stage, sod, or a base URL or upstream as configured")
	flags.Int32Var(&q.connection, "connection", 0, "calls through this ERP connection, by number; 0 is the CRM")
	flags.StringVar(&q.key, "key", "", "calls that name this key, internal or external")
	flags.BoolVar(&q.everything, "everything", false, "beside --key: calls of everything too, which name no key")
	flags.StringVar(&q.outcome, "outcome", "", "calls that came to one of these, with commas between them: ok, info, warning, error, fault, unknown and so on")
	flags.StringVar(&q.decision, "decision", "", "calls that were allowed, refused or replayed")
	flags.StringVar(&q.reason, "reason", "", "calls that were refused for this reason")
	flags.StringVar(&q.principal, "principal", "", "calls of this caller, as the audit log names it")
	flags.StringVar(&q.since, "since", "", "calls that began at this time or later: 2026-11-24, 2026-11-24T08:00, or how long ago: 90m, 7d")
	flags.StringVar(&q.until, "until", "", "calls that began before this time")
	flags.IntVar(&limit, "limit", 100, "how many calls at most; 0: all")
	flags.Int64Var(&q.before, "before", 0, "goes on behind the last call of an earlier list, which names the number")
	flags.BoolVar(&asJSON, "json", false, "each call as a line of JSON")
	wideFlag(flags, &wide)
	gateway.flags(flags)
	return cmd
}

// callList writes calls as they are read: lines of JSON at once, a table when all are there.
type callList struct {
	out          io.Writer
	asJSON, wide bool
	now          time.Time

	calls      []report.HistoryCall
	incomplete int
}

// read asks for pages until there are enough calls, and returns the last page.
func (l *callList) read(ctx context.Context, gateway *gateway, query url.Values, limit int) (page report.HistoryPage, err error) {
	for written := 0; ; {
		size := pageOfCalls
		if l.asJSON { // whole key sets may be long
			size = pageOfCalls / 10
		}
		if limit > 0 {
			size = min(size, limit-written)
		}
		query.Set("limit", strconv.Itoa(size))
		page = report.HistoryPage{}
		if err := gateway.ask(ctx, http.MethodGet, report.HistoryPath+"?"+query.Encode(), nil, &page); err != nil {
			return page, err
		}
		written += len(page.Calls)
		l.incomplete += page.Incomplete
		if err := l.add(page.Calls); err != nil {
			return page, err
		}
		if page.Next == 0 || limit > 0 && written >= limit {
			return page, nil
		}
		query.Set("before", strconv.FormatInt(page.Next, 10))
	}
}

func (l *callList) add(calls []report.HistoryCall) error {
	if !l.asJSON {
		l.calls = append(l.calls, calls...)
		return nil
	}
	encoder := json.NewEncoder(l.out)
	encoder.SetEscapeHTML(false)
	for i := range calls {
		if err := encoder.Encode(&calls[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *callList) close() error {
	if l.asJSON {
		return nil
	}
	if len(l.calls) == 0 {
		_, err := fmt.Fprintln(l.out, "No such call.")
		return err
	}
	table := command.Table{Wide: l.wide, Colors: command.ColorsFor(l.out), Columns: []command.Column{
		{Head: "BEGAN"},
		{Head: "TENANT"},
		{Head: "APP", Least: 6},
		{Head: "OPERATION", Least: 8},
		{Head: "FROM", Least: 4},
		{Head: "KEYS", Least: 4},
		{Head: "OUTCOME", Least: 7},
		{Head: "CODE", Least: 4},
		{Head: "TOOK"},
		{Head: "REQUEST", Least: 8},
		{Head: "BY", Wide: true},
	}}
	for i := range l.calls {
		c := &l.calls[i]
		table.Colored(map[string]command.Color{"OUTCOME": outcomeColor(c)}, began(c.Started, l.now, l.wide), tenantOrOnsite(c.Tenant), c.App, c.Operation, connectionName(c.Connection), callKeys(c), c.What(), c.ErrorCode, took(c.Seconds), c.RequestID, c.Principal)
	}
	return table.Write(l.out)
}

// began is a time as short as it can be told.
func began(at, now time.Time, wide bool) string {
	at = at.In(now.Location())
	switch {
	case wide:
		return at.Format("2006-01-02 15:04:05")
	case at.Year() == now.Year() && at.YearDay() == now.YearDay():
		return at.Format("15:04:05")
	case at.Year() == now.Year():
		return at.Format("01-02 15:04")
	}
	return at.Format(time.DateOnly)
}

func took(seconds *float64) string {
	if seconds == nil {
		return ""
	}
	return duration(*seconds)
}

// duration is a number of seconds for people.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func tenantOrOnsite(tenant string) string { return cmp.Or(tenant, "onsite") }

func connectionName(connection *int32) string {
	switch {
	case connection == nil:
		return ""
	case *connection == 0:
		return "crm"
	}
	return strconv.Itoa(int(*connection))
}

func callKeys(c *report.HistoryCall) string {
	switch {
	case c.Everything:
		return "everything"
	case c.Connection == nil:
		return ""
	}
	return strconv.Itoa(c.KeyCount)
}

func outcomeColor(c *report.HistoryCall) command.Color {
	switch {
	case c.Ended == nil:
		return command.Plain
	case c.Decision == "refused" && c.Outcome == "":
		return command.Warning
	case c.Outcome == "ok" || c.Outcome == "info" || c.Outcome == "warning" || c.Decision == "replayed":
		return command.Good
	case c.Outcome == "accepted":
		return command.Plain
	}
	return command.Bad
}

func showCallCommand() *cobra.Command {
	var gateway gateway
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show <request id>", Short: "Show one call", Long: historyShowHelp, Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return errors.New("history show: want a request id")
			}
			var page report.HistoryPage
			if err := gateway.ask(cmd.Context(), http.MethodGet, report.HistoryPath+"?"+url.Values{"request_id": args, "keys": {"true"}}.Encode(), nil, &page); err != nil {
				return fmt.Errorf("history show: %w", err)
			}
			if len(page.Calls) == 0 {
				return fmt.Errorf("history show: there is no call %s in the history", command.Printable(args[0]))
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), page.Calls[0])
			}
			return printCall(cmd.OutOrStdout(), &page.Calls[0])
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	gateway.flags(cmd.Flags())
	return cmd
}

// printCall prints what is known of a call, a line for each thing.
func printCall(out io.Writer, c *report.HistoryCall) error {
	var text strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&text, "%-13s %s\n", name, command.Printable(value))
		}
	}
	line("request", c.RequestID)
	line("began", c.Started.Local().Format(time.RFC3339Nano))
	if c.Ended == nil {
		line("ended", "not yet")
	} else {
		line("ended", c.Ended.Local().Format(time.RFC3339Nano)+" after "+took(c.Seconds))
	}
	line("environment", c.Environment)
	line("tenant", tenantOrOnsite(c.Tenant))
	line("app", c.App)
	line("by", strings.TrimSpace(c.Principal+" ("+c.Scheme+")"))
	line("as", c.Credential)
	line("operation", c.Operation)
	line("from", connectionName(c.Connection))
	line("keys", callKeys(c)+partial(c))
	line("decision", c.Decision)
	line("reason", c.Reason)
	line("cause", c.Cause)
	line("replays", c.Replays)
	line("retries", c.Retries)
	line("outcome", strings.TrimSpace(c.Outcome+" "+c.OutcomeCause))
	line("error code", c.ErrorCode)
	line("explanation", c.UserExplanation)
	line("technical", c.TechExplanation)
	if c.Status != 0 {
		line("status", strconv.Itoa(c.Status))
	}
	line("sends", strconv.Itoa(c.Sends))
	line("gateway", c.Node)
	if c.Remedy != "" {
		line("to do", c.Remedy)
	}
	if keys := keyTexts(c); len(keys) > 0 {
		fmt.Fprintln(&text)
		fmt.Fprintln(&text, command.Wrap(strings.Join(keys, " "), ""))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func partial(c *report.HistoryCall) string {
	text := ""
	if c.ActorType != "" {
		text = " of " + c.ActorType
	}
	if c.Partial {
		text += ", of which the first " + strconv.Itoa(len(c.Keys)+len(c.ExternalKeys)) + " are known"
	}
	return text
}

// keyTexts are the keys of a call; external ones in quotes, as they may hold blanks.
func keyTexts(c *report.HistoryCall) []string {
	keys := make([]string, 0, len(c.Keys)+len(c.ExternalKeys))
	for _, key := range c.Keys {
		keys = append(keys, strconv.Itoa(int(key)))
	}
	for _, key := range c.ExternalKeys {
		keys = append(keys, strconv.Quote(key))
	}
	return slices.Clip(keys)
}
