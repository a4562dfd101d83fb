package console

import (
	"cmp"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// findView is the form that asks SuperOffice which record is meant, and its answer.
type findView struct {
	Apps        []option
	App         string
	Connections []option // that are known; others can be written
	Connection  string
	Text, By    string
	Kinds       []option
	// Asked says that SuperOffice was asked, Problem why it gave no answer; a page of another site cannot have it asked.
	Asked      bool
	Unasked    bool
	Problem    string
	Matches    tableView
	More       bool
	table      *table[superoffice.Match]
	CanBeAsked bool
}

// kinds are what a person may have at hand.
var kinds = []option{{"erp", "ERP number"}, {"name", "Company name"}, {"key", "Internal key"}, {"contact", "SuperOffice company id"}, {"person", "SuperOffice person id"}, {"project", "SuperOffice project id"}}

// findIn fills the form of a tenant's page, and asks if it was sent.
func (r *request) findIn(status report.Status, body *tenantBody, path string) error {
	query := r.URL.Query()
	v := findView{App: query.Get("find-app"), Connection: clip(query.Get("find-connection"), 12), Text: strings.TrimSpace(clip(query.Get("find"), maxFilter)), By: query.Get("find-by"), Kinds: kinds}
	environments := make(map[string]string)
	for _, app := range status.Apps {
		if app.CallAs == "user" { // an operator is no user of SuperOffice
			continue
		}
		for _, t := range app.Tenants {
			if t.Tenant == body.Tenant && t.Granted && !t.Suspended {
				value := app.App + "@" + app.Environment
				environments[value] = app.Environment
				v.Apps = append(v.Apps, option{value, app.App})
			}
		}
	}
	v.CanBeAsked = len(v.Apps) > 0
	for _, connection := range body.connections {
		n := strconv.Itoa(int(connection))
		v.Connections = append(v.Connections, option{n, n})
	}
	if v.Connection == "" && len(v.Connections) > 0 {
		v.Connection = v.Connections[0].Value
	}
	body.Find = v
	if v.Text == "" || !v.CanBeAsked {
		return nil
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		body.Find.Unasked = true
		return nil
	}
	chosen := cmp.Or(v.App, v.Apps[0].Value)
	environment, ok := environments[chosen]
	if !ok {
		body.Find.Problem = "Choose one of the apps."
		return nil
	}
	name, _, _ := strings.Cut(chosen, "@")
	request := report.FindRequest{App: name, Tenant: body.Tenant, Environment: environment}
	connection, err := strconv.ParseInt(v.Connection, 10, 32)
	if err != nil || connection <= 0 {
		body.Find.Problem = "Say through which ERP connection, by its number."
		return nil
	}
	request.Connection = int32(connection)
	if problem := ask(&request.LookupRequest, cmp.Or(v.By, "erp"), v.Text); problem != "" {
		body.Find.Problem = problem
		return nil
	}
	if _, err := request.Lookup(); err != nil {
		body.Find.Problem = "This cannot be looked up: " + err.Error()
		return nil //nolint:nilerr // it is told on the page
	}
	r.view.Question, r.view.Connection = cmp.Or(v.By, "erp"), request.Connection
	found, err := r.find(r.Context(), request)
	if err != nil {
		if errors.Is(err, errOutOfScope) {
			return err
		}
		body.Find.Problem = "SuperOffice was asked and gave no answer that holds. This does not say that there is no such record. " + upperFirst(findProblem(err))
		return nil
	}
	r.view.Found = len(found.Matches)
	body.Find.Asked, body.Find.More = true, found.Next > 0
	t := matchTable(r, body, found)
	body.Find.table, body.Find.Matches = t, t.view(path, query)
	return nil
}

// findProblem says why a look-up was refused.
func findProblem(err error) string {
	reason, _, _ := strings.Cut(err.Error(), ":")
	reason, _, _ = strings.Cut(reason, " ")
	for known, words := range refusals {
		if string(known) == reason {
			return words + "."
		}
	}
	return ""
}

// ask sets the question. problem says what is wrong with it; "" is nothing.
func ask(q *gateway.LookupRequest, by, text string) (problem string) {
	switch by {
	case "erp":
		q.ERP = &text
		return ""
	case "name":
		q.Name = &text
		return ""
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 {
		return "This is looked up by a number above zero."
	}
	number := int32(n)
	switch by {
	case "key":
		q.Key = &number
	case "contact":
		q.Contact = &number
	case "person":
		q.Person = &number
	case "project":
		q.Project = &number
	default:
		return "Choose what it is."
	}
	return ""
}

func matchTable(r *request, body *tenantBody, found report.Found) *table[superoffice.Match] {
	calls := func(key string) string {
		return r.link("/calls?%s", url.Values{"tenant": {body.Slug}, "key": {key}}.Encode())
	}
	return &table[superoffice.Match]{
		ID: "matches", Caption: "Found in SuperOffice", Rows: found.Matches, Empty: "SuperOffice has no such record behind this connection, or none that the app may see.",
		Columns: []column[superoffice.Match]{
			{Key: "name", Title: "Name", Of: func(m superoffice.Match) cell { return cell{Text: m.Name} }},
			{Key: "erp", Title: "ERP number", Of: func(m superoffice.Match) cell {
				if m.ERPKey == "" {
					return cell{}
				}
				return cell{Text: m.ERPKey, Code: true, Href: calls(m.ERPKey)}
			}},
			{Key: "key", Title: "Internal key", Number: true, Of: func(m superoffice.Match) cell {
				c := number(int(m.Key))
				if c.Text != "" {
					c.Code, c.Href = true, calls(c.Text)
				}
				return c
			}},
			{Key: "calls", Title: "Calls", Of: func(m superoffice.Match) cell {
				if m.Key == 0 {
					return cell{}
				}
				return cell{Text: "Did it go through?", Href: calls(strconv.Itoa(int(m.Key)))}
			}},
			{Key: "record", Title: "Record", Of: func(m superoffice.Match) cell { return cell{Text: recordWords(m)} }},
		},
	}
}

// recordWords names the CRM record of a match.
func recordWords(m superoffice.Match) string {
	if m.Record.ID == 0 {
		return ""
	}
	kind := map[string]string{"contact": "company", "person": "person", "project": "project"}[m.Record.Name]
	return cmp.Or(kind, "record") + " " + strconv.Itoa(int(m.Record.ID))
}
