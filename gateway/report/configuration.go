package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Configuration is a gateway's configuration as it is understood: with its defaults, and without secrets.
type Configuration struct {
	// Site is where people reach it; "" where the configuration names no host.
	Site        string    `json:"site,omitempty"`
	Environment string    `json:"environment"`
	Sections    []Section `json:"sections"`
}

// Section is a part of a configuration.
type Section struct {
	Name     string    `json:"name"`
	Settings []Setting `json:"settings"`
}

// Setting is one option, named as in the Caddyfile. Of a secret Value says whether there is one.
type Setting struct {
	Option string `json:"option"`
	Value  string `json:"value"`
	// Tenant is whose it is; "": everybody's.
	Tenant string `json:"tenant,omitempty"`
	// Persons says that Value names persons.
	Persons bool `json:"persons,omitempty"`
}

// Configurations returns the configuration of each site in force.
func (s *Sites) Configurations() []Configuration {
	var all []Configuration
	for _, site := range s.list() {
		all = append(all, site.configuration())
	}
	slices.SortStableFunc(all, func(a, b Configuration) int {
		return strings.Compare(a.Environment+"\x00"+a.Site, b.Environment+"\x00"+b.Site)
	})
	return slices.CompactFunc(all, func(a, b Configuration) bool { // two configurations are both in force for a moment
		return a.Site == b.Site && a.Environment == b.Environment
	})
}

func (s *Site) configuration() Configuration {
	c := s.Config()
	found := Configuration{Site: s.Origin(), Environment: s.EnvironmentLabel()}
	add := func(name string, settings ...Setting) {
		found.Sections = append(found.Sections, Section{name, slices.DeleteFunc(settings, func(o Setting) bool { return o.Value == "" })})
	}
	add("SuperOffice", Setting{Option: "environment", Value: c.Environment.Name()}, Setting{Option: "upstream", Value: c.Upstream}, Setting{Option: "superoffice", Value: schemes(c.SuperOffice)})
	for _, app := range s.Apps() {
		add("app "+app.Name, appSettings(app)...)
	}
	if c.Sessions != nil {
		add("browser", Setting{Option: "app", Value: c.Sessions.App}, Setting{Option: "idle", Value: defaulted(c.Sessions.Idle)}, Setting{Option: "lifetime", Value: defaulted(c.Sessions.Lifetime)},
			Setting{Option: "framed", Value: set(c.Sessions.Framed)})
	}
	for _, issuer := range c.Issuers {
		tenant := fixed(issuer.Tenant)
		if issuer.TenantFromPath {
			tenant = "path"
		}
		add("jwt "+issuer.Issuer, Setting{Option: "audience", Value: strings.Join(issuer.Audiences, " ")}, Setting{Option: "client_id", Value: strings.Join(issuer.ClientIDs, " ")},
			Setting{Option: "app", Value: fixed(issuer.App)}, Setting{Option: "tenant", Value: tenant}, Setting{Option: "subjects", Value: strings.Join(issuer.Subjects, " "), Persons: true})
	}
	add("guard",
		Setting{Option: "in_flight connection", Value: bound(c.Limits.Connection)}, Setting{Option: "in_flight tenant", Value: bound(c.Limits.Tenant)}, Setting{Option: "in_flight app", Value: bound(c.Limits.App)},
		Setting{Option: "rate", Value: rate(c.Limits.PerSecond)}, Setting{Option: "wait", Value: duration(c.Wait)}, Setting{Option: "cool_down", Value: duration(c.CoolDown)},
		Setting{Option: "idempotency", Value: duration(c.Idempotency)}, Setting{Option: "max_body", Value: strconv.FormatInt(c.MaxBody, 10) + " bytes"}, Setting{Option: "body_timeout", Value: duration(c.BodyTimeout)})
	add("audit", Setting{Option: "required", Value: set(c.AuditRequired)}, Setting{Option: "principals", Value: disclosure(c.Privacy.Principals)}, Setting{Option: "explanations", Value: disclosure(c.Privacy.Explanations)},
		Setting{Option: "keep_select", Value: set(c.KeepSelect)}, Setting{Option: "forward_trace", Value: set(c.ForwardTrace)})
	add("store", Setting{Option: "strict", Value: set(c.StrictStore)}, Setting{Option: "keys", Value: fmt.Sprintf("%d, kept secret", len(c.Keys))})
	return found
}

