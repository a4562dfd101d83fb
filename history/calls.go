package history

import (
	"errors"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const (
	// DefaultCalls is how many calls a page of CallFilter.Limit 0 has at most, MaxCalls how many any page has.
	DefaultCalls = 100
	MaxCalls     = 1000
	// MaxScanned is how many calls one question for a key looks into at most.
	MaxScanned = 20_000
)

// ErrNoCall says that the call after which a page begins is not kept, or no longer: begin again at the newest.
var ErrNoCall = errors.New("the call after which to go on is no longer in the history")

// CallFilter says which calls are wanted. A zero field lets all through.
type CallFilter struct {
	Environment, App, Tenant string
	RequestID, Principal     string
	// Connection is the ERP connection; every number that is not positive is the CRM.
	Connection *int32
	// Key is a key that the call names: the number of an internal one, or the text of an external one. Keys are not indexed, so
	// that at most MaxScanned calls are looked into at once: Page.Bounded reports whether there are more.
	Key string
	// OrEverything lets calls through that Key does not name because they are of everything. It means nothing without Key.
	OrEverything bool
	Outcomes     []outcome.Class
	Decision     string // allowed, refused or replayed
	Reason       string // of a refusal
	// From (inclusive) and To (exclusive) bound Call.Started.
	From, To time.Time
	// Before is Page.Next of the page before; 0 begins at the newest call.
	Before int64
	// Limit is how many calls are wanted at most; 0: DefaultCalls. More than MaxCalls are never returned.
	Limit int
	// WithoutKeys leaves Row.Keys empty, which may be long; Row.KeyCount is there all the same.
	WithoutKeys bool
}

// Call is one call. ID grows with each row that is written.
type Call struct {
	ID int64
	Row
}

// Page is a part of what was asked for, the newest first: the one that began last.
type Page struct {
	Calls []Call
	// Next is CallFilter.Before of the page behind this one; 0: this is the last.
	Next int64
	// Bounded reports that the search for a key ended at MaxScanned before the page was full: a key that is not on this page may
	// be on the next.
	Bounded bool
	// Incomplete is how many calls were passed over of which only the first keys are known, so that they may name the key too.
	Incomplete int
}

// Size returns how many calls a page has at most.
func (f *CallFilter) Size() int {
	if f.Limit <= 0 {
		return DefaultCalls
	}
	return min(f.Limit, MaxCalls)
}
