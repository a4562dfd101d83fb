package erpsync

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/secret"
	"github.com/caddy-erpsync/caddy-erpsync/internal/transport"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// builder makes a gateway's configuration of a handler's, which it does not change.
type builder struct {
	*server
	h        *Handler
	config   gateway.Config
	platform gateway.Platform
}

// newRuntime builds what a handler needs at work.
func newRuntime(h *Handler, s *server) (*handlerRuntime, error) {
	b := &builder{server: s, h: h}
	if err := b.build(); err != nil {
		return nil, err
	}
	state, release, err := b.sharedState()
	if err != nil {
		return nil, err
	}
	journal, releaseJournal, err := s.history.take()
	if err != nil {
		release()
		return nil, err
	}
	b.platform.History = journal
	notifier, releaseNotifier, err := b.takeNotifier(state)
	if err != nil {
		release()
		releaseJournal()
		return nil, err
	}
	b.platform.Notices = notifier
	releaseAll := func() { releaseNotifier(); release(); releaseJournal() } // the notifier writes what it saw last into the state's store
	g, err := gateway.New(b.config, b.platform, state)
	if err != nil {
		releaseAll()
		return nil, err
	}
	r := &handlerRuntime{gateway: g, logger: s.logger, grace: s.grace, release: releaseAll}
	r.checkPlace = func() error { return s.checkPlace(h) }
	if notifier != nil {
		r.notify = func() func() { return notifier.Start(g.NoticeSettings(s.notices.settings)) }
	}
	r.probes = probe.NewDesk(g)
	r.site = &report.Site{Gateway: g, Probes: r.probes, Origin: func() string { return s.publicOrigin(h) }}
	endpoints := b.pages()
	endpoints.Probes = r.probes
	r.pages = pages.New(g, endpoints)
	return r, nil
}

func (b *builder) build() (err error) {
	h := b.h
	if err := b.upstream(); err != nil {
		return err
	}
	if b.platform, err = b.newPlatform(); err != nil {
		return err
	}
	if b.config.Keys, err = b.keys(); err != nil {
		return err
	}
	if b.config.Privacy, err = h.Audit.privacy(b.config.Keys[0]); err != nil {
		return err
	}
	if h.Audit.Required && b.platform.Audit.Check(zap.InfoLevel, "") == nil {
		return errors.New("audit: required: no log takes the logger " + outcome.AuditLogger + " at level INFO")
	}
	b.config.AuditRequired = h.Audit.Required
	b.config.KeepSelect, b.config.ForwardTrace = h.Audit.KeepSelect, h.Audit.ForwardTrace
	b.config.StrictStore = h.Store.Strict
	h.Guard.build(&b.config)
	for _, app := range h.Apps {
		config, err := b.app(app)
		if err != nil {
			return fmt.Errorf("app %s: %w", app.Name, err)
		}
		b.config.Apps = append(b.config.Apps, config)
	}
	if b.config.Issuers, err = h.issuers(); err != nil {
		return err
	}
	for _, issuer := range b.config.Issuers {
		if u, err := url.Parse(issuer.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			b.logger.Warn("issuer is no URL; it must be exactly the iss of its tokens", zap.String("issuer", issuer.Issuer))
		}
	}
	if public, _ := h.public(); public != nil {
		b.config.Base = public.Path
	}
	if err := b.superOffice(); err != nil {
		return fmt.Errorf("superoffice: %w", err)
	}
	if err := b.browser(); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	if public, _ := h.public(); public != nil {
		b.config.Origins = b.config.Origins.At(public.Scheme + "://" + public.Host)
	}
	b.config.Links.Approve = func(app string, tenant superoffice.Tenant) string {
		return b.publicOrigin(h) + pages.ApprovePath(b.pages().Prefix, app, tenant)
	}
	b.config.Links.Calls = b.config.Base + pages.CallsPath(b.pages().Prefix)
	b.config.Links.Probe = func(key string) string { return b.publicOrigin(h) + pages.ProbePath(b.pages().Prefix, key) }
	return nil
}

