package auth

import (
	"context"
	"slices"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// CallAs says as whom the gateway calls on.
type CallAs string

const (
	// AsUser: with the person's own Bearer. The person keeps their own rights.
	AsUser CallAs = "user"
	// AsSystem: with the tenant's system user, who passes every role check.
	AsSystem CallAs = "system"
	// AsAccount: with a service account of an onsite installation.
	AsAccount CallAs = "account"
)

// ResyncAll says what becomes of a call that resynchronises everything.
type ResyncAll string

const (
	Deny    ResyncAll = "deny"
	Confirm ResyncAll = "confirm"
	Allow   ResyncAll = "allow"
)

// Users says who may call through a credential that is not their own. The zero
// value means administrators.
type Users struct {
	All   bool
	Named []string // UPNs or logon names, compared without case
}

func (u Users) admits(p Principal) bool {
	switch {
	case u.All:
		return true
	case len(u.Named) > 0:
		return slices.ContainsFunc(u.Named, func(name string) bool { return strings.EqualFold(name, p.ID) })
	default:
		return p.Administrator
	}
}

// Connections says which ERP connections may be resynchronised from. A nil
// *Connections admits every one, an empty one none.
type Connections struct {
	// CRM admits calls from the CRM to all connections: an ErpConnectionId that
	// is not positive, and the operations that name none.
	CRM bool
	IDs []int32
}

// Admits tells whether calls through the connection may be made; one that is not positive is the CRM.
func (c *Connections) Admits(connection int32) bool {
	switch {
	case c == nil:
		return true
	case connection <= 0:
		return c.CRM
	default:
		return slices.Contains(c.IDs, connection)
	}
}

// TenantGrant is what an app may do in one tenant.
type TenantGrant struct {
	Name        string       // for people
	Connections *Connections // nil: as the app says
	ResyncAll   ResyncAll    // "": as the app says
	SystemToken Secret
	Suspended   bool
}

// App is one registration in SuperOffice's developer portal, or onsite just a
// name with grants.
type App struct {
	Name        string
	Agents      []string
	Operations  []superoffice.Operation
	Connections *Connections
	Users       Users
	ResyncAll   ResyncAll
	CallAs      CallAs

	// Tenant tells what the app may do in a tenant; false: nothing.
	Tenant func(superoffice.Tenant) (TenantGrant, bool)
	// SystemToken gives the system token for AsSystem: one that an approval brought, or else the
	// configured one, which may be zero. nil: the configured one.
	SystemToken func(ctx context.Context, tenant superoffice.Tenant, configured Secret) (Secret, *Refusal)
}

// Request is what a principal asks for, as far as the decision needs it.
type Request struct {
	Operation superoffice.Operation
	// PathTenant is the tenant that the path names, Onsite for none.
	PathTenant superoffice.Tenant
	Arguments  superoffice.Arguments
	// Confirmed tells that the caller sent the header that confirms a resync of everything.
	Confirmed bool
}

// AuthoriseCall decides what can be decided before the body is read: the agent,
// the operation, the tenant and the person. It returns nil to let the call go on. The grant has the
// system token that the call needs; ctx bounds how long that is looked for.
func (a *App) AuthoriseCall(ctx context.Context, p Principal, req Request) (TenantGrant, *Refusal) {
	if req.PathTenant != superoffice.Onsite && req.PathTenant != p.Tenant {
		return TenantGrant{}, Refuse(TenantMismatch, nil)
	}
	if !slices.ContainsFunc(a.Agents, func(agent string) bool { return strings.EqualFold(agent, superoffice.Agent) }) {
		return TenantGrant{}, Refuse(AgentNotGranted, nil)
	}
	if req.Operation == superoffice.UnknownOperation || !slices.Contains(a.Operations, req.Operation) {
		return TenantGrant{}, Refuse(OperationNotGranted, nil)
	}
	grant, ok := a.Tenant(p.Tenant)
	switch {
	case !ok:
		return TenantGrant{}, Refuse(TenantNotGranted, nil)
	case grant.Suspended:
		return TenantGrant{}, Refuse(TenantSuspended, nil)
	case a.CallAs != AsUser && p.Person() && !a.Users.admits(p):
		return TenantGrant{}, Refuse(PersonNotGranted, nil)
	case a.CallAs != AsSystem:
		return grant, nil
	}
	var refusal *Refusal
	if a.SystemToken != nil {
		grant.SystemToken, refusal = a.SystemToken(ctx, p.Tenant, grant.SystemToken)
	}
	if refusal == nil && grant.SystemToken.IsZero() {
		refusal = Refuse(NoSystemToken, nil)
	}
	return grant, refusal
}

// AuthoriseArguments decides what needs the body: the connection and how much is to be resynchronised.
func (a *App) AuthoriseArguments(grant TenantGrant, req Request) *Refusal {
	if !req.Operation.Resyncs() {
		return nil
	}
	connections, resyncAll := a.Connections, a.ResyncAll
	if grant.Connections != nil {
		connections = grant.Connections
	}
	if grant.ResyncAll != "" {
		resyncAll = grant.ResyncAll
	}
	if !connections.Admits(req.Arguments.Connection) {
		return Refuse(ConnectionNotGranted, nil)
	}
	if !req.Arguments.Everything {
		return nil
	}
	switch {
	case resyncAll == Allow, resyncAll == Confirm && req.Confirmed:
		return nil
	case resyncAll == Confirm:
		return Refuse(ResyncAllUnconfirmed, nil)
	default:
		return Refuse(ResyncAllDenied, nil)
	}
}