func appSettings(app *gateway.App) []Setting {
	var operations []string
	for _, operation := range app.Operations {
		operations = append(operations, operation.String())
	}
	settings := []Setting{
		{Option: "client_id", Value: app.ClientID},
		{Option: "client_secret", Value: kept(app.SuperID != nil)},
		{Option: "agents", Value: strings.Join(app.Agents, " ")},
		{Option: "operations", Value: strings.Join(operations, " ")},
		{Option: "connections", Value: allowed(app.Connections)},
		{Option: "call_as", Value: string(app.CallAs)},
		{Option: "resync_all", Value: string(app.ResyncAll)},
		{Option: "users", Value: users(app.Users), Persons: len(app.Users.Named) > 0},
		{Option: "lookups", Value: set(app.Lookups)},
		{Option: "idempotency required", Value: set(app.KeyRequired)},
	}
	named := app.Registry.Named()
	for _, tenant := range slices.Sorted(maps.Keys(named)) {
		grant, _ := app.Registry.Tenant(tenant)
		words := []string{string(tenant)}
		if grant.Name != "" {
			words = append(words, grant.Name)
		}
		if grant.Connections != nil {
			words = append(words, "connections "+allowed(grant.Connections))
		}
		if grant.ResyncAll != "" {
			words = append(words, "resync_all "+string(grant.ResyncAll))
		}
		if !grant.SystemToken.IsZero() {
			words = append(words, "system token: kept secret")
		}
		if grant.Suspended {
			words = append(words, "suspended")
		}
		settings = append(settings, Setting{Option: "tenant", Value: strings.Join(words, ", "), Tenant: string(tenant)})
	}
	if _, any := app.Registry.Tenant(anyTenant); any {
		settings = append(settings, Setting{Option: "tenant", Value: "*, every other tenant"})
	}
	return settings
}

// anyTenant is one that no registry names.
const anyTenant superoffice.Tenant = "Cust0"

func kept(there bool) string {
	if there {
		return "kept secret"
	}
	return "none"
}

func set(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func fixed(f idp.Fixed) string {
	if f.Claim != "" {
		return "claim " + f.Claim
	}
	return f.Value
}

func schemes(c gateway.SuperOfficeConfig) string {
	words := make([]string, 0, len(c.Schemes))
	for _, scheme := range c.Schemes {
		words = append(words, string(scheme))
	}
	return strings.Join(words, " ")
}

func allowed(c *auth.Connections) string {
	if c == nil {
		return "all"
	}
	var words []string
	if c.CRM {
		words = append(words, "crm")
	}
	for _, id := range c.IDs {
		words = append(words, strconv.Itoa(int(id)))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " ")
}

func users(u auth.Users) string {
	switch {
	case u.All:
		return "all"
	case len(u.Named) > 0:
		return strings.Join(u.Named, " ")
	}
	return "administrators"
}

func bound(n int) string {
	if n <= 0 {
		return "off"
	}
	return strconv.Itoa(n)
}

func rate(perSecond float64) string {
	if perSecond <= 0 {
		return "off"
	}
	return strconv.FormatFloat(perSecond, 'g', -1, 64) + " a second"
}

func duration(d time.Duration) string {
	if d == 0 {
		return "off"
	}
	return d.String()
}

func defaulted(d time.Duration) string {
	if d == 0 {
		return "default"
	}
	return d.String()
}

func disclosure(d outcome.Disclosure) string {
	if d == "" {
		return string(outcome.Omit)
	}
	return string(d)
}
