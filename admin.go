package erpsync

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/adminapi"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func init() { caddy.RegisterModule(Admin{}) }

// Admin adds to Caddy's admin API what `caddy erpsync` speaks to: status, check, tenants and revoke under
// /erpsync. Caddy gives a handler there no connection, so that who did something can be told by a
// client certificate alone; see Service for a socket that knows its users.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.erpsync", New: func() caddy.Module { return new(Admin) }}
}

// adminAPI reports on the sites of every configuration in force.
var adminAPI = adminapi.API{
	Sites: &sites, Node: node,
	Audit: func() *zap.Logger { return caddy.Log().Named(outcome.AuditLogger) },
}

// Routes returns the routes.
func (Admin) Routes() []caddy.AdminRoute {
	var routes []caddy.AdminRoute
	for _, route := range adminAPI.Routes() {
		routes = append(routes, caddy.AdminRoute{Pattern: route.Path, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if status, err := adminAPI.Serve(route, w, r); err != nil {
				return caddy.APIError{HTTPStatus: status, Err: err}
			}
			return nil
		})})
	}
	return routes
}

var _ caddy.AdminRouter = Admin{}
