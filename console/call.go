package console

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// step is one step of a call's story.
type step struct {
	At   time.Time // zero: not known
	Tone Tone
	Text string
	// Detail is what the step brought, such as an explanation; "" is nothing.
	Detail string
}

// fact is one line of what is known.
type fact struct {
	Label string
	Value cell
}

type callBody struct {
	Verdict        verdict
	Customer       cell
	Steps          []step
	Facts          []fact
	Keys           tableView
	HasKeys        bool
	Around         tableView
	AroundAbout    string
	Commands       []command
	Approve        string
	Everything     bool
	Found          bool
	RepeatProblem  string
	Explained      bool
	UserText, Tech string
}

// aroundKeys is how many keys of a call are looked at for the calls before and after.
const aroundKeys = 5

func callPage(r *request) (*page, error) {
	id, err := url.PathUnescape(lastOf(r.URL.Path))
	if err != nil || len(id) > 128 {
		return nil, errNoPage
	}
	found, err := r.calls(r.Context(), CallFilter{RequestID: id, Limit: 1})
	if err != nil {
		return nil, err
	}
	rows := found.Rows
	if len(rows) == 0 || rows[0].RequestID != id {
		return nil, errNoPage
	}
	row := &rows[0]
	r.view.Calls, r.view.RequestID, r.view.Tenant = 1, row.RequestID, row.Tenant
	known := r.names()
	body := &callBody{
		Verdict:  rowVerdict(row),
		Customer: cell{Text: tenantName(row.Tenant, known[row.Tenant]), Sub: row.Tenant, Href: tenantHref(r, row.Tenant)},
		UserText: row.UserExplanation, Tech: row.TechExplanation, Everything: row.Everything,
	}
	body.Explained = body.UserText != "" || body.Tech != ""
	body.Steps = storyOf(row, tenantName(row.Tenant, known[row.Tenant]))
	body.Facts = factsOf(row)
	keys := keyTable(r, row)
	body.HasKeys, body.Keys = len(keys.Rows) > 0, keys.view(r.link("/calls/%s", url.PathEscape(id)), r.URL.Query())
	around, about, err := r.around(row)
	if err != nil {
		return nil, err
	}
	t := callTable(r, "around", "Before and after", "No other call named the same records.", around, known, false)
	body.Around, body.AroundAbout = t.view(r.link("/calls/%s", url.PathEscape(id)), r.URL.Query()), about
	r.commandsOf(row, body)
	return &page{Title: body.Verdict.Short + ": " + body.Customer.Text, Template: "call", Body: body, Sheets: []sheet{keys, t}}, nil
}

// storyOf tells a call in words.
func storyOf(row *history.Row, customer string) (steps []step) {
	who := shortPrincipal(row.Principal)
	if who == "" {
		who = "Somebody (the gateway keeps no names)"
	} else if who == hiddenPerson {
		who = "Somebody (names are not shown to you)"
	}
	asked := step{At: row.Started, Tone: Quiet}
	what := askedFor(row.Operation.String())
	switch {
	case !row.Understood:
		asked.Text = fmt.Sprintf("%s called for %s through the app %s. What was asked for could not be read.", who, customer, row.App)
	case row.Everything:
		asked.Text = fmt.Sprintf("%s asked through the app %s for %s: %s, %s, which means everything.", who, row.App, customer, lowerFirst(what), connectionName(row.Connection))
	case row.KeyCount == 0:
		asked.Text = fmt.Sprintf("%s asked through the app %s for %s: %s.", who, row.App, customer, lowerFirst(what))
	default:
		asked.Text = fmt.Sprintf("%s asked through the app %s for %s: %s, %s, %s.", who, row.App, customer, lowerFirst(what), count(row.KeyCount, "record", "records"), connectionName(row.Connection))
	}
	asked.Detail = "The caller was " + schemeWords(row.Scheme) + "."
	steps = append(steps, asked)
	if row.Replays != "" {
		return append(steps, step{row.Ended, Good, "The same call had been made before with the same Idempotency-Key. Its answer was given again, and nothing was sent.", ""})
	}
	if row.Decision == "refused" && row.Sends == 0 {
		s := step{At: row.Ended, Tone: verdictOf("", row.Reason).Tone, Text: "The gateway did not send it: " + refusalWords(row.Reason) + "."}
		if row.Cause != "" {
			s.Detail = "The check that failed: " + row.Cause
		}
		return append(steps, s)
	}
	sent := step{At: row.Sent, Tone: Quiet, Text: "The gateway allowed it and sent it to SuperOffice " + credentialWords(row.Credential) + "."}
	switch {
	case row.Sends == 0 && !row.Ended.IsZero():
		sent.Text = "The gateway allowed it, and nothing could be sent to SuperOffice."
	case row.Sends > 1:
		sent.Text = fmt.Sprintf("The gateway allowed it and sent it to SuperOffice %s. The access had expired, so that it was sent %d times; it ran once at most.", credentialWords(row.Credential), row.Sends)
	}
	steps = append(steps, sent)
	v := rowVerdict(row)
	answered := step{At: row.Ended, Tone: v.Tone, Text: v.Long}
	if row.Ended.IsZero() {
		return append(steps, step{Tone: Waiting, Text: "No answer has come yet."})
	}
	if !row.Sent.IsZero() && row.OutcomeCause != history.NoEnd {
		answered.Text = "After " + lasted(row.Ended.Sub(row.Sent)) + ": " + lowerFirst(v.Long)
	}
	if row.ErrorCode != "" {
		answered.Detail = "Error code of the ERP connection: " + row.ErrorCode
	}
	return append(steps, answered)
}

