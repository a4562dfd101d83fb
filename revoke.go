package erpsync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/operator"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const revokeTimeout = 10 * time.Second

// revocation says whose sessions, tickets and kept answers end.
type revocation struct{ operator.Revocation }

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

func adminRevoke(r *http.Request) (any, error) {
	var what revocation
	if err := readAdmin(r, &what.Revocation); err != nil {
		return nil, err
	}
	if err := what.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), revokeTimeout)
	defer cancel()
	handlers := running.all()
	if len(handlers) == 0 {
		return nil, caddy.APIError{HTTPStatus: http.StatusConflict, Err: errors.New("no erpsync handler is configured")}
	}
	var err error
	for _, h := range handlers {
		err = errors.Join(err, h.revoke(ctx, what))
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("not everything was revoked, try again: %w", err))
	}
	return map[string]string{"revoked": what.String()}, nil
}

// marks reads and writes the store's marks of revocation: what began before one counts no more.
func (h *Handler) marks() *session.Manager {
	if h.Browser != nil {
		return h.Browser.sessions // it knows how long sessions live
	}
	return &session.Manager{Keys: h.ring, Store: h.common.sessions}
}

// named gives the name under which a credential is kept, from what it is made of and the mark of its app and
// tenant. The mark changes whenever one of them is revoked, so that nothing from before is found. While
// the store gives no answer the last mark that it told holds: services go on then, and nothing can be revoked.
func (h *Handler) named(ctx context.Context, app *App, tenant superoffice.Tenant, parts ...string) string {
	now, err := h.marks().Mark(ctx, app.Name, tenant, "")
	last := h.lastMark(app, tenant)
	if err != nil {
		now = last
	}
	if now != last {
		h.common.marks.Store(markOf{app.Name, tenant}, now)
		h.common.credentials.Forget(auth.Key(append(parts, last)...))
	}
	return auth.Key(append(parts, now)...)
}

// markOf is whose mark it is.
type markOf struct {
	app    string
	tenant superoffice.Tenant
}

// lastMark is what the store told last, "" before it was asked.
func (h *Handler) lastMark(app *App, tenant superoffice.Tenant) string {
	mark, _ := h.common.marks.Load(markOf{app.Name, tenant})
	text, _ := mark.(string)
	return text
}

func (h *Handler) revoke(ctx context.Context, what revocation) (err error) {
	switch {
	case what.App != "":
		err = h.marks().RevokeApp(ctx, what.App)
	case what.User != "":
		err = h.marks().RevokePerson(ctx, superoffice.Tenant(what.Tenant), what.User)
	default:
		err = h.marks().RevokeTenant(ctx, superoffice.Tenant(what.Tenant))
	}
	if err == nil {
		h.logger.Info("revoked: sessions, tickets and kept answers that began before", zap.String("app", what.App), zap.String("tenant", what.Tenant), zap.String("user", h.privacy.Principal(what.User)))
	}
	return err
}
