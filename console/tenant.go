package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
)

type tenantBody struct {
	Name, Tenant, Slug string
	// Answer is the one sentence that the telephone call is about.
	Answer    verdict
	Apps      []appView
	Holds     []holdView
	Day       *chartView
	Month     *chartView
	DayNote   string
	Failures  tableView
	Groups    []groupView
	Calls     tableView
	NoHistory bool
	Find      findView

	connections []int32 // through which there were calls lately
}

// appView is one app in the tenant.
type appView struct {
	App, Environment string
	Facts            []fact
	Verdict          verdict
	Remedy, Approve  string
	Commands         []command
}

// groupView is what can be done about a group of failures.
type groupView struct {
	Why      string
	Next     string
	Commands []command
}

const (
	// latestCalls is how many calls of a tenant are listed on its page, dayCalls how many are counted by hour.
	latestCalls = 100
	dayCalls    = 1000
)

// maxOffered is how many connections a form offers.
const maxOffered = 20

// maxGroups is for how many groups of failures the commands are written out.
const maxGroups = 5

func tenantPage(r *request) (*page, error) {
	slug, err := url.PathUnescape(lastOf(r.URL.Path))
	if err != nil {
		return nil, errOutOfScope
	}
	tenant := slug
	if slug == onsiteSlug {
		tenant = ""
	}
	ctx := r.Context()
	r.view.Tenant = tenant
	status, err := r.status(ctx)
	if err != nil {
		return nil, err
	}
	body := &tenantBody{Tenant: tenant, Slug: tenantSlug(tenant)}
	var last *report.CallStatus
	for _, app := range status.Apps {
		for _, t := range app.Tenants {
			if !strings.EqualFold(t.Tenant, tenant) {
				continue
			}
			if tenant, body.Tenant, body.Slug = t.Tenant, t.Tenant, tenantSlug(t.Tenant); t.Name != "" {
				body.Name = t.Name
			}
			body.Apps = append(body.Apps, appViewOf(app, t))
			if t.Last != nil && (last == nil || t.Last.At.After(last.At)) {
				last = t.Last
			}
		}
	}
	if len(body.Apps) == 0 {
		return nil, errOutOfScope
	}
	body.Name = tenantName(tenant, body.Name)
	for _, hold := range holdViews(status.Holds) {
		if hold.Tenant == "" || hold.Tenant == tenant {
			body.Holds = append(body.Holds, hold)
		}
	}
	path := tenantHref(r, tenant)
	var sheets []sheet
	failing, err := r.failures(ctx)
	switch {
	case isNoHistory(err):
		body.NoHistory = true
	case err != nil:
		return nil, err
	default:
		mine := slices.DeleteFunc(slices.Clone(failing.Failures), func(f report.Failure) bool { return f.Tenant != tenant })
		t := failureTable(r, "failures", mine, names{tenant: body.Name}, false)
		sheets = append(sheets, t)
		body.Failures = t.view(path, r.URL.Query())
		for _, f := range mine[:min(len(mine), maxGroups)] {
			v := verdictOf(f.Outcome, f.Reason)
			body.Groups = append(body.Groups, groupView{v.Short + ", " + connectionName(f.Connection), v.Next, failureCommands(f)})
		}
		body.answer(mine, last)
		table, err := r.tenantCalls(body, path)
		if err != nil && !isNoHistory(err) {
			return nil, err
		}
		if body.NoHistory = err != nil; !body.NoHistory {
			sheets = append(sheets, table)
		}
	}
	if body.Answer.Short == "" {
		body.answer(nil, last)
	}
	if err := r.findIn(status, body, path); err != nil {
		return nil, err
	}
	if body.Find.table != nil {
		sheets = append(sheets, body.Find.table)
	}
	return &page{Title: body.Name, Template: "tenant", Body: body, Sheets: sheets, Live: body.Find.Text == ""}, nil // or SuperOffice would be asked again with each change
}

