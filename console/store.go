package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// stored is the History of a store.
type stored struct{ history.Store }

// NewHistory returns the History of a store.
func NewHistory(store history.Store) History { return stored{store} }

// Calls is History's.
func (s stored) Calls(ctx context.Context, filter CallFilter) (Calls, error) {
	one := history.CallFilter{
		App: filter.App, RequestID: filter.RequestID, Connection: filter.Connection, Key: filter.Key, Outcomes: filter.Outcomes, From: filter.Since, To: filter.Until, Limit: filter.Limit, WithoutKeys: filter.WithoutKeys,
	}
	if filter.Tenant != nil {
		one.Tenant = *filter.Tenant
	}
	if filter.Refused {
		one.Decision = "refused"
	}
	if filter.After != "" {
		before, err := strconv.ParseInt(filter.After, 10, 64)
		if err != nil || before <= 0 {
			return Calls{}, errNoPage
		}
		one.Before = before
	}
	principals := filter.Principals
	if len(principals) == 0 {
		principals = []string{""}
	}
	var found Calls
	for _, principal := range principals {
		one.Principal = principal
		page, err := s.Store.Calls(ctx, one)
		if err != nil {
			if errors.Is(err, history.ErrNoCall) {
				err = errNoPage
			}
			return Calls{}, err
		}
		for i := range page.Calls {
			if filter.Tenant == nil || page.Calls[i].Tenant == *filter.Tenant { // "" lets all through there
				found.Rows = append(found.Rows, page.Calls[i].Row)
			}
		}
		found.Bounded = found.Bounded || page.Bounded
		found.Incomplete += page.Incomplete
		if page.Next != 0 && len(principals) == 1 {
			found.Next = strconv.FormatInt(page.Next, 10)
		}
	}
	if len(principals) > 1 {
		newestFirst(found.Rows)
	}
	return found, nil
}

func newestFirst(rows []history.Row) {
	slices.SortStableFunc(rows, func(a, b history.Row) int { return b.Started.Compare(a.Started) })
}

// Usage is History's.
func (s stored) Usage(ctx context.Context, filter UsageFilter) ([]Usage, error) {
	all := history.UsageFilter{From: filter.Since, To: filter.Until, Whole: filter.Whole}
	if filter.Tenant != nil {
		all.Tenant = *filter.Tenant
	}
	found, err := s.Store.Usage(ctx, all)
	if err != nil {
		return nil, err
	}
	usage := make([]Usage, 0, len(found.Entries))
	for i := range found.Entries {
		e := &found.Entries[i]
		if filter.Tenant == nil || e.Tenant == *filter.Tenant {
			usage = append(usage, Usage{Day: e.Day, Environment: e.Environment, App: e.App, Tenant: e.Tenant, Connection: e.Connection, Counts: countsOf(&e.Counts), LastSuccess: e.LastSuccess})
		}
	}
	return usage, nil
}

// countsOf sums up what a history counted.
func countsOf(c *history.Counts) (sum Counts) {
	for class, calls := range c.Outcomes {
		sum.Add(CountOf(class, false, true).times(int(calls)))
	}
	sum.Refused += int(c.RefusedCalls())
	sum.Other += int(c.Replayed + c.Questions)
	return sum
}

func (c Counts) times(n int) Counts {
	return Counts{c.Succeeded * n, c.Failed * n, c.Unclear * n, c.Refused * n, c.Other * n}
}

// Sites is the Source of the gateways in force in this process.
type Sites struct {
	*report.Sites
	// Node names the process.
	Node string
}

// Status is Source's.
func (s Sites) Status(ctx context.Context) (report.Status, error) {
	return s.Sites.Status(ctx, s.Node, "")
}

// Failures is Source's.
func (s Sites) Failures(ctx context.Context, request report.FailuresRequest) (report.Failures, error) {
	found, err := s.Sites.Failures(ctx, request)
	return found, withoutHistory(err)
}

// History is Source's.
func (s Sites) History() (History, error) {
	store, err := s.Sites.Store()
	if err != nil {
		return nil, withoutHistory(err)
	}
	return NewHistory(store), nil
}

// withoutHistory tells a history that is not configured from one that gives no answer.
func withoutHistory(err error) error {
	var answer *report.Error
	if errors.As(err, &answer) && answer.Status == http.StatusConflict {
		return ErrNoHistory
	}
	return err
}

var _ Source = Sites{}