// keys returns the secrets that everything of the gateway's own is sealed under: those that are
// configured, or one that Caddy's storage keeps.
func (b *builder) keys() (keys [][]byte, err error) {
	for _, raw := range b.h.Keys {
		key, err := secret.Open("keys", raw, b.logger)
		if err != nil {
			return nil, err
		}
		keys = append(keys, []byte(key.Get().Reveal()))
	}
	if len(keys) > 0 {
		return keys, nil
	}
	key, err := secret.KeptKey(b.ctx, b.storage)
	if err != nil {
		return nil, fmt.Errorf("keys: none is configured, and Caddy's storage does not keep one: %w", err)
	}
	return [][]byte{key}, nil
}

func (b *builder) upstream() (err error) {
	h := b.h
	if h.Upstream == "" {
		name := h.Environment
		if name == "" {
			name = "online"
		}
		b.config.Paths = superoffice.OnlinePaths()
		b.config.Environment, err = superoffice.NewEnvironment(name, h.APIOrigins...)
		return err
	}
	u, err := parseUpstream(h.Upstream)
	if err != nil {
		return err
	}
	if u.Scheme == "http" {
		b.logger.Warn("upstream is plain http: credentials and answers can be read on the way", zap.String("upstream", h.Upstream))
	}
	b.config.Paths, b.config.Upstream = superoffice.OnsitePaths(u.Path), u.String()+"/api"
	return nil
}

func (b *builder) online() bool { return b.config.Upstream == "" }

func (b *builder) newPlatform() (gateway.Platform, error) {
	metrics, err := outcome.NewMetrics(b.ctx.GetMetricsRegistry())
	if err == nil {
		err = build.Register(b.ctx.GetMetricsRegistry())
	}
	if err != nil {
		return gateway.Platform{}, err
	}
	roundTripper := b.transport
	if roundTripper == nil {
		if roundTripper, err = transport.New(b.ctx, b.h.TransportRaw); err != nil {
			return gateway.Platform{}, err
		}
	}
	return gateway.Platform{
		Logger: b.logger, Audit: b.logger.Named("audit"), Metrics: metrics, Storage: b.storage, Transport: roundTripper,
		Background: transport.Context, Emit: b.emit, Draining: caddy.Exiting, Node: node(),
	}, nil
}

func (b *builder) app(a *App) (config gateway.AppConfig, err error) {
	config = gateway.AppConfig{
		Name: a.Name, Agents: a.Agents, ResyncAll: auth.ResyncAll(a.ResyncAll), CallAs: auth.CallAs(a.CallAs),
		AccountUser: a.AccountUser, TenantsFile: a.TenantsFile, Users: users(a.Users), KeyRequired: a.Idempotency == idempotencyRequired, WithoutPKCE: a.PKCE == pkceOff, Lookups: a.Lookups == lookupsOn,
	}
	orDefault(&config.CallAs, auth.AsUser)
	if config.Operations, err = operations(a.Operations); err != nil {
		return config, err
	}
	if config.Connections, err = connections(a.Connections); err != nil {
		return config, err
	}
	if a.ClientID != "" {
		id, err := secret.Resolve(a.ClientID, auth.ParseSecret)
		if err != nil {
			return config, fmt.Errorf("client_id: %w", err)
		}
		config.ClientID = id.Reveal()
	}
	if config.ClientSecret, err = secret.Optional("client_secret", a.ClientSecret, b.logger); err != nil {
		return config, err
	}
	if t := a.TenantStatus; t != nil {
		config.TenantStatus = &gateway.TenantStatusConfig{UpgradeFor: time.Duration(t.UpgradeFor)}
		orDefault(&config.TenantStatus.UpgradeFor, gateway.DefaultUpgradeFor)
	}
	if err := b.callAs(a, &config); err != nil {
		return config, err
	}
	return config, b.tenants(a, &config)
}

