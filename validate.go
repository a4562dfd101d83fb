package erpsync

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// validate refuses what can be seen to be wrong from the text alone: no file is read and
// nothing is asked. A Caddyfile is judged by it where it ends; a JSON configuration before it is provisioned.
// An error begins with the options that lead to the mistake, by which locate finds its line.
func (h *Handler) validate() error {
	if err := h.validateSite(); err != nil {
		return err
	}
	if len(h.Apps) == 0 {
		return errors.New("no app is configured, so that every call would be refused: add app <name> { … }")
	}
	for i, app := range h.Apps {
		if slices.ContainsFunc(h.Apps[:i], func(other *App) bool { return other.Name == app.Name }) {
			return fmt.Errorf("app %s: configured twice", app.Name)
		}
		if err := app.validate(h); err != nil {
			return fmt.Errorf("app %s: %w", app.Name, err)
		}
	}
	if _, err := h.public(); err != nil {
		return err
	}
	if err := h.validateBrowser(); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	if err := h.Guard.validate(); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if _, err := h.Audit.privacy(nil); err != nil {
		return err
	}
	if _, err := h.issuers(); err != nil {
		return err
	}
	return h.validateReach()
}

// validateSite judges where SuperOffice is.
func (h *Handler) validateSite() error {
	if h.Upstream == "" {
		if h.Environment == "" {
			return nil
		}
		_, err := superoffice.NewEnvironment(h.Environment, h.APIOrigins...)
		return err
	}
	if h.Environment != "" {
		return errors.New("upstream and environment exclude each other: upstream is for onsite, environment for Online")
	}
	_, err := parseUpstream(h.Upstream)
	return err
}

// public returns public_url without a slash at its end; nil if there is none.
func (h *Handler) public() (*url.URL, error) {
	if h.PublicURL == "" {
		return nil, nil //nolint:nilnil // none is a value
	}
	u, err := url.Parse(strings.TrimSuffix(h.PublicURL, "/"))
	if err == nil {
		if _, bad := auth.NewOrigins(u.Scheme + "://" + u.Host); bad == "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && !strings.Contains(u.EscapedPath(), "%") && u.String() == strings.TrimSuffix(h.PublicURL, "/") {
			return u, nil
		}
	}
	return nil, fmt.Errorf("public_url %q: want scheme://host[:port][/path] in lower case, without a default port, https beyond loopback", h.PublicURL)
}

// apiVersion is the end of an address that is more than the host and directory of a WebAPI.
var apiVersion = regexp.MustCompile(`(?i)/api/v\d+(/.*)?$`)

// parseUpstream returns the URL of an onsite WebAPI's host and directory, without /api.
func parseUpstream(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.EscapedPath(), "%") {
		return nil, fmt.Errorf("upstream %q: want the plain URL of the WebAPI's host and directory, for example https://crm.example.com/crm7", raw)
	}
	if apiVersion.MatchString(u.Path) {
		return nil, fmt.Errorf("upstream %q: leave out %s; the gateway adds it", raw, apiVersion.FindString(u.Path))
	}
	u.Path = strings.TrimSuffix(u.Path, "/api")
	return u, nil
}

// restrictedAgents are those that SuperOffice grants to apps one by one.
var restrictedAgents = []string{"CRMScript", "DocumentMigration", "EMail", superoffice.Agent, "Messaging", "Replication", "User", "Webhook"}

func (a *App) validate(h *Handler) error {
	for _, agent := range a.Agents {
		if !slices.Contains(restrictedAgents, agent) {
			return fmt.Errorf("agents: there is no restricted agent %q%s", agent, nearest.Hint(agent, restrictedAgents))
		}
	}
	online := h.Upstream == ""
	if !online && (len(a.Tenants) > 0 || a.TenantsFile != "") {
		return errors.New("tenant: an onsite installation has none")
	}
	if _, err := operations(a.Operations); err != nil {
		return err
	}
	if _, err := connections(a.Connections); err != nil {
		return err
	}
	if err := resyncAll(a.ResyncAll); err != nil {
		return err
	}
	if a.PKCE != "" && a.PKCE != pkceOff {
		return fmt.Errorf("pkce %q: want off, or leave it out", a.PKCE)
	}
	if a.Idempotency != "" && a.Idempotency != idempotencyRequired {
		return fmt.Errorf("idempotency %q: want required; how long answers are kept is an option of guard", a.Idempotency)
	}
	if a.Lookups != "" && a.Lookups != lookupsOn {
		return fmt.Errorf("lookups %q: want on, or leave it out", a.Lookups)
	}
	for _, t := range a.Tenants {
		if err := t.validate(); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
	}
	if err := validateUsers(a.Users, online); err != nil {
		return err
	}
	if err := a.validateTenantStatus(online); err != nil {
		return fmt.Errorf("tenant_status: %w", err)
	}
	if err := a.validateCallAs(online); err != nil {
		return err
	}
	if online && len(a.Tenants) == 0 && a.TenantsFile == "" {
		return errors.New("no tenant is named, so that every call would be refused: add tenant <CustNNNNN>, tenant *, or tenants file <path>")
	}
	return nil
}

