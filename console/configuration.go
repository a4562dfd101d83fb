package console

import (
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// setting is one option of one gateway.
type setting struct{ Site, Section, Option, Value string }

type configurationBody struct {
	Node string
	// Gateways are those of the store. Options are those of the gateway that answers alone.
	Gateways tableView
	Unknown  string // why some gateways could not be heard; "": all were
	Table    tableView
}

// gatewayTable lists the gateways of the store.
func gatewayTable(all []report.GatewayStatus) *table[report.GatewayStatus] {
	return &table[report.GatewayStatus]{
		ID: "gateways", Caption: "Gateways", Rows: all, Empty: "No gateway is in force in this process.",
		Columns: []column[report.GatewayStatus]{
			{Key: "node", Title: "Gateway", Of: func(g report.GatewayStatus) cell {
				c := cell{Text: g.Node, Code: true}
				if g.This {
					c.Sub = "this one"
				}
				return c
			}},
			{Key: "alive", Title: "State", Of: func(g report.GatewayStatus) cell {
				if g.Alive {
					return cell{Text: "Alive", Tone: Good}
				}
				return cell{Text: "Silent", Sub: "for " + lasted(time.Duration(g.SilentSeconds*float64(time.Second))), Tone: Bad}
			}},
			{Key: "version", Title: "Version", Of: func(g report.GatewayStatus) cell { return cell{Text: g.Version, Sub: clip(g.Revision, 12)} }},
			{Key: "environment", Title: "Environment", Of: func(g report.GatewayStatus) cell { return cell{Text: g.Environment} }},
			{Key: "started", Title: "Running since", Of: func(g report.GatewayStatus) cell { return at(g.Started) }},
			{Key: "seen", Title: "Last sign of life", Of: func(g report.GatewayStatus) cell { return at(g.Seen) }},
		},
	}
}

func configurationPage(r *request) (*page, error) {
	status, err := r.status(r.Context())
	if err != nil {
		return nil, err
	}
	gateways := gatewayTable(status.Gateways)
	var rows []setting
	for _, c := range r.configurations() {
		site := c.Site
		if site == "" {
			site = c.Environment
		}
		for _, section := range c.Sections {
			for _, o := range section.Settings {
				rows = append(rows, setting{site, section.Name, o.Option, o.Value})
			}
		}
	}
	t := &table[setting]{
		Caption: "Options", Rows: rows, Empty: "No gateway is in force in this process.",
		Selects: []choice[setting]{
			{Key: "site", Label: "Gateway", Options: distinct(rows, func(s setting) string { return s.Site }), Lets: func(s setting, value string) bool { return s.Site == value }},
			{Key: "section", Label: "Part", Options: distinct(rows, func(s setting) string { return s.Section }), Lets: func(s setting, value string) bool { return s.Section == value }},
		},
		Columns: []column[setting]{
			{Key: "site", Title: "Gateway", Of: func(s setting) cell { return cell{Text: s.Site} }},
			{Key: "section", Title: "Part", Of: func(s setting) cell { return cell{Text: s.Section} }},
			{Key: "option", Title: "Option", Of: func(s setting) cell { return cell{Text: s.Option, Code: true} }},
			{Key: "value", Title: "Value", Of: func(s setting) cell { return cell{Text: s.Value} }},
		},
	}
	path, query := r.link("/configuration"), r.URL.Query()
	body := &configurationBody{r.console.config.Node, gateways.view(path, query), status.GatewaysUnknown, t.view(path, query)}
	return &page{Title: "Configuration", Template: "configuration", Body: body, Sheets: []sheet{t, gateways}}, nil
}
