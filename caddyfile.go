package erpsync

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
)

func init() {
	// After encode and not before reverse_proxy: handle blocks sort in between, and
	// a catch-all among them must not get what is ours.
	httpcaddyfile.RegisterDirectiveOrder("erpsync", httpcaddyfile.After, "encode")
	// Not RegisterHandlerDirective, which takes a matcher off first: a matcher
	// would cut the sign-in endpoints off, and crooked spellings around the handler.
	httpcaddyfile.RegisterDirective("erpsync", func(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
		handler := new(Handler)
		if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
			return nil, err
		}
		return h.NewRoute(nil, handler), nil
	})
}

// UnmarshalCaddyfile sets the handler up from Caddyfile tokens:
//
//	erpsync {
//		environment  online|stage|sod|<base-url> [<api-origin...>]
//		upstream     <url>
//		public_url   <url>
//
//		app <name> {
//			client_id      <id>
//			client_secret  <secret>
//			private_key    <secret>
//			pkce           off
//			agents         <agent...>
//			operations     <operation...>
//			connections    [<number>|crm...]
//			tenant         <CustNNNNN>|* [<system_token>] {
//				connections  [<number>|crm...]
//				resync_all   deny|confirm|allow
//				suspended
//			}
//			tenants        file <path>
//			users          administrators|all|<upn...>
//			resync_all     deny|confirm|allow
//			idempotency    required
//			lookups        on
//			call_as        user|system|account <user> <password>
//			tenant_status {
//				upgrade_for  <duration>
//			}
//		}
//
//		browser {
//			app                   <name>
//			prefix                <path>
//			idle                  <duration>
//			lifetime              <duration>
//			sessions              <number>
//			origins               <origin...>
//			allow_headers         <name...>
//			post_logout_redirect  <url>
//			framed
//		}
//		jwt <issuer> {
//			audience    <aud...>
//			client_id   <id...>
//			jwks        <url|file>
//			trust       <ca-file>
//			max_stale   <duration>
//			algorithms  <alg...>
//			subjects    <sub|prefix*...>
//			require     <claim> <value...>
//			app         <name>|claim <claim>
//			tenant      <CustNNNNN>|path|claim <claim>
//		}
//		superoffice session|bearer|soticket|basic... {
//			app  <name>
//		}
//
//		store  memory|redis {
//			address          <host:port...>|unix//<path>
//			sentinel         <master> [<password>]
//			cluster
//			strict
//			username         <name>
//			password         <secret>
//			tls              [<ca-file>]
//			tls_client_auth  <cert-file> <key-file>
//			timeout          <duration>
//		}
//		keys  <secret...>
//
//		guard {
//			max_body      <size>
//			body_timeout  <duration>
//			in_flight     connection|tenant|app <number>|off
//			rate          <calls-per-second>|off
//			wait          <duration>
//			cool_down     <duration>
//			idempotency   <duration>
//			async         <number>|off
//		}
//		audit {
//			required
//			principals    full|hash|omit
//			explanations  omit|hash|full
//			keep_select
//			forward_trace
//		}
//		transport http {
//			...
//		}
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	block := *d
	if d.NextArg() {
		return d.Errf("erpsync takes no matcher and no argument, got %q: it finds its own requests, and a matcher would let crooked spellings around it", d.Val())
	}
	if err := options(d, map[string]option{
		"environment": {usage: "online|stage|sod|<base-url> [<api-origin...>]", once: true, read: func() error {
			args := d.RemainingArgs()
			if len(args) == 0 {
				return errUsage
			}
			h.Environment, h.APIOrigins = args[0], args[1:]
			return nil
		}},
		"upstream":   text(d, &h.Upstream, "<url>"),
		"public_url": text(d, &h.PublicURL, "<url>"),
		"app": {usage: "<name> { … }", read: func() error {
			app := new(App)
			h.Apps = append(h.Apps, app)
			return app.unmarshal(d)
		}},
		"browser": {usage: "{ … }, with an option on each line", once: true, read: func() error {
			h.Browser = new(Browser)
			return h.Browser.unmarshal(d)
		}},
		"jwt": {usage: "<issuer> { … }", read: func() error {
			issuer := new(Issuer)
			h.Issuers = append(h.Issuers, issuer)
			return issuer.unmarshal(d)
		}},
		"superoffice": {usage: "session|bearer|soticket|basic... { … }", once: true, read: func() error {
			h.SuperOffice = &SuperOffice{Schemes: d.RemainingArgs()}
			if len(h.SuperOffice.Schemes) == 0 {
				return errUsage
			}
			return options(d, map[string]option{"app": text(d, &h.SuperOffice.App, "<name>")})
		}},
		"store": {usage: "memory, or redis { … }", once: true, read: func() error { return h.Store.unmarshal(d) }},
		"keys":  list(d, &h.Keys, "<secret...>"),
		"guard": {usage: "{ … }, with an option on each line", once: true, read: func() error { return h.Guard.unmarshal(d) }},
		"audit": {usage: "{ … }, with an option on each line", once: true, read: func() error { return h.Audit.unmarshal(d) }},
		"transport": {usage: "http { … }", once: true, read: func() error {
			if !d.NextArg() {
				return errUsage
			}
			if d.Val() != "http" {
				return d.Errf("transport %s: want http", d.Val())
			}
			unmarshaled, err := caddyfile.UnmarshalModule(d, "http.reverse_proxy.transport.http")
			if err != nil {
				return err
			}
			h.TransportRaw = caddyconfig.JSONModuleObject(unmarshaled, "protocol", "http", nil)
			return nil
		}},
	}); err != nil {
		return err
	}
	if err := h.validate(); err != nil {
		return locate(&block, err.Error()).WrapErr(err)
	}
	return nil
}

