package auth

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
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
	Named []string // UPNs or logon names, compared without case, or associate:<id>
}

const associatePrefix = "associate:"

// Associate names a person by the id that SuperOffice gave them, for whom no UPN may be known.
func Associate(id int) string { return associatePrefix + strconv.Itoa(id) }

// IsAssociate reports whether a name is one of Associate's rather than a UPN.
func IsAssociate(name string) bool {
	return len(name) >= len(associatePrefix) && strings.EqualFold(name[:len(associatePrefix)], associatePrefix)
}

// PersonName names a person within their tenant: by UPN, or by the associate id where there is none.
func PersonName(upn string, associateID int) string {
	if upn == "" {
		return Associate(associateID)
	}
	return upn
}

// admits reports whether a person may call through a credential that is not their own.
func (u Users) admits(p Principal) bool {
	switch {
	case u.All:
		return true
	case len(u.Named) > 0:
		return slices.ContainsFunc(u.Named, func(name string) bool {
			return strings.EqualFold(name, p.ID) || p.AssociateID > 0 && name == Associate(p.AssociateID)
		})
	default:
		return p.Administrator
	}
}

// describe names who is admitted, in the words of the configuration and without names.
func (u Users) describe() string {
	switch {
	case u.All:
		return "all"
	case len(u.Named) > 0:
		return "a list without the caller"
	default:
		return "administrators, and the caller is none"
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

// Admits reports whether calls through the connection may be made; one that is not positive is the CRM.
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

// connectionText names a connection in the words of the configuration.
func connectionText(connection int32) string {
	if connection <= 0 {
		return "crm"
	}
	return strconv.Itoa(int(connection))
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
	// KeyRequired refuses calls that resynchronise and have no Idempotency-Key.
	KeyRequired bool
	// Lookups lets callers ask which internal key belongs to an ERP number or a CRM record.
	Lookups bool

	// Tenant returns what the app may do in a tenant; false: nothing.
	Tenant func(superoffice.Tenant) (TenantGrant, bool)
	// Lists reports whether the app is granted a tenant by its name, rather than as any.
	Lists func(superoffice.Tenant) bool
	// SystemToken returns the system token for AsSystem: one that an approval brought, or else the
	// configured one, which may be zero. nil: the configured one.
	SystemToken func(ctx context.Context, tenant superoffice.Tenant, configured Secret) (Secret, *Refusal)
}

// Request is what a principal asks for, as far as the decision needs it.
type Request struct {
	Operation superoffice.Operation
	// PathTenant is the tenant that the path names, Onsite for none.
	PathTenant superoffice.Tenant
	Arguments  superoffice.Arguments
	// Confirmed reports whether the caller sent the header that confirms a resync of everything.
	Confirmed bool
	// Keyed reports that the caller sent an Idempotency-Key.
	Keyed bool
}

// AuthoriseCall decides what can be decided before the body is read: the agent,
// the operation, the tenant and the person. It returns nil to let the call go on. The grant has the
// system token that the call needs; ctx bounds how long that is looked for.
func (a *App) AuthoriseCall(ctx context.Context, p Principal, req Request) (TenantGrant, *Refusal) {
	if refusal := tenantMismatch(p, req.PathTenant); refusal != nil {
		return TenantGrant{}, refusal
	}
	if refusal := a.agentGranted(); refusal != nil {
		return TenantGrant{}, refusal
	}
	if req.Operation == superoffice.UnknownOperation || !slices.Contains(a.Operations, req.Operation) {
		return TenantGrant{}, Refuse(OperationNotGranted, fmt.Errorf("operations of app %s does not list it", a.Name))
	}
	return a.authoriseIn(ctx, p)
}

// AuthoriseLookup decides whether a caller may ask which internal key belongs to what. pathTenant is the tenant that the
// request names, Onsite for none. The grant is as AuthoriseCall's.
func (a *App) AuthoriseLookup(ctx context.Context, p Principal, pathTenant superoffice.Tenant) (TenantGrant, *Refusal) {
	if refusal := tenantMismatch(p, pathTenant); refusal != nil {
		return TenantGrant{}, refusal
	}
	if !a.Lookups {
		return TenantGrant{}, Refuse(LookupNotGranted, fmt.Errorf("app %s has no lookups on", a.Name))
	}
	return a.AuthoriseOperatorsLookup(ctx, p)
}

// AuthoriseOperatorsLookup is AuthoriseLookup for an operator, whom the app's lookups do not concern.
func (a *App) AuthoriseOperatorsLookup(ctx context.Context, p Principal) (TenantGrant, *Refusal) {
	if refusal := a.agentGranted(); refusal != nil {
		return TenantGrant{}, refusal
	}
	return a.authoriseIn(ctx, p)
}

// AuthoriseConnection decides whether a connection may be resynchronised from, and what belongs to it looked up.
func (a *App) AuthoriseConnection(grant TenantGrant, connection int32) *Refusal {
	connections := a.Connections
	if grant.Connections != nil {
		connections = grant.Connections
	}
	if !connections.Admits(connection) {
		return Refuse(ConnectionNotGranted, fmt.Errorf("connections of app %s or of the tenant does not list %s", a.Name, connectionText(connection)))
	}
	return nil
}

func tenantMismatch(p Principal, pathTenant superoffice.Tenant) *Refusal {
	if pathTenant == superoffice.Onsite || pathTenant == p.Tenant {
		return nil
	}
	return Refuse(TenantMismatch, fmt.Errorf("the path names %s, the credential %s", pathTenant, p.Tenant))
}

func (a *App) agentGranted() *Refusal {
	if !slices.ContainsFunc(a.Agents, func(agent string) bool { return strings.EqualFold(agent, superoffice.Agent) }) {
		return Refuse(AgentNotGranted, fmt.Errorf("agents of app %s does not list %s", a.Name, superoffice.Agent))
	}
	return nil
}

// authoriseIn decides whether a principal may use the app in its tenant.
func (a *App) authoriseIn(ctx context.Context, p Principal) (TenantGrant, *Refusal) {
	grant, ok := a.Tenant(p.Tenant)
	switch {
	case !ok:
		return TenantGrant{}, Refuse(TenantNotGranted, fmt.Errorf("app %s lists %s neither under tenant nor in a tenants file", a.Name, p.Tenant))
	case p.TenantFromPath && (a.Lists == nil || !a.Lists(p.Tenant)):
		return TenantGrant{}, Refuse(TenantNotGranted, fmt.Errorf("tenant path: app %s does not list %s by name", a.Name, p.Tenant))
	case grant.Suspended:
		return TenantGrant{}, Refuse(TenantSuspended, fmt.Errorf("%s is suspended for app %s", p.Tenant, a.Name))
	case a.CallAs != AsUser && p.Person() && !a.Users.admits(p):
		return TenantGrant{}, Refuse(PersonNotGranted, fmt.Errorf("users of app %s is %s", a.Name, a.Users.describe()))
	case a.CallAs != AsSystem:
		return grant, nil
	}
	var refusal *Refusal
	if a.SystemToken != nil {
		grant.SystemToken, refusal = a.SystemToken(ctx, p.Tenant, grant.SystemToken)
	}
	if refusal == nil && grant.SystemToken.IsZero() {
		refusal = Refuse(NoSystemToken, fmt.Errorf("app %s has no system token of %s, neither approved, imported nor configured", a.Name, p.Tenant))
	}
	return grant, refusal
}

// AuthoriseArguments decides what needs the body: the connection and how much is to be resynchronised.
func (a *App) AuthoriseArguments(grant TenantGrant, req Request) *Refusal {
	if !req.Operation.Resyncs() {
		return nil
	}
	if a.KeyRequired && !req.Keyed {
		return Refuse(IdempotencyKeyMissing, fmt.Errorf("app %s has idempotency required", a.Name))
	}
	if refusal := a.AuthoriseConnection(grant, req.Arguments.Connection); refusal != nil {
		return refusal
	}
	resyncAll := a.ResyncAll
	if grant.ResyncAll != "" {
		resyncAll = grant.ResyncAll
	}
	if !req.Arguments.Everything {
		return nil
	}
	reason := ResyncAllDenied
	switch {
	case resyncAll == Allow, resyncAll == Confirm && req.Confirmed:
		return nil
	case resyncAll == Confirm:
		reason = ResyncAllUnconfirmed
	}
	refusal := Refuse(reason, fmt.Errorf("the call would resync everything; resync_all is %s and ErpSync-Confirm: all was not sent", cmp.Or(resyncAll, Deny)))
	if reason == ResyncAllDenied {
		refusal.Cause = fmt.Errorf("the call would resync everything; resync_all is %s", cmp.Or(resyncAll, Deny))
	}
	refusal.Detail += " (" + req.Arguments.Describe(req.Operation) + ")"
	return refusal
}
