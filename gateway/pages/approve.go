package pages

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// approve is the link that a customer's administrator follows:
//
//	GET {prefix}/approve?app={name}&tenant={CustNNNNN}
//
// It leads to SuperID and back to approved. Without app it means the only one that takes approvals;
// without tenant the administrator chooses it at SuperID.
func (p *Pages) approve(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	if webpage.Framed(r) {
		p.inFrame(w, r, visit, "/approve")
		return nil
	}
	query := r.URL.Query()
	app := p.approvable(query.Get("app"))
	tenant, ok := superoffice.ParseTenant(query.Get("tenant"))
	if app == nil || !ok && query.Get("tenant") != "" {
		return p.approvalEnded(w, r, visit, approvalLinkWrong, approval{}, fmt.Errorf("app is %s, tenant is %s", jws.Excerpt(query.Get("app")), jws.Excerpt(query.Get("tenant"))))
	}
	return p.begin(w, r, loginState{App: app.Name, Tenant: tenant, Approval: true})
}

// approvable finds the app that a link names.
func (p *Pages) approvable(name string) (found *gateway.App) {
	for _, app := range p.gateway.Apps() {
		if !app.TakesApprovals() || name != "" && name != app.Name {
			continue
		}
		if found != nil {
			return nil // which one is not said
		}
		found = app
	}
	return found
}

// approved takes SuperID's answer to an approval and keeps the system token that it brings. The
// browser gets no session: the person who approves is a guest here. It is sent on to a page of its own, so
// that no code stays in its address.
func (p *Pages) approved(w http.ResponseWriter, r *http.Request, visit gateway.Visit, a loginState, answer url.Values) *auth.Refusal {
	app := p.gateway.App(a.App)
	told := approval{App: a.App, Tenant: a.Tenant, Redirect: a.Redirect}
	// SuperOffice may send the token this once only: an administrator who closes the window loses nothing.
	ctx, cancel := p.gateway.Detached(approvalWait)
	defer cancel()
	page, identity, err := p.judge(ctx, app, a, answer, &told)
	log := p.log.With(zap.String("request_id", w.Header().Get(requestIDHeader)), zap.String("app", a.App), zap.String("tenant", string(told.Tenant)), zap.String("result", page))
	switch {
	case page == approvalApproved:
		log.Info("app approved: the tenant's system token is kept", zap.String("by", p.gateway.Config().Privacy.Principal(auth.PersonName(identity.UPN, identity.AssociateID))), zap.Bool("granted", told.Granted))
	case approvalEndings[page].status >= http.StatusInternalServerError:
		log.Error("approval not taken", zap.Error(err))
	default:
		log.Warn("approval not taken", zap.Error(err))
	}
	if approvalEndings[page].reason != "" {
		p.audit(r, visit, approvalRefusal(page, err))
	}
	told.Page, told.ID = page, w.Header().Get(requestIDHeader)
	plain, err := json.Marshal(told)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	http.SetCookie(w, &http.Cookie{
		Name: approvalCookie, Value: p.keys.Seal(approvalCookie, p.environment(), plain), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(approvalLifetime.Seconds()),
	})
	w.Header().Set("Location", p.base()+"/approval")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// approvalCookie holds, sealed, what the page tells; it proves nothing.
const approvalCookie = "__Host-erpsync-approval"

// approval tells the browser that came back from SuperID how its approval ended.
func (p *Pages) approval(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	var told approval
	sealed, err := gateway.OnlyCookie(r, approvalCookie)
	if err == nil {
		var plain []byte
		if plain, err = p.keys.Open(approvalCookie, p.environment(), sealed); err == nil {
			err = json.Unmarshal(plain, &told)
		}
	}
	if _, ok := approvalEndings[told.Page]; err != nil || !ok {
		return p.approvalEnded(w, r, visit, "approval_not_here", approval{}, cmp.Or(err, errors.New("the browser brings no approval that ended")))
	}
	return p.approvalEnded(w, r, visit, told.Page, told, fmt.Errorf("shows how the approval of request %s ended", told.ID))
}

// judge finds out how an approval ended, keeps the token, and chooses the page that says so.
func (p *Pages) judge(ctx context.Context, app *gateway.App, a loginState, answer url.Values, told *approval) (page string, identity superid.Identity, err error) {
	if code := answer.Get("error"); code != "" {
		told.Code = superid.Clean(code)
		return endingOf(superid.ReadApproval(code, answer.Get("error_description"))), identity, errors.New(told.Code + ": " + superid.Clean(answer.Get("error_description")))
	}
	if err = app.SuperID.CheckIssuer(answer); err != nil {
		return approvalFailed, identity, err
	}
	_, identity, err = app.SuperID.Exchange(ctx, a.signIn(), answer.Get("code"))
	app.SuperIDAnswered(err)
	var refused *superid.Error
	switch {
	case errors.Is(err, superid.ErrOtherTenant):
		return approvalOtherTenant, identity, err
	case errors.As(err, &refused) && refused.Kind == superid.Outage:
		return approvalUnavailable, identity, err
	case refused != nil && (refused.Kind == superid.Misconfigured || superid.ReadApproval(refused.Code, "") == superid.ApprovalUnregistered):
		told.Code = refused.Code
		return string(superid.ApprovalUnregistered), identity, err
	case err != nil:
		return approvalFailed, identity, err
	}
	told.Tenant = identity.Tenant
	if identity.SystemToken.IsZero() && !identity.Administrator {
		return string(superid.ApprovalNeedsAdministrator), identity, errors.New("signed in, and is no administrator")
	}
	if identity.SystemToken.IsZero() && p.works(ctx, app, identity.Tenant) {
		return approvalAlready, identity, errors.New("approved before, and SuperOffice takes what is kept")
	}
	if identity.SystemToken.IsZero() {
		return approvalNoSystem, identity, errors.New("an administrator signed in and no system token came")
	}
	// A tenant that the registry does not name is kept too, since the approval cannot be asked for again
	// and again; no call passes until the operator names it.
	grant, granted := app.Tenant(identity.Tenant)
	told.Granted, told.Suspended = granted, grant.Suspended
	auth.Retry(ctx, func() bool {
		err = app.Registry.Tokens.Keep(ctx, systemuser.Kept{Tenant: identity.Tenant, Token: identity.SystemToken, Since: time.Now().UTC(), By: auth.PersonName(identity.UPN, identity.AssociateID)})
		return err == nil
	})
	if err != nil {
		return approvalNotKept, identity, err
	}
	p.gateway.DropTicket(ctx, app, identity.Tenant, identity.SystemToken) // it may be the one that was refused
	if granted {
		p.gateway.Consented(app, identity.Tenant)
	}
	return approvalApproved, identity, nil
}

// approvalWait bounds what an administrator waits for.
const approvalWait = 30 * time.Second

// works reports whether the tenant's system token can be had, and SuperOffice has not refused it.
func (p *Pages) works(ctx context.Context, app *gateway.App, tenant superoffice.Tenant) bool {
	return app.Registry.HasSystemToken(ctx, tenant) && p.gateway.State().Health(app.Name, tenant).Consent != outcome.ConsentRequired
}
