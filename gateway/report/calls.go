package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// historyTimeout bounds a question to the history.
const historyTimeout = 20 * time.Second

// HistoryRequest says which calls of the history are wanted; what is zero lets all through.
type HistoryRequest struct {
	Environment, App, Tenant string
	RequestID, Principal     string
	// Connection is the ERP connection; 0: the CRM.
	Connection *int32
	// Key is a key that the call names; with OrEverything also calls of everything.
	Key          string
	OrEverything bool
	Outcomes     []string
	Decision     string // allowed, refused or replayed
	Reason       string
	// Since (inclusive) and Until (exclusive) bound when calls began.
	Since, Until time.Time
	// Before is HistoryPage.Next of the page before; 0 begins at the newest call.
	Before int64
	// Limit is how many calls are wanted at most; 0: history.DefaultCalls.
	Limit int
	// Keys asks for the keys of each call.
	Keys bool
}

// HistoryPage is a page of calls, the one that began last first.
type HistoryPage struct {
	Calls []HistoryCall `json:"calls"`
	// Next is HistoryRequest.Before of the next page; 0: this is the last.
	Next int64 `json:"next,omitempty"`
	// Bounded reports that the search for a key ended before the page was full: what is not here may be on the next page.
	Bounded bool `json:"bounded,omitempty"`
	// Incomplete is how many calls were passed over of which only the first keys are known.
	Incomplete int `json:"incomplete,omitempty"`
}

