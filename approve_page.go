package erpsync

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
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

// approvalPage is one page, for an administrator who knows SuperOffice and nothing of gateways. Its texts
// are templates over approval.
type approvalPage struct {
	name   string // in logs
	status int
	title  string
	text   *template.Template
}

// paragraphs are a page's text.
func paragraphs(lines ...string) *template.Template {
	return template.Must(template.New("").Parse("<p>" + strings.Join(lines, "</p>\n<p>") + "</p>"))
}

var (
	approvedPage = approvalPage{"approved", http.StatusOK, "Approved", paragraphs(
		`The app {{.App}} may now work in {{.Tenant}} on its own, without anybody being signed in.`,
		`{{if not .Granted}}One step is left, and it is not yours: the people who sent you the link have to admit {{.Tenant}} to their service. Tell them that you have approved.{{else if .Suspended}}At the moment the people who sent you the link have suspended it for {{.Tenant}}. Tell them that you have approved.{{else}}There is nothing more to do.{{end}} You can close this window.`,
		`To take the approval back later, use the list of apps in SuperOffice.`,
	)}
	alreadyApproved = approvalPage{"already_approved", http.StatusOK, "Already approved", paragraphs(
		`The app {{.App}} was approved for {{.Tenant}} before, and may work there. There is nothing more to do. You can close this window.`,
	)}
	linkWrong = approvalPage{"link_wrong", http.StatusBadRequest, "This link is not complete", paragraphs(
		`It does not say for certain what is to be approved. Ask the people who sent it for a new one, and copy it whole.`,
	)}
	tooLate = approvalPage{"too_late", http.StatusForbidden, "Too late, or in another browser", paragraphs(
		`This was begun more than an hour ago, or in another browser, or was answered already. Nothing was changed here.`,
		`Follow the link that you were sent once more.`,
	)}
	otherTenant = approvalPage{"other_tenant", http.StatusForbidden, "Another company's account", paragraphs(
		`The link is for {{.Tenant}}, and you signed in to another installation of SuperOffice. Nothing was changed here.`,
		`Sign out of SuperOffice, follow the link again, and sign in with your account for {{.Tenant}}.`,
	)}
	noSystemUser = approvalPage{"no_system_user", http.StatusConflict, "Signed in, but there is nothing to approve", paragraphs(
		`You are an administrator of {{.Tenant}}, and SuperOffice handed over no permission for {{.App}}. Nothing was changed here. It is one of two things:`,
		`{{.App}} is not registered with SuperOffice to work on its own (as a system user). Only the people who sent you the link can change that: tell them.`,
		`Or it was approved before. Take the approval back in SuperOffice's list of apps, then follow the link again and approve.`,
	)}
	notKept = approvalPage{"not_kept", http.StatusServiceUnavailable, "Approved at SuperOffice, but not noted here", paragraphs(
		`SuperOffice has your approval of {{.App}} for {{.Tenant}}, but this service could not write it down.`,
		`Follow the link again in some minutes. If this page comes again, tell the people who sent you the link.`,
	)}
)

