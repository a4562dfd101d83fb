package auditlog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Filter says which lines are wanted. A zero field lets every line through.
type Filter struct {
	Since, Until time.Time
	Apps         []string
	Tenants      []string
	Principals   []string
	Classes      []string
	Decisions    []string
	RequestIDs   []string
	Connections  []int32
	Keys         []string
}

// matches reports whether a line is wanted. unsure reports whether it would be if it
// touched the key, which its line does not say: only the first hundred stand there.
func (f *Filter) matches(l *Line) (yes, unsure bool) {
	if !f.Since.IsZero() && l.Time.Before(f.Since) || !f.Until.IsZero() && !l.Time.Before(f.Until) {
		return false, false
	}
	if l.Act != nil && len(f.Tenants) > 0 && l.Tenant == "" { // an import's tenants
		if !slices.ContainsFunc(l.Act.Tenants.First, func(tenant string) bool {
			return slices.ContainsFunc(f.Tenants, func(w string) bool { return strings.EqualFold(w, tenant) })
		}) {
			return false, l.Act.Tenants.Count > len(l.Act.Tenants.First)
		}
		rest := *f
		rest.Tenants = nil
		return rest.matches(l)
	}
	for _, c := range []struct {
		wanted []string
		has    string
	}{
		{f.Apps, l.App},
		{f.Tenants, l.Tenant},
		{f.Principals, l.Principal},
		{f.Classes, l.Outcome},
		{f.Decisions, l.Decision},
		{f.RequestIDs, l.RequestID},
	} {
		if len(c.wanted) > 0 && !slices.ContainsFunc(c.wanted, func(w string) bool { return strings.EqualFold(w, c.has) }) {
			return false, false
		}
	}
	if len(f.Connections) > 0 && (l.ConnectionID == nil || !slices.Contains(f.Connections, *l.ConnectionID)) {
		return false, false
	}
	if len(f.Keys) == 0 || l.ResyncAll {
		return true, false
	}
	for _, key := range l.Keys.First {
		if slices.Contains(f.Keys, fmt.Sprint(key)) {
			return true, false
		}
	}
	return false, l.Keys.Count > len(l.Keys.First)
}

// validate refuses what can match no line.
func (f *Filter) validate() error {
	for _, class := range f.Classes {
		if !slices.Contains(outcome.Classes(), outcome.Class(strings.ToLower(class))) {
			var known []string
			for _, c := range outcome.Classes() {
				known = append(known, string(c))
			}
			return fmt.Errorf("--outcome %s: want some of %s", class, strings.Join(known, ", "))
		}
	}
	for _, decision := range f.Decisions {
		if !slices.Contains([]string{"allowed", "refused", "replayed", "dry_run", "preflight"}, decision) {
			return fmt.Errorf("--decision %s: want allowed, refused, replayed, dry_run or preflight", decision)
		}
	}
	return nil
}

// ParseMoment reads a point in time: a date, a date with time, or how long ago. The zero time is "".
func ParseMoment(raw string, now time.Time) (time.Time, error) {
	if raw == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(raw, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(raw); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, format := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(format, raw, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want for example 2026-11-24, 2026-11-24T08:00, 90m or 7d (ago)", raw)
}