// HistoryCall is one call.
type HistoryCall struct {
	ID          int64  `json:"id"`
	RequestID   string `json:"request_id"`
	Node        string `json:"node,omitempty"`
	Environment string `json:"environment"`
	App         string `json:"app,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Principal   string `json:"principal,omitempty"`
	Scheme      string `json:"scheme,omitempty"`
	Credential  string `json:"credential,omitempty"`
	Operation   string `json:"operation,omitempty"`
	// Connection is the ERP connection, 0: the CRM; nil where the call was not understood.
	Connection *int32 `json:"connection,omitempty"`
	Everything bool   `json:"everything,omitempty"`
	KeyCount   int    `json:"key_count"`
	// Keys are internal keys, ExternalKeys external ones, where they were asked for. Partial reports that only the first are known.
	Keys         []int32  `json:"keys,omitempty"`
	ExternalKeys []string `json:"external_keys,omitempty"`
	Partial      bool     `json:"partial,omitempty"`
	ActorType    string   `json:"actor_type,omitempty"`

	Decision        string `json:"decision,omitempty"`
	Reason          string `json:"reason,omitempty"`
	Cause           string `json:"cause,omitempty"`
	Replays         string `json:"replays,omitempty"`
	Retries         string `json:"retries,omitempty"`
	Outcome         string `json:"outcome,omitempty"`
	OutcomeCause    string `json:"outcome_cause,omitempty"`
	ErrorCode       string `json:"error_code,omitempty"`
	UserExplanation string `json:"user_explanation,omitempty"`
	TechExplanation string `json:"tech_explanation,omitempty"`
	Status          int    `json:"status,omitempty"`
	Sends           int    `json:"sends,omitempty"`

	Started time.Time  `json:"started"`
	Sent    *time.Time `json:"sent,omitempty"`
	// Ended is nil while the call is under way. Seconds is how long it took.
	Ended   *time.Time `json:"ended,omitempty"`
	Seconds *float64   `json:"seconds,omitempty"`
	// Remedy is what to do about it, if something is to be done.
	Remedy string `json:"remedy,omitempty"`
}

// What returns what the call came to in one word.
func (c *HistoryCall) What() string {
	switch {
	case c.Ended == nil:
		return "under way"
	case c.Decision == "replayed":
		return "replayed"
	}
	return cmp.Or(c.Outcome, c.Reason, c.Decision)
}

// History returns calls of the history.
func (s *Sites) History(ctx context.Context, request HistoryRequest) (HistoryPage, error) {
	filter, err := request.filter()
	if err != nil {
		return HistoryPage{}, err
	}
	store, err := s.store()
	if err != nil {
		return HistoryPage{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	page, err := store.Calls(ctx, filter)
	switch {
	case errors.Is(err, history.ErrNoCall):
		return HistoryPage{}, &Error{http.StatusGone, fmt.Errorf("before: %w", err)}
	case err != nil:
		return HistoryPage{}, unavailable(err)
	}
	answer := HistoryPage{Calls: make([]HistoryCall, 0, len(page.Calls)), Next: page.Next, Bounded: page.Bounded, Incomplete: page.Incomplete}
	for i := range page.Calls {
		call, err := historyCall(&page.Calls[i])
		if err != nil {
			return HistoryPage{}, unavailable(fmt.Errorf("call %s: %w", page.Calls[i].RequestID, err))
		}
		answer.Calls = append(answer.Calls, call)
	}
	return answer, nil
}

// filter refuses what nothing could match: a slip of the pen must not read as "there is none".
func (q *HistoryRequest) filter() (history.CallFilter, error) {
	filter := history.CallFilter{
		Environment: q.Environment, App: q.App, RequestID: q.RequestID, Principal: q.Principal, Connection: q.Connection, Key: q.Key, OrEverything: q.OrEverything,
		Decision: q.Decision, Reason: q.Reason, From: q.Since, To: q.Until, Before: q.Before, Limit: q.Limit, WithoutKeys: !q.Keys,
	}
	if q.Tenant != "" {
		tenant, ok := superoffice.ParseTenant(q.Tenant)
		if !ok {
			return filter, errTenantForm(q.Tenant)
		}
		filter.Tenant = string(tenant)
	}
	for _, name := range q.Outcomes {
		if !slices.Contains(outcome.Classes(), outcome.Class(name)) {
			return filter, fmt.Errorf("outcome %q: want one of %s", name, classNames())
		}
		filter.Outcomes = append(filter.Outcomes, outcome.Class(name))
	}
	switch {
	case q.Decision != "" && !slices.Contains([]string{"allowed", "refused", "replayed"}, q.Decision):
		return filter, fmt.Errorf("decision %q: want allowed, refused or replayed", q.Decision)
	case q.Limit < 0 || q.Limit > history.MaxCalls:
		return filter, fmt.Errorf("limit %d: want 1 to %d", q.Limit, history.MaxCalls)
	case q.Before < 0:
		return filter, fmt.Errorf("before %d: want the next of another page", q.Before)
	}
	return filter, nil
}

func classNames() string {
	var names []string
	for _, class := range outcome.Classes() {
		names = append(names, string(class))
	}
	return strings.Join(names, ", ")
}

func historyCall(c *history.Call) (HistoryCall, error) {
	call := HistoryCall{
		ID: c.ID, RequestID: c.RequestID, Node: c.Node, Environment: c.Environment, App: c.App, Tenant: c.Tenant, Principal: c.Principal, Scheme: c.Scheme, Credential: c.Credential,
		Operation: c.Operation.String(), Everything: c.Everything, KeyCount: c.KeyCount, Partial: c.Partial, ActorType: c.ActorType,
		Decision: c.Decision, Reason: c.Reason, Cause: c.Cause, Replays: c.Replays, Retries: c.Retries, Outcome: string(c.Outcome), OutcomeCause: c.OutcomeCause, ErrorCode: c.ErrorCode,
		UserExplanation: c.UserExplanation, TechExplanation: c.TechExplanation, Status: c.Status, Sends: c.Sends, Started: c.Started.UTC(), Sent: whenUTC(c.Sent), Ended: whenUTC(c.Ended),
		Remedy: cmp.Or(auth.Reason(c.Reason).Remedy(), c.Outcome.Remedy()),
	}
	if c.Understood {
		connection := max(c.Connection, 0)
		call.Connection = &connection
	}
	if !c.Ended.IsZero() {
		seconds := c.Ended.Sub(c.Started).Seconds()
		call.Seconds = &seconds
	}
	if len(c.Keys) > 0 {
		var err error
		if call.Keys, call.ExternalKeys, err = history.UnpackKeys(c.Keys); err != nil {
			return call, err
		}
	}
	return call, nil
}

// whenUTC is a time that may not have come, in UTC.
func whenUTC(t time.Time) *time.Time { return when(t.UTC()) }