// answer says in one sentence how the tenant is.
func (b *tenantBody) answer(failing []report.Failure, last *report.CallStatus) {
	for _, app := range b.Apps {
		if app.Verdict.Tone == Bad || app.Verdict.Tone == Quiet {
			b.Answer = app.Verdict
			return
		}
	}
	if len(b.Holds) > 0 {
		b.Answer = verdict{Waiting, "Calls are on hold: " + b.Holds[0].Reason, "", "They are refused and nothing is sent until the hold ends."}
		return
	}
	if len(failing) > 0 {
		keys, everything := 0, false
		for _, f := range failing {
			keys += f.Keys
			everything = everything || f.Everything
		}
		v := verdictOf(failing[0].Outcome, failing[0].Reason)
		text := count(keys, "record does", "records do") + " not go through. "
		if everything {
			text = "A synchronisation of everything did not go through. "
		}
		b.Answer = verdict{v.Tone, text + v.Short + " (" + connectionName(failing[0].Connection) + ").", "", v.Next}
		return
	}
	switch {
	case last == nil:
		b.Answer = verdict{Quiet, "No call has been made since the gateway began", "", ""}
	default:
		v := verdictOf(last.Outcome, last.Reason)
		b.Answer = verdict{v.Tone, "The last call: " + lowerFirst(v.Short), "", v.Next}
		if v.Tone == Good {
			b.Answer.Short = "Nothing fails. The last call went through"
		}
	}
}

func appViewOf(app report.AppStatus, t report.TenantStatus) appView {
	v := appView{App: app.App, Environment: app.Environment, Approve: t.Approve}
	add := func(label string, c cell) {
		if c.Text != "" {
			v.Facts = append(v.Facts, fact{label, c})
		}
	}
	switch {
	case t.Suspended:
		v.Verdict = verdict{Quiet, "Suspended: calls are refused", "", ""}
	case !t.Granted:
		v.Verdict = verdict{Quiet, "Not set up: the app is approved there, and the gateway does not name the customer", "", ""}
	case t.Attention == "token_unreadable":
		v.Verdict = verdict{Bad, "The customer's approval cannot be read any more", "", "Their administrator can approve again; the operators can put the key back."}
	case auth.Reason(t.Attention) == auth.ConsentRequired || auth.Reason(t.Attention) == auth.NoSystemToken:
		v.Verdict = verdict{Bad, upperFirst(refusalWords(t.Attention)), "", "Send their administrator the link below."}
	}
	switch t.Consent {
	case "approved":
		add("Approval", cell{Text: "Approved", Tone: Good})
	case "consent_required":
		add("Approval", cell{Text: "Refused by SuperOffice: has to be approved again", Tone: Bad})
	}
	if since := atPointer(t.ConsentSince); since.Text != "" {
		add("Approval seen", since)
	}
	add("SuperOffice says", cell{Text: t.Message})
	switch t.Token {
	case "approval":
		add("System user", cell{Text: "Approved by the customer", Sub: t.ApprovedBy, Tone: Good})
	case "import":
		add("System user", cell{Text: "Set up by the operators", Tone: Good})
	case "configuration":
		add("System user", cell{Text: "In the configuration", Tone: Good})
	case "none":
		add("System user", cell{Text: "Not approved yet", Tone: Bad})
	case "unreadable":
		add("System user", cell{Text: "Kept, and cannot be read", Tone: Bad})
	case "unknown":
		add("System user", cell{Text: "Not known: the storage gives no answer", Tone: Unclear})
	}
	add("System user since", atPointer(t.TokenSince))
	add("Access (ticket) since", atPointer(t.TicketSince))
	if t.State != "" {
		tone := Good
		if t.State != "Running" {
			tone = Warn
		}
		add("SuperOffice", cell{Text: t.State, Sub: t.Host, Tone: tone})
	}
	add("Calls running", cell{Text: strconv.Itoa(t.InFlight)})
	add("Last success", atPointer(t.Succeeded))
	if t.Failed != nil {
		add("Last failure", at(t.Failed.At))
	}
	add("Calls go out", cell{Text: map[string]string{"user": "with the person's own rights", "system": "as the customer's system user", "account": "as a service account"}[app.CallAs]})
	if t.Attention != "" {
		v.Remedy = plain(t.Remedy)
	}
	v.Commands = []command{{"Try out whether it works now", "caddy erpsync check " + shell(app.App) + prefixed(" ", t.Tenant)}, holdCommand(app.App, t.Tenant, nil)}
	if t.Tenant == "" {
		v.Commands[0].Text = "caddy erpsync check " + shell(app.App)
	}
	return v
}