func (t *Tenant) validate() error {
	if _, ok := superoffice.ParseTenant(t.Name); !ok && t.Name != "*" {
		return errors.New("want the form Cust12345, or *")
	}
	if t.Name == "*" && t.SystemToken != "" {
		return errors.New("a system token belongs to one tenant: name it")
	}
	if _, err := connections(t.Connections); err != nil {
		return err
	}
	return resyncAll(t.ResyncAll)
}

// longestUpgrade bounds tenant_status upgrade_for: a tenant that is away for longer is another matter.
const longestUpgrade = 24 * time.Hour

func (a *App) validateTenantStatus(online bool) error {
	t := a.TenantStatus
	switch {
	case t == nil:
		return nil
	case !online:
		return errors.New("SuperOffice sends notices of Online's tenants only")
	case a.ClientID == "":
		return errors.New("needs client_id, which says for which app a notice is")
	case t.UpgradeFor < 0 || time.Duration(t.UpgradeFor) > longestUpgrade:
		return fmt.Errorf("upgrade_for %s: want a duration of up to %s", time.Duration(t.UpgradeFor), longestUpgrade)
	}
	return nil
}

// longestWait bounds guard wait: a caller that waits longer has gone.
const longestWait = 5 * time.Minute

// pkceOff is the word for an app that signs people in without PKCE.
const pkceOff = "off"

// idempotencyRequired is the word for an app whose calls need an Idempotency-Key.
const idempotencyRequired = "required"

// lookupsOn is the word for an app whose callers may look up internal keys.
const lookupsOn = "on"

const (
	everybody      = "all"
	administrators = "administrators"
)

// associate is a person by the id that SuperOffice gave them, for whom no UPN is known.
var associate = regexp.MustCompile(`^associate:[1-9][0-9]*$`)

// validateUsers refuses words that are neither a role nor a person. Onsite, people have plain logon names,
// so that only a misspelled role can be told.
func validateUsers(users []string, online bool) error {
	roles := []string{everybody, administrators}
	for _, user := range users {
		switch {
		case slices.Contains(roles, user):
			if len(users) > 1 {
				return fmt.Errorf("users: %s stands alone, without further names", user)
			}
		case strings.Contains(user, "@"), associate.MatchString(user):
		case !online && nearest.Word(user, roles) == "" && !strings.HasPrefix(administrators, strings.TrimSuffix(user, "s")):
		default:
			meant := nearest.Word(user, roles)
			if meant == "" && strings.HasPrefix(administrators, strings.TrimSuffix(strings.ToLower(user), "s")) {
				meant = administrators
			}
			if meant != "" {
				meant = "; did you mean " + meant + "?"
			}
			return fmt.Errorf("users: %q is neither administrators nor all, a UPN (tove@example.com) or associate:<id>%s", user, meant)
		}
	}
	return nil
}

func (a *App) validateCallAs(online bool) error {
	switch auth.CallAs(a.CallAs) {
	case "", auth.AsUser:
	case auth.AsSystem:
		if !online {
			return errors.New("call_as system: the system user is Online's; onsite, use call_as account")
		}
		if a.ClientSecret == "" || a.PrivateKey == "" {
			return errors.New("call_as system needs client_secret and private_key")
		}
	case auth.AsAccount:
		if online {
			return errors.New("call_as account: SuperOffice Online takes no service account; use call_as user or system")
		}
		if a.AccountUser == "" || a.AccountPassword == "" || strings.Contains(a.AccountUser, ":") {
			return errors.New("call_as account needs a user name without a colon and a password")
		}
	default:
		return fmt.Errorf("call_as %q: want user, system or account", a.CallAs)
	}
	return nil
}

// onlyApp returns the app of that name, or the only one there is for "".
func (h *Handler) onlyApp(name string) (*App, error) {
	if name == "" && len(h.Apps) == 1 {
		return h.Apps[0], nil
	}
	if name == "" {
		return nil, errors.New("say which app it is for: app <name>")
	}
	var names []string
	for _, app := range h.Apps {
		if app.Name == name {
			return app, nil
		}
		names = append(names, app.Name)
	}
	return nil, fmt.Errorf("app %q: no app has that name%s", name, nearest.Hint(name, names))
}

