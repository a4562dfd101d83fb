package erpsync

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func init() { caddy.RegisterModule(new(Console)) }

// Console is the handler of a site of its own, which shows support people in a browser how the customers are and what came of
// single calls: an overview, tenants, calls, a month's report. It reads only. It shows every gateway in force in this
// process, and with a history every call that is kept there.
//
// Without user it answers on loopback and unix addresses only, and refuses requests that a proxy passed on or that name another
// host.
type Console struct {
	// Who opens it, as a placeholder: {http.auth.user.id} behind Caddy's authentication,
	// {http.request.header.Remote-User} behind forward_auth, {http.request.tls.client.subject} with client certificates. A
	// request for which it is empty is refused. Absent: nobody is asked who they are, and only this machine is answered.
	User string `json:"user,omitempty"`

	// Those who may open it. Needed with user.
	Operators []*ConsoleOperator `json:"operators,omitempty"`

	// Write an audit line for each page that shows calls. A page whose line cannot be written is not shown. Look-ups in
	// SuperOffice are always written.
	AuditViews bool `json:"audit_views,omitempty"`

	console *console.Console
}

// ConsoleOperator is somebody who may open the console.
type ConsoleOperator struct {
	// What user is for this person, exactly.
	Name string `json:"name"`
	// support: sees no persons' names where a site's `audit principals` is hash or omit. operator: sees what is kept.
	Role string `json:"role"`
	// The only tenants that they see. None: all.
	Tenants []string `json:"tenants,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Console) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.erpsync_console", New: func() caddy.Module { return new(Console) }}
}

// Provision builds the console. It opens nothing.
func (c *Console) Provision(ctx caddy.Context) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	config.Logger = ctx.Logger()
	if strings.HasPrefix(c.User, "{http.request.header.") {
		config.Logger.Warn("user of erpsync_console is a header: a client that reaches this site without passing the authentication in front of it can write any name there", zap.String("user", c.User))
	}
	c.console = console.New(config)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnShutdown(c.console.Close) // or a page that follows would hold a stop and a reload up
	}
	return nil
}

// config returns what the console is built from, or what is wrong with the configuration.
func (c *Console) config() (console.Config, error) {
	config := console.Config{
		Source: console.Sites{Sites: &sites, Node: node()}, Node: node(), AuditViews: c.AuditViews, Record: recordView,
		ClientIP: func(r *http.Request) string { return visit{r}.ClientIP() },
	}
	switch {
	case c.User == "" && len(c.Operators) > 0:
		return config, errors.New("operators: nobody knows who opens the console without user; add user <placeholder>, or leave operators out to answer this machine alone")
	case c.User == "":
		return config, nil
	case !strings.HasPrefix(c.User, "{") || !strings.HasSuffix(c.User, "}") || strings.Count(c.User, "{") != 1:
		return config, fmt.Errorf("user %q: want one placeholder, such as {http.auth.user.id}: a fixed name would let everybody in", c.User)
	case len(c.Operators) == 0:
		return config, errors.New("operators: nobody is named, so that nobody could open the console: add operators { <name> support|operator [<CustNNNNN>...] }")
	}
	config.User = func(r *http.Request) string {
		replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if !ok {
			return ""
		}
		return replacer.ReplaceAll(c.User, "")
	}
	for _, o := range c.Operators {
		operator := console.Operator{Name: o.Name, Role: console.Role(o.Role)}
		switch {
		case o.Name == "":
			return config, errors.New("operators: a name is empty")
		case slices.ContainsFunc(config.Operators, func(other console.Operator) bool { return other.Name == o.Name }):
			return config, fmt.Errorf("operators: %s: specified more than once", o.Name)
		case operator.Role != console.Support && operator.Role != console.Operations:
			return config, fmt.Errorf("operators: %s: role %q: want support or operator%s", o.Name, o.Role, nearest.Hint(o.Role, []string{string(console.Support), string(console.Operations)}))
		}
		for _, name := range o.Tenants {
			tenant, ok := superoffice.ParseTenant(name)
			if !ok {
				return config, fmt.Errorf("operators: %s: tenant %s: want the form Cust12345", o.Name, name)
			}
			operator.Tenants = append(operator.Tenants, tenant)
		}
		config.Operators = append(config.Operators, operator)
	}
	return config, nil
}

// recordView writes a view to the audit log of the gateways.
func recordView(v *outcome.View) error {
	if site := sites.Newest(); site != nil {
		return site.RecordView(v)
	}
	return outcome.AuditLog{Logger: adminAPI.Audit()}.View(v)
}

// ServeHTTP answers every request of the site.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		if base, ok := strings.CutSuffix(original.URL.Path, r.URL.Path); ok && strings.HasPrefix(base, "/") && !strings.HasPrefix(base, "//") {
			r = console.WithBase(r, base) // handle_path took it off
		}
	}
	c.console.ServeHTTP(w, r)
	return nil
}

// Cleanup ends what pages follow.
func (c *Console) Cleanup() error {
	if c.console != nil {
		c.console.Close()
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*Console)(nil)
	_ caddy.CleanerUpper          = (*Console)(nil)
	_ caddyhttp.MiddlewareHandler = (*Console)(nil)
)