func (a *App) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&a.Name) {
		return errUsage
	}
	return options(d, map[string]option{
		"client_id":     text(d, &a.ClientID, "<id>"),
		"client_secret": text(d, &a.ClientSecret, "<secret>"),
		"private_key":   text(d, &a.PrivateKey, "<secret>"),
		"agents":        list(d, &a.Agents, "<agent...>"),
		"operations":    list(d, &a.Operations, "<operation...>"),
		"connections":   optionalList(d, &a.Connections, "[<number>|crm...]"),
		"tenant": {usage: "<CustNNNNN>|* [<system_token>] { … }", read: func() error {
			t := new(Tenant)
			a.Tenants = append(a.Tenants, t)
			return t.unmarshal(d)
		}},
		"tenants": {usage: "file <path>", once: true, read: func() error {
			var kind string
			if !d.AllArgs(&kind, &a.TenantsFile) {
				return errUsage
			}
			if kind != "file" {
				return d.Errf("tenants %s: want file", kind)
			}
			return nil
		}},
		"pkce":        text(d, &a.PKCE, "off"),
		"users":       list(d, &a.Users, "administrators|all|<person...>"),
		"resync_all":  text(d, &a.ResyncAll, "deny|confirm|allow"),
		"idempotency": text(d, &a.Idempotency, "required"),
		"tenant_status": {usage: "{ … }, with upgrade_for <duration> or nothing", once: true, read: func() error {
			if d.NextArg() {
				return errUsage
			}
			a.TenantStatus = new(TenantStatus)
			return options(d, map[string]option{"upgrade_for": duration(d, &a.TenantStatus.UpgradeFor)})
		}},
		"lookups": text(d, &a.Lookups, "on"),
		"call_as": {usage: "user|system|account <user> <password>", once: true, read: func() error {
			if !d.Args(&a.CallAs) {
				return errUsage
			}
			if a.CallAs == "account" && !d.Args(&a.AccountUser, &a.AccountPassword) || d.NextArg() {
				return errUsage
			}
			return nil
		}},
	})
}

func (t *Tenant) unmarshal(d *caddyfile.Dispenser) error {
	if !d.Args(&t.Name) {
		return errUsage
	}
	if d.NextArg() {
		t.SystemToken = d.Val()
	}
	if d.NextArg() {
		return errUsage
	}
	return options(d, map[string]option{
		"connections": optionalList(d, &t.Connections, "[<number>|crm...]"),
		"resync_all":  text(d, &t.ResyncAll, "deny|confirm|allow"),
		"suspended":   toggle(d, &t.Suspended),
	})
}

func (b *Browser) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return errUsage
	}
	return options(d, map[string]option{
		"app":                  text(d, &b.App, "<name>"),
		"prefix":               text(d, &b.Prefix, "<path>"),
		"idle":                 duration(d, &b.Idle),
		"lifetime":             duration(d, &b.Lifetime),
		"sessions":             number(d, &b.Sessions),
		"origins":              list(d, &b.Origins, "<origin...>"),
		"framed":               toggle(d, &b.Framed),
		"post_logout_redirect": text(d, &b.PostLogoutRedirect, "<url>"),
		"allow_headers":        list(d, &b.AllowHeaders, "<name...>"),
	})
}