func (h *Handler) validateBrowser() error {
	b := h.Browser
	if b == nil {
		return nil
	}
	if h.Upstream != "" {
		return errors.New("sign-in with SuperID is for Online; onsite, let SuperOffice's own session in: superoffice session")
	}
	if h.SuperOffice.takes("session") {
		return errors.New("cannot be combined with superoffice session: both would use the cookie XSRF-TOKEN on this host")
	}
	app, err := h.onlyApp(b.App)
	if err != nil {
		return err
	}
	if app.ClientID == "" || app.ClientSecret == "" {
		return fmt.Errorf("app %s needs client_id and client_secret", app.Name)
	}
	if err := h.validatePrefix(); err != nil {
		return err
	}
	idle, lifetime := time.Duration(b.Idle), time.Duration(b.Lifetime)
	if target := b.PostLogoutRedirect; target != "" {
		if u, err := url.Parse(target); err != nil || u.Scheme != "https" && !auth.Loopback(u.Hostname()) || u.Host == "" || u.User != nil {
			return fmt.Errorf("post_logout_redirect %q: want an https URL that is registered with SuperOffice for the app", target)
		}
	}
	if idle < 0 || lifetime < 0 || b.Sessions < 0 {
		return errors.New("idle, lifetime, sessions: below zero")
	}
	orDefault(&lifetime, session.DefaultLifetime)
	if idle > lifetime {
		return fmt.Errorf("idle %s is longer than lifetime %s, which ends every session", idle, lifetime)
	}
	if _, bad := auth.NewOrigins(b.Origins...); bad != "" {
		return fmt.Errorf("origins %q: want scheme://host[:port] in lower case, without a default port, https beyond loopback", bad)
	}
	for _, name := range b.AllowHeaders {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("allow_headers %q: want the name of a header", name)
		}
	}
	return nil
}

// validatePrefix refuses a prefix below which calls of the agent, or the WebAPI itself, would be looked for.
func (h *Handler) validatePrefix() error {
	prefix := h.Browser.Prefix
	if prefix == "" {
		return nil
	}
	if !strings.HasPrefix(prefix, "/") || strings.ContainsAny(prefix, "%?#;\\ ") || strings.Contains(prefix, "//") || prefix == "/" {
		return fmt.Errorf("prefix %q: want a plain path such as /erpsync", prefix)
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(prefix, "/"), "/")
	_, tenant := superoffice.ParseTenant(first)
	if _, verdict := superoffice.OnlinePaths().Read(prefix + "/sign-in"); tenant || strings.EqualFold(first, "api") || verdict != superoffice.NotOurs {
		return fmt.Errorf("prefix %q lies among the paths of SuperOffice's WebAPI; take another, such as /erpsync", prefix)
	}
	return nil
}

// leastBody is the smallest bound of a body that lets a call with some keys in.
const leastBody = 256

func (g *Guard) validate() error {
	if wait := time.Duration(g.Wait); wait < 0 || wait > longestWait {
		return fmt.Errorf("wait %s: want a duration of up to %s; callers would give up", wait, longestWait)
	}
	if g.MaxBody < 0 || g.BodyTimeout < 0 || g.CoolDown < 0 || g.Idempotency < 0 {
		return errors.New("max_body, body_timeout, cool_down, idempotency: below zero")
	}
	if g.MaxBody > 0 && g.MaxBody < leastBody {
		return fmt.Errorf("max_body %s: no call fits into it; write the unit, such as 2MiB", humanize.IBytes(uint64(g.MaxBody)))
	}
	return nil
}

// validateReach refuses an app that no caller can reach.
func (h *Handler) validateReach() error {
	reached := make(map[string]bool)
	reach := func(option, name string) error {
		app, err := h.onlyApp(name)
		if err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
		reached[app.Name] = true
		return nil
	}
	if h.Browser != nil {
		if err := reach("browser", h.Browser.App); err != nil {
			return err
		}
	}
	if h.SuperOffice != nil {
		if len(h.SuperOffice.Schemes) == 0 {
			return errors.New("superoffice: names no scheme; want some of session, bearer, soticket, basic")
		}
		if err := reach("superoffice", h.SuperOffice.App); err != nil {
			return err
		}
	}
	for _, issuer := range h.Issuers {
		if issuer.AppClaim != "" {
			return nil // the token names the app
		}
		if err := reach("jwt "+issuer.Issuer, issuer.App); err != nil {
			return err
		}
	}
	for _, app := range h.Apps {
		if !reached[app.Name] {
			return fmt.Errorf("app %s: no caller can reach it: add browser, jwt or superoffice with app %[1]s", app.Name)
		}
	}
	return nil
}
