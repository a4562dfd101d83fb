package report

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const statusTimeout = 20 * time.Second

// Status returns what is known of the tenants, or of the wanted one alone unless it is "". Nothing
// is asked but Caddy's storage. node names this process.
func (s *Sites) Status(ctx context.Context, node, wanted string) (Status, error) {
	var only superoffice.Tenant
	if wanted != "" {
		var ok bool
		if only, ok = superoffice.ParseTenant(wanted); !ok {
			return Status{}, errTenantForm(wanted)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status := Status{Node: node, Troubles: s.troubles(), Apps: []AppStatus{}}
	status.Gateways, status.GatewaysUnknown = s.gateways(ctx)
	if err := s.exchange(ctx); err != nil && status.GatewaysUnknown == "" {
		status.GatewaysUnknown = "what other gateways know of tenants may be missing: " + err.Error()
	}
	status.Troubles = append(status.Troubles, gatewayTroubles(status.Gateways)...)
	for _, app := range s.apps() {
		line := app.statusOf(ctx, only)
		if only == "" || len(line.Tenants) > 0 {
			status.Apps = merge(status.Apps, line)
		}
	}
	holds, err := s.holds(ctx)
	if err != nil { // people ask when something is down
		status.Troubles = append(status.Troubles, Trouble{"holds_unknown", nil, err.Error(), "calls get 503 store_unavailable: nobody knows what is on hold", "look at Caddy's storage and at the store; what cannot be restored is given up by caddy erpsync release --all --unreadable"})
	}
	status.Holds = slices.DeleteFunc(holds, func(h HoldStatus) bool { return only != "" && h.Tenant != "" && h.Tenant != string(only) })
	if only != "" && len(status.Apps) == 0 {
		return Status{}, notFound("no app is granted in %s, and none was approved there", only)
	}
	return status, nil
}

// merge adds an app's status, to that of another site where both know the same of the same tenants.
func merge(apps []AppStatus, line AppStatus) []AppStatus {
	for i := range apps {
		if apps[i].same(line) {
			apps[i].Sites = append(apps[i].Sites, line.Sites...)
			return apps
		}
	}
	return append(apps, line)
}

// same reports whether only the sites differ, and with them the links.
func (a AppStatus) same(b AppStatus) bool {
	return a.Environment == b.Environment && a.App == b.App && a.CallAs == b.CallAs && a.Remark == b.Remark && len(a.Sites) > 0 && len(b.Sites) > 0 &&
		slices.EqualFunc(a.Tenants, b.Tenants, func(x, y TenantStatus) bool {
			x.Approve, y.Approve = "", ""
			return reflect.DeepEqual(x, y)
		})
}

// statusOf returns the status of an app's tenants, or of one of them.
func (a siteApp) statusOf(ctx context.Context, only superoffice.Tenant) AppStatus {
	line := AppStatus{Environment: a.site.EnvironmentLabel(), App: a.Name, CallAs: string(a.CallAs), Tenants: []TenantStatus{}}
	if origin := a.site.Origin(); origin != "" {
		line.Sites = []string{origin}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tenants, err := a.tenants(ctx)
	if err != nil {
		cancel() // nor can their tokens be read, one after the other
	}
	if only != "" {
		known := slices.Contains(tenants, only) || a.granted(only) // tenant * names none
		if tenants = nil; known {
			tenants = []superoffice.Tenant{only}
		}
	}
	for _, tenant := range tenants {
		line.Tenants = append(line.Tenants, a.status(ctx, tenant))
	}
	line.Remark = a.remark()
	if err != nil { // what is known without it is reported all the same: people ask when something is down
		line.Remark = unlisted(err)
	}
	return line
}

// tenants returns the tenants that the registry names, whose token is kept, or that called since the gateway began.
// With an error of the storage, those that are known without it.
func (a siteApp) tenants(ctx context.Context) ([]superoffice.Tenant, error) {
	all := a.Registry.Named()
	var err error
	if a.Registry.Tokens != nil {
		var kept []superoffice.Tenant
		kept, err = a.Registry.Tokens.Tenants(ctx)
		for _, tenant := range kept {
			if _, named := all[tenant]; !named {
				all[tenant] = auth.TenantGrant{}
			}
		}
	}
	for _, tenant := range a.site.State().HealthTenants(a.Name) {
		if _, granted := a.Registry.Tenant(superoffice.Tenant(tenant)); granted {
			all[superoffice.Tenant(tenant)] = auth.TenantGrant{}
		}
	}
	return slices.Sorted(maps.Keys(all)), err
}

// status is what is known of one tenant.
func (a siteApp) status(ctx context.Context, tenant superoffice.Tenant) TenantStatus {
	grant, granted := a.Registry.Tenant(tenant)
	known := a.site.State().Health(a.Name, tenant)
	t := TenantStatus{
		Tenant: string(tenant), Name: grant.Name, Granted: granted, Suspended: grant.Suspended,
		Consent: string(known.Consent), ConsentSince: when(known.ConsentSince), Message: known.Message,
		InFlight: a.site.CallsInFlight(a.App, tenant), Last: callStatus(known.Last), Failed: callStatus(known.Failed), Succeeded: when(known.Succeeded),
		Unknown: callStatus(known.Unknown), Unknowns: known.Unknowns,
	}
	var stateErr error
	if location, ok := a.site.Location(tenant); ok {
		t.Host, t.State, stateErr = host(location.API), location.State, location.Err
	}
	var tokenErr error
	if a.CallAs == auth.AsSystem {
		var token auth.Secret
		token, tokenErr = a.tokenStatus(ctx, tenant, grant, &t)
		if ticket, ok := a.site.Ticket(a.App, tenant, token); ok {
			t.TicketSince = when(ticket.Minted)
		}
	}
	if t.TokenSince != nil && t.TokenSince.After(known.ConsentAsked) && known.Consent == outcome.ConsentRequired {
		t.Consent, t.Message, known.Consent = "", "", outcome.ConsentUnknown // that was about an earlier token
	}
	t.Attention, t.Remedy = attention(t, stateErr, tokenErr, known)
	if t.Unknown != nil { // whatever else there is, somebody has to look
		look := "look in SuperOffice whether request " + t.Unknown.RequestID + " ran before anybody repeats it"
		if t.Attention == "" || t.Failed != nil && (t.Attention == t.Failed.Outcome || t.Attention == t.Failed.Reason) {
			t.Attention, t.Remedy = AttentionUnknown, look
		} else {
			t.Remedy += "; and " + look
		}
	}
	switch t.Attention {
	case string(auth.NoSystemToken), string(auth.ConsentRequired), tokenUnreadable:
		t.Approve = a.site.ApproveURL(a.App, tenant)
	}
	return t
}

// tokenStatus returns the tenant's system token and where it is from. The error is the storage's.
func (a siteApp) tokenStatus(ctx context.Context, tenant superoffice.Tenant, grant auth.TenantGrant, t *TenantStatus) (auth.Secret, error) {
	t.Token = "configuration"
	if a.Registry.Tokens != nil {
		kept, found, err := a.Registry.Tokens.Fresh(ctx, tenant)
		switch {
		case errors.Is(err, systemuser.ErrUnreadable) && grant.SystemToken.IsZero():
			t.Token = "unreadable"
			return auth.Secret{}, nil
		case err != nil && grant.SystemToken.IsZero():
			t.Token = "unknown"
			return auth.Secret{}, err
		case err == nil && found:
			t.Token, t.TokenSince, t.ApprovedBy = "import", when(kept.Since), a.site.Config().Privacy.Principal(kept.By)
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
func attention(t TenantStatus, stateErr, tokenErr error, known outcome.TenantHealth) (what, remedy string) {
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
func (a siteApp) remark() string {
	refused, asked := 0, 0
	for _, tenant := range a.site.State().HealthTenants(a.Name) {
		switch a.site.State().Health(a.Name, superoffice.Tenant(tenant)).Consent {
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

func callStatus(c outcome.Call) *CallStatus {
	if c.At.IsZero() {
		return nil
	}
	return &CallStatus{At: c.At, RequestID: c.RequestID, Operation: c.Operation, Outcome: string(c.Outcome.Class), Reason: c.Reason, ErrorCode: c.Outcome.ErrorCode}
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
