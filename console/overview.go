package console

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// place is a tenant of an app and, where one is known, an ERP connection.
type place struct {
	Environment, App, Tenant, Name string
	// Connection is nil where no call through any is known.
	Connection *int32
	State      state
	Verdict    verdict
	Succeeded  *time.Time
	Failing    int // keys
	Everything bool
	Unclear    bool
	InFlight   int
	Hold       string
	Recent     Counts // of the last 30 days
	Remedy     string
}

// state is how a place is. The list is in the order of what needs somebody most.
type state int

const (
	stateFailing state = iota
	stateConsent
	stateUnclear
	stateHeld
	stateTrouble
	stateSuspended
	stateWorking
	stateUnused
)

// states are the states' names in addresses, and for people.
var states = []struct {
	value, label string
	tone         Tone
}{
	stateFailing: {"failing", "Failing", Bad}, stateConsent: {"consent", "Approval needed", Bad}, stateUnclear: {"unclear", "Unclear", Unclear},
	stateHeld: {"held", "On hold", Waiting}, stateTrouble: {"trouble", "Last call failed", Warn}, stateSuspended: {"suspended", "Suspended", Quiet},
	stateWorking: {"working", "Working", Good}, stateUnused: {"unused", "No calls yet", Quiet},
}

// key finds what is known of one place in several answers.
type placeKey struct {
	environment, app, tenant string
	connection               int32
}

// places returns every place that the viewer sees, from what the gateway, the failures and the last 30 days tell.
func places(status *report.Status, failures []report.Failure, usage []Usage) (all []place) {
	type tenantKey struct{ environment, app, tenant string }
	connections := make(map[tenantKey][]int32, len(usage))
	counted := make(map[placeKey]Counts, len(usage))
	succeeded := make(map[placeKey]time.Time, len(usage))
	failing := make(map[placeKey][]report.Failure, len(failures))
	note := func(k placeKey) {
		t := tenantKey{k.environment, k.app, k.tenant}
		if !slices.Contains(connections[t], k.connection) {
			connections[t] = append(connections[t], k.connection)
		}
	}
	for _, u := range usage {
		k := placeKey{u.Environment, u.App, u.Tenant, max(u.Connection, 0)}
		sum := counted[k]
		sum.Add(u.Counts)
		counted[k] = sum
		if u.LastSuccess.After(succeeded[k]) {
			succeeded[k] = u.LastSuccess
		}
		note(k)
	}
	for _, f := range failures {
		k := placeKey{f.Environment, f.App, f.Tenant, max(f.Connection, 0)}
		failing[k] = append(failing[k], f)
		note(k)
	}
	named := make(names, len(usage))
	n := len(usage) + len(failures)
	for _, app := range status.Apps {
		n += len(app.Tenants)
		for _, t := range app.Tenants {
			if t.Name != "" {
				named[t.Tenant] = t.Name
			}
		}
	}
	all = make([]place, 0, n)
	for _, app := range status.Apps {
		for _, t := range app.Tenants {
			t.Name = named[t.Tenant] // which one app may know and another not
			known := connections[tenantKey{app.Environment, app.App, t.Tenant}]
			slices.Sort(known)
			if len(known) == 0 {
				p := newPlace(app, t, nil, status.Holds)
				p.judge(t, nil)
				all = append(all, p)
			}
			for _, connection := range known {
				k := placeKey{app.Environment, app.App, t.Tenant, connection}
				p := newPlace(app, t, &connection, status.Holds)
				p.Recent, p.Succeeded = counted[k], nil
				if at := succeeded[k]; !at.IsZero() {
					p.Succeeded = &at
				}
				p.judge(t, failing[k])
				all = append(all, p)
			}
		}
	}
	return all
}

func newPlace(app report.AppStatus, t report.TenantStatus, connection *int32, holds []report.HoldStatus) place {
	p := place{Environment: app.Environment, App: app.App, Tenant: t.Tenant, Name: t.Name, Connection: connection, Succeeded: t.Succeeded, InFlight: t.InFlight, Remedy: t.Remedy}
	for _, hold := range holds {
		if hold.App != "" && hold.App != app.App || hold.Tenant != "" && hold.Tenant != t.Tenant || hold.Connection != nil && (connection == nil || *hold.Connection != *connection) {
			continue
		}
		p.Hold = hold.Reason
		break
	}
	return p
}

