package console

import (
	"cmp"
	"slices"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

type searchBody struct {
	Query                  string
	Customers, Calls       tableView
	HasCustomers, HasCalls bool
	Nothing                bool
	HistoryProblem         string
	PersonsLeftOut         bool
	// Doubt says why a call that was not found may be there all the same; "" where it is not.
	Doubt string
	// Lookup are the customers in whose SuperOffice can be looked; none: there are too many to list.
	Lookup []option
	// Exact is the address of the call whose request id was searched for; "": it was none.
	Exact     string
	Verdict   verdict
	Reference cell
}

// maxLookupCustomers is how many customers the form offers by name.
const maxLookupCustomers = 50

func searchPage(r *request) (*page, error) {
	query := r.URL.Query()
	q := strings.TrimSpace(clip(query.Get("q"), maxFilter))
	body := &searchBody{Query: q}
	ctx := r.Context()
	status, err := r.status(ctx)
	if err != nil {
		return nil, err
	}
	failures, err := r.failures(ctx)
	if err != nil && !isNoHistory(err) {
		return nil, err
	}
	all := places(&status, failures.Failures, nil)
	words := strings.Fields(strings.ToLower(q))
	known := make(names)
	var customers []place
	for _, p := range all {
		if p.Name != "" {
			known[p.Tenant] = p.Name
		}
		text := strings.ToLower(tenantSlug(p.Tenant) + " " + p.Name)
		if len(words) > 0 && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) }) {
			customers = append(customers, p)
		}
	}
	t := placeTable(r, customers)
	t.ID, t.Caption, t.Selects = "customers", "Customers", nil
	sheets := []sheet{t}
	body.HasCustomers, body.Customers = len(customers) > 0, t.view(r.link("/search"), query)
	offered := customers
	if len(offered) == 0 {
		offered = all
	}
	for _, p := range offered {
		if o := (option{tenantSlug(p.Tenant), tenantName(p.Tenant, p.Name)}); !slices.Contains(body.Lookup, o) {
			body.Lookup = append(body.Lookup, o)
		}
	}
	if len(body.Lookup) > maxLookupCustomers {
		body.Lookup = nil
	}
	if q != "" {
		rows, err := r.searchCalls(q, body)
		switch {
		case isNoHistory(err):
			body.HistoryProblem = "No history is kept, so that single calls cannot be searched."
		case err != nil:
			return nil, err
		default:
			calls := callTable(r, "calls", "Calls", "", rows, known, true)
			sheets = append(sheets, calls)
			body.HasCalls, body.Calls = len(rows) > 0, calls.view(r.link("/search"), query)
			r.view.Calls = len(rows)
		}
	}
	body.Nothing = q != "" && !body.HasCustomers && !body.HasCalls
	title := "Search"
	if q != "" {
		title = "Search for " + q
	}
	return &page{Title: title, Template: "search", Body: body, Sheets: sheets}, nil
}

// searchCalls returns the calls whose request id, key or person is q.
func (r *request) searchCalls(q string, body *searchBody) (rows []history.Row, err error) {
	filters := []CallFilter{{RequestID: q, Limit: 2}}
	filters = append(filters, CallFilter{Key: q, Limit: 200})
	if r.hidden {
		body.PersonsLeftOut = true
	} else if kept := r.console.config.Source.KeptPrincipals(q); len(kept) > 0 {
		filters = append(filters, CallFilter{Principals: kept, Limit: 200})
	}
	seen := make(map[string]bool)
	for i, filter := range filters {
		found, err := r.calls(r.Context(), filter)
		if err != nil {
			return nil, err
		}
		some := found.Rows
		body.Doubt = cmp.Or(body.Doubt, found.doubt())
		for _, row := range some {
			if !seen[row.RequestID] {
				seen[row.RequestID] = true
				rows = append(rows, row)
			}
		}
		if i == 0 && len(some) == 1 && some[0].RequestID == q {
			body.Exact = callHref(r, q)
			body.Verdict = rowVerdict(&some[0])
			body.Reference = cell{Text: tenantName(some[0].Tenant, r.names()[some[0].Tenant]), Href: tenantHref(r, some[0].Tenant)}
			return rows, nil
		}
	}
	newestFirst(rows)
	return rows, nil
}
