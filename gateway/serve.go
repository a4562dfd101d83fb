package gateway

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// requestIDHeader is on every answer of the gateway's.
const requestIDHeader = "Erpsync-Request-Id"

// ServeCall serves a request that Match found to be a call of the agent. If the answer
// breaks off it panics with http.ErrAbortHandler once the call is recorded.
func (g *Gateway) ServeCall(w http.ResponseWriter, r *http.Request, path superoffice.Call, verdict superoffice.Verdict, visit Visit) {
	x := g.newExchange(w, r, path, visit)
	defer x.end()
	if refusal := x.serve(verdict); refusal != nil {
		x.refuse(x.confirmed(refusal))
	}
}

// exchange is one HTTP request for the agent, with the record of it.
type exchange struct {
	g        *Gateway
	w        http.ResponseWriter
	r        *http.Request
	visit    Visit
	path     superoffice.Call
	selected superoffice.Select
	record   outcome.Record
	session  *sessionCredential // of a person; nil: the caller is none
	recorded bool               // by the call itself, which outlived its connection or was to
}

func (g *Gateway) newExchange(w http.ResponseWriter, r *http.Request, path superoffice.Call, visit Visit) *exchange {
	x := &exchange{g: g, w: w, r: r, visit: visit, path: path}
	x.record = outcome.Record{
		RequestID: visit.ID(), ClientIP: visit.ClientIP(), Started: time.Now(), Operation: path.Operation, Tenant: string(path.Tenant),
		Node: g.platform.Node, Environment: g.config.Environment.Name(), Privacy: g.config.Privacy,
		DryRun: len(r.Header[dryRunHeader]) > 0,
	}
	if span := trace.SpanContextFromContext(r.Context()); span.HasTraceID() {
		x.record.TraceID = span.TraceID().String()
	}
	w.Header()[requestIDHeader] = []string{x.record.RequestID}
	g.Expose(w, r)
	return x
}

// serve is the story of a call, from top to bottom.
func (x *exchange) serve(verdict superoffice.Verdict) (refusal *auth.Refusal) {
	ctx := x.r.Context()
	if x.g.Preflight(x.w, x.r) {
		x.record.Decision, x.record.Status = "preflight", http.StatusNoContent
		return nil
	}

	// Is it spelled in the one way that everybody reads alike?
	if refusal := match(x.r, verdict); refusal != nil {
		return refusal
	}

	// Who calls, and for which app and tenant?
	caller, app, refusal := x.g.recognise(x.r, x.visit, x.path)
	x.session = caller.browserSession()
	x.identify(caller.Principal)
	if refusal != nil {
		return refusal
	}
	x.record.Proved = true

	// May this app, in this tenant, make this call?
	admission, refusal := x.g.Admit(ctx, caller, app, x.path)
	if refusal != nil {
		return refusal
	}

	// Do query and body say for certain which connection and which keys, and may they be resynced?
	order, refusal := x.understand()
	if refusal != nil {
		return refusal
	}
	x.record.Arguments, x.record.Understood, x.record.KeysSum = order.Arguments, true, order.Arguments.KeysSum()
	if refusal := admission.Authorise(order); refusal != nil {
		return refusal
	}

	// Is it safe to run now? It may be running already, or have been answered before.
	decision, refusal := admission.Decide(ctx, order, &x.record)
	if refusal != nil {
		return x.sameCall(ctx, admission, order, refusal)
	}
	if order.Async && decision.Kept == nil {
		return x.runAsync(ctx, decision)
	}
	defer decision.Release()
	switch {
	case decision.Kept != nil:
		x.replay(decision.Kept)
		return nil
	case order.DryRun:
		return x.writeDryRun(ctx, decision)
	}

	// The gateway makes its own call, and the answer passes.
	return decision.Run(ctx, x.w)
}

// identify records who calls, as far as that is known.
func (x *exchange) identify(p auth.Principal) {
	x.record.App, x.record.Scheme, x.record.Principal = p.App, string(p.Scheme), p.ID
	if p.Tenant != superoffice.Onsite {
		x.record.Tenant = string(p.Tenant)
	}
}

// refuse answers in SuperOffice's place.
func (x *exchange) refuse(refusal *auth.Refusal) {
	x.g.noteRefusal(&x.record, refusal)
	x.writeRefusal(refusal)
}

func (x *exchange) writeRefusal(refusal *auth.Refusal) {
	if refusal.Reason == auth.MethodNotAllowed {
		x.w.Header()["Allow"] = []string{http.MethodPost}
	}
	x.g.WriteRefusal(x.w, x.r, x.record.RequestID, answeringBearer(x.r, refusal), webpage.Page{})
}

// noteRefusal notes in a call's record that it was refused, or that it has no whole answer.
func (g *Gateway) noteRefusal(record *outcome.Record, refusal *auth.Refusal) {
	record.Decision, record.Reason, record.Status = "refused", string(refusal.Reason), refusal.Status
	record.Cause = refusal.CauseText()
	if record.Sends > 0 {
		record.Decision = "allowed"
	}
	if refusal.Status >= http.StatusInternalServerError || refusal.Reason == auth.OutcomeUnknown {
		g.platform.Logger.Error("call not served", zap.String("request_id", record.RequestID), zap.String("reason", string(refusal.Reason)),
			zap.String("app", record.App), zap.String("tenant", record.Tenant), zap.Error(refusal.Cause))
	}
}

// end records a call that is over, in every way that an operator may look.
func (x *exchange) end() {
	if !x.recorded {
		x.record.Duration = time.Since(x.record.Started)
		x.g.ended(&x.record)
	}
	x.record.Trace(trace.SpanFromContext(x.r.Context()))
	x.visit.Ended(&x.record)
	if x.record.Broken {
		// The answer broke off upstream: so that the caller does not take what it
		// has for the whole, the connection ends here too.
		panic(http.ErrAbortHandler)
	}
}

// RecordRefused writes the audit line of a request to an endpoint that was refused.
func (g *Gateway) RecordRefused(ctx context.Context, line *outcome.EndpointRefusal) {
	line.Node, line.Environment, line.Privacy, line.TraceID = g.platform.Node, g.config.Environment.Name(), g.config.Privacy, traceID(ctx)
	outcome.AuditLog{Logger: g.platform.Audit, Written: g.auditWritten}.EndpointRefused(line)
}

// RecordSignOut writes the audit line of a sign-out.
func (g *Gateway) RecordSignOut(ctx context.Context, line *outcome.SignOut) {
	line.Node, line.Environment, line.Privacy, line.TraceID = g.platform.Node, g.config.Environment.Name(), g.config.Privacy, traceID(ctx)
	outcome.AuditLog{Logger: g.platform.Audit, Written: g.auditWritten}.SignedOut(line)
}

// traceID returns the id of the request's trace, "" if it has none.
func traceID(ctx context.Context) string {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return span.TraceID().String()
	}
	return ""
}

// began tells every recorder that a call is about to be sent.
func (g *Gateway) began(record *outcome.Record) {
	record.Began = true
	for _, recorder := range g.recorders {
		recorder.Began(record)
	}
}

// ended tells every recorder that a call is over.
func (g *Gateway) ended(record *outcome.Record) {
	for _, recorder := range g.recorders {
		recorder.Ended(record)
	}
}
