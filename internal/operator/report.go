// Package operator holds the commands with which an operator looks after a running gateway over
// its admin API, and the forms of what the two tell each other. No secret is in any of them.
package operator

import "time"

// The endpoints of the admin API. Those that change something, or ask SuperOffice, want POST.
const (
	RevokePath  = "/erpsync/revoke"
	StatusPath  = "/erpsync/status"
	CheckPath   = "/erpsync/check"
	TenantsPath = "/erpsync/tenants"
	ExportPath  = "/erpsync/tenants/export"
	ImportPath  = "/erpsync/tenants/import"
	RemovePath  = "/erpsync/tenants/remove"
)

// Status is what a gateway knows of its apps' tenants, without asking anybody.
type Status struct {
	// Node is the gateway; calls and tickets are told as it alone has seen them.
	Node string      `json:"node"`
	Apps []AppStatus `json:"apps"`
}

// AppStatus is one app in one environment.
type AppStatus struct {
	Environment string `json:"environment"`
	App         string `json:"app"`
	// Site is where people reach the gateway for it, as the configuration says; "" where it names no host.
	Site    string         `json:"site,omitempty"`
	CallAs  string         `json:"call_as"`
	Tenants []TenantStatus `json:"tenants"`
	// Remark is what the tenants together say, such as that all are refused; "" is nothing.
	Remark string `json:"remark,omitempty"`
}

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

	// Attention is a reason or an outcome that somebody has to do something about, Remedy what; "" is nothing.
	Attention string `json:"attention,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
	// Approve is the link for the tenant's administrator.
	Approve string `json:"approve,omitempty"`
}

// CallStatus is what became of a call.
type CallStatus struct {
	At        time.Time `json:"at"`
	RequestID string    `json:"request_id"`
	Operation string    `json:"operation"`
	Outcome   string    `json:"outcome,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	ErrorCode string    `json:"error_code,omitempty"`
}

// What is what became of the call in one word.
func (c CallStatus) What() string {
	if c.Outcome != "" {
		return c.Outcome
	}
	return c.Reason
}

// CheckRequest asks for a check of an app in a tenant ("" onsite). Environment is needed only where the app stands in several.
type CheckRequest struct {
	App         string `json:"app"`
	Tenant      string `json:"tenant,omitempty"`
	Environment string `json:"environment,omitempty"`
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

// Import is what became of an import: every line was taken, or none.
type Import struct {
	Kept  bool         `json:"kept"`
	Lines []ImportLine `json:"lines"`
}

// ImportLine says of one line: added, replaced, unchanged, older (a sealed one that is older than what is kept, which
// stays), or what is wrong with it.
type ImportLine struct {
	Line    int    `json:"line"`
	Tenant  string `json:"tenant"`
	Result  string `json:"result"`
	Problem string `json:"problem,omitempty"`
}

// RemoveRequest takes a tenant's system token back.
type RemoveRequest struct {
	App         string `json:"app"`
	Environment string `json:"environment,omitempty"`
	Tenant      string `json:"tenant"`
}

// Revocation ends what an app, a tenant or a person has at the gateway.
type Revocation struct {
	App    string `json:"app,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	User   string `json:"user,omitempty"`
}
