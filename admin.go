package erpsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
)

func init() { caddy.RegisterModule(Admin{}) }

// Admin adds to Caddy's admin API what `caddy erpsync` speaks to:
//
//	GET  /erpsync/status?tenant=           how the tenants are, as far as this gateway knows
//	POST /erpsync/check                    {"app", "tenant"}: try out whether the app can do its work there
//	GET  /erpsync/tenants?app=             the tenants, and where their system tokens are from
//	GET  /erpsync/tenants/export?app=      the kept system tokens, sealed
//	POST /erpsync/tenants/import           {"app", "tenants": […]}: keep system tokens, all or none
//	POST /erpsync/tenants/remove           {"app", "tenant"}: forget a system token
//	POST /erpsync/revoke                   {"app"} | {"tenant"} | {"tenant", "user"}: end sessions, tickets, kept answers
//
// Where an app stands in several environments, "environment" says which is meant. Answers are
// JSON and hold no secret; an export's tokens are sealed under the gateway's keys. Nothing is changed by GET.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.erpsync", New: func() caddy.Module { return new(Admin) }}
}

// maxAdminBody bounds what the admin API takes: an import of ten thousand tenants fits.
const maxAdminBody = 32 << 20

// Routes gives the routes.
func (Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		adminRoute(http.MethodGet, operator.StatusPath, adminStatus),
		adminRoute(http.MethodPost, operator.CheckPath, adminCheck),
		adminRoute(http.MethodGet, operator.TenantsPath, adminTenants),
		adminRoute(http.MethodGet, operator.ExportPath, adminExport),
		adminRoute(http.MethodPost, operator.ImportPath, adminImport),
		adminRoute(http.MethodPost, operator.RemovePath, adminRemove),
		adminRoute(http.MethodPost, operator.RevokePath, adminRevoke),
	}
}

// adminRoute serves exactly one path with exactly one method.
func adminRoute(method, path string, serve func(*http.Request) (any, error)) caddy.AdminRoute {
	return caddy.AdminRoute{Pattern: path, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.EscapedPath() != path {
			return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no such endpoint")}
		}
		if r.Method != method {
			w.Header().Set("Allow", method)
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("want " + method)}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
		answer, err := serve(r)
		if err != nil {
			if api := (caddy.APIError{}); errors.As(err, &api) {
				return api
			}
			status := http.StatusBadRequest
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				status = http.StatusRequestEntityTooLarge
			}
			return caddy.APIError{HTTPStatus: status, Err: err}
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(answer)
	})}
}

// readAdmin reads a request's body; what it does not know is an error.
func readAdmin(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) { // its text quotes the value
			return fmt.Errorf("%s has the wrong type", kind.Field)
		}
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the closing brace")
	}
	return nil
}

// unavailable is an error of something that the gateway needs and that gives no answer.
func unavailable(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

// runningHandlers are those of the configurations in force, the oldest first; a configuration and the one
// that takes over from it are both in force for a moment.
type runningHandlers struct {
	mu       sync.Mutex
	handlers []*Handler
}

var running runningHandlers

func (r *runningHandlers) begin(h *Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers = append(r.handlers, h)
}

func (r *runningHandlers) end(h *Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers = slices.DeleteFunc(r.handlers, func(other *Handler) bool { return other == h })
}

// all gives the handlers, the newest first.
func (r *runningHandlers) all() []*Handler {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.handlers)
	slices.Reverse(all)
	return all
}

// apps gives the apps with their handlers: of a site that stands in two configurations the newest.
func (r *runningHandlers) apps() (all []runningApp) {
	for _, h := range r.all() {
		for _, app := range h.Apps {
			if !slices.ContainsFunc(all, func(other runningApp) bool {
				return other.App.Name == app.Name && other.h.place() == h.place() && other.h.site() == h.site()
			}) {
				all = append(all, runningApp{app, h})
			}
		}
	}
	slices.SortFunc(all, func(a, b runningApp) int {
		return compare(a.h.place(), b.h.place(), a.App.Name, b.App.Name, a.h.site(), b.h.site())
	})
	return all
}

// runningApp is an app with the handler that it is configured in.
type runningApp struct {
	*App
	h *Handler
}

// place names the environment of a handler, or the upstream of one that is onsite.
func (h *Handler) place() string {
	if h.upstreamAPI != "" {
		return h.upstreamAPI
	}
	if h.environment.Name() == "custom" {
		return h.environment.Base()
	}
	return h.environment.Name()
}

// find gives the app of that name; environment "" means the only one it stands in.
func (r *runningHandlers) find(name, environment string) (runningApp, error) {
	var found []runningApp
	for _, app := range r.apps() {
		if app.Name == name && (environment == "" || environment == app.h.place() || environment == app.h.environment.Name()) {
			found = append(found, app)
		}
	}
	switch {
	case len(found) == 0:
		return runningApp{}, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("no app %q is configured%s", name, in(environment))}
	case !slices.ContainsFunc(found, func(other runningApp) bool {
		return other.h.place() != found[0].h.place() || other.clientID != found[0].clientID
	}): // one registration, at one site or at several
		return found[0], nil
	}
	return runningApp{}, fmt.Errorf("app %s stands in %s and %s: say in which environment", name, found[0].h.place(), found[1].h.place())
}

func in(environment string) string {
	if environment == "" {
		return ""
	}
	return " in environment " + environment
}

// compare compares pairs in order.
func compare(pairs ...string) int {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			if pairs[i] < pairs[i+1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

var _ caddy.AdminRouter = Admin{}