func (b *builder) callAs(a *App, config *gateway.AppConfig) (err error) {
	switch config.CallAs {
	case auth.AsSystem:
		config.PrivateKey, err = secret.OpenText("private_key", a.PrivateKey, b.logger)
	case auth.AsAccount:
		config.AccountPassword, err = secret.Open("call_as account", a.AccountPassword, b.logger)
	}
	return err
}

func (b *builder) tenants(a *App, config *gateway.AppConfig) error {
	config.Tenants = make(auth.Tenants, len(a.Tenants))
	for _, t := range a.Tenants {
		if err := b.tenant(t, config); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
	}
	return nil
}

func (b *builder) tenant(t *Tenant, config *gateway.AppConfig) (err error) {
	grant := auth.TenantGrant{ResyncAll: auth.ResyncAll(t.ResyncAll), Suspended: t.Suspended}
	if grant.Connections, err = connections(t.Connections); err != nil {
		return err
	}
	if t.SystemToken != "" {
		token, err := secret.Open("system_token", t.SystemToken, b.logger)
		if err != nil {
			return err
		}
		grant.SystemToken = token.Get()
	}
	if t.Name == "*" {
		if config.AnyTenant != nil {
			return errors.New("specified more than once")
		}
		config.AnyTenant = &grant
		return nil
	}
	name, _ := superoffice.ParseTenant(t.Name)
	if _, twice := config.Tenants[name]; twice {
		return errors.New("specified more than once")
	}
	config.Tenants[name] = grant
	return nil
}

func (b *builder) superOffice() error {
	configured := b.h.SuperOffice
	if configured == nil {
		return nil
	}
	taken := &b.config.SuperOffice
	for _, name := range configured.Schemes {
		scheme, ok := superOfficeSchemes[name]
		switch {
		case !ok:
			return fmt.Errorf("unknown scheme %q; want session, bearer, soticket or basic", name)
		case scheme == auth.BroughtBasic && b.online():
			return errors.New("basic is taken onsite only; SuperOffice Online refuses it")
		}
		taken.Schemes = append(taken.Schemes, scheme)
	}
	app, err := b.h.onlyApp(configured.App)
	if err != nil {
		return err
	}
	taken.App = app.Name
	return nil
}

// superOfficeSchemes are the words of the configuration.
var superOfficeSchemes = map[string]auth.Scheme{
	"session": auth.WebClientSession, "bearer": auth.BroughtBearer, "soticket": auth.BroughtTicket, "basic": auth.BroughtBasic,
}

func (s *SuperOffice) takes(scheme string) bool {
	return s != nil && slices.Contains(s.Schemes, scheme)
}

func (b *builder) browser() error {
	configured := b.h.Browser
	if configured == nil {
		return nil
	}
	app, err := b.h.onlyApp(configured.App)
	if err != nil {
		return err
	}
	b.config.Origins, _ = auth.NewOrigins(configured.Origins...)
	b.config.AllowHeaders = configured.AllowHeaders
	b.config.Sessions = &gateway.SessionConfig{App: app.Name, Framed: configured.Framed, Idle: time.Duration(configured.Idle), Lifetime: time.Duration(configured.Lifetime), PerPerson: configured.Sessions}
	b.config.Links.SignIn = b.config.Base + pages.SignInPath(b.pages().Prefix)
	return nil
}

// pages returns the configuration of the gateway's endpoints.
func (b *builder) pages() pages.Config {
	config := pages.Config{Prefix: pages.DefaultPrefix}
	if configured := b.h.Browser; configured != nil {
		config.SignedOut = configured.PostLogoutRedirect
		if configured.Prefix != "" {
			config.Prefix = strings.TrimSuffix(configured.Prefix, "/")
		}
	}
	return config
}

const (
	defaultMaxBody            = 2 << 20
	defaultBodyTimeout        = 10 * time.Second
	defaultInFlightConnection = 4
	defaultInFlightTenant     = 10
	defaultInFlightApp        = 500
	defaultRate               = 10
	defaultIdempotency        = 24 * time.Hour
	defaultAsync              = 100
)

