package erpsync

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
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
//
//		app <name> {
//			client_id      <id>
//			client_secret  <secret>
//			private_key    <secret>
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
//			call_as        user|system|account <user> <password>
//		}
//
//		browser {
//			app       <name>
//			prefix    <path>
//			idle      <duration>
//			lifetime  <duration>
//			sessions  <number>
//			origins   <origin...>
//			framed
//		}
//		jwt <issuer> {
//			audience    <aud...>
//			jwks        <url|file>
//			algorithms  <alg...>
//			subjects    <sub...>
//			app         <name>|claim <claim>
//			tenant      <CustNNNNN>|claim <claim>
//		}
//		superoffice session|bearer|soticket|basic... {
//			app  <name>
//		}
//
//		store  memory|redis {
//			address   <host:port...>
//			sentinel  <master> [<password>]
//			username  <name>
//			password  <secret>
//			tls       [<ca-file>]
//		}
//		keys  <secret...>
//
//		guard {
//			max_body      <size>
//			body_timeout  <duration>
//			in_flight     connection|tenant|app <number>|off
//			rate          <calls-per-second>|off
//			cool_down     <duration>
//			idempotency   <duration>
//		}
//		audit {
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
	if d.NextArg() {
		return d.Errf("erpsync takes no matcher and no argument, got %q: it finds its own requests, and a matcher would let crooked spellings around it", d.Val())
	}
	return options(d, map[string]option{
		"environment": {once: true, read: func() error {
			args := d.RemainingArgs()
			if len(args) == 0 {
				return d.ArgErr()
			}
			h.Environment, h.APIOrigins = args[0], args[1:]
			return nil
		}},
		"upstream": text(d, &h.Upstream),
		"app": {read: func() error {
			app := new(App)
			h.Apps = append(h.Apps, app)
			return app.unmarshal(d)
		}},
		"browser": {once: true, read: func() error {
			h.Browser = new(Browser)
			return h.Browser.unmarshal(d)
		}},
		"jwt": {read: func() error {
			issuer := new(Issuer)
			h.Issuers = append(h.Issuers, issuer)
			return issuer.unmarshal(d)
		}},
		"superoffice": {once: true, read: func() error {
			h.SuperOffice = &SuperOffice{Schemes: d.RemainingArgs()}
			if len(h.SuperOffice.Schemes) == 0 {
				return d.ArgErr()
			}
			return options(d, map[string]option{"app": text(d, &h.SuperOffice.App)})
		}},
		"store": {once: true, read: func() error { return h.Store.unmarshal(d) }},
		"keys":  list(d, &h.Keys),
		"guard": {once: true, read: func() error { return h.Guard.unmarshal(d) }},
		"audit": {once: true, read: func() error { return h.Audit.unmarshal(d) }},
		"transport": {once: true, read: func() error {
			if !d.NextArg() {
				return d.ArgErr()
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
	})
}

func (a *App) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&a.Name) {
		return d.ArgErr()
	}
	return options(d, map[string]option{
		"client_id":     text(d, &a.ClientID),
		"client_secret": text(d, &a.ClientSecret),
		"private_key":   text(d, &a.PrivateKey),
		"agents":        list(d, &a.Agents),
		"operations":    list(d, &a.Operations),
		"connections":   optionalList(d, &a.Connections),
		"tenant": {read: func() error {
			t := new(Tenant)
			a.Tenants = append(a.Tenants, t)
			return t.unmarshal(d)
		}},
		"tenants": {once: true, read: func() error {
			var kind string
			if !d.AllArgs(&kind, &a.TenantsFile) {
				return d.ArgErr()
			}
			if kind != "file" {
				return d.Errf("tenants %s: want file", kind)
			}
			return nil
		}},
		"users":      list(d, &a.Users),
		"resync_all": text(d, &a.ResyncAll),
		"call_as": {once: true, read: func() error {
			if !d.Args(&a.CallAs) {
				return d.ArgErr()
			}
			if a.CallAs == "account" && !d.Args(&a.AccountUser, &a.AccountPassword) || d.NextArg() {
				return d.ArgErr()
			}
			return nil
		}},
	})
}

