package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// OperatorCall is a call that an operator orders. It goes the way of every call; what a caller proves is proved by the
// admin API.
type OperatorCall struct {
	App       *App
	Tenant    superoffice.Tenant // Onsite for an installation
	Operation superoffice.Operation
	Arguments superoffice.Arguments
	// Confirmed reports that a resync of everything is meant.
	Confirmed bool

	// Operator names who orders it; RequestID the call.
	Operator, RequestID string
	// IdempotencyKey is the same for every attempt at the call, whichever operator makes it.
	IdempotencyKey string
	// Retries is the request id of the failed call that is repeated.
	Retries string
}

// OperatorResult is what came of an operator's call.
type OperatorResult struct {
	// Sent reports that something was sent to SuperOffice.
	Sent bool
	// Outcome is that of the call or, where Before is set, of the one that ran before; its class is "" where that is not known.
	Outcome outcome.Outcome
	// Before is the request id of the call that ran under the same IdempotencyKey, so that nothing was sent now; "" if none did.
	Before string
	// Refusal is why the call was not made, or has no whole answer; nil: it has.
	Refusal *auth.Refusal
}

// principal is the operator. Who may open the operators' socket decides on who is one, so that the app's users do not.
func (c *OperatorCall) principal() auth.Principal {
	return auth.Principal{Scheme: auth.Operator, App: c.App.Name, Tenant: c.Tenant, ID: c.Operator}
}

// admit makes the decisions that need no more than the configuration and the registry.
func (c *OperatorCall) admit(ctx context.Context) (*Admission, *Order, *auth.Refusal) {
	path := superoffice.Call{Operation: c.Operation, Tenant: c.Tenant}
	admission, refusal := c.App.gateway.Admit(ctx, Caller{Principal: c.principal()}, c.App, path)
	if refusal != nil {
		return nil, nil, refusal
	}
	order := &Order{Operation: c.Operation, Arguments: c.Arguments, AnswerType: superoffice.AnswerType(superoffice.DocumentType), Confirmed: c.Confirmed, IdempotencyKey: c.IdempotencyKey}
	if refusal := admission.Authorise(order); refusal != nil {
		return nil, nil, refusal
	}
	sum := sha256.Sum256(superoffice.Document(c.Operation, c.Arguments))
	order.Fingerprint = hex.EncodeToString(sum[:])
	return admission, order, nil
}

// CheckOperatorCall returns why an operator's call would be refused now, as far as that can be known without making it: by
// the grants, for want of a system token, or by a hold. SuperOffice is not asked, and the call takes nothing of its limits.
func (g *Gateway) CheckOperatorCall(ctx context.Context, call *OperatorCall) *auth.Refusal {
	admission, order, refusal := call.admit(ctx)
	if refusal != nil {
		return refusal
	}
	if call.App.CallAs == auth.AsUser {
		_, refusal = admission.credential(ctx)
		return refusal
	}
	return (&Decision{Admission: admission, order: order, gateway: g}).onHold(ctx)
}

// ServeOperatorCall makes an operator's call, through the same decisions and limits as any, and records it as any. It
// returns when the call is over: an operator who leaves ends nothing.
func (g *Gateway) ServeOperatorCall(call *OperatorCall) (result OperatorResult) {
	g.Enter()
	defer g.Leave()
	ctx, cancel := g.detached(maxCallTime)
	defer cancel()
	record := &outcome.Record{
		RequestID: call.RequestID, Started: time.Now(), Operation: call.Operation, Tenant: string(call.Tenant), App: call.App.Name, Scheme: string(auth.Operator), Principal: call.Operator,
		Arguments: call.Arguments, Understood: true, KeysSum: call.Arguments.KeysSum(), Proved: true, Retries: call.Retries,
		Node: g.platform.Node, Environment: g.config.Environment.Name(), Privacy: g.config.Privacy,
	}
	defer func() {
		if result.Refusal != nil {
			g.noteRefusal(record, result.Refusal)
		}
		record.Duration = time.Since(record.Started)
		g.ended(record)
		result.Sent = record.Sends > 0
		if result.Before == "" {
			result.Outcome = record.Outcome
		}
	}()
	admission, order, refusal := call.admit(ctx)
	if refusal != nil {
		return OperatorResult{Refusal: refusal}
	}
	decision, refusal := admission.Decide(ctx, order, record)
	if refusal != nil {
		return OperatorResult{Refusal: refusal}
	}
	defer decision.Release()
	if kept := decision.Kept; kept != nil {
		record.Decision, record.Status, record.Replays = "replayed", kept.Status, kept.RequestID
		return OperatorResult{Before: kept.RequestID, Outcome: outcome.Outcome{Class: outcome.Class(kept.Header.Get(outcomeHeader))}}
	}
	return OperatorResult{Refusal: decision.Run(ctx, make(noSink))}
}

// noSink is where an answer goes that nobody reads: its outcome is recorded.
type noSink http.Header

func (s noSink) Header() http.Header          { return http.Header(s) }
func (noSink) WriteHeader(int)                {}
func (noSink) Write(part []byte) (int, error) { return len(part), nil }
