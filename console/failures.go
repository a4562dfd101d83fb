package console

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

type failuresBody struct {
	Table tableView
	Name  string
}

// failureTable is a table of what fails.
func failureTable(r *request, id string, all []report.Failure, known names, withTenant bool) *table[report.Failure] {
	several := len(distinct(all, func(f report.Failure) string { return f.Environment })) > 1
	t := &table[report.Failure]{ID: id, Caption: "Records that still fail", Rows: all, Empty: "Nothing fails: each record's last call went through."}
	t.Columns = append(t.Columns, column[report.Failure]{Key: "why", Title: "Why", Of: func(f report.Failure) cell {
		v := verdictOf(f.Outcome, f.Reason)
		return cell{Text: v.Short, Sub: f.ErrorCode, Tone: v.Tone, Href: callHref(r, f.RequestID)}
	}})
	if withTenant {
		t.Columns = append(t.Columns, column[report.Failure]{Key: "customer", Title: "Customer", Of: func(f report.Failure) cell {
			c := cell{Text: tenantName(f.Tenant, known[f.Tenant]), Href: tenantHref(r, f.Tenant)}
			if known[f.Tenant] != "" {
				c.Sub = f.Tenant
			}
			return c
		}})
	}
	t.Columns = append(t.Columns,
		column[report.Failure]{Key: "records", Title: "Records", Number: true, Of: func(f report.Failure) cell {
			if f.Everything {
				return cell{Text: "everything"}
			}
			return number(f.Keys)
		}, Compare: func(a, b report.Failure) int { return cmp.Compare(a.Keys, b.Keys) }},
		column[report.Failure]{Key: "connection", Title: "Connection", Of: func(f report.Failure) cell { return connectionCell(f.Connection) }},
		column[report.Failure]{Key: "tries", Title: "Tries", Number: true, Of: func(f report.Failure) cell { return number(f.Tries) }},
		column[report.Failure]{Key: "first", Title: "Since", Of: func(f report.Failure) cell { return at(f.First) }},
		column[report.Failure]{Key: "last", Title: "Last try", Of: func(f report.Failure) cell { return at(f.Last) }},
		column[report.Failure]{Key: "app", Title: "App", Of: func(f report.Failure) cell {
			c := cell{Text: f.App}
			if several {
				c.Sub = f.Environment
			}
			return c
		}},
		column[report.Failure]{Key: "group", Title: "Group", Number: true, Of: func(f report.Failure) cell { return cell{Text: strconv.FormatInt(f.Group, 10)} }},
	)
	return t
}

func failuresPage(r *request) (*page, error) {
	all, err := r.failures(r.Context())
	if err != nil {
		return nil, err
	}
	known := r.names()
	body := &failuresBody{}
	rows := all.Failures
	if slug := r.URL.Query().Get("tenant"); slug != "" {
		tenant := slug
		if slug == onsiteSlug {
			tenant = ""
		}
		if !r.sees(tenant) {
			return nil, errOutOfScope
		}
		rows = nil
		for _, f := range all.Failures {
			if strings.EqualFold(f.Tenant, tenant) {
				rows = append(rows, f)
			}
		}
		body.Name = tenantName(tenant, known[tenant])
	}
	t := failureTable(r, "", rows, known, body.Name == "")
	if all.More {
		t.Note = "More fails than can be shown: the newest are."
	}
	body.Table = t.view(r.link("/failures"), r.URL.Query())
	return &page{Title: cmp.Or(prefixed("What fails for ", body.Name), "What fails"), Template: "failures", Body: body, Sheets: []sheet{t}, Live: true}, nil
}
