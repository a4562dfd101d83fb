package erpsync

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// server is what provisioning needs of Caddy.
type server struct {
	ctx     caddy.Context
	logger  *zap.Logger
	storage certmagic.Storage
	history *usedHistory // nil: none is kept
	notices *usedNotices // nil: nobody is told
	// transport replaces Caddy's; nil in production.
	transport http.RoundTripper
}

func newServer(ctx caddy.Context) *server {
	return &server{ctx: ctx, logger: ctx.Logger(), storage: ctx.Storage()}
}

// emit publishes an event to the subscribers of Caddy's events app. No call waits for them.
func (s *server) emit(name string, data map[string]any) {
	module, err := s.ctx.AppIfConfigured("events")
	if err != nil {
		return
	}
	if events, ok := module.(*caddyevents.App); ok {
		go events.Emit(s.ctx, name, data)
	}
}

// grace returns a channel that is ready when the HTTP app's grace_period is over; nil if it has none.
func (s *server) grace() <-chan time.Time {
	module, err := s.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	if app, ok := module.(*caddyhttp.App); ok && app.GracePeriod > 0 {
		return time.After(time.Duration(app.GracePeriod))
	}
	return nil
}

// node names this process.
func node() string {
	id, err := caddy.InstanceID()
	if err != nil {
		return ""
	}
	return id.String()
}

// visit is one request as Caddy knows it.
type visit struct{ r *http.Request }

// ID returns a new id. Caddy's {http.request.uuid} is another: to ask for that one adds a field to the access line.
func (visit) ID() string { return uuid.NewString() }

// ClientIP returns the client's address as Caddy determines it, honouring trusted_proxies alone.
func (v visit) ClientIP() string {
	ip, _ := caddyhttp.GetVar(v.r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// Proved makes the principal known to other handlers and to the access log.
func (v visit) Proved(principal string) {
	if replacer, ok := v.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		replacer.Set("http.auth.user.id", principal)
	}
}

// Ended sets the placeholders of the call and, where the server has an access log, its fields there.
func (v visit) Ended(record *outcome.Record) {
	ctx := v.r.Context()
	if replacer, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		replacer.Map((*recorded)(record).placeholder)
	}
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); !ok || server.Logs == nil {
		return
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Inline((*recorded)(record)))
	}
}

// recorded is a call's record as handlers around this one see it.
type recorded outcome.Record

func (r *recorded) placeholder(name string) (any, bool) {
	switch name {
	case "http.auth.user.id":
		return r.Principal, r.Proved
	case "http.erpsync.app":
		return r.App, true
	case "http.erpsync.tenant":
		return r.Tenant, true
	case "http.erpsync.operation":
		return r.Operation.String(), true
	case "http.erpsync.outcome":
		return string(r.Outcome.Class), true
	case "http.erpsync.reason":
		return r.Reason, true
	case "http.erpsync.request_id":
		return r.RequestID, true
	}
	return nil, false
}

// MarshalLogObject adds the call's fields to an access line.
func (r *recorded) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("erpsync_outcome", string(r.Outcome.Class))
	enc.AddString("erpsync_reason", r.Reason)
	enc.AddString("erpsync_request_id", r.RequestID)
	return nil
}

var _ gateway.Visit = visit{}
