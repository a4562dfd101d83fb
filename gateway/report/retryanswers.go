package report

import "time"

// The endpoints of second tries: the plan, and what is planned.
const (
	RetryPlanPath = "/erpsync/retry/plan"
	RetryPath     = "/erpsync/retry"
)

// RetryRequest says which failures are to be tried again: those of a group, those that a filter lets through, or All. What
// is zero is at its default.
type RetryRequest struct {
	Group      int64     `json:"group,omitempty"`
	Tenant     string    `json:"tenant,omitempty"`
	App        string    `json:"app,omitempty"`
	Connection *int32    `json:"connection,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	All        bool      `json:"all,omitempty"`

	// OlderThan is how long ago a call may have failed, such as 72h; "": RetryOlderThan.
	OlderThan string `json:"older_than,omitempty"`
	// IncludeUnknown takes calls too that may have run, IncludeTurned those of which a later call moved a key in the other
	// direction, IncludeEverything resyncs of everything.
	IncludeUnknown    bool `json:"include_unknown,omitempty"`
	IncludeTurned     bool `json:"include_turned,omitempty"`
	IncludeEverything bool `json:"include_everything,omitempty"`
	// Limit is how many calls are made at most; 0: RetryLimit.
	Limit int `json:"limit,omitempty"`

	// MaxFailures is how many calls may fail before no further one is made; nil: RetryMaxFailures, 0: any number.
	MaxFailures *int `json:"max_failures,omitempty"`
	// Pause is the time between two calls, such as 500ms; "": RetryPause.
	Pause string `json:"pause,omitempty"`
	// Plan is the Digest of a plan that was looked at: what is another plan now is refused. "": whatever the plan is now.
	Plan string `json:"plan,omitempty"`
}

// RetryPlan is what a second try does, and what it leaves out.
type RetryPlan struct {
	// Digest names the calls of the plan.
	Digest string    `json:"plan"`
	At     time.Time `json:"at"`
	// Calls are in the order in which they are made.
	Calls []PlannedCall `json:"calls"`
	// Keys is how many keys the calls name, Failing how many of them fail; the others go with them, as calls are sent as they were.
	Keys    int `json:"keys"`
	Failing int `json:"failing"`
	Tenants int `json:"tenants"`
	// Overwrites lists the sides whose changes since are lost: OverwritesCRM, OverwritesERP, OverwritesBoth.
	Overwrites []string  `json:"overwrites"`
	LeftOut    []LeftOut `json:"left_out"`
	// Remark says what the history may not know; "" is nothing.
	Remark string `json:"remark,omitempty"`
}

// PlannedCall is a call that failed and is to be made once more.
type PlannedCall struct {
	RequestID   string `json:"request_id"` // of the failed call
	Group       int64  `json:"group"`
	Environment string `json:"environment"`
	App         string `json:"app"`
	Tenant      string `json:"tenant,omitempty"`
	Operation   string `json:"operation"`
	Connection  int32  `json:"connection"` // 0: from the CRM
	Everything  bool   `json:"everything,omitempty"`
	Keys        int    `json:"keys"`
	Failing     int    `json:"failing"`
	Outcome     string `json:"outcome"`
	ErrorCode   string `json:"error_code,omitempty"`
	// Failed is when it was over.
	Failed     time.Time `json:"failed"`
	Overwrites string    `json:"overwrites"`
}

// LeftOut are calls of one group that are left out for the same reasons, or keys whose call is gone.
type LeftOut struct {
	Group      int64      `json:"group"`
	App        string     `json:"app"`
	Tenant     string     `json:"tenant,omitempty"`
	Connection int32      `json:"connection"`
	Outcome    string     `json:"outcome"`
	Why        []Obstacle `json:"why"`
	Calls      int        `json:"calls"`
	Keys       int        `json:"keys"` // that fail; a resync of everything counts as one
	RequestID  string     `json:"request_id"`
	Oldest     time.Time  `json:"oldest"`
	Newest     time.Time  `json:"newest"`
}

// Obstacle is why a call is left out.
type Obstacle struct {
	// Code is incomplete, own_credential, lost, may_run_still, unknown, older, turned, everything, limit, app, or the reason of a refusal.
	Code string `json:"code"`
	Says string `json:"says"`
	// Flag is the option that includes it; "": none does.
	Flag string `json:"flag,omitempty"`
}

// RetryEvent is one line of a second try's answer: the plan first, then what happens, and Done last.
type RetryEvent struct {
	Plan *RetryPlan   `json:"plan,omitempty"`
	Call *RetriedCall `json:"call,omitempty"`
	// Waiting says that a call waits for its turn.
	Waiting *RetryWait `json:"waiting,omitempty"`
	// Stopped says that no further calls are made in a tenant.
	Stopped *RetryStop    `json:"stopped,omitempty"`
	Done    *RetrySummary `json:"done,omitempty"`
	// Error is why a second try ended before its end.
	Error string `json:"error,omitempty"`
}

// RetriedCall is a planned call that was made, or was not.
type RetriedCall struct {
	Number   int    `json:"number"` // in the plan, from 1
	Tenant   string `json:"tenant,omitempty"`
	Retries  string `json:"retries"` // the failed call
	Keys     int    `json:"keys"`
	Sent     bool   `json:"sent"`
	Outcome  string `json:"outcome,omitempty"`
	Cause    string `json:"outcome_cause,omitempty"`
	Code     string `json:"error_code,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Says     string `json:"says,omitempty"`
	Result   string `json:"result"` // succeeded, accepted, failed, before, cured or not_made
	Duration string `json:"duration,omitempty"`

	// RequestID is the call's own; of one that ran before, that one's.
	RequestID string `json:"request_id,omitempty"`
}

// RetryWait is a call that waits.
type RetryWait struct {
	Number int    `json:"number"`
	Tenant string `json:"tenant,omitempty"`
	Reason string `json:"reason"`
	Until  string `json:"until"`
}

// RetryStop is a tenant in which no further calls are made.
type RetryStop struct {
	Environment string `json:"environment"`
	App         string `json:"app"`
	Tenant      string `json:"tenant,omitempty"`
	Reason      string `json:"reason"`
	Says        string `json:"says"`
	// NotMade is how many planned calls are not made there.
	NotMade int `json:"not_made"`
}

// RetrySummary counts the calls of a plan by what came of them.
type RetrySummary struct {
	Planned   int `json:"planned"`
	Sent      int `json:"sent"`
	Succeeded int `json:"succeeded"`
	// Accepted are batch tasks, of which SuperOffice does not report the outcome.
	Accepted int `json:"accepted"`
	Failed   int `json:"failed"`
	// Before had gone through before under their Idempotency-Key, Cured no longer failed when it was their turn. Nothing was sent.
	Before int `json:"before"`
	Cured  int `json:"cured"`
	// NotMade were refused, left out after all, or are left for the next time.
	NotMade int `json:"not_made"`
	// LeftOut is how many calls the plan had left out, or groups of keys whose call is gone.
	LeftOut int `json:"left_out"`
	// Stopped is why it ended early; "": it did not.
	Stopped string `json:"stopped,omitempty"`
}

// Whole reports whether every call went through and none was left out.
func (s *RetrySummary) Whole() bool {
	return s.Failed+s.NotMade+s.LeftOut+s.Accepted == 0 && s.Stopped == ""
}