// approvalPages are the pages for what SuperID said in place of signing somebody in.
var approvalPages = map[superid.Approval]approvalPage{
	superid.ApprovalDenied: {"denied", http.StatusForbidden, "Not approved", paragraphs(
		`{{.App}} was denied access to {{with .Tenant}}{{.}}{{else}}your company's SuperOffice{{end}}. Nothing was changed.`,
		`If that was not meant, follow the link again and choose “I approve”.`,
	)},
	superid.ApprovalNeedsAdministrator: {"needs_administrator", http.StatusForbidden, "An administrator has to do this", paragraphs(
		`SuperOffice takes this approval from people with the function right General Administrator or User Administrator alone. Nothing was changed.`,
		`Send the link to such a person in your company. An external consultant may not approve for you.`,
		`If you are an administrator, SuperOffice may not have noticed yet: in Settings and maintenance change the level or role of your user, save, change it back, save, and follow the link again.`,
	)},
	superid.ApprovalRevoked: {"revoked", http.StatusForbidden, "The approval was taken back", paragraphs(
		`In SuperOffice the access of {{.App}} to {{with .Tenant}}{{.}}{{else}}your company's SuperOffice{{end}} has been revoked.`,
		`An administrator can give it again: follow the link again and choose “I approve”. If SuperOffice does not ask, tell the people who sent you the link.`,
	)},
	superid.ApprovalExpired: {"expired", http.StatusForbidden, "The approval has expired", paragraphs(
		`The access of {{.App}} to {{with .Tenant}}{{.}}{{else}}your company's SuperOffice{{end}} was approved for a time that is over.`,
		`Follow the link again and choose “I approve”. If SuperOffice does not ask, tell the people who sent you the link.`,
	)},
	superid.ApprovalNeedsReapproval: {"needs_reapproval", http.StatusForbidden, "It has to be approved again", paragraphs(
		`{{.App}} asks for more than was approved before, for example to work on its own as a system user.`,
		`Follow the link again, read what it asks for, and choose “I approve”.`,
	)},
	superid.ApprovalInvalidRedirectURL: {"invalid_redirect_url", http.StatusBadGateway, "SuperOffice does not know this address", paragraphs(
		`This is not your mistake, and nothing was changed. Tell the people who sent you the link: {{.Redirect}} is not among the redirect addresses that {{.App}} is registered with.`,
	)},
	superid.ApprovalInvalidTimestamp: {"invalid_timestamp", http.StatusBadGateway, "SuperOffice did not take the request", paragraphs(
		`This is not your mistake, and nothing was changed. Tell the people who sent you the link: SuperOffice finds the time in the request of {{.App}} wrong; their clock may be.`,
	)},
	superid.ApprovalInvalidSignature: {"invalid_signature", http.StatusBadGateway, "SuperOffice did not take the request", paragraphs(
		`This is not your mistake, and nothing was changed. Tell the people who sent you the link: SuperOffice finds the signature of {{.App}} wrong; its private key may be another than the registered one.`,
	)},
	superid.ApprovalUnregistered: {"unregistered", http.StatusBadGateway, "SuperOffice does not know the app like this", paragraphs(
		`This is not your mistake, and nothing was changed. Tell the people who sent you the link: SuperOffice refuses {{.App}} itself ({{.Code}}); its client id, redirect address or registration is wrong.`,
	)},
	superid.ApprovalUnavailable: {"unavailable", http.StatusServiceUnavailable, "SuperOffice cannot be asked now", paragraphs(
		`Nothing was changed here. Follow the link again in some minutes.`,
	)},
	superid.ApprovalFailed: {"failed", http.StatusForbidden, "It did not work", paragraphs(
		`SuperOffice brought back nothing that this service could use{{with .Code}} and says “{{.}}”{{end}}. Nothing was changed here.`,
		`Follow the link again. If this page comes again, tell the people who sent you the link, with the number below.`,
	)},
}

func approvalPageNamed(name string) (approvalPage, bool) {
	for _, page := range []approvalPage{approvedPage, alreadyApproved, otherTenant, noSystemUser, notKept} {
		if page.name == name {
			return page, true
		}
	}
	for _, page := range approvalPages {
		if page.name == name {
			return page, true
		}
	}
	return approvalPage{}, false
}

var pageFrame = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style nonce="{{.Nonce}}">
body { font: 1.05rem/1.55 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto 2rem; padding: 0 1.2rem; color: #1c2b33; background: #fff }
h1 { font-size: 1.5rem; line-height: 1.25 }
footer { margin-top: 2.5rem; font-size: .85rem; color: #5a6b74 }
@media (prefers-color-scheme: dark) { body { color: #dfe7ea; background: #16201f } footer { color: #93a4a9 } }
</style></head>
<body><main><h1>{{.Title}}</h1>
{{.Text}}
</main><footer>Number for questions: {{.ID}}</footer></body></html>
`))

// page writes a page. Whatever approval holds stands in it as text, never as markup.
func (e *endpoints) page(w http.ResponseWriter, p approvalPage, about approval) {
	var text bytes.Buffer
	if err := p.text.Execute(&text, about); err != nil {
		panic(err) // templates and their fields are both ours
	}
	nonce := newID()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.WriteHeader(p.status)
	_ = pageFrame.Execute(w, map[string]any{"Title": p.title, "Text": template.HTML(text.String()), "Nonce": nonce, "ID": cmp.Or(about.ID, h.Get("ErpSync-Request-Id"))}) //nolint:gosec // made by a template above
}
