package console

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Source is what the console reads. Pages never ask it: they ask a scope, which knows who looks.
type Source interface {
	// Status returns what is known of all tenants without asking SuperOffice.
	Status(ctx context.Context) (report.Status, error)
	Failures(ctx context.Context, request report.FailuresRequest) (report.Failures, error)
	// Find asks SuperOffice.
	Find(ctx context.Context, request report.FindRequest) (report.Found, error)
	// Configurations returns the configuration of each gateway in force in this process, as it is understood.
	Configurations() []report.Configuration
	// PersonsHidden reports whether the audit log of some gateway in force hides persons.
	PersonsHidden() bool
	// KeptPrincipals returns what the history may have in place of a person's name.
	KeptPrincipals(name string) []string
	// History returns the history; ErrNoHistory if none is kept.
	History() (History, error)
}

// ErrNoHistory says that no history is kept.
var ErrNoHistory = errors.New("no history is configured: add history sqlite to the global option erpsync")

// History is what the console asks of a history.
type History interface {
	// Calls returns the calls that a filter lets through, the newest first.
	Calls(ctx context.Context, filter CallFilter) (Calls, error)
	// Usage returns how many calls there were, by UTC day, app, tenant and connection.
	Usage(ctx context.Context, filter UsageFilter) ([]Usage, error)
}

// Calls are a part of the calls that were asked for.
type Calls struct {
	Rows []history.Row
	// Next is where the next part begins; "": this is the last.
	Next string
	// Bounded reports that a search for a key ended before everything was looked into, Incomplete how many calls were passed over of
	// which only the first keys are known. What is not among Rows then may be there all the same.
	Bounded    bool
	Incomplete int
}

// doubt says why a call that is not among them may be there all the same; "" where it is not.
func (c *Calls) doubt() string {
	switch {
	case c.Bounded:
		return "Only the newest calls were looked into: an older one may name this record too."
	case c.Incomplete > 0:
		return "Of " + count(c.Incomplete, "call", "calls") + " only the first records are known, so that they may name this one too."
	}
	return ""
}

// CallFilter says which calls are wanted. A zero field lets all through.
type CallFilter struct {
	App string
	// Tenant is a pointer since "" is the installation onsite.
	Tenant     *string
	Connection *int32
	// Key is an internal key's number or an external key.
	Key        string
	RequestID  string
	Principals []string
	Outcomes   []outcome.Class
	// Refused lets through what was not sent alone.
	Refused      bool
	Since, Until time.Time
	// After continues behind a page: its next.
	After string
	// Limit is how many calls a page has at most.
	Limit int
	// WithoutKeys leaves Row.Keys empty.
	WithoutKeys bool
}

// UsageFilter says which days are wanted, from Since on and before Until. Tenant nil means all.
type UsageFilter struct {
	Since, Until time.Time
	Tenant       *string
	// Whole sums the days up.
	Whole bool
}

// Usage is the calls of a day, or of all of them.
type Usage struct {
	Day                      time.Time // midnight UTC; zero for the sum of days
	Environment, App, Tenant string
	Connection               int32
	Counts                   Counts
	// LastSuccess is when the last resync that succeeded began; zero: there was none.
	LastSuccess time.Time
}

// Counts are calls by what came of them.
type Counts struct {
	Succeeded, Failed, Unclear, Refused, Other int
}

// All returns how many calls there were.
func (c Counts) All() int { return c.Succeeded + c.Failed + c.Unclear + c.Refused + c.Other }

// Add adds counts.
func (c *Counts) Add(d Counts) {
	c.Succeeded += d.Succeeded
	c.Failed += d.Failed
	c.Unclear += d.Unclear
	c.Refused += d.Refused
	c.Other += d.Other
}