func (i *Issuer) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&i.Issuer) {
		return errUsage
	}
	return options(d, map[string]option{
		"audience":   list(d, &i.Audience, "<aud...>"),
		"client_id":  list(d, &i.ClientID, "<id...>"),
		"jwks":       text(d, &i.JWKS, "<url|file>"),
		"trust":      text(d, &i.Trust, "<ca-file>"),
		"max_stale":  duration(d, &i.MaxStale),
		"algorithms": list(d, &i.Algorithms, "<alg...>"),
		"subjects":   list(d, &i.Subjects, "<sub|prefix*...>"),
		"require": {usage: "<claim> <value...>", read: func() error {
			args := d.RemainingArgs()
			if len(args) < 2 {
				return errUsage
			}
			i.Require = append(i.Require, &Requirement{Claim: args[0], Values: args[1:]})
			return nil
		}},
		"app": fixed(d, &i.App, &i.AppClaim, "<name>|claim <claim>"),
		"tenant": {usage: "<CustNNNNN>|path|claim <claim>", once: true, read: func() error {
			if err := fixed(d, &i.Tenant, &i.TenantClaim, "").read(); err != nil {
				return err
			}
			if i.Tenant == "path" {
				i.Tenant, i.TenantFromPath = "", true
			}
			return nil
		}},
	})
}

func (s *Store) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&s.Kind) {
		return errUsage
	}
	switch s.Kind {
	case "memory":
		return options(d, nil)
	case "redis":
	default:
		return d.Errf("store %s: want memory or redis", s.Kind)
	}
	return options(d, map[string]option{
		"address": list(d, &s.Addresses, "<host:port...>|unix//<path>"),
		"sentinel": {usage: "<master> [<password>]", once: true, read: func() error {
			args := d.RemainingArgs()
			if len(args) == 0 || len(args) > 2 {
				return errUsage
			}
			s.Sentinel = args[0]
			if len(args) == 2 {
				s.SentinelPassword = args[1]
			}
			return nil
		}},
		"cluster":  toggle(d, &s.Cluster),
		"strict":   toggle(d, &s.Strict),
		"username": text(d, &s.Username, "<name>"),
		"password": text(d, &s.Password, "<secret>"),
		"timeout":  duration(d, &s.Timeout),
		"tls": {usage: "[<ca-file>]", once: true, read: func() error {
			s.TLS = true
			if d.NextArg() {
				s.TLSTrust = d.Val()
			}
			if d.NextArg() {
				return errUsage
			}
			return nil
		}},
		"tls_client_auth": {usage: "<cert-file> <key-file>", once: true, read: func() error {
			if !d.AllArgs(&s.TLSClientCertificate, &s.TLSClientKey) {
				return errUsage
			}
			return nil
		}},
	})
}

func (g *Guard) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return errUsage
	}
	inFlight := map[string]*int{"connection": &g.InFlightConnection, "tenant": &g.InFlightTenant, "app": &g.InFlightApp}
	return options(d, map[string]option{
		"max_body":     size(d, &g.MaxBody),
		"body_timeout": duration(d, &g.BodyTimeout),
		"in_flight": {usage: "connection|tenant|app <number>|off", read: func() error {
			var what, raw string
			if !d.AllArgs(&what, &raw) {
				return errUsage
			}
			into := inFlight[what]
			if into == nil {
				return d.Errf("in_flight %s: want connection, tenant or app", what)
			}
			if *into != 0 {
				return d.Errf("in_flight %s specified more than once", what)
			}
			if raw == "off" {
				*into = -1
				return nil
			}
			value, err := strconv.Atoi(raw)
			if err != nil || value <= 0 {
				return d.Errf("in_flight %s %q: want a number above zero, or off", what, raw)
			}
			*into = value
			return nil
		}},
		"rate": {usage: "<calls-per-second>|off", once: true, read: func() error {
			var raw string
			if !d.AllArgs(&raw) {
				return errUsage
			}
			if raw == "off" {
				g.Rate = -1
				return nil
			}
			value, err := strconv.ParseFloat(raw, 64)
			if err != nil || value <= 0 || value > 1e6 {
				return d.Errf("rate %q: want calls per second above zero, or off", raw)
			}
			g.Rate = value
			return nil
		}},
		"wait":        duration(d, &g.Wait),
		"cool_down":   duration(d, &g.CoolDown),
		"idempotency": duration(d, &g.Idempotency),
		"async": {usage: "<number>|off", once: true, read: func() error {
			var raw string
			if !d.AllArgs(&raw) {
				return errUsage
			}
			if raw == "off" {
				g.Async = -1
				return nil
			}
			value, err := strconv.Atoi(raw)
			if err != nil || value <= 0 {
				return d.Errf("async %q: want a number above zero, or off", raw)
			}
			g.Async = value
			return nil
		}},
	})
}

