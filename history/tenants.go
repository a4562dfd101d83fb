package history

import (
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// The orders of TenantFilter. Each has the tenant's name after it.
const (
	ByTenant      = ""
	ByLastCall    = "last_call"
	ByLastFailure = "last_failure"
	ByLastSuccess = "last_success" // the longest ago first, with those that never had one before them
)

const (
	// DefaultTenants is how many tenants a page of TenantFilter.Limit 0 has at most, MaxTenants how many any page has.
	DefaultTenants = 50
	MaxTenants     = 500
)

// TenantFilter says which tenants are wanted. A zero field lets all through.
type TenantFilter struct {
	Environment, App string
	// Search is a part of the tenant's identifier, in letters of any case.
	Search string
	// Also are tenants that match Search by what the history does not know, such as their names. They mean nothing without it.
	Also []string
	// Failing lets only those through that have keys which fail.
	Failing bool
	Order   string
	// Offset is how many are passed over, Limit how many are wanted at most; 0: DefaultTenants. More than MaxTenants are never returned.
	Offset, Limit int
	// Now is when it is asked; zero: now.
	Now time.Time
}

// Size returns how many tenants a page has at most.
func (f *TenantFilter) Size() int {
	if f.Limit <= 0 {
		return DefaultTenants
	}
	return min(f.Limit, MaxTenants)
}

// TenantPage is a part of what was asked for.
type TenantPage struct {
	Tenants []TenantUsage
	// Total is how many there are on all pages.
	Total int
	// Since is when counting began: what was before is not known, which is not zero. Oldest is when the oldest call began that is
	// kept as a row, which bounds TenantUsage.Day; zero: there is none.
	Since, Oldest time.Time
}

// TenantUsage is how a tenant is.
type TenantUsage struct {
	Environment, Tenant string
	// Connections are by app and connection.
	Connections []ConnectionUsage
}

// ConnectionUsage is how an app's calls over one connection of a tenant are.
type ConnectionUsage struct {
	App        string
	Connection int32 // 0: the CRM, or a call that was refused before it was understood
	// Last is the last call, LastSuccess and LastFailure the last resync that succeeded or failed; nil: there was none.
	Last, LastSuccess, LastFailure *LastCall
	// Day is of the last 24 hours, Month of today and the 29 days before, UTC.
	Day, Month Brief
	// Failing is how many keys fail, Everything that a resync of everything does.
	Failing    int
	Everything bool
}

// LastCall is the last call of its kind.
type LastCall struct {
	At        time.Time // when it began
	RequestID string
	Outcome   outcome.Class // "" for one that was refused
	Reason    string
	ErrorCode string
}

// Brief are the most needed of Counts.
type Brief struct{ Calls, Keys, Succeeded, Failed, Refused int64 }