// build sets the guard's part of a gateway's configuration, with defaults where the operator said nothing.
func (g *Guard) build(config *gateway.Config) {
	config.MaxBody, config.BodyTimeout = g.MaxBody, time.Duration(g.BodyTimeout)
	config.Wait = time.Duration(g.Wait)
	config.CoolDown, config.Idempotency = time.Duration(g.CoolDown), time.Duration(g.Idempotency)
	config.Limits = guard.Limits{Connection: g.InFlightConnection, Tenant: g.InFlightTenant, App: g.InFlightApp, PerSecond: g.Rate}
	orDefault(&config.MaxBody, defaultMaxBody)
	orDefault(&config.BodyTimeout, defaultBodyTimeout)
	config.Async = g.Async
	orDefault(&config.Idempotency, defaultIdempotency)
	orDefault(&config.Async, defaultAsync)
	orDefault(&config.Limits.Connection, defaultInFlightConnection)
	orDefault(&config.Limits.Tenant, defaultInFlightTenant)
	orDefault(&config.Limits.App, defaultInFlightApp)
	orDefault(&config.Limits.PerSecond, defaultRate)
}

func orDefault[T comparable](into *T, value T) {
	var zero T
	if *into == zero {
		*into = value
	}
}

func (a *Audit) privacy(key []byte) (outcome.Privacy, error) {
	principals, err := disclosure("principals", a.Principals, outcome.Full)
	if err != nil {
		return outcome.Privacy{}, err
	}
	explanations, err := disclosure("explanations", a.Explanations, outcome.Omit)
	return outcome.Privacy{Principals: principals, Explanations: explanations, Key: key}, err
}

func disclosure(option, raw string, otherwise outcome.Disclosure) (outcome.Disclosure, error) {
	switch how := outcome.Disclosure(raw); how {
	case "":
		return otherwise, nil
	case outcome.Full, outcome.Hashed, outcome.Omit:
		return how, nil
	}
	return "", fmt.Errorf("audit: %s %q: want full, hash or omit", option, raw)
}

func users(names []string) (u auth.Users) {
	switch {
	case slices.Equal(names, []string{everybody}):
		u.All = true
	case len(names) > 0 && !slices.Equal(names, []string{administrators}):
		u.Named = names
	}
	return u
}

func operations(names []string) ([]superoffice.Operation, error) {
	if len(names) == 0 {
		return []superoffice.Operation{superoffice.ForceResync}, nil
	}
	all := make([]superoffice.Operation, 0, len(names))
	for _, name := range names {
		operation, ok := superoffice.ParseOperation(name)
		if !ok {
			var known []string
			for _, operation := range superoffice.Operations() {
				known = append(known, operation.String())
			}
			hint := nearest.Hint(name, known)
			if hint == "" {
				hint = "; want some of " + strings.Join(known, ", ")
			}
			return nil, fmt.Errorf("operations: %s cannot be granted%s", name, hint)
		}
		all = append(all, operation)
	}
	return all, nil
}

func resyncAll(s string) error {
	switch auth.ResyncAll(s) {
	case "", auth.Deny, auth.Confirm, auth.Allow:
		return nil
	}
	return fmt.Errorf("resync_all %q: want deny, confirm or allow", s)
}

func connections(list *[]string) (*auth.Connections, error) {
	if list == nil {
		return nil, nil //nolint:nilnil // no list is a value: every connection
	}
	c := &auth.Connections{}
	for _, item := range *list {
		if item == "crm" {
			c.CRM = true
			continue
		}
		id, err := strconv.ParseInt(item, 10, 32)
		if err != nil || id <= 0 || strconv.FormatInt(id, 10) != item {
			return nil, fmt.Errorf("connections %q: want a connection's number, or crm", item)
		}
		c.IDs = append(c.IDs, int32(id))
	}
	return c, nil
}
