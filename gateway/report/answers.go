package report

import (
	"encoding/json"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// The endpoints of the admin API. Those that change something, or ask SuperOffice, want POST.
const (
	RevokePath  = "/erpsync/revoke"
	StatusPath  = "/erpsync/status"
	CheckPath   = "/erpsync/check"
	TenantsPath = "/erpsync/tenants"
	ExportPath  = "/erpsync/tenants/export"
	ImportPath  = "/erpsync/tenants/import"
	RemovePath  = "/erpsync/tenants/remove"
	HoldPath    = "/erpsync/hold"
	ReleasePath = "/erpsync/release"
	ProbePath   = "/erpsync/probe"
	ProbedPath  = "/erpsync/probe/result"
	FindPath    = "/erpsync/find"

	ImportHistoryPath = "/erpsync/history/import"
	FailuresPath      = "/erpsync/failures"
	CloseFailurePath  = "/erpsync/failures/close"
	HistoryPath       = "/erpsync/history"
	MonthPath         = "/erpsync/month"
	ForgetPath        = "/erpsync/forget"
)

// Status is what a gateway knows of its apps' tenants, without asking anybody.
type Status struct {
	// Node is the gateway; tickets and calls under way are told as it alone has them.
	Node string `json:"node"`
	// Gateways are those of the store, the oldest first.
	Gateways []GatewayStatus `json:"gateways"`
	// GatewaysUnknown says which gateways could not be heard, and why; "" where all were.
	GatewaysUnknown string `json:"gateways_unknown,omitempty"`
	// Troubles are what needs attention at the gateway itself, whatever the tenant.
	Troubles []Trouble   `json:"troubles,omitempty"`
	Apps     []AppStatus `json:"apps"`
	// Holds is what is on hold, at all gateways of a store.
	Holds []HoldStatus `json:"holds"`
}

// Trouble is something at the gateway itself that somebody has to do something about.
type Trouble struct {
	What   string     `json:"what"`
	Since  *time.Time `json:"since,omitempty"`
	Cause  string     `json:"cause,omitempty"`
	Means  string     `json:"means"` // what does not hold meanwhile
	Remedy string     `json:"remedy"`
}

// HoldStatus is something on hold.
type HoldStatus struct {
	Target     string `json:"target"` // in words
	App        string `json:"app,omitempty"`
	Tenant     string `json:"tenant,omitempty"`
	Connection *int32 `json:"connection,omitempty"`
	Reason     string `json:"reason"`
	By         string `json:"by"`
	Proof      string `json:"proof,omitempty"` // what shows who it was, as in the audit log
	// Notice is which of SuperOffice's notices it follows from; "" if somebody ordered it.
	Notice string    `json:"notice,omitempty"`
	Since  time.Time `json:"since"`
	// Until is when it ends by itself; nil: when it is released.
	Until *time.Time `json:"until,omitempty"`
}

// AppStatus is one app in one environment.
type AppStatus struct {
	Environment string `json:"environment"`
	App         string `json:"app"`
	// Sites are where people reach the gateway for it, as the configuration says: several where all of them have
	// the app with the same tenants. Empty where the configuration names no host.
	Sites   []string       `json:"sites,omitempty"`
	CallAs  string         `json:"call_as"`
	Tenants []TenantStatus `json:"tenants"`
	// Remark is what the tenants together say, such as that all are refused; "" is nothing.
	Remark string `json:"remark,omitempty"`
}

// AttentionUnknown is what a tenant needs attention for while TenantStatus.Unknown is there and nothing else is wrong.
const AttentionUnknown = string(auth.OutcomeUnknown)

// TenantStatus is one tenant of an app.
type TenantStatus struct {
	Tenant    string `json:"tenant"` // "" onsite
	Name      string `json:"name,omitempty"`
	Granted   bool   `json:"granted"` // the registry names it
	Suspended bool   `json:"suspended,omitempty"`

	// Host is where it lives and State what the state service said; "" is not asked yet.
	Host  string `json:"host,omitempty"`
	State string `json:"state,omitempty"`

	// Token says where its system token is from: approval, import, configuration, none, unreadable (its key is
	// not among keys), or unknown (the storage gives no answer); "" for an app without system user.
	Token      string     `json:"token,omitempty"`
	TokenSince *time.Time `json:"token_since,omitempty"`
	ApprovedBy string     `json:"approved_by,omitempty"`

	// Consent is approved or consent_required; "" is not asked yet.
	Consent      string     `json:"consent,omitempty"`
	ConsentSince *time.Time `json:"consent_since,omitempty"`
	Message      string     `json:"message,omitempty"` // SuperOffice's own

	// TicketSince is when the system user's ticket was minted that is in use; nil: there is none.
	TicketSince *time.Time `json:"ticket_since,omitempty"`
	InFlight    int        `json:"in_flight"`

	Last      *CallStatus `json:"last,omitempty"`
	Failed    *CallStatus `json:"failed,omitempty"`
	Succeeded *time.Time  `json:"succeeded,omitempty"`

	// Unknown is the newest resync that was sent and whose end is not known, until one that covers it has
	// succeeded; Unknowns is how many there are.
	Unknown  *CallStatus `json:"unknown,omitempty"`
	Unknowns int         `json:"unknowns,omitempty"`

	// Attention is a reason or an outcome that somebody has to do something about, Remedy what; "" is nothing.
	Attention string `json:"attention,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
	// Approve is the link for the tenant's administrator.
	Approve string `json:"approve,omitempty"`
}

// CallStatus is the outcome of a call.
type CallStatus struct {
	At        time.Time `json:"at"`
	RequestID string    `json:"request_id"`
	Operation string    `json:"operation"`
	Outcome   string    `json:"outcome,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	ErrorCode string    `json:"error_code,omitempty"`
}

// What is the outcome of the call in one word.
func (c CallStatus) What() string {
	if c.Outcome != "" {
		return c.Outcome
	}
	return c.Reason
}

// Explanation says what the outcome means where its name alone could be taken for a success; otherwise "".
func (c CallStatus) Explanation() string { return outcome.Class(c.Outcome).Explanation() }

// CheckRequest asks for a check of an app in a tenant ("" onsite). Environment is needed only where the app stands in several.
type CheckRequest struct {
	App         string `json:"app"`
	Tenant      string `json:"tenant,omitempty"`
	Environment string `json:"environment,omitempty"`
	// ERP asks too whether the ERP systems answer behind the connections that the app may use.
	ERP bool `json:"erp,omitempty"`
}

// Check is what a check found.
type Check struct {
	App         string `json:"app"`
	Environment string `json:"environment"`
	Tenant      string `json:"tenant,omitempty"`
	Name        string `json:"name,omitempty"`
	OK          bool   `json:"ok"`
	// Calls is how many requests went to SuperOffice.
	Calls int    `json:"calls"`
	Steps []Step `json:"steps"`
	// Error is why the gateway made no check.
	Error string `json:"error,omitempty"`
}

// Step is one step of a check. The first that fails is the last.
type Step struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Skipped bool    `json:"skipped,omitempty"` // not tried; Found says why
	Seconds float64 `json:"seconds"`
	Found   string  `json:"found"`
	// Remedy is what to do where the step failed.
	Remedy string `json:"remedy,omitempty"`
}