// judge decides on the one thing to say of a place.
func (p *place) judge(t report.TenantStatus, failures []report.Failure) {
	for _, f := range failures {
		p.Failing += f.Keys
		p.Everything = p.Everything || f.Everything
		p.Unclear = p.Unclear || verdictOf(f.Outcome, f.Reason).Tone == Unclear
	}
	switch attention := auth.Reason(t.Attention); {
	case t.Suspended:
		p.State = stateSuspended
	case attention == auth.ConsentRequired || attention == auth.NoSystemToken || t.Attention == "token_unreadable":
		p.State, p.Verdict.Short = stateConsent, refusalWords(t.Attention)
		if t.Attention == "token_unreadable" {
			p.Verdict.Short = "the customer's approval cannot be read any more"
		}
	case p.Hold != "":
		p.State, p.Verdict.Short = stateHeld, p.Hold
	case len(failures) > 0 && (p.Failing > 0 || p.Everything):
		p.State, p.Verdict.Short = stateFailing, verdictOf(failures[0].Outcome, failures[0].Reason).Short
		if p.Unclear && !slices.ContainsFunc(failures, func(f report.Failure) bool { return verdictOf(f.Outcome, f.Reason).Tone == Bad }) {
			p.State = stateUnclear
		}
	case p.Recent.Succeeded == 0 && p.Recent.Failed+p.Recent.Unclear > 0:
		p.State, p.Verdict.Short = stateTrouble, "Nothing went through in 30 days"
	case t.Attention == report.AttentionUnknown && p.onlyKnown():
		p.State, p.Verdict.Short = stateUnclear, verdicts[outcome.Unknown].Short
	case t.Attention != "" && p.onlyKnown():
		p.State, p.Verdict.Short = stateTrouble, verdictOf(t.Attention, t.Attention).Short
	case t.Succeeded == nil && t.Last == nil && p.Recent.All() == 0:
		p.State = stateUnused
	default:
		p.State = stateWorking
	}
	p.Verdict.Tone = states[p.State].tone
}

// onlyKnown reports whether what is known of the tenant is of this place, since no connection is told apart.
func (p *place) onlyKnown() bool { return p.Connection == nil }

// overviewBody is what the overview shows.
type overviewBody struct {
	Troubles []report.Trouble
	Remarks  []string
	Holds    []holdView
	// MoreHolds is how many holds are not shown one by one.
	MoreHolds int
	Tallies   []tally
	Table     tableView
	History   bool
}

// maxHolds is how many holds the overview shows one by one.
const maxHolds = 3

// tally is how many places are in a state.
type tally struct {
	Label, Href string
	Tone        Tone
	N           int
	Current     bool
}

// holdView is a hold, and how it is ended.
type holdView struct {
	report.HoldStatus
	Release string
}

func overview(r *request) (*page, error) {
	ctx := r.Context()
	status, err := r.status(ctx)
	if err != nil {
		return nil, err
	}
	failures, failuresErr := r.failures(ctx)
	usage, usageErr := r.month(ctx)
	for _, err := range []error{failuresErr, usageErr} {
		if err != nil && !isNoHistory(err) {
			return nil, err
		}
	}
	all := places(&status, failures.Failures, usage)
	t := placeTable(r, all)
	body := &overviewBody{Troubles: status.Troubles, Holds: holdViews(status.Holds[:min(len(status.Holds), maxHolds)]), MoreHolds: max(len(status.Holds)-maxHolds, 0), Table: t.view(r.link("/"), r.URL.Query()), History: failuresErr == nil}
	if failures.More {
		body.Table.Note = "More fails than can be shown: the newest are."
	}
	for _, app := range status.Apps {
		if app.Remark != "" {
			body.Remarks = append(body.Remarks, app.App+": "+app.Remark)
		}
	}
	body.Tallies = talliesOf(all, r)
	return &page{Title: "Overview", Template: "overview", Body: body, Sheets: []sheet{t}, Live: true}, nil
}

