package console

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// window is how many calls are read for a table, which then sorts and filters them.
const window = 500

func isNoHistory(err error) bool { return errors.Is(err, ErrNoHistory) }

// results are what calls can be filtered by.
var results = []struct {
	value, label string
	classes      []outcome.Class
}{
	{"through", "Went through", []outcome.Class{outcome.OK, outcome.Info, outcome.Warning}},
	{"failed", "Failed", []outcome.Class{outcome.Error, outcome.Fault, outcome.Empty, outcome.Unreachable}},
	{"unclear", "Unclear", []outcome.Class{outcome.Unknown, outcome.Contradictory, outcome.Unreadable, outcome.Masked}},
	{"background", "In the background", []outcome.Class{outcome.Accepted}},
	{"refused", "Not sent", nil},
}

// CountOf returns a call as counts, by what came of it.
func CountOf(class outcome.Class, refused, ended bool) Counts {
	switch {
	case class == "" && refused:
		return Counts{Refused: 1}
	case class == "" || !ended:
		return Counts{Other: 1}
	}
	for _, result := range results {
		if slices.Contains(result.classes, class) {
			switch result.value {
			case "through":
				return Counts{Succeeded: 1}
			case "failed":
				return Counts{Failed: 1}
			case "unclear":
				return Counts{Unclear: 1}
			}
		}
	}
	return Counts{Other: 1}
}

func countRow(r *history.Row) Counts {
	return CountOf(r.Outcome, r.Decision == "refused", !r.Ended.IsZero())
}

// names finds the names of tenants.
type names map[string]string

func (r *request) names() names {
	found := make(names)
	status, err := r.status(r.Context())
	if err != nil {
		return found // the page says tenants by number then
	}
	for _, app := range status.Apps {
		for _, t := range app.Tenants {
			if t.Name != "" {
				found[t.Tenant] = t.Name
			}
		}
	}
	return found
}

// keysText says which keys a call names, the first of them.
func keysText(r *history.Row) string {
	if !r.Understood {
		return ""
	}
	if r.Everything {
		return "everything"
	}
	internal, external, err := history.UnpackKeys(r.Keys)
	if err != nil || len(internal)+len(external) == 0 {
		if r.KeyCount > 0 {
			return count(r.KeyCount, "record", "records")
		}
		return ""
	}
	var words []string
	for _, key := range internal[:min(len(internal), 3)] {
		words = append(words, strconv.Itoa(int(key)))
	}
	for _, key := range external[:min(len(external), 3)] {
		words = append(words, clip(key, 40))
	}
	text := strings.Join(words, ", ")
	if n := max(r.KeyCount, len(internal)+len(external)); n > 3 {
		text += " and " + thousands(n-3) + " more"
	}
	return text
}

// callTable is a table of calls.
func callTable(r *request, id, caption, empty string, rows []history.Row, known names, withTenant bool) *table[history.Row] {
	t := &table[history.Row]{ID: id, Caption: caption, Rows: rows, Empty: empty}
	var options []option
	for _, result := range results {
		options = append(options, option{result.value, result.label})
	}
	if withTenant || id == "" {
		t.Selects = append(t.Selects, choice[history.Row]{Key: "result", Label: "Result", Options: options, Lets: func(row history.Row, value string) bool {
			for _, result := range results {
				if result.value == value {
					return result.classes == nil && row.Outcome == "" && row.Decision == "refused" || slices.Contains(result.classes, row.Outcome)
				}
			}
			return true
		}})
	}
	t.Columns = append(t.Columns,
		column[history.Row]{Key: "when", Title: "When", Of: func(row history.Row) cell {
			c := at(row.Started)
			c.Href = callHref(r, row.RequestID)
			return c
		}},
		column[history.Row]{Key: "result", Title: "Result", Of: func(row history.Row) cell {
			v := rowVerdict(&row)
			c := cell{Text: v.Short, Tone: v.Tone}
			if row.ErrorCode != "" {
				c.Sub = row.ErrorCode
			}
			return c
		}})
	if withTenant {
		t.Columns = append(t.Columns, column[history.Row]{Key: "customer", Title: "Customer", Of: func(row history.Row) cell {
			c := cell{Text: tenantName(row.Tenant, known[row.Tenant]), Href: tenantHref(r, row.Tenant)}
			if known[row.Tenant] != "" {
				c.Sub = row.Tenant
			}
			return c
		}})
	}
	t.Columns = append(t.Columns,
		column[history.Row]{
			Key: "keys", Title: "Records", Of: func(row history.Row) cell { return cell{Text: keysText(&row)} },
			Compare: func(a, b history.Row) int { return cmp.Compare(a.KeyCount, b.KeyCount) },
		},
		column[history.Row]{Key: "connection", Title: "Connection", Of: func(row history.Row) cell {
			if !row.Understood {
				return cell{}
			}
			return connectionCell(row.Connection)
		}},
		column[history.Row]{Key: "asked", Title: "Asked for", Of: func(row history.Row) cell { return cell{Text: askedFor(row.Operation.String())} }},
		column[history.Row]{Key: "who", Title: "By", Of: func(row history.Row) cell {
			return cell{Text: shortPrincipal(row.Principal), Sub: row.App}
		}},
		column[history.Row]{Key: "took", Title: "Took", Number: true, Of: func(row history.Row) cell {
			if row.Ended.IsZero() {
				return cell{}
			}
			return cell{Text: lasted(row.Ended.Sub(row.Started))}
		}, Compare: func(a, b history.Row) int { return cmp.Compare(a.Ended.Sub(a.Started), b.Ended.Sub(b.Started)) }},
	)
	return t
}

