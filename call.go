package erpsync

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// call is one call of the agent on its way through the gateway.
type call struct {
	h *Handler
	w http.ResponseWriter
	r *http.Request

	path      superoffice.Call
	selected  superoffice.Select
	principal auth.Principal
	app       *App
	token     session.Token   // of a browser session
	session   session.Session // of a browser session
	brought   auth.Brought    // of a caller that holds a SuperOffice credential
	proof     auth.Proof
	body      []byte
	grant     auth.TenantGrant

	dry   bool          // only tell what would be done
	entry *guard.Entry  // of a call with an Idempotency-Key
	kept  *guard.Answer // what the first such call was answered
	leave []func()      // what to give back at the end

	api    string // the tenant's WebAPI
	owned  owned
	shared shared // where the credential is one that many callers share

	answered     bool // SuperOffice's answer passed whole
	answerHeader http.Header
	answerBody   []byte // of a call with an Idempotency-Key

	record outcome.Record
	abort  bool
}

// Headers as Go's server writes and reads them: a name of another spelling is brought into this form at every use.
const (
	requestIDHeader = "Erpsync-Request-Id"

	// confirmHeader says that a resync of everything is meant.
	confirmHeader = "Erpsync-Confirm"
)

func (h *Handler) begin(w http.ResponseWriter, r *http.Request, path superoffice.Call) *call {
	c := &call{h: h, w: w, r: r, path: path}
	c.record = outcome.Record{
		Started: time.Now(), Operation: path.Operation, Tenant: string(path.Tenant), Node: h.node, Environment: h.environment.Name(), Privacy: h.privacy,
	}
	if ip, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok {
		c.record.ClientIP = ip
	}
	if span := trace.SpanContextFromContext(r.Context()); span.HasTraceID() {
		c.record.TraceID = span.TraceID().String()
	}
	c.record.RequestID = requestID(r)
	w.Header().Set(requestIDHeader, c.record.RequestID)
	h.origins.expose(w, r)
	return c
}

// requestID is Caddy's own id of the request; a caller's is never taken.
func requestID(r *http.Request) string {
	if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if id, ok := replacer.GetString("http.request.uuid"); ok {
			return id
		}
	}
	return newID()
}

func (c *call) request() auth.Request {
	return auth.Request{Operation: c.path.Operation, PathTenant: c.path.Tenant, Arguments: c.record.Arguments, Confirmed: strings.EqualFold(c.r.Header.Get(confirmHeader), "all")}
}

// read takes the body in whole, within the bounds, and understands it.
func (c *call) read() *auth.Refusal {
	controller := http.NewResponseController(c.w)
	_ = controller.SetReadDeadline(time.Now().Add(time.Duration(c.h.Guard.BodyTimeout)))
	size := c.r.ContentLength
	if size < 0 || size > c.h.Guard.MaxBody {
		size = 0
	}
	body, err := readAll(http.MaxBytesReader(c.w, c.r.Body, c.h.Guard.MaxBody), size)
	_ = controller.SetReadDeadline(time.Time{})
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return auth.Refuse(auth.BodyTooLarge, nil)
	} else if err != nil {
		return auth.Refuse(auth.BodyIncomplete, err)
	}
	if len(c.r.Header["Content-Type"]) > 1 || c.r.Header.Get("Content-Encoding") != "" {
		return auth.Refuse(auth.MediaTypeUnsupported, nil)
	}
	c.body = body
	arguments, err := superoffice.ReadArguments(c.path.Operation, c.r.Header.Get("Content-Type"), c.body)
	if where := (*superoffice.ArgumentError)(nil); errors.As(err, &where) {
		reason := auth.BodyNotUnderstood
		if where.MediaType {
			reason = auth.MediaTypeUnsupported
		}
		refusal := auth.Refuse(reason, err)
		refusal.Detail += " (" + where.Error() + ")"
		refusal.Pointer = where.Pointer
		return refusal
	}
	c.record.Arguments, c.record.Understood = arguments, true
	c.record.KeysSum = arguments.KeysSum()
	return nil
}

// readAll is io.ReadAll into a buffer that fits a size which is known beforehand; 0: it is not.
func readAll(from io.Reader, size int64) ([]byte, error) {
	all := make([]byte, 0, size+1)
	for {
		n, err := from.Read(all[len(all):cap(all)])
		all = all[:len(all)+n]
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if len(all) == cap(all) {
			all = slices.Grow(all, 512)
		}
	}
}

// refuse answers in SuperOffice's place.
func (c *call) refuse(refusal *auth.Refusal) error {
	c.record.Decision, c.record.Reason, c.record.Status = "refused", string(refusal.Reason), refusal.Status
	if c.record.Sends > 0 {
		c.record.Decision = "allowed"
	}
	if refusal.Status >= http.StatusInternalServerError {
		c.h.logger.Error("call not served", zap.String("request_id", c.record.RequestID), zap.String("reason", string(refusal.Reason)),
			zap.String("app", c.record.App), zap.String("tenant", c.record.Tenant), zap.Error(refusal.Cause))
	}
	c.offerApproval(refusal)
	if refusal.Reason == auth.MethodNotAllowed {
		c.w.Header().Set("Allow", http.MethodPost)
	}
	writeProblem(c.w, c.record.RequestID, refusal)
	return nil
}

// end tells what became of the call, in every way that an operator may look.
func (c *call) end() {
	c.unguard()
	c.record.Duration = time.Since(c.record.Started)
	c.record.End(c.h.audit)
	c.h.metrics.Count(&c.record)
	c.h.common.ledger.Enter(&c.record)
	ctx := c.r.Context()
	if replacer, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		replacer.Map(c.placeholder)
	}
	c.record.Trace(trace.SpanFromContext(ctx))
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Inline((*accessFields)(c)))
	}
	if c.abort {
		// The answer broke off upstream: so that the caller does not take what it
		// has for the whole, the connection ends here too.
		panic(http.ErrAbortHandler)
	}
}

// placeholder gives what handlers around this one can tell of the call.
func (c *call) placeholder(name string) (any, bool) {
	switch name {
	case "http.erpsync.app":
		return c.record.App, true
	case "http.erpsync.tenant":
		return c.record.Tenant, true
	case "http.erpsync.operation":
		return c.record.Operation.String(), true
	case "http.erpsync.outcome":
		return string(c.record.Outcome.Class), true
	case "http.erpsync.reason":
		return c.record.Reason, true
	case "http.erpsync.request_id":
		return c.record.RequestID, true
	}
	return nil, false
}

// accessFields are what the access line tells of a call.
type accessFields call

func (f *accessFields) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("erpsync_outcome", string(f.record.Outcome.Class))
	enc.AddString("erpsync_reason", f.record.Reason)
	enc.AddString("erpsync_request_id", f.record.RequestID)
	return nil
}

var _ io.Writer = (*outcome.Tap)(nil)
