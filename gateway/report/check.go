package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	checkTimeout   = time.Minute
	erpTimeout     = 5 * time.Minute // connectors take their time
	maxCheckAnswer = 1 << 20
)

// Check tries out whether an app can do its work in a tenant.
func (s *Sites) Check(ctx context.Context, request CheckRequest) (Check, error) {
	app, err := s.find(request.App, request.Environment)
	if err != nil {
		return Check{}, err
	}
	if app.site.Online() && request.Tenant == "" {
		return Check{}, fmt.Errorf("in which tenant? name one, such as caddy erpsync check %s Cust12345, or write --all", app.Name)
	}
	tenant, err := app.tenantOf(request.Tenant)
	if err != nil {
		return Check{}, err
	}
	timeout := checkTimeout
	if request.ERP {
		timeout = erpTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := &check{siteApp: app, tenant: tenant, erp: request.ERP}
	c.report = Check{App: app.Name, Environment: app.site.EnvironmentLabel(), Tenant: string(tenant), OK: true}
	c.run(ctx)
	app.site.Platform().Logger.Info("app checked", zap.String("app", app.Name), zap.String("tenant", string(tenant)), zap.Bool("ok", c.report.OK))
	return c.report, nil
}

func errTenantForm(tenant string) error {
	return fmt.Errorf("tenant %q: want the form Cust12345", tenant)
}

// check is one check on its way, step by step.
type check struct {
	siteApp
	tenant     superoffice.Tenant
	report     Check
	grant      auth.TenantGrant
	api        string
	token      auth.Secret
	approved   bool // the token came from an approval at this gateway
	credential auth.Credential

	erp         bool // ask for the ERP systems too
	connections []superoffice.Connection
}

// trouble is why a step failed, and what to do about it.
type trouble struct{ found, remedy string }

// checkStep is one step of a check, and when it applies.
type checkStep struct {
	name    string
	applies func(online bool, callAs auth.CallAs) bool
	try     func(*check, context.Context) (found string, failed *trouble)
	erp     bool // only if the ERP systems are asked for
}

var checkSteps = []checkStep{
	{"registry", func(bool, auth.CallAs) bool { return true }, (*check).registryStep, false},
	{"state", func(online bool, _ auth.CallAs) bool { return online }, (*check).stateStep, false},
	{"token", func(online bool, as auth.CallAs) bool { return online && as == auth.AsSystem }, (*check).tokenStep, false},
	{"credential", func(_ bool, as auth.CallAs) bool { return as != auth.AsUser }, (*check).credentialStep, false},
	{"agent", func(_ bool, as auth.CallAs) bool { return as != auth.AsUser }, (*check).agentStep, false},
	{"connections", func(_ bool, as auth.CallAs) bool { return as != auth.AsUser }, (*check).connectionsStep, false},
	{"erp", func(_ bool, as auth.CallAs) bool { return as != auth.AsUser }, (*check).erpStep, true},
}

// run takes one step after another, up to the first that fails.
func (c *check) run(ctx context.Context) {
	for _, step := range checkSteps {
		if !step.applies(c.site.Online(), c.CallAs) || step.erp && !c.erp {
			continue
		}
		began := time.Now()
		found, failed := step.try(c, ctx)
		line := Step{Name: step.name, OK: failed == nil, Found: found}
		if failed != nil {
			line.Found, line.Remedy = failed.found, failed.remedy
		}
		line.Seconds = time.Since(began).Seconds()
		c.report.Steps = append(c.report.Steps, line)
		if failed != nil {
			c.report.OK = false
			return
		}
	}
	if c.CallAs == auth.AsUser {
		c.report.Steps = append(c.report.Steps, Step{Name: "agent", OK: true, Skipped: true, Found: "not tried: call_as user needs a person. Sign in and call GetEngineStatus to see whether SuperOffice grants the agent"})
	}
}

// refusedBecause is a trouble that has a reason of its own.
func refusedBecause(reason auth.Reason, found string) *trouble {
	return &trouble{strings.TrimSpace(string(reason) + " " + found), reason.Remedy()}
}

func (c *check) registryStep(context.Context) (string, *trouble) {
	var granted bool
	c.grant, granted = c.Registry.Tenant(c.tenant)
	c.report.Name = c.grant.Name
	switch {
	case !slices.ContainsFunc(c.Agents, func(agent string) bool { return strings.EqualFold(agent, superoffice.Agent) }):
		return "", refusedBecause(auth.AgentNotGranted, "")
	case !granted:
		return "", refusedBecause(auth.TenantNotGranted, "")
	case c.grant.Suspended:
		return "", refusedBecause(auth.TenantSuspended, "")
	}
	var names []string
	for _, operation := range c.Operations {
		names = append(names, operation.String())
	}
	return "agents ErpSync, operations " + strings.Join(names, " "), nil
}

func (c *check) stateStep(ctx context.Context) (string, *trouble) {
	c.charge()
	before, known := c.site.Location(c.tenant)
	location := c.site.Locate(ctx, c.tenant)
	var stopped *superoffice.NotRunningError
	var untrusted *superoffice.HostNotTrustedError
	switch err := location.Err; {
	case errors.As(err, &stopped):
		return "", refusedBecause(auth.TenantNotRunning, "("+stopped.State+")")
	case errors.As(err, &untrusted):
		return "", refusedBecause(auth.HostNotTrusted, "("+untrusted.Error()+")")
	case errors.Is(err, superoffice.ErrTenantUnknown):
		return "", refusedBecause(auth.TenantUnknown, "")
	case err != nil:
		return "", refusedBecause(auth.StateUnavailable, "("+err.Error()+")")
	}
	c.api = location.API
	found := location.State + " at " + host(location.API)
	if known && before.API != "" && before.API != location.API {
		found += ", moved from " + host(before.API)
	}
	return found, nil
}

func (c *check) tokenStep(ctx context.Context) (string, *trouble) {
	found := "from the configuration"
	c.token = c.grant.SystemToken
	if c.Registry.Tokens != nil {
		kept, isKept, err := c.Registry.Tokens.Fresh(ctx, c.tenant)
		switch {
		case errors.Is(err, systemuser.ErrUnreadable) && c.token.IsZero():
			return "", &trouble{err.Error(), "put that key back under keys, or have the tenant's administrator approve again: " + c.site.ApproveURL(c.App, c.tenant)}
		case err != nil && c.token.IsZero():
			return "", &trouble{err.Error(), "look at Caddy's storage"}
		case err == nil && isKept:
			c.token, c.approved = kept.Token, kept.By != ""
			found = map[bool]string{true: "from an approval", false: "imported"}[c.approved] + " on " + kept.Since.Format(time.DateOnly)
		}
	}
	if c.token.IsZero() {
		refused := refusedBecause(auth.NoSystemToken, "")
		refused.remedy += " " + c.site.ApproveURL(c.App, c.tenant)
		return "", refused
	}
	return found, nil
}

// credentialStep has a new credential minted, and calls use it from now on.
func (c *check) credentialStep(ctx context.Context) (string, *trouble) {
	c.charge()
	var refusal *auth.Refusal
	if c.CallAs == auth.AsAccount {
		c.api = c.site.Config().Upstream
		c.credential, refusal = c.site.MintAccountBearer(ctx, c.App)
	} else {
		c.credential, refusal = c.site.MintTicket(ctx, c.App, c.tenant, c.token)
	}
	if refusal != nil {
		failed := refusedBecause(refusal.Reason, "("+fmt.Sprint(refusal.Cause)+")")
		if refusal.Reason == auth.ConsentRequired {
			failed.remedy += " " + c.site.ApproveURL(c.App, c.tenant)
			if !c.approved {
				failed.remedy += " (or import the right token: this one came from no approval here)"
			}
		}
		return "", failed
	}
	return fmt.Sprintf("a new %s of the %s, good until %s", c.credential.Kind, c.credential.Owner, c.credential.Expires.Format(time.TimeOnly)), nil
}

// agentStep asks the restricted agent the one question that moves nothing.
func (c *check) agentStep(ctx context.Context) (string, *trouble) {
	status, body, err := c.ask(ctx, http.MethodPost, "/v1/Agents/ErpSync/"+superoffice.GetEngineStatus.String())
	switch {
	case err != nil:
		return "", refusedBecause(auth.UpstreamUnreachable, "("+err.Error()+")")
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		found := fmt.Sprintf("SuperOffice takes the credential and refuses the agent (HTTP %d)", status)
		if !c.site.Online() {
			return "", &trouble{found, "look at the rights of the service account in SuperOffice, and whether the licence has ERP synchronisation"}
		}
		return "", &trouble{found, "ask SuperOffice's app manager to grant the ErpSync agent to the app's registration (a 401 may also mean that client_secret is not the one of this registration); until then no call can succeed in any tenant"}
	case status != http.StatusOK:
		return "", &trouble{fmt.Sprintf("GetEngineStatus answered HTTP %d", status), auth.UpstreamAnswerRefused.Remedy() + "; try again, then ask SuperOffice"}
	}
	return fmt.Sprintf("SuperOffice grants the agent; GetEngineStatus answered %d bytes", len(body)), nil
}

// connectionsStep names the ERP connections, and which of them the registry keeps the app from.
func (c *check) connectionsStep(ctx context.Context) (string, *trouble) {
	status, body, err := c.ask(ctx, http.MethodGet, "/v1/MDOList/erpconnections")
	var all []superoffice.Connection
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("HTTP %d", status)
	}
	if err == nil {
		all, err = superoffice.ParseConnections(body)
	}
	if err != nil {
		return "", &trouble{"the connections cannot be listed: " + err.Error(), "the agent itself answers; look at the audit lines of its calls"}
	}
	if len(all) == 0 {
		return "", &trouble{"the tenant has no ERP connection", "have the tenant's administrator set one up in SuperOffice"}
	}
	c.connections = all
	names := make([]string, len(all))
	for i, connection := range all {
		names[i] = fmt.Sprintf("%d %s", connection.ID, superid.Clean(connection.Name))
		if !c.admits(connection.ID) {
			names[i] += " (not among connections)"
		}
	}
	return strings.Join(names, ", "), nil
}

// admits reports whether the app may use a connection.
func (c *check) admits(connection int32) bool {
	admitted := c.Connections
	if c.grant.Connections != nil {
		admitted = c.grant.Connections
	}
	return admitted.Admits(connection)
}

// ask sends one request with the credential, as a call would be sent.
func (c *check) ask(ctx context.Context, method, path string) (status int, body []byte, err error) {
	return c.askWith(ctx, method, path, "")
}

// askWith is ask with a body in JSON.
func (c *check) askWith(ctx context.Context, method, path, document string) (status int, body []byte, err error) {
	c.charge()
	req, err := http.NewRequestWithContext(ctx, method, c.api+path, strings.NewReader(document))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "caddy-erpsync")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	c.credential.Write(req.Header, c.AppToken())
	resp, err := c.site.Client().Do(req)
	if err != nil {
		if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
			err = withURL.Err
		}
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxCheckAnswer))
	return resp.StatusCode, body, err
}

// charge charges a request to the app's rate in the tenant, as the vendor will.
func (c *check) charge() {
	c.report.Calls++
	c.site.Charge(c.App, c.tenant)
}
