package gateway

import (
	"context"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Admission is a proved caller who may make a kind of call in a tenant.
type Admission struct {
	Caller
	app       *App
	grant     auth.TenantGrant
	operation superoffice.Operation

	// epoch is the revocation epoch of the app in the tenant, where the decision has learned it.
	epoch      string
	epochKnown bool
}

// Admit decides what can be decided before the call's arguments are known: the
// agent, the operation, the tenant and the person. pathTenant is the tenant that the path names.
func (g *Gateway) Admit(ctx context.Context, caller Caller, app *App, path superoffice.Call) (*Admission, *auth.Refusal) {
	grant, refusal := app.AuthoriseCall(ctx, caller.Principal, auth.Request{Operation: path.Operation, PathTenant: path.Tenant})
	if refusal != nil {
		return nil, g.offerApproval(refusal, app, caller.Principal.Tenant)
	}
	return &Admission{Caller: caller, app: app, grant: grant, operation: path.Operation}, nil
}

// Authorise decides what needs the arguments: the connection, and how much is to be resynchronised.
func (a *Admission) Authorise(order *Order) *auth.Refusal {
	return a.app.AuthoriseArguments(a.grant, auth.Request{Operation: a.operation, Arguments: order.Arguments, Confirmed: order.Confirmed, Keyed: order.IdempotencyKey != ""})
}

// offerApproval adds the link at which the tenant's administrator mends a refusal that needs one.
func (g *Gateway) offerApproval(refusal *auth.Refusal, app *App, tenant superoffice.Tenant) *auth.Refusal {
	if refusal != nil && (refusal.Reason == auth.NoSystemToken || refusal.Reason == auth.ConsentRequired) {
		refusal.Approve = g.ApproveURL(app, tenant)
	}
	return refusal
}

// ApproveURL returns the link for the tenant's administrator; "" if the app takes no approvals.
func (g *Gateway) ApproveURL(app *App, tenant superoffice.Tenant) string {
	if !app.TakesApprovals() || g.config.Links.Approve == nil {
		return ""
	}
	return g.config.Links.Approve(app.Name, tenant)
}