func (a *Audit) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return errUsage
	}
	return options(d, map[string]option{
		"required":      toggle(d, &a.Required),
		"principals":    text(d, &a.Principals, "full|hash|omit"),
		"explanations":  text(d, &a.Explanations, "omit|hash|full"),
		"keep_select":   toggle(d, &a.KeepSelect),
		"forward_trace": toggle(d, &a.ForwardTrace),
	})
}

// option reads what follows an option's name. usage is the grammar of that, for who gets it wrong.
type option struct {
	usage string
	once  bool
	read  func() error
}

// errUsage is returned by an option that was not given what its usage says.
var errUsage = errors.New("wrong arguments")

// usage returns an error that shows how an option is written.
func usage(d *caddyfile.Dispenser, name, grammar string) error {
	return d.Errf("wrong arguments of %q; write: %s (an environment variable that is not set leaves nothing)", name, strings.TrimSpace(name+" "+grammar))
}

// options reads a block: each option by its name, a repeated or unknown one is an error.
func options(d *caddyfile.Dispenser, known map[string]option) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		o, ok := known[name]
		if !ok {
			return d.Errf("unknown option %q%s", name, nearest.Hint(name, slices.Sorted(maps.Keys(known))))
		}
		if o.once && seen[name] {
			return d.Errf("option %q specified more than once", name)
		}
		seen[name] = true
		if err := o.read(); errors.Is(err, errUsage) {
			return usage(d, name, o.usage)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func text(d *caddyfile.Dispenser, into *string, grammar string) option {
	return option{usage: grammar, once: true, read: func() error {
		if !d.AllArgs(into) {
			return errUsage
		}
		return nil
	}}
}

func toggle(d *caddyfile.Dispenser, into *bool) option {
	return option{once: true, read: func() error {
		if d.NextArg() {
			return errUsage
		}
		*into = true
		return nil
	}}
}

func list(d *caddyfile.Dispenser, into *[]string, grammar string) option {
	return option{usage: grammar, once: true, read: func() error {
		if *into = d.RemainingArgs(); len(*into) == 0 {
			return errUsage
		}
		return nil
	}}
}

// optionalList tells an empty list from none.
func optionalList(d *caddyfile.Dispenser, into **[]string, grammar string) option {
	return option{usage: grammar, once: true, read: func() error {
		items := append([]string{}, d.RemainingArgs()...)
		*into = &items
		return nil
	}}
}

func fixed(d *caddyfile.Dispenser, value, claim *string, grammar string) option {
	return option{usage: grammar, once: true, read: func() error {
		args := d.RemainingArgs()
		switch {
		case len(args) == 1:
			*value = args[0]
		case len(args) == 2 && args[0] == "claim":
			*claim = args[1]
		default:
			return errUsage
		}
		return nil
	}}
}

func duration(d *caddyfile.Dispenser, into *caddy.Duration) option {
	return option{usage: "<duration>, such as 30s or 8h", once: true, read: func() error {
		var raw string
		if !d.AllArgs(&raw) {
			return errUsage
		}
		return parseDuration(d, into, raw)
	}}
}

func parseDuration(d *caddyfile.Dispenser, into *caddy.Duration, raw string) error {
	value, err := caddy.ParseDuration(raw)
	if err != nil || value <= 0 {
		return d.Errf("invalid duration %q: must be positive and have a unit, such as 30s or 8h", raw)
	}
	*into = caddy.Duration(value)
	return nil
}

func number(d *caddyfile.Dispenser, into *int) option {
	return option{usage: "<number>", once: true, read: func() error {
		var raw string
		if !d.AllArgs(&raw) {
			return errUsage
		}
		value, err := strconv.Atoi(raw)
		if err != nil || value <= 0 {
			return d.Errf("invalid number %q: must be positive", raw)
		}
		*into = value
		return nil
	}}
}

func size(d *caddyfile.Dispenser, into *int64) option {
	return option{usage: "<size>, such as 2MiB", once: true, read: func() error {
		var raw string
		if !d.AllArgs(&raw) {
			return errUsage
		}
		value, err := humanize.ParseBytes(raw)
		if err != nil || value == 0 || value > math.MaxInt64 {
			return d.Errf("invalid size %q: must be positive, such as 2097152 or 2MiB", raw)
		}
		*into = int64(value)
		return nil
	}}
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