func lowerFirst(s string) string {
	if strings.HasPrefix(s, "SuperOffice") || s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func factsOf(row *history.Row) (facts []fact) {
	add := func(label string, c cell) {
		if c.Text != "" {
			facts = append(facts, fact{label, c})
		}
	}
	add("Request id", cell{Text: row.RequestID, Code: true, Copy: true})
	add("Error code", cell{Text: row.ErrorCode, Code: true, Copy: true})
	add("Customer", cell{Text: row.Tenant, Code: true})
	add("App", cell{Text: row.App})
	add("Operation", cell{Text: row.Operation.String(), Code: true})
	if row.Understood {
		add("ERP connection", cell{Text: strconv.Itoa(int(row.Connection)), Code: true})
	}
	add("By", cell{Text: row.Principal})
	add("Result", cell{Text: string(row.Outcome), Sub: row.OutcomeCause, Code: true})
	add("Reason", cell{Text: row.Reason, Code: true})
	if row.Status > 0 {
		add("HTTP status", cell{Text: strconv.Itoa(row.Status)})
	}
	add("Called as", cell{Text: row.Credential})
	add("Arrived", at(row.Started))
	add("Sent", at(row.Sent))
	add("Over", at(row.Ended))
	add("Sent times", number(row.Sends))
	add("Environment", cell{Text: row.Environment})
	add("Gateway", cell{Text: row.Node, Code: true})
	if row.Replays != "" {
		add("First call", cell{Text: row.Replays, Code: true})
	}
	return facts
}

// keyTable lists the records that a call names.
func keyTable(r *request, row *history.Row) *table[string] {
	t := &table[string]{ID: "keys", Caption: "Records", Empty: "It names no single record."}
	internal, external, err := history.UnpackKeys(row.Keys)
	if err != nil {
		return t
	}
	for _, key := range internal {
		t.Rows = append(t.Rows, strconv.Itoa(int(key)))
	}
	t.Rows = append(t.Rows, external...)
	title := "Internal key"
	if len(external) > 0 {
		title = "ERP number"
	}
	if row.Partial {
		t.Note = fmt.Sprintf("Only the first %s of %s are known: the call comes from an audit file.", thousands(len(t.Rows)), thousands(row.KeyCount))
	}
	t.Columns = []column[string]{{Key: "key", Title: title, Of: func(key string) cell {
		return cell{Text: key, Code: true, Href: r.link("/calls?%s", url.Values{"tenant": {tenantSlug(row.Tenant)}, "key": {key}}.Encode())}
	}}}
	return t
}

// around returns the calls on the same keys as a call, the newest first, and which keys were looked at.
func (r *request) around(row *history.Row) (rows []history.Row, about string, err error) {
	internal, external, err := history.UnpackKeys(row.Keys)
	if err != nil {
		return nil, "", nil //nolint:nilerr // such a row names no keys
	}
	var keys []string
	for _, key := range internal {
		keys = append(keys, strconv.Itoa(int(key)))
	}
	keys = append(keys, external...)
	if len(keys) == 0 {
		return nil, "", nil
	}
	looked := keys[:min(len(keys), aroundKeys)]
	seen := map[string]bool{row.RequestID: true}
	for _, key := range looked {
		found, err := r.calls(r.Context(), CallFilter{Tenant: &row.Tenant, Key: key, Limit: 50})
		if err != nil {
			return nil, "", err
		}
		about = cmp.Or(about, found.doubt())
		for _, other := range found.Rows {
			if !seen[other.RequestID] && other.Environment == row.Environment {
				seen[other.RequestID] = true
				rows = append(rows, other)
			}
		}
	}
	newestFirst(rows)
	r.view.Calls += len(rows)
	if len(keys) > len(looked) {
		about += fmt.Sprintf(" Of the %s records the first %d are looked at here; each record's link above shows its own calls.", thousands(len(keys)), len(looked))
	}
	return rows, about, nil
}

// commandsOf adds what somebody who may act would run.
func (r *request) commandsOf(row *history.Row, body *callBody) {
	if failures, err := r.failures(r.Context()); err == nil {
		if i := slices.IndexFunc(failures.Failures, func(f report.Failure) bool { return f.RequestID == row.RequestID }); i >= 0 {
			body.Commands = append(body.Commands, failureCommands(failures.Failures[i])...)
			return
		}
	}
	if tone := body.Verdict.Tone; (tone == Bad || tone == Unclear) && row.Understood && row.Operation.Resyncs() {
		connection := max(row.Connection, 0)
		body.Commands = append(body.Commands, command{"See what still fails through this connection", "caddy erpsync failures" + target(row.App, row.Tenant, &connection)})
		body.Commands = append(body.Commands, holdCommand(row.App, row.Tenant, &connection))
	}
}

func failureCommands(f report.Failure) []command {
	connection := max(f.Connection, 0)
	return []command{retryCommand(f.Group), holdCommand(f.App, f.Tenant, &connection), closeCommand(f.Group)}
}

func lastOf(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}
