package report

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// MonthRequest asks what was called in a month, such as 2026-11; what is zero of the rest lets all through.
type MonthRequest struct {
	Month                    string
	Environment, App, Tenant string
}

// Month is what was called in a month of UTC, by environment, tenant, app and connection.
type Month struct {
	Month string    `json:"month"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"` // the first moment that is no longer of it
	// Since is when counting began. Partial reports that this was within the month, or later: what was before is not known.
	Since   time.Time `json:"since"`
	Partial bool      `json:"partial,omitempty"`
	// ToDate reports that the month is not over.
	ToDate bool        `json:"to_date,omitempty"`
	Lines  []MonthLine `json:"lines"`
	// FailingMore reports that more fails than was counted into FailingKeys.
	FailingMore bool `json:"failing_more,omitempty"`
}

// MonthLine is what an app called in a tenant over a connection.
type MonthLine struct {
	Environment string `json:"environment"`
	Tenant      string `json:"tenant,omitempty"`
	Name        string `json:"name,omitempty"` // the tenant's, if the registry has it
	App         string `json:"app"`
	Connection  int32  `json:"connection"` // 0: the CRM, or calls that were refused before they were understood
	Usage
	LastSuccess *time.Time `json:"last_success,omitempty"`
	LastFailure *time.Time `json:"last_failure,omitempty"`
	// FailingKeys is how many keys fail now, whichever month they failed in; FailingEverything that a resync of everything does.
	FailingKeys       int  `json:"failing_keys"`
	FailingEverything bool `json:"failing_everything,omitempty"`
}

// Usage are numbers of calls.
type Usage struct {
	// Calls is all of them, of which Succeeded, Failed and Accepted (a batch task, whose outcome SuperOffice does not report) were to
	// run, and Refused, Replayed and Questions were not.
	Calls     int64 `json:"calls"`
	Keys      int64 `json:"keys"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Accepted  int64 `json:"accepted"`
	Refused   int64 `json:"refused"`
	Replayed  int64 `json:"replayed"`
	Questions int64 `json:"questions"`

	Outcomes  map[string]int64 `json:"outcomes,omitempty"`
	RefusedBy map[string]int64 `json:"refused_by,omitempty"` // reason
	// Durations are those of calls that were sent and whose end was seen.
	Timed int64 `json:"timed"`
	// Median and Percentile95 lie within steps of a fixed scale, and are about right.
	Mean         float64 `json:"mean_seconds"`
	Median       float64 `json:"median_seconds"`
	Percentile95 float64 `json:"p95_seconds"`
	Longest      float64 `json:"longest_seconds"`
}

// UsageOf returns counts as the admin API has them.
func UsageOf(c *history.Counts) Usage {
	u := Usage{
		Calls: c.Calls, Keys: c.Keys, Succeeded: c.Succeeded(), Failed: c.Failed(), Accepted: c.Outcomes[outcome.Accepted], Refused: c.RefusedCalls(), Replayed: c.Replayed, Questions: c.Questions,
		RefusedBy: c.Refused, Timed: c.Timed, Mean: seconds(c.Mean()), Median: seconds(c.Quantile(0.5)), Percentile95: seconds(c.Quantile(0.95)), Longest: seconds(c.Longest),
	}
	if len(c.Outcomes) > 0 {
		u.Outcomes = make(map[string]int64, len(c.Outcomes))
		for class, n := range c.Outcomes {
			u.Outcomes[string(class)] = n
		}
	}
	return u
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

// Month returns what was called in a month. It fails with 404 for a month of which nothing is known.
func (s *Sites) Month(ctx context.Context, request MonthRequest, now time.Time) (Month, error) {
	from, err := time.ParseInLocation("2006-01", request.Month, time.UTC)
	if err != nil {
		return Month{}, fmt.Errorf("month %q: want a month such as 2026-11", request.Month)
	}
	if from.After(now) {
		return Month{}, fmt.Errorf("month %s: is still to come", request.Month)
	}
	answer := Month{Month: request.Month, From: from, To: from.AddDate(0, 1, 0), Lines: []MonthLine{}}
	filter := history.UsageFilter{From: answer.From, To: answer.To, Environment: request.Environment, App: request.App, Whole: true}
	if request.Tenant != "" {
		tenant, ok := superoffice.ParseTenant(request.Tenant)
		if !ok {
			return Month{}, errTenantForm(request.Tenant)
		}
		filter.Tenant = string(tenant)
	}
	store, err := s.store()
	if err != nil {
		return Month{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	usages, err := store.Usage(ctx, filter)
	if err != nil {
		return Month{}, unavailable(err)
	}
	answer.Since, answer.Partial, answer.ToDate = usages.Since.UTC(), usages.Since.After(answer.From), now.Before(answer.To)
	if len(usages.Entries) == 0 && !usages.Since.Before(answer.To) {
		return Month{}, notFound("month %s: nothing is known, the history counts since %s", request.Month, answer.Since.Format(time.DateOnly))
	}
	failing, err := store.Failures(ctx, history.Filter{Tenant: filter.Tenant, App: filter.App})
	if err != nil {
		return Month{}, unavailable(err)
	}
	answer.FailingMore = len(failing) == history.MaxFailures
	type place struct {
		environment, tenant, app string
		connection               int32
	}
	fails := make(map[place]history.Failure)
	for _, f := range failing {
		at := place{f.Environment, f.Tenant, f.App, f.Connection}
		all := fails[at]
		all.Keys, all.Everything = all.Keys+f.Keys, all.Everything || f.Everything
		fails[at] = all
	}
	names := s.tenantNames()
	for i := range usages.Entries {
		u := &usages.Entries[i]
		still := fails[place{u.Environment, u.Tenant, u.App, u.Connection}]
		answer.Lines = append(answer.Lines, MonthLine{
			Environment: u.Environment, Tenant: u.Tenant, Name: names(u.Environment, u.App, u.Tenant), App: u.App, Connection: u.Connection, Usage: UsageOf(&u.Counts),
			LastSuccess: whenUTC(u.LastSuccess), LastFailure: whenUTC(u.LastFailure), FailingKeys: still.Keys, FailingEverything: still.Everything,
		})
	}
	return answer, nil
}

// tenantNames returns a function that finds a tenant's name in the registry of an app.
func (s *Sites) tenantNames() func(environment, app, tenant string) string {
	apps := s.apps()
	return func(environment, app, tenant string) string {
		for _, a := range apps {
			if a.Name != app || a.site.EnvironmentLabel() != environment {
				continue
			}
			if grant, ok := a.Registry.Tenant(superoffice.Tenant(tenant)); ok && grant.Name != "" {
				return grant.Name
			}
		}
		return ""
	}
}