func (t *Tenant) unmarshal(d *caddyfile.Dispenser) error {
	if !d.Args(&t.Name) {
		return d.ArgErr()
	}
	if d.NextArg() {
		t.SystemToken = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return options(d, map[string]option{
		"connections": optionalList(d, &t.Connections),
		"resync_all":  text(d, &t.ResyncAll),
		"suspended":   toggle(d, &t.Suspended),
	})
}

func (b *Browser) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return options(d, map[string]option{
		"app":      text(d, &b.App),
		"prefix":   text(d, &b.Prefix),
		"idle":     duration(d, &b.Idle),
		"lifetime": duration(d, &b.Lifetime),
		"sessions": number(d, &b.Sessions),
		"origins":  list(d, &b.Origins),
		"framed":   toggle(d, &b.Framed),
	})
}

func (i *Issuer) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&i.Issuer) {
		return d.ArgErr()
	}
	return options(d, map[string]option{
		"audience":   list(d, &i.Audience),
		"jwks":       text(d, &i.JWKS),
		"algorithms": list(d, &i.Algorithms),
		"subjects":   list(d, &i.Subjects),
		"app":        fixed(d, &i.App, &i.AppClaim),
		"tenant":     fixed(d, &i.Tenant, &i.TenantClaim),
	})
}

// option reads what follows an option's name.
type option struct {
	once bool
	read func() error
}

// options reads a block: each option by its name, a repeated or unknown one is an error.
func options(d *caddyfile.Dispenser, known map[string]option) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		o, ok := known[name]
		if !ok {
			return d.Errf("unknown option %q", name)
		}
		if o.once && seen[name] {
			return d.Errf("option %q stands here twice", name)
		}
		seen[name] = true
		if err := o.read(); err != nil {
			return err
		}
	}
	return nil
}

func text(d *caddyfile.Dispenser, into *string) option {
	return option{once: true, read: func() error {
		if !d.AllArgs(into) {
			return d.ArgErr()
		}
		return nil
	}}
}

func toggle(d *caddyfile.Dispenser, into *bool) option {
	return option{once: true, read: func() error {
		if d.NextArg() {
			return d.ArgErr()
		}
		*into = true
		return nil
	}}
}

func list(d *caddyfile.Dispenser, into *[]string) option {
	return option{once: true, read: func() error {
		if *into = d.RemainingArgs(); len(*into) == 0 {
			return d.ArgErr()
		}
		return nil
	}}
}

// optionalList tells an empty list from none.
func optionalList(d *caddyfile.Dispenser, into **[]string) option {
	return option{once: true, read: func() error {
		items := append([]string{}, d.RemainingArgs()...)
		*into = &items
		return nil
	}}
}

func fixed(d *caddyfile.Dispenser, value, claim *string) option {
	return option{once: true, read: func() error {
		args := d.RemainingArgs()
		switch {
		case len(args) == 1:
			*value = args[0]
		case len(args) == 2 && args[0] == "claim":
			*claim = args[1]
		default:
			return d.ArgErr()
		}
		return nil
	}}
}

func duration(d *caddyfile.Dispenser, into *caddy.Duration) option {
	return option{once: true, read: func() error {
		var raw string
		if !d.AllArgs(&raw) {
			return d.ArgErr()
		}
		value, err := caddy.ParseDuration(raw)
		if err != nil || value <= 0 {
			return d.Errf("%q is no duration above zero, such as 30s or 8h", raw)
		}
		*into = caddy.Duration(value)
		return nil
	}}
}

func number(d *caddyfile.Dispenser, into *int) option {
	return option{once: true, read: func() error {
		var raw string
		if !d.AllArgs(&raw) {
			return d.ArgErr()
		}
		value, err := strconv.Atoi(raw)
		if err != nil || value <= 0 {
			return d.Errf("%q is no number above zero", raw)
		}
		*into = value
		return nil
	}}
}

func size(d *caddyfile.Dispenser, into *int64) option {
	return option{once: true, read: func() error {
		var raw string
		if !d.AllArgs(&raw) {
			return d.ArgErr()
		}
		value, err := strconv.ParseInt(raw, 10, 64)
		if err != nil || value <= 0 {
			return d.Errf("%q is no number of bytes above zero", raw)
		}
		*into = value
		return nil
	}}
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