func talliesOf(all []place, r *request) (found []tally) {
	current := r.URL.Query().Get("state")
	found = append(found, tally{Label: "All", Href: r.link("/"), N: len(all), Current: current == "", Tone: Quiet})
	counts := make([]int, len(states))
	running := 0
	for i := range all {
		counts[all[i].State]++
		running += all[i].InFlight
	}
	for s, info := range states {
		if counts[s] > 0 || info.value == current {
			found = append(found, tally{info.label, r.link("/?state=%s", info.value), info.tone, counts[s], current == info.value})
		}
	}
	return found
}

func placeTable(r *request, all []place) *table[place] {
	var options []option
	for _, s := range states {
		options = append(options, option{s.value, s.label})
	}
	several := len(distinct(all, func(p place) string { return p.Environment })) > 1
	t := &table[place]{
		Caption: "Customers and their ERP connections", Rows: all, Sort: "state",
		Empty: "No customer is set up yet, or none that you may see.",
		Selects: []choice[place]{
			{Key: "state", Label: "State", Options: options, Lets: func(p place, value string) bool { return states[p.State].value == value }},
			{Key: "app", Label: "App", Options: distinct(all, func(p place) string { return p.App }), Lets: func(p place, value string) bool { return p.App == value }},
		},
		Columns: []column[place]{
			{Key: "customer", Title: "Customer", Of: func(p place) cell {
				sub := p.Tenant
				if p.Name == "" {
					sub = ""
				}
				return cell{Text: tenantName(p.Tenant, p.Name), Sub: sub, Href: tenantHref(r, p.Tenant)}
			}},
			{Key: "connection", Title: "Connection", Of: func(p place) cell {
				if p.Connection == nil {
					return cell{}
				}
				return connectionCell(*p.Connection)
			}},
			{Key: "state", Title: "State", Of: func(p place) cell {
				return cell{Text: states[p.State].label, Sub: upperFirst(p.Verdict.Short), Tone: p.Verdict.Tone}
			}, Compare: func(a, b place) int {
				return cmp.Or(cmp.Compare(a.State, b.State), strings.Compare(tenantName(a.Tenant, a.Name), tenantName(b.Tenant, b.Name)))
			}},
			{Key: "failing", Title: "Records failing", Number: true, Of: func(p place) cell {
				c := number(p.Failing)
				if p.Everything {
					c.Text = "everything"
				}
				if c.Text != "" {
					c.Href = r.link("/failures?tenant=%s", url.QueryEscape(tenantSlug(p.Tenant)))
				}
				return c
			}, Compare: func(a, b place) int { return cmp.Compare(a.Failing, b.Failing) }},
			{Key: "now", Title: "Running", Number: true, Of: func(p place) cell { return number(p.InFlight) }},
			{Key: "calls", Title: "Calls, 30 days", Number: true, Of: func(p place) cell { return number(p.Recent.All()) }},
			{Key: "success", Title: "Last success", Of: func(p place) cell { return atPointer(p.Succeeded) }},
			{Key: "app", Title: "App", Of: func(p place) cell {
				c := cell{Text: p.App}
				if several {
					c.Sub = p.Environment
				}
				return c
			}},
		},
	}
	return t
}

// distinct returns the values of rows as options.
func distinct[T any](rows []T, of func(T) string) (options []option) {
	seen := make(map[string]bool)
	for _, row := range rows {
		if value := of(row); !seen[value] {
			seen[value] = true
			options = append(options, option{value, value})
		}
	}
	slices.SortFunc(options, func(a, b option) int { return strings.Compare(a.Label, b.Label) })
	if len(options) > 200 {
		return options[:200]
	}
	return options
}

// lastDays returns the filter of the last days with the present one.
func lastDays(days int, now time.Time) UsageFilter {
	today := now.UTC().Truncate(24 * time.Hour)
	return UsageFilter{Since: today.AddDate(0, 0, 1-days), Until: today.AddDate(0, 0, 1)}
}

// onsiteSlug stands in addresses for the tenant of an installation onsite, which has none.
const onsiteSlug = "onsite"

func tenantSlug(tenant string) string {
	if tenant == "" {
		return onsiteSlug
	}
	return tenant
}

func tenantHref(r *request, tenant string) string {
	return r.link("/tenants/%s", url.PathEscape(tenantSlug(tenant)))
}

func callHref(r *request, id string) string { return r.link("/calls/%s", url.PathEscape(id)) }

func upperFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
