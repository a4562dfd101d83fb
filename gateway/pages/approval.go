package pages

import (
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// approval is what a page tells about an approval. No secret is among it.
type approval struct {
	Page      string // its name
	ID        string // of the request that it is about
	App       string
	Tenant    superoffice.Tenant
	Granted   bool // the registry names the tenant
	Suspended bool
	Redirect  string // the address that SuperID sends browsers back to
	Code      string // SuperID's own, cleaned
}

// approvalEnding is how an approval ends. The pages are for an administrator who knows SuperOffice and nothing of gateways.
type approvalEnding struct {
	status int
	reason auth.Reason // for a program; "" where it went well
}

// The endings that are named in more than one place.
const (
	approvalApproved    = "approved"
	approvalAlready     = "already_approved"
	approvalLinkWrong   = "link_wrong"
	approvalOtherTenant = "other_tenant"
	approvalNoSystem    = "no_system_user"
	approvalNotKept     = "not_kept"
	approvalUnavailable = "approval_unavailable"
	approvalFailed      = "approval_failed"
)

// approvalEndings are the endings by the names of their pages.
var approvalEndings = map[string]approvalEnding{
	approvalApproved:    {http.StatusOK, ""},
	approvalAlready:     {http.StatusOK, ""},
	approvalLinkWrong:   {http.StatusBadRequest, auth.QueryNotUnderstood},
	"approval_expired":  {http.StatusForbidden, auth.CredentialInvalid},
	"approval_answered": {http.StatusForbidden, auth.CredentialInvalid},
	"approval_not_here": {http.StatusForbidden, auth.CredentialInvalid},
	approvalOtherTenant: {http.StatusForbidden, auth.TenantMismatch},
	approvalNoSystem:    {http.StatusConflict, auth.NoSystemToken},
	approvalNotKept:     {http.StatusServiceUnavailable, auth.StoreUnavailable},
	approvalUnavailable: {http.StatusServiceUnavailable, auth.ProofUnavailable},
	approvalFailed:      {http.StatusForbidden, auth.CredentialInvalid},

	string(superid.ApprovalDenied):             {http.StatusForbidden, auth.ConsentRequired},
	string(superid.ApprovalNeedsAdministrator): {http.StatusForbidden, auth.ConsentRequired},
	string(superid.ApprovalRevoked):            {http.StatusForbidden, auth.ConsentRequired},
	string(superid.ApprovalExpired):            {http.StatusForbidden, auth.ConsentRequired},
	string(superid.ApprovalNeedsReapproval):    {http.StatusForbidden, auth.ConsentRequired},
	string(superid.ApprovalInvalidRedirectURL): {http.StatusBadGateway, auth.UpstreamCredentialRefused},
	string(superid.ApprovalInvalidTimestamp):   {http.StatusBadGateway, auth.UpstreamCredentialRefused},
	string(superid.ApprovalInvalidSignature):   {http.StatusBadGateway, auth.UpstreamCredentialRefused},
	string(superid.ApprovalUnregistered):       {http.StatusBadGateway, auth.UpstreamCredentialRefused},
}

// endingOf names the page for what SuperID said in place of signing somebody in.
func endingOf(said superid.Approval) string {
	switch said {
	case superid.ApprovalUnavailable:
		return approvalUnavailable
	case superid.ApprovalFailed:
		return approvalFailed
	}
	return string(said)
}

// approvalEnded answers with how an approval ended: a page for a person, JSON for a program.
func (p *Pages) approvalEnded(w http.ResponseWriter, r *http.Request, visit gateway.Visit, name string, about approval, cause error) *auth.Refusal {
	ending := approvalEndings[name]
	if ending.reason == "" && !webpage.Wanted(r) {
		return gateway.WriteJSON(w, map[string]any{"result": name, "app": about.App, "tenant": about.Tenant, "granted": about.Granted, "suspended": about.Suspended})
	}
	page := webpage.Page{
		Name: name, Status: ending.status, RequestID: visit.ID(), Links: p.linksAfterApproval(name, about),
		Facts: webpage.Facts{App: about.App, Tenant: string(about.Tenant), Granted: about.Granted, Suspended: about.Suspended, Redirect: about.Redirect, Code: about.Code},
	}
	id := visit.ID()
	if about.ID != "" {
		id = about.ID // the request that it is about, rather than the one for the page
	}
	if ending.reason == "" {
		page.RequestID = id
		webpage.Write(w, r, page)
		return nil
	}
	refusal := approvalRefusal(name, cause)
	p.record(r, visit, refusal)
	p.gateway.WriteRefusal(w, r, id, refusal, page)
	return nil
}

// approvalRefusal returns the refusal for an approval that ended otherwise than well.
func approvalRefusal(name string, cause error) *auth.Refusal {
	ending := approvalEndings[name]
	refusal := auth.Refuse(ending.reason, cause)
	refusal.Status, refusal.Detail = ending.status, "The approval ended: "+name+"."
	return refusal
}

// linksAfterApproval returns the ways on from an approval that ended.
func (p *Pages) linksAfterApproval(name string, about approval) []webpage.Link {
	app := p.approvable(about.App)
	if name == approvalApproved || name == approvalAlready || name == approvalLinkWrong || app == nil {
		return []webpage.Link{{Label: "superoffice", URL: p.gateway.Config().Environment.Base()}}
	}
	links := []webpage.Link{{Label: "link", URL: ApprovePath(p.base(), app.Name, about.Tenant)}}
	if name == approvalOtherTenant {
		links = append(links, webpage.Link{Label: "sign_out", URL: app.SuperID.SignOutURL(""), NewWindow: true})
	}
	return links
}
