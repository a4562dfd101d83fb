package erpsync

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	// Last: it answers every request that comes to it, so that authentication goes before it.
	httpcaddyfile.RegisterDirectiveOrder("erpsync_console", httpcaddyfile.After, "encode")
	httpcaddyfile.RegisterHandlerDirective("erpsync_console", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		c := new(Console)
		return c, c.UnmarshalCaddyfile(h.Dispenser)
	})
}

// UnmarshalCaddyfile sets the console up from Caddyfile tokens:
//
//	erpsync_console [<matcher>] {
//		user       <placeholder>
//		operators  {
//			<name>  support|operator [<CustNNNNN>...]
//		}
//		audit      views
//	}
func (c *Console) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	block := *d
	if d.NextArg() {
		return usage(d, "erpsync_console", "{ user <placeholder> … }")
	}
	if err := options(d, map[string]option{
		"user": text(d, &c.User, "<placeholder>"),
		"operators": {usage: "{ <name> support|operator [<CustNNNNN>...] }, with a person on each line", once: true, read: func() error {
			if d.NextArg() {
				return errUsage
			}
			for nesting := d.Nesting(); d.NextBlock(nesting); {
				o := &ConsoleOperator{Name: d.Val()}
				if !d.Args(&o.Role) {
					return d.Errf("operators: %s: say a role: support or operator", o.Name)
				}
				o.Tenants = d.RemainingArgs()
				c.Operators = append(c.Operators, o)
			}
			return nil
		}},
		"audit": {usage: "views", once: true, read: func() error {
			var what string
			if !d.AllArgs(&what) || what != "views" {
				return errUsage
			}
			c.AuditViews = true
			return nil
		}},
	}); err != nil {
		return err
	}
	if _, err := c.config(); err != nil {
		return locate(&block, err.Error()).Err(err.Error())
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Console)(nil)
