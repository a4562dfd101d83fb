// Package report answers what operators ask of the gateways in force, and does what
// they order: status, check, tenants, revoke. Its answers hold no secret.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
)

// Site is a gateway in force at an address.
type Site struct {
	*gateway.Gateway
	// Probes are those of the gateway; nil: it takes none.
	Probes *probe.Desk
	// Origin returns the origin at which people reach it, as the configuration says; "" if it names no host.
	Origin func() string
}

// Sites are the gateways in force in this process. The zero value is ready. For a moment a
// configuration and the one that replaces it are both in force.
type Sites struct {
	mu  sync.Mutex
	all []*Site // the oldest first
}

// Add puts a site in force.
func (s *Sites) Add(site *Site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, site)
}

// Remove takes a site out of force.
func (s *Sites) Remove(site *Site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *Site) bool { return other == site })
}

// list returns the sites, the newest first.
func (s *Sites) list() []*Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.all)
	slices.Reverse(all)
	return all
}

// Newest returns the site that was put in force last; nil if there is none.
func (s *Sites) Newest() *Site {
	all := s.list()
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// siteApp is an app at a site.
type siteApp struct {
	*gateway.App
	site *Site
}

// apps returns the apps of all sites: of a site that two configurations have the newest.
func (s *Sites) apps() (all []siteApp) {
	for _, site := range s.list() {
		for _, app := range site.Apps() {
			if !slices.ContainsFunc(all, func(other siteApp) bool { return other.order(siteApp{app, site}) == 0 }) {
				all = append(all, siteApp{app, site})
			}
		}
	}
	slices.SortFunc(all, siteApp.order)
	return all
}

// order sorts apps by environment, name and site.
func (a siteApp) order(b siteApp) int {
	return cmp.Or(
		cmp.Compare(a.site.EnvironmentLabel(), b.site.EnvironmentLabel()),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.site.Origin(), b.site.Origin()),
	)
}

// find returns the app of that name; environment "" means the only one that has it.
func (s *Sites) find(name, environment string) (siteApp, error) {
	var found []siteApp
	for _, app := range s.apps() {
		if app.Name == name && (environment == "" || environment == app.site.EnvironmentLabel() || environment == app.site.Config().Environment.Name()) {
			found = append(found, app)
		}
	}
	if len(found) == 0 {
		var names []string
		for _, app := range s.apps() {
			names = append(names, app.Name)
		}
		in := ""
		if environment != "" {
			in = " in environment " + environment
		}
		return siteApp{}, notFound("no app %q is configured%s%s", name, in, nearest.Hint(name, names))
	}
	first := found[0]
	if i := slices.IndexFunc(found, func(other siteApp) bool {
		return other.site.EnvironmentLabel() != first.site.EnvironmentLabel() || other.ClientID != first.ClientID
	}); i >= 0 { // not one registration at one site or several
		return siteApp{}, fmt.Errorf("app %s is configured in %s and %s: name the environment", name, first.site.EnvironmentLabel(), found[i].site.EnvironmentLabel())
	}
	return first, nil
}