// FindRequest looks up which internal key belongs to what, for an app in a tenant ("" onsite). Environment is needed only
// where the app stands in several.
type FindRequest struct {
	App         string `json:"app"`
	Tenant      string `json:"tenant,omitempty"`
	Environment string `json:"environment,omitempty"`
	gateway.LookupRequest
}

// Found is what was found.
type Found = gateway.Found

// ProbeRequest asks for a probe of an app in a tenant. Environment is needed only where the app stands in several.
type ProbeRequest struct {
	App         string `json:"app"`
	Tenant      string `json:"tenant"`
	Environment string `json:"environment,omitempty"`
	// WaitForExpiry keeps the access token until it has expired.
	WaitForExpiry bool `json:"wait_for_expiry,omitempty"`
}

// Probe is a probe that has begun. Address is where a person begins its sign-ins, once and until Until: anyone who has
// it can. It is a path where the configuration names no host.
type Probe struct {
	ID      string    `json:"id"`
	Address string    `json:"address"`
	Until   time.Time `json:"until"`
}

// ProbeReport is what a probe found.
type ProbeReport = probe.Report

// Probed is how a probe is. Stage is sign_in, answers, expiry or over, Until when that ends at the latest. Of a
// probe that is over Report or Error is set.
type Probed struct {
	Stage  string       `json:"stage"`
	Until  time.Time    `json:"until"`
	Report *ProbeReport `json:"report,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// Tenants are the tenants whose system token a gateway keeps or is configured with.
type Tenants struct {
	App         string       `json:"app"`
	Environment string       `json:"environment"`
	Tenants     []KeptTenant `json:"tenants"`
	// Remark says that some may be missing, and why; "" is nothing.
	Remark string `json:"remark,omitempty"`
}

// KeptTenant is one of them. Sealed is there in an export alone: the token, sealed under the gateway's keys.
type KeptTenant struct {
	Tenant    string     `json:"tenant"`
	Name      string     `json:"name,omitempty"`
	Granted   bool       `json:"granted"`
	Suspended bool       `json:"suspended,omitempty"`
	Token     string     `json:"token,omitempty"` // as in TenantStatus
	Since     *time.Time `json:"since,omitempty"`
	By        string     `json:"by,omitempty"`
	Sealed    string     `json:"sealed,omitempty"`
}

// ImportRequest brings system tokens, in clear or as an export sealed them. DryRun keeps nothing.
type ImportRequest struct {
	App         string         `json:"app"`
	Environment string         `json:"environment,omitempty"`
	DryRun      bool           `json:"dry_run,omitempty"`
	Tenants     []ImportTenant `json:"tenants"`
}

// ImportTenant is one line of an import.
type ImportTenant struct {
	Line        int    `json:"line"`
	Tenant      string `json:"tenant"`
	Name        string `json:"name,omitempty"`
	SystemToken string `json:"system_token,omitempty"`
	Sealed      string `json:"sealed,omitempty"`
}

// Import is the result of an import: every line was taken, or none.
type Import struct {
	Kept  bool         `json:"kept"`
	Lines []ImportLine `json:"lines"`
}

// ImportLine is the result of one line: added, replaced, unchanged, older (a sealed one that is older than what is kept, which
// stays), or what is wrong with it.
type ImportLine struct {
	Line    int    `json:"line"`
	Tenant  string `json:"tenant"`
	Result  string `json:"result"`
	Problem string `json:"problem,omitempty"`
}

// Changes reports whether the line changes what is kept.
func (l ImportLine) Changes() bool {
	return l.Problem == "" && (l.Result == "added" || l.Result == "replaced")
}

// RemoveRequest takes a tenant's system token back.
type RemoveRequest struct {
	App         string `json:"app"`
	Environment string `json:"environment,omitempty"`
	Tenant      string `json:"tenant"`
}

// Revocation ends what an app, a tenant or a person has at the gateway.
type Revocation struct {
	App    *string `json:"app,omitempty"`
	Tenant *string `json:"tenant,omitempty"`
	User   *string `json:"user,omitempty"`
}

// Revoked is what a revocation ended. It is written whether or not anybody is known by that name.
type Revoked struct {
	Revoked string `json:"revoked"` // what, in words
	// Sessions is how many sessions ended; nil where the store did not say.
	Sessions *int `json:"sessions,omitempty"`
	// Tickets is how many tickets of the system user this gateway dropped; others mint theirs anew too.
	Tickets int `json:"tickets"`
	// Effect is on which gateways it has taken effect.
	Effect Effect `json:"effect"`
	// Unknown says that nobody knows such an app, tenant or person; "" where somebody does.
	Unknown string `json:"unknown,omitempty"`
	// Remark says what could not be found out; "" is nothing.
	Remark string `json:"remark,omitempty"`
}

// Removed is a system token that was forgotten.
type Removed struct {
	Removed string `json:"removed"` // the tenant
}

// HoldTarget says which calls: those of the app, in the tenant, through the connection, as far as they are named; or All.
type HoldTarget struct {
	App        *string `json:"app,omitempty"`
	Tenant     *string `json:"tenant,omitempty"`
	Connection *int32  `json:"connection,omitempty"`
	All        bool    `json:"all,omitempty"`
}

// ReleaseRequest ends the hold of exactly the target.
type ReleaseRequest struct {
	HoldTarget
	// Unreadable, with All alone: gives up what is kept as holds and cannot be read, so that calls are served again.
	Unreadable bool `json:"unreadable,omitempty"`
}

// HoldRequest puts calls on hold.
type HoldRequest struct {
	HoldTarget
	// Reason is what callers are told.
	Reason string `json:"reason"`
	// For is how long, such as 2h; "": until it is released.
	For string `json:"for,omitempty"`
}

// Held is what was put on hold. It is in force whether or not anybody is known by that name.
type Held struct {
	Hold HoldStatus `json:"hold"`
	// Effect is on which gateways it has taken effect.
	Effect Effect `json:"effect"`
	// Unknown says that nobody knows such an app or tenant; "" where somebody does.
	Unknown string `json:"unknown,omitempty"`
	// Remark says what could not be kept for a restart; "" is nothing.
	Remark string `json:"remark,omitempty"`
}

// Released is what was released.
type Released struct {
	Target string `json:"target"` // in words
	// Found is false if it was not on hold.
	Found     bool         `json:"found"`
	Remaining []HoldStatus `json:"remaining"`
	// Effect is on which gateways it has taken effect.
	Effect Effect `json:"effect"`
	Remark string `json:"remark,omitempty"`
}

// FailuresRequest says which failures are wanted; what is zero lets all through.
type FailuresRequest struct {
	Tenant, App string
	Connection  *int32
	// Since leaves out those that were seen last before it.
	Since time.Time
}

// Failures is what fails: keys whose last call failed and that no later success covers, by cause, the last seen first.
type Failures struct {
	Failures []Failure `json:"failures"`
	// More says that there are more than fit into an answer.
	More bool `json:"more,omitempty"`
}

// Failure is a group of keys that fail for one cause.
type Failure struct {
	Group       int64  `json:"group"`
	Environment string `json:"environment"`
	App         string `json:"app"`
	Tenant      string `json:"tenant,omitempty"`
	// Connection is the ERP connection from which is synchronised; 0: from the CRM.
	Connection int32 `json:"connection"`
	// Kind is internal, external, SyncAll or ForceSyncAll, ActorType what external keys are keys of.
	Kind          string `json:"kind"`
	ActorType     string `json:"actor_type,omitempty"`
	NoBlankValues bool   `json:"no_blank_values,omitempty"`

	Outcome   string `json:"outcome"`
	Cause     string `json:"outcome_cause,omitempty"`
	ErrorCode string `json:"error_code,omitempty"`
	Reason    string `json:"reason,omitempty"`

	Keys int `json:"keys"`
	// Everything says that a resync of everything fails.
	Everything bool      `json:"everything,omitempty"`
	Tries      int       `json:"tries"` // calls
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	RequestID  string    `json:"request_id"` // of the last call
	// Remedy is what to do about it.
	Remedy string `json:"remedy,omitempty"`
}

// CloseFailureRequest takes a group of failures for settled.
type CloseFailureRequest struct {
	Group int64 `json:"group"`
	// Reason is kept with it.
	Reason string `json:"reason"`
}

// FailureClosed is a group that was closed.
type FailureClosed struct {
	Closed Failure `json:"closed"`
}

// HistoryImportRequest brings calls of audit files to the history.
type HistoryImportRequest struct {
	// Environment is that of all calls; "": as their lines say.
	Environment string         `json:"environment,omitempty"`
	Calls       []ImportedCall `json:"calls"` // at most MaxImportCalls
}

// ImportedCall is a call as audit lines tell it.
type ImportedCall struct {
	RequestID   string `json:"request_id"`
	Node        string `json:"node,omitempty"`
	Environment string `json:"environment,omitempty"`
	App         string `json:"app,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Principal   string `json:"principal,omitempty"`
	Scheme      string `json:"scheme,omitempty"`
	Credential  string `json:"credential,omitempty"`
	Operation   string `json:"operation,omitempty"`
	// Connection is nil where the call was not understood, or takes no arguments.
	Connection *int32 `json:"connection_id,omitempty"`
	ActorType  string `json:"actor_type,omitempty"`
	Everything bool   `json:"resync_all,omitempty"`
	// KeyCount is how many keys there were, Keys the first of them by name.
	KeyCount int               `json:"key_count,omitempty"`
	Keys     []json.RawMessage `json:"keys,omitempty"`

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

	Started time.Time `json:"started"`
	// Ended is nil where no line tells the end.
	Ended *time.Time `json:"ended,omitempty"`
}

// HistoryImport is the result of an import.
type HistoryImport struct {
	Taken int `json:"taken"`
	// Known is how many calls the history had already.
	Known int `json:"known"`
}
