package console

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// reportLine is one connection of one customer in a month.
type reportLine struct {
	Environment, App, Tenant, Name string
	Connection                     int32
	Counts                         Counts
}

type reportBody struct {
	Month, Label, From, To string
	Previous, Next         string
	Tenant, Name           string
	Sum                    Counts
	Rate                   string
	Chart                  *chartView
	Table                  tableView
	Running                bool // the month is not over
}

// maxByDay is for how many lines the days are read one by one: ten thousand customers have three hundred thousand of them in a month.
const maxByDay = 500

// monthForm is how a month stands in an address.
const monthForm = "2006-01"

func reportPage(r *request) (*page, error) {
	query, now := r.URL.Query(), time.Now().UTC()
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if month, err := time.Parse(monthForm, query.Get("month")); err == nil && month.Year() > 2000 && !month.After(first) {
		first = month
	}
	end := first.AddDate(0, 1, 0)
	filter := UsageFilter{Since: first, Until: end}
	body := &reportBody{Month: first.Format(monthForm), Label: first.Format("January 2006"), From: first.Format("2 January"), To: end.AddDate(0, 0, -1).Format("2 January 2006"), Running: end.After(now)}
	known := r.names()
	if slug := query.Get("tenant"); slug != "" {
		tenant := slug
		if slug == onsiteSlug {
			tenant = ""
		}
		filter.Tenant, body.Tenant, body.Name = &tenant, slug, tenantName(tenant, known[tenant])
	}
	whole := filter
	whole.Whole = true
	usage, err := r.usage(r.Context(), whole)
	if err != nil {
		return nil, err
	}
	lines := make(map[placeKey]*reportLine)
	var rows []reportLine
	for _, u := range usage {
		k := placeKey{u.Environment, u.App, u.Tenant, max(u.Connection, 0)}
		if lines[k] == nil {
			lines[k] = &reportLine{Environment: u.Environment, App: u.App, Tenant: u.Tenant, Name: tenantName(u.Tenant, known[u.Tenant]), Connection: k.connection}
		}
		lines[k].Counts.Add(u.Counts)
		body.Sum.Add(u.Counts)
	}
	for _, line := range lines {
		rows = append(rows, *line)
	}
	slices.SortFunc(rows, func(a, b reportLine) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.App, b.App), cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Connection, b.Connection))
	})
	body.Rate = share(body.Sum)
	if len(rows) <= maxByDay {
		byDay, err := r.usage(r.Context(), filter)
		if err != nil {
			return nil, err
		}
		chart := draw("days", "Calls by day (UTC)", days(byDay, first, int(end.Sub(first)/(24*time.Hour))))
		body.Chart = &chart
	}
	t := reportTable(r, rows)
	body.Table = t.view(r.link("/report"), query)
	body.Previous = t.with(r.link("/report"), query, "month", first.AddDate(0, -1, 0).Format(monthForm))
	if body.Running {
		body.Next = ""
	} else {
		body.Next = t.with(r.link("/report"), query, "month", end.Format(monthForm))
	}
	return &page{Title: "Report " + body.Label + prefixed(": ", body.Name), Template: "report", Body: body, Sheets: []sheet{t}}, nil
}

// share says how much of what was sent went through.
func share(c Counts) string {
	sent := c.Succeeded + c.Failed + c.Unclear
	if sent == 0 {
		return ""
	}
	part := 1000 * c.Succeeded / sent // rounded down: what failed is not hidden
	return strconv.Itoa(part/10) + "." + strconv.Itoa(part%10) + " %"
}

func reportTable(r *request, rows []reportLine) *table[reportLine] {
	counted := func(key, title string, of func(Counts) int) column[reportLine] {
		return column[reportLine]{Key: key, Title: title, Number: true, Of: func(l reportLine) cell { return cell{Text: strconv.Itoa(of(l.Counts))} }}
	}
	return &table[reportLine]{
		Caption: "By customer and connection", PerPage: 200, Rows: rows, Empty: "No call was made in this month, or its days are no longer kept.",
		Columns: []column[reportLine]{
			{Key: "customer", Title: "Customer", Of: func(l reportLine) cell {
				return cell{Text: l.Name, Sub: l.Tenant, Href: tenantHref(r, l.Tenant)}
			}},
			{Key: "connection", Title: "Connection", Of: func(l reportLine) cell { return connectionCell(l.Connection) }},
			{Key: "app", Title: "App", Of: func(l reportLine) cell { return cell{Text: l.App} }},
			counted("calls", "Calls", Counts.All),
			counted("through", "Went through", func(c Counts) int { return c.Succeeded }),
			counted("failed", "Failed", func(c Counts) int { return c.Failed }),
			counted("unclear", "Unclear", func(c Counts) int { return c.Unclear }),
			counted("refused", "Not sent", func(c Counts) int { return c.Refused }),
			{Key: "share", Title: "Share", Number: true, Of: func(l reportLine) cell { return cell{Text: share(l.Counts)} }},
		},
	}
}
