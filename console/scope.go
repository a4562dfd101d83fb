package console

import (
	"context"
	"errors"
	"slices"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// scope is what one viewer may see. It is the only way from a page to what is known: each page, table, file and stream
// asks it, so that who sees which tenants and persons is decided here and nowhere else.
type scope struct {
	*viewer
	console *Console
	// hidden leaves persons out.
	hidden bool
}

// errOutOfScope says that somebody asked for a tenant that they may not see. It reads like one that does not exist.
var errOutOfScope = errors.New("there is no such tenant, or you may not see it")

func (c *Console) scope(v *viewer) *scope {
	return &scope{v, c, v.role != Operations && c.config.Source.PersonsHidden()}
}

// hiddenPerson stands where a person's name is not shown.
const hiddenPerson = "not shown"

// person returns a person's name as the viewer sees it; "" stays.
func (s *scope) person(name string) string {
	if s.hidden && name != "" {
		return hiddenPerson
	}
	return name
}

// status returns the tenants that the viewer sees.
func (s *scope) status(ctx context.Context) (report.Status, error) {
	all, err := s.console.known.status(ctx)
	if err != nil || !s.limited() && !s.hidden {
		return all, err
	}
	seen := report.Status{Node: all.Node, Gateways: all.Gateways, GatewaysUnknown: all.GatewaysUnknown, Apps: make([]report.AppStatus, 0, len(all.Apps)), Holds: s.holds(all.Holds)}
	for _, trouble := range all.Troubles {
		if s.limited() { // its cause may name what is others'
			trouble.Cause = ""
		}
		seen.Troubles = append(seen.Troubles, trouble)
	}
	for _, app := range all.Apps {
		if s.limited() {
			app.Remark = "" // it is about all tenants
		}
		tenants := make([]report.TenantStatus, 0, len(app.Tenants))
		for _, t := range app.Tenants {
			if s.sees(t.Tenant) {
				t.ApprovedBy = s.person(t.ApprovedBy)
				tenants = append(tenants, t)
			}
		}
		if app.Tenants = tenants; len(tenants) > 0 || !s.limited() {
			seen.Apps = append(seen.Apps, app)
		}
	}
	return seen, nil
}

// holds returns those that hold up what the viewer sees.
func (s *scope) holds(all []report.HoldStatus) (seen []report.HoldStatus) {
	for _, hold := range all {
		if hold.Tenant == "" || s.sees(hold.Tenant) {
			hold.By = s.person(hold.By)
			seen = append(seen, hold)
		}
	}
	return seen
}

// failures returns what fails for the viewer's tenants.
func (s *scope) failures(ctx context.Context) (report.Failures, error) {
	all, err := s.console.known.failures(ctx)
	if err != nil || !s.limited() {
		return all, err
	}
	seen := report.Failures{More: all.More}
	for _, f := range all.Failures {
		if s.sees(f.Tenant) {
			seen.Failures = append(seen.Failures, f)
		}
	}
	return seen, nil
}

// calls returns calls of the viewer's tenants, the newest first.
func (s *scope) calls(ctx context.Context, filter CallFilter) (found Calls, err error) {
	if filter.Tenant != nil && !s.sees(*filter.Tenant) {
		return found, errOutOfScope
	}
	if s.hidden && len(filter.Principals) > 0 {
		return found, errPersonsHidden
	}
	kept, err := s.console.config.Source.History()
	if err != nil {
		return found, err
	}
	if s.limited() && filter.Tenant == nil {
		found, err = s.callsOfEach(ctx, kept, filter)
	} else {
		found, err = kept.Calls(ctx, filter)
	}
	if err != nil {
		return Calls{}, err
	}
	// Whatever a store answers, nothing of another tenant's leaves.
	found.Rows = slices.DeleteFunc(found.Rows, func(r history.Row) bool { return !s.sees(r.Tenant) })
	for i := range found.Rows {
		if s.hidden {
			found.Rows[i].Principal = s.person(found.Rows[i].Principal)
			found.Rows[i].Cause = "" // it may quote a token
		}
	}
	return found, nil
}

// errPersonsHidden says that calls may not be searched by person.
var errPersonsHidden = errors.New("persons are not shown to you, so that calls cannot be searched by them")

// callsOfEach asks for the calls of each tenant of a viewer who sees some only. There is no next part: the filter has to be narrowed.
func (s *scope) callsOfEach(ctx context.Context, kept History, filter CallFilter) (all Calls, err error) {
	for tenant := range s.tenants {
		one := filter
		one.Tenant, one.After = &tenant, ""
		found, err := kept.Calls(ctx, one)
		if err != nil {
			return Calls{}, err
		}
		all.Rows = append(all.Rows, found.Rows...)
		all.Bounded, all.Incomplete = all.Bounded || found.Bounded || found.Next != "" && filter.Key != "", all.Incomplete+found.Incomplete
	}
	newestFirst(all.Rows)
	if filter.Limit > 0 && len(all.Rows) > filter.Limit {
		all.Rows = all.Rows[:filter.Limit]
	}
	return all, nil
}

// usage returns the calls of days, of the viewer's tenants.
func (s *scope) usage(ctx context.Context, filter UsageFilter) ([]Usage, error) {
	if filter.Tenant != nil && !s.sees(*filter.Tenant) {
		return nil, errOutOfScope
	}
	kept, err := s.console.config.Source.History()
	if err != nil {
		return nil, err
	}
	all, err := kept.Usage(ctx, filter)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(u Usage) bool { return !s.sees(u.Tenant) }), nil
}

// month returns the calls of the last 30 days, of the viewer's tenants.
func (s *scope) month(ctx context.Context) ([]Usage, error) {
	all, err := s.console.known.month(ctx)
	if err != nil || !s.limited() {
		return all, err
	}
	seen := make([]Usage, 0, len(s.tenants))
	for _, u := range all {
		if s.sees(u.Tenant) {
			seen = append(seen, u)
		}
	}
	return seen, nil
}

// find asks SuperOffice which key belongs to what.
func (s *scope) find(ctx context.Context, request report.FindRequest) (report.Found, error) {
	if !s.sees(request.Tenant) {
		return report.Found{}, errOutOfScope
	}
	return s.console.config.Source.Find(ctx, request)
}

// configurations returns the configurations, without what is about other tenants or hidden persons.
func (s *scope) configurations() []report.Configuration {
	all := s.console.config.Source.Configurations()
	for i := range all {
		all[i].Sections = slices.Clone(all[i].Sections)
		for j := range all[i].Sections {
			section := &all[i].Sections[j]
			section.Settings = slices.DeleteFunc(slices.Clone(section.Settings), func(setting report.Setting) bool {
				return setting.Tenant != "" && !s.sees(setting.Tenant) || setting.Persons && s.limited()
			})
			for k := range section.Settings {
				if section.Settings[k].Persons {
					section.Settings[k].Value = s.person(section.Settings[k].Value)
				}
			}
		}
	}
	return all
}
