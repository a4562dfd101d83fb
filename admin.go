package erpsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func init() { caddy.RegisterModule(Admin{}) }

// Admin adds to Caddy's admin API:
//
//	POST /erpsync/revoke  {"app": name} | {"tenant": CustNNNNN} | {"tenant": CustNNNNN, "user": UPN}
//
// It ends every session of the app, the tenant or the person, at once and on every
// gateway that shares the store. People sign in again; services are not concerned.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.erpsync", New: func() caddy.Module { return new(Admin) }}
}

const (
	revokePath    = "/erpsync/revoke"
	revokeTimeout = 10 * time.Second
)

// Routes gives the routes.
func (Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: revokePath, Handler: caddy.AdminHandlerFunc(serveRevoke)}}
}

// running are the handlers of the configurations in force, two of them for a
// moment while one takes over from the other.
var running sync.Map // of *Handler

// revocation says whose sessions end.
type revocation struct {
	App    string `json:"app,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	User   string `json:"user,omitempty"`
}

func (r revocation) String() string {
	switch {
	case r.App != "":
		return "app " + r.App
	case r.User != "":
		return r.User + " in " + r.Tenant
	}
	return "tenant " + r.Tenant
}

// check brings the tenant into its one spelling and refuses what names too little or too much.
func (r *revocation) check() error {
	if (r.App == "") == (r.Tenant == "") || r.User != "" && r.Tenant == "" {
		return errors.New("want an app, a tenant, or a tenant and a user of it")
	}
	if r.Tenant == "" {
		return nil
	}
	tenant, ok := superoffice.ParseTenant(r.Tenant)
	if !ok {
		return fmt.Errorf("tenant %q: want the form Cust12345", r.Tenant)
	}
	r.Tenant = string(tenant)
	return nil
}

func serveRevoke(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path != revokePath {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no such endpoint")}
	}
	if r.Method != http.MethodPost {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("want POST")}
	}
	var what revocation
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&what)
	if err == nil {
		err = what.check()
	}
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	ctx, cancel := context.WithTimeout(r.Context(), revokeTimeout)
	defer cancel()
	stores := 0
	running.Range(func(key, _ any) bool {
		h := key.(*Handler)
		if h.Browser == nil {
			return true
		}
		stores++
		err = errors.Join(err, h.Browser.revoke(ctx, what))
		return true
	})
	switch {
	case err != nil:
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: fmt.Errorf("not everything was revoked, try again: %w", err)}
	case stores == 0:
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: errors.New("no erpsync handler with browser is configured")}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]string{"revoked": what.String()})
}

func (b *Browser) revoke(ctx context.Context, what revocation) (err error) {
	switch {
	case what.App != "":
		err = b.sessions.RevokeApp(ctx, what.App)
	case what.User != "":
		err = b.sessions.RevokePerson(ctx, superoffice.Tenant(what.Tenant), what.User)
	default:
		err = b.sessions.RevokeTenant(ctx, superoffice.Tenant(what.Tenant))
	}
	if err == nil {
		b.h.logger.Info("sessions revoked", zap.String("app", what.App), zap.String("tenant", what.Tenant), zap.String("user", b.h.privacy.Principal(what.User)))
	}
	return err
}

var _ caddy.AdminRouter = Admin{}
