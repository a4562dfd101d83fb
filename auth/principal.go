package auth

import "github.com/caddy-erpsync/caddy-erpsync/superoffice"

// Scheme names how a principal proved itself. The list is closed: it stands in
// configuration and audit lines.
type Scheme string

const (
	// BrowserSession is a session of the gateway's own, begun at SuperID.
	BrowserSession Scheme = "session"
	// JWT is a token of the partner's own identity provider.
	JWT Scheme = "jwt"
	// WebClientSession is the session cookie of SuperOffice's own web client
	// with its XSRF token.
	WebClientSession Scheme = "superoffice_session"
	// BroughtBearer, BroughtTicket and BroughtBasic are SuperOffice credentials that the caller holds.
	BroughtBearer Scheme = "bearer"
	BroughtTicket Scheme = "soticket"
	BroughtBasic  Scheme = "basic"
	// Operator is somebody whom the operators' socket or the admin endpoint proved. No configuration admits it, and no
	// request over HTTP brings it.
	Operator Scheme = "operator"
)

// Principal is who calls, after the proof.
type Principal struct {
	Scheme Scheme
	// App is the name of the app that the principal calls for.
	App string
	// Tenant is the customer that the principal belongs to.
	Tenant superoffice.Tenant
	// TenantFromPath reports that Tenant is what the request's path names and no proof does: it
	// may be granted by its name only.
	TenantFromPath bool
	// ID names the principal for good: a person's UPN or logon name, or issuer#subject.
	ID string
	// AssociateID is the person's id in the tenant, 0 for a service.
	AssociateID int
	// Administrator reports whether the person administers the tenant.
	Administrator bool
}

// Person reports whether the principal is somebody in SuperOffice rather than a service or an operator.
func (p Principal) Person() bool { return p.Scheme != JWT && p.Scheme != Operator }
