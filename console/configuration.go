package console

// setting is one option of one gateway.
type setting struct{ Site, Section, Option, Value string }

type configurationBody struct {
	Node  string
	Table tableView
}

func configurationPage(r *request) (*page, error) {
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
	return &page{Title: "Configuration", Template: "configuration", Body: &configurationBody{r.console.config.Node, t.view(r.link("/configuration"), r.URL.Query())}, Sheets: []sheet{t}}, nil
}