// shortPrincipal shortens what would fill a column: the hash that stands for a person, and the issuer before a service.
func shortPrincipal(principal string) string {
	if rest, ok := strings.CutPrefix(principal, "hmac:"); ok {
		return "person " + clip(rest, 8)
	}
	if i := strings.LastIndexByte(principal, '#'); i >= 0 && i+1 < len(principal) { // a service of an issuer
		return principal[i+1:]
	}
	return principal
}

// callFilter reads which calls an address asks for. problem says what is wrong with it; "" is nothing.
func callFilter(query url.Values) (f CallFilter, problem string) {
	f = CallFilter{App: query.Get("app"), Key: strings.TrimSpace(clip(query.Get("key"), 200)), After: clip(query.Get("after"), 200), Limit: window}
	if slug := query.Get("tenant"); slug != "" {
		tenant := slug
		if slug == onsiteSlug {
			tenant = ""
		}
		f.Tenant = &tenant
	}
	if raw := query.Get("connection"); raw != "" {
		n, err := strconv.ParseInt(raw, 10, 32)
		if err != nil {
			return f, "The connection is not a number."
		}
		connection := int32(n)
		f.Connection = &connection
	}
	for _, moment := range []struct {
		name string
		into *time.Time
		end  bool
	}{{"since", &f.Since, false}, {"until", &f.Until, true}} {
		raw := query.Get(moment.name)
		if raw == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, raw)
		if err != nil {
			return f, "The days are written as 2026-11-27."
		}
		if moment.end {
			day = day.AddDate(0, 0, 1)
		}
		*moment.into = day
	}
	for _, result := range results {
		if result.value == query.Get("result") {
			f.Outcomes, f.Refused = result.classes, result.classes == nil
		}
	}
	return f, ""
}

type callsBody struct {
	Table               tableView
	Problem             string
	Tenant, Name        string
	Key, Connection     string
	Since, Until        string
	Person, PersonShown string
	Tenants             []option
}

func callsPage(r *request) (*page, error) {
	query := r.URL.Query()
	body := &callsBody{Key: query.Get("key"), Connection: query.Get("connection"), Since: query.Get("since"), Until: query.Get("until"), Tenant: query.Get("tenant"), Person: query.Get("person")}
	filter, problem := callFilter(query)
	body.Problem = problem
	known := r.names()
	if filter.Tenant != nil {
		body.Name = tenantName(*filter.Tenant, known[*filter.Tenant])
		r.view.Tenant = *filter.Tenant
	}
	if person := strings.TrimSpace(clip(body.Person, 200)); person != "" {
		filter.Principals = r.console.config.Source.KeptPrincipals(person)
	}
	var calls Calls
	if problem == "" {
		var err error
		if calls, err = r.calls(r.Context(), filter); err != nil {
			return nil, err
		}
	}
	rows := calls.Rows
	r.view.Calls = len(rows)
	t := callTable(r, "", "Calls, the newest first", "No call matches. The history keeps calls for a limited time.", rows, known, filter.Tenant == nil)
	t.Note = calls.doubt()
	if t.Note != "" {
		t.Empty = "None was found so far."
	}
	if calls.Next != "" {
		t.Note = cmp.Or(t.Note, "These are "+thousands(len(rows))+" calls. Narrow them down, or go on to older ones.")
		t.Older = t.with(r.link("/calls"), query, "after", calls.Next)
	}
	body.Table = t.view(r.link("/calls"), query)
	return &page{Title: cmp.Or(prefixed("Calls of ", body.Name), "Calls"), Template: "calls", Body: body, Sheets: []sheet{t}}, nil
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