// tenantCalls adds the calls of the tenant and their charts.
func (r *request) tenantCalls(body *tenantBody, path string) (*table[history.Row], error) {
	ctx, now := r.Context(), time.Now()
	latest, err := r.calls(ctx, CallFilter{Tenant: &body.Tenant, Limit: latestCalls})
	if err != nil {
		return nil, err
	}
	day, err := r.calls(ctx, CallFilter{Tenant: &body.Tenant, Since: now.Add(-24 * time.Hour), Limit: dayCalls, WithoutKeys: true})
	if err != nil {
		return nil, err
	}
	rows := latest.Rows
	month := lastDays(30, now)
	month.Tenant = &body.Tenant
	usage, err := r.usage(ctx, month)
	if err != nil {
		return nil, err
	}
	r.view.Calls += len(rows)
	t := callTable(r, "calls", "Latest calls", "No call of this customer is kept.", rows, names{body.Tenant: body.Name}, false)
	if latest.Next != "" {
		t.Older = r.link("/calls?tenant=%s", url.QueryEscape(body.Slug))
		t.Note = "These are the newest " + thousands(len(rows)) + "."
	}
	t.PerPage = 10
	body.Calls = t.view(path, r.URL.Query())
	for i := range rows {
		if connection := rows[i].Connection; connection > 0 && !slices.Contains(body.connections, connection) && len(body.connections) < maxOffered {
			body.connections = append(body.connections, connection)
		}
	}
	bars, complete := hours(day.Rows, day.Next != "", now)
	dayChart, monthChart := draw("day", "Calls of the last 24 hours", bars), draw("month", "Calls of the last 30 days", days(usage, month.Since, 30))
	body.Day, body.Month = &dayChart, &monthChart
	if !complete {
		body.DayNote = "There were more calls than are read here; hours before the first bar may be incomplete."
	}
	return t, nil
}

// hours counts calls by hour, the last 24 of them. complete is false if some of these hours hold calls that were not read.
func hours(rows []history.Row, more bool, now time.Time) (bars []chartRow, complete bool) {
	first := now.UTC().Truncate(time.Hour).Add(-23 * time.Hour)
	for i := range 24 {
		bars = append(bars, chartRow{At: first.Add(time.Duration(i) * time.Hour)})
	}
	for i := range rows {
		if n := int(rows[i].Started.Sub(first) / time.Hour); n >= 0 && n < len(bars) && !rows[i].Started.Before(first) {
			bars[n].Counts.Add(countRow(&rows[i]))
		}
	}
	return bars, !more || len(rows) == 0 || rows[len(rows)-1].Started.Before(first)
}

// days counts calls by UTC day.
func days(usage []Usage, first time.Time, n int) (bars []chartRow) {
	for i := range n {
		bars = append(bars, chartRow{At: first.AddDate(0, 0, i), Day: true})
	}
	for _, u := range usage {
		if i := int(u.Day.Sub(first) / (24 * time.Hour)); i >= 0 && i < n && !u.Day.Before(first) {
			bars[i].Counts.Add(u.Counts)
		}
	}
	return bars
}
