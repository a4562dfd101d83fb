package report

import (
	"slices"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// PersonsHidden reports whether the audit log of some site in force hides principals, or there is no site that says.
func (s *Sites) PersonsHidden() bool {
	all := s.list()
	return len(all) == 0 || slices.ContainsFunc(all, func(site *Site) bool { return site.Config().Privacy.Principals != outcome.Full })
}

// KeptPrincipals returns what the history may have in place of a person's name: the name itself, and what the sites in force
// keep of it.
func (s *Sites) KeptPrincipals(name string) []string {
	kept := []string{name}
	for _, site := range s.list() {
		if text := site.Config().Privacy.Principal(name); text != "" && !slices.Contains(kept, text) {
			kept = append(kept, text)
		}
	}
	return kept
}

// Store returns the store of the history. The error is an *Error: with 409 no history is configured, with 503 it is not open.
func (s *Sites) Store() (history.Store, error) { return s.store() }
