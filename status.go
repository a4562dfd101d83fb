package erpsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const statusTimeout = 20 * time.Second

// adminStatus tells what the gateway knows of the tenants. Nobody is asked but Caddy's storage.
func adminStatus(r *http.Request) (any, error) {
	var wanted superoffice.Tenant
	if named := r.URL.Query().Get("tenant"); named != "" {
		var ok bool
		if wanted, ok = superoffice.ParseTenant(named); !ok {
			return nil, fmt.Errorf("tenant %q: want the form Cust12345", named)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	status := operator.Status{Node: instance(), Apps: []operator.AppStatus{}}
	for _, app := range running.apps() {
		tenants, err := app.tenants(ctx)
		if err != nil {
			cancel() // nor can their tokens be read, one after the other
		}
		told := operator.AppStatus{Environment: app.h.place(), App: app.Name, Site: app.h.site(), CallAs: string(app.grants.CallAs), Tenants: []operator.TenantStatus{}}
		if wanted != "" {
			known := slices.Contains(tenants, wanted) || app.grantsTenant(wanted) // tenant * names none
			if tenants = nil; known {
				tenants = []superoffice.Tenant{wanted}
			}
		}
		for _, tenant := range tenants {
			told.Tenants = append(told.Tenants, app.status(ctx, tenant))
		}
		told.Remark = app.remark()
		if err != nil { // what is known without it is told all the same: people ask when something is down
			told.Remark = unlisted(err)
		}
		if wanted == "" || len(told.Tenants) > 0 {
			status.Apps = append(status.Apps, told)
		}
	}
	if wanted != "" && len(status.Apps) == 0 {
		return nil, notFound("no app is granted in %s, and none was approved there", wanted)
	}
	return status, nil
}

// tenants lists the tenants that the registry names, whose token is kept, or that called since the gateway began.
// With an error of the storage, those that are known without it.
func (a runningApp) tenants(ctx context.Context) ([]superoffice.Tenant, error) {
	all := a.registry.named()
	var err error
	if a.registry.kept != nil {
		var kept []superoffice.Tenant
		kept, err = a.registry.kept.Tenants(ctx)
		for _, tenant := range kept {
			if _, named := all[tenant]; !named {
				all[tenant] = auth.TenantGrant{}
			}
		}
	}
	for _, tenant := range a.h.common.ledger.Tenants(a.Name) {
		if _, granted := a.registry.tenant(superoffice.Tenant(tenant)); granted {
			all[superoffice.Tenant(tenant)] = auth.TenantGrant{}
		}
	}
	return slices.Sorted(maps.Keys(all)), err
}

// status is what is known of one tenant.
func (a runningApp) status(ctx context.Context, tenant superoffice.Tenant) operator.TenantStatus {
	grant, granted := a.registry.tenant(tenant)
	known := a.h.common.ledger.Standing(a.Name, string(tenant))
	t := operator.TenantStatus{
		Tenant: string(tenant), Name: grant.Name, Granted: granted, Suspended: grant.Suspended,
		Consent: string(known.Consent), ConsentSince: when(known.ConsentSince), Message: known.Message,
		InFlight: a.h.common.meter.InFlight(a.Name, string(tenant)), Last: callStatus(known.Last), Failed: callStatus(known.Failed), Succeeded: when(known.Succeeded),
	}
	var stateErr error
	if a.h.locator == nil {
		t.Host = host(a.h.upstreamAPI)
	} else if location, ok := a.h.locator.Known(tenant); ok {
		t.Host, t.State, stateErr = host(location.API), location.State, location.Err
	}
	var tokenErr error
	if a.grants.CallAs == auth.AsSystem {
		var token auth.Secret
		token, tokenErr = a.tokenStatus(ctx, tenant, grant, &t)
		name := auth.Key(append(a.h.systemParts(a.App, tenant, token), a.h.lastMark(a.App, tenant))...)
		if ticket, ok := a.h.common.credentials.Look(name); ok {
			t.TicketSince = when(ticket.Minted)
		}
	}
	if t.TokenSince != nil && t.TokenSince.After(known.ConsentAsked) && known.Consent == outcome.ConsentRequired {
		t.Consent, t.Message, known.Consent = "", "", outcome.ConsentUnknown // that was about an earlier token
	}
	t.Attention, t.Remedy = attention(t, stateErr, tokenErr, known)
	switch t.Attention {
	case string(auth.NoSystemToken), string(auth.ConsentRequired), tokenUnreadable:
		t.Approve = a.h.approveURL(a.App, tenant)
	}
	return t
}

// tokenStatus tells where the tenant's system token is from, and gives it. The error is the storage's.
func (a runningApp) tokenStatus(ctx context.Context, tenant superoffice.Tenant, grant auth.TenantGrant, t *operator.TenantStatus) (auth.Secret, error) {
	t.Token = "configuration"
	if a.registry.kept != nil {
		kept, there, err := a.registry.kept.Fresh(ctx, tenant)
		switch {
		case errors.Is(err, systemuser.ErrUnreadable) && grant.SystemToken.IsZero():
			t.Token = "unreadable"
			return auth.Secret{}, nil
		case err != nil && grant.SystemToken.IsZero():
			t.Token = "unknown"
			return auth.Secret{}, err
		case err == nil && there:
			t.Token, t.TokenSince, t.ApprovedBy = "import", when(kept.Since), a.h.privacy.Principal(kept.By)
			if kept.By != "" {
				t.Token = "approval"
			}
			if t.Name == "" {
				t.Name = kept.Name
			}
			return kept.Token, nil
		}
	}
	if grant.SystemToken.IsZero() {
		t.Token = "none"
	}
	return grant.SystemToken, nil
}

// tokenUnreadable is what needs attention where a kept token cannot be opened.
const tokenUnreadable = "token_unreadable"

// attention finds the one thing that somebody has to do something about, and what.
func attention(t operator.TenantStatus, stateErr, tokenErr error, known outcome.Standing) (what, remedy string) {
	var untrusted *superoffice.HostNotTrustedError
	var stopped *superoffice.NotRunningError
	of := func(reason auth.Reason) (string, string) { return string(reason), reason.Remedy() }
	switch {
	case t.Suspended:
		return "", ""
	case !t.Granted: // nobody's calls fail: somebody approved, or the tenant left
		return "", "name it under tenant or in the tenants file to admit it, or forget its token: caddy erpsync tenants remove"
	case tokenErr != nil:
		return of(auth.StoreUnavailable)
	case t.Token == "unreadable":
		return tokenUnreadable, "put the key that sealed it back under keys, or have the tenant's administrator approve again"
	case t.Token == "none":
		return of(auth.NoSystemToken)
	case known.Consent == outcome.ConsentRequired:
		return of(auth.ConsentRequired)
	case errors.As(stateErr, &untrusted):
		return of(auth.HostNotTrusted)
	case errors.As(stateErr, &stopped):
		return of(auth.TenantNotRunning)
	case errors.Is(stateErr, superoffice.ErrTenantUnknown):
		return of(auth.TenantUnknown)
	case known.Failed.At.After(known.Succeeded) && known.Failed.Outcome.Class != "" && known.Failed.Reason == "":
		return string(known.Failed.Outcome.Class), known.Failed.Outcome.Class.Remedy()
	case known.Failed.At.After(known.Succeeded):
		return of(auth.Reason(known.Failed.Reason))
	}
	return "", ""
}

// unlisted says what is missing while the storage gives no answer.
func unlisted(err error) string {
	return "The tenants whose system token is kept cannot be listed: " + err.Error()
}

// remark is what the tenants say together.
func (a runningApp) remark() string {
	refused, asked := 0, 0
	for _, tenant := range a.h.common.ledger.Tenants(a.Name) {
		switch a.h.common.ledger.Standing(a.Name, tenant).Consent {
		case outcome.ConsentRequired:
			refused++
			asked++
		case outcome.Approved:
			asked++
		}
	}
	if refused > 1 && refused == asked {
		return "SuperOffice refuses the system user in every tenant that was asked for: look at the app's client secret and private key before you ask anybody to approve."
	}
	return ""
}

func callStatus(c outcome.Call) *operator.CallStatus {
	if c.At.IsZero() {
		return nil
	}
	return &operator.CallStatus{At: c.At, RequestID: c.RequestID, Operation: c.Operation, Outcome: string(c.Outcome.Class), Reason: c.Reason, ErrorCode: c.Outcome.ErrorCode}
}

// when is a time that may not have come.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// host is the host of a URL of ours; "" for "".
func host(api string) string {
	u, err := url.Parse(api)
	if err != nil {
		return ""
	}
	return u.Host
}
