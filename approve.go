package erpsync

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// takesApprovals tells that administrators can approve the app at this gateway.
func (a *App) takesApprovals() bool { return a.registry.kept != nil && a.superid != nil }

// approve is the link that a customer's administrator follows:
//
//	GET {prefix}/approve?app={name}&tenant={CustNNNNN}
//
// It leads to SuperID and back to approved. Without app it means the only one that takes approvals;
// without tenant the administrator chooses it at SuperID.
func (e *endpoints) approve(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	query := r.URL.Query()
	app := e.approvable(query.Get("app"))
	tenant, ok := superoffice.ParseTenant(query.Get("tenant"))
	if app == nil || !ok && query.Get("tenant") != "" {
		e.page(w, linkWrong, approval{})
		return nil
	}
	return e.begin(w, r, attempt{App: app.Name, Tenant: tenant, Approval: true})
}

// approvable finds the app that a link names.
func (e *endpoints) approvable(name string) (found *App) {
	for _, app := range e.h.Apps {
		if !app.takesApprovals() || name != "" && name != app.Name {
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
// browser gets no session: whoever approves is a guest here. It is sent on to a page of its own, so
// that no code stays in its address.
func (e *endpoints) approved(w http.ResponseWriter, a attempt, answer url.Values) *auth.Refusal {
	app := e.h.apps[a.App]
	told := approval{App: a.App, Tenant: a.Tenant, Redirect: a.Redirect}
	// SuperOffice may send the token this once only: an administrator who closes the window loses nothing.
	ctx, cancel := detached(approvalWait)
	defer cancel()
	page, identity, err := e.judge(ctx, app, a, answer, &told)
	log := e.h.logger.With(zap.String("request_id", w.Header().Get("ErpSync-Request-Id")), zap.String("app", a.App), zap.String("tenant", string(told.Tenant)), zap.String("result", page.name))
	switch {
	case page.name == approvedPage.name:
		log.Info("app approved: the tenant's system token is kept", zap.String("by", e.h.privacy.Principal(identity.UPN)), zap.Bool("granted", told.Granted))
	case page.status >= http.StatusInternalServerError:
		log.Error("approval not taken", zap.Error(err))
	default:
		log.Warn("approval not taken", zap.Error(err))
	}
	told.Page, told.ID = page.name, w.Header().Get("ErpSync-Request-Id")
	plain, err := json.Marshal(told)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	http.SetCookie(w, &http.Cookie{
		Name: approvalCookie, Value: e.h.ring.Seal(approvalCookie, []string{e.h.environment.Base()}, plain), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(approvalLifetime.Seconds()),
	})
	w.Header().Set("Location", e.prefix+"/approval")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// approvalCookie holds, sealed, what the page tells; it proves nothing.
const approvalCookie = "__Host-erpsync-approval"

// approval tells the browser that came back from SuperID what became of its approval.
func (e *endpoints) approval(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	var told approval
	sealed, err := onlyCookie(r, approvalCookie)
	if err == nil {
		var plain []byte
		if plain, err = e.h.ring.Open(approvalCookie, []string{e.h.environment.Base()}, sealed); err == nil {
			err = json.Unmarshal(plain, &told)
		}
	}
	page, ok := approvalPageNamed(told.Page)
	if err != nil || !ok {
		page = tooLate
	}
	e.page(w, page, told)
	return nil
}

// judge finds out what became of an approval, keeps the token, and chooses the page that says so.
func (e *endpoints) judge(ctx context.Context, app *App, a attempt, answer url.Values, told *approval) (approvalPage, superid.Identity, error) {
	if code := answer.Get("error"); code != "" {
		told.Code = superid.Clean(code)
		page, ok := approvalPages[superid.ReadApproval(code, answer.Get("error_description"))]
		if !ok {
			page = approvalPages[superid.ApprovalFailed]
		}
		return page, superid.Identity{}, errors.New(told.Code + ": " + superid.Clean(answer.Get("error_description")))
	}
	_, identity, err := app.superid.Exchange(ctx, a.signIn(), answer.Get("code"))
	var down *superid.Error
	switch {
	case errors.Is(err, superid.ErrOtherTenant):
		return otherTenant, identity, err
	case errors.As(err, &down) && !down.Fatal:
		return approvalPages[superid.ApprovalUnavailable], identity, err
	case err != nil:
		return approvalPages[superid.ApprovalFailed], identity, err
	}
	told.Tenant = identity.Tenant
	if identity.SystemToken.IsZero() && !identity.Administrator {
		return approvalPages[superid.ApprovalNeedsAdministrator], identity, errors.New("signed in, and is no administrator")
	}
	if identity.SystemToken.IsZero() && e.works(ctx, app, identity.Tenant) {
		return alreadyApproved, identity, errors.New("approved before, and SuperOffice takes what is kept")
	}
	if identity.SystemToken.IsZero() {
		return noSystemUser, identity, errors.New("an administrator signed in and no system token came")
	}
	// A tenant that the registry does not name is kept too, since the approval cannot be asked for again
	// and again; no call passes until the operator names it.
	grant, granted := app.grants.Tenant(identity.Tenant)
	told.Granted, told.Suspended = granted, grant.Suspended
	auth.Persist(ctx, func() bool {
		err = app.registry.kept.Keep(ctx, systemuser.Kept{Tenant: identity.Tenant, Token: identity.SystemToken, Since: time.Now().UTC(), By: identity.UPN})
		return err == nil
	})
	if err != nil {
		return notKept, identity, err
	}
	e.h.common.credentials.Forget(e.h.systemKey(ctx, app, identity.Tenant, identity.SystemToken)) // it may be the one that was refused
	if granted {
		e.h.consented(app, identity.Tenant)
	}
	return approvedPage, identity, nil
}

// approvalWait bounds what an administrator waits for.
const approvalWait = 30 * time.Second

// works tells that the tenant's system token is there, and that SuperOffice has not refused it.
func (e *endpoints) works(ctx context.Context, app *App, tenant superoffice.Tenant) bool {
	grant, _ := app.grants.Tenant(tenant)
	token, refusal := app.registry.systemToken(ctx, tenant, grant.SystemToken)
	return refusal == nil && !token.IsZero() && e.h.common.ledger.Standing(app.Name, string(tenant)).Consent != outcome.ConsentRequired
}
