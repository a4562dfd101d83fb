package outcome

import (
	"net/http"

	"go.uber.org/zap/zapcore"
)

// EndpointRefusal is a request to an endpoint of the gateway's own (sign-in, session, approval) that was refused, as the audit
// line tells it. Those that were served leave no line: they made no call.
type EndpointRefusal struct {
	RequestID, ClientIP string
	// Endpoint is its path below the prefix, such as /callback; "" for a path that is none's.
	Endpoint, App     string
	Node, Environment string
	TraceID           string
	Reason, Cause     string
	Status            int // the HTTP status that the browser got
	Privacy           Privacy
}

// MarshalLogObject writes the line's fields in a fixed order.
func (r *EndpointRefusal) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	text(enc, "request_id", r.RequestID)
	text(enc, "client_ip", r.ClientIP)
	text(enc, "endpoint", r.Endpoint)
	text(enc, "app", r.App)
	text(enc, "node", r.Node)
	text(enc, "environment", r.Environment)
	text(enc, "trace_id", r.TraceID)
	text(enc, "decision", "refused")
	text(enc, "reason", r.Reason)
	text(enc, "cause", r.Privacy.cause(r.Cause))
	enc.AddInt("status", r.Status)
	return nil
}

// SignOut is a person's sign-out, as the audit line tells it.
type SignOut struct {
	RequestID, ClientIP string
	Endpoint            string // its path below the prefix
	App, Tenant         string
	Principal           string
	Node, Environment   string
	TraceID             string
	// Everywhere reports that all of the person's sessions were to end.
	Everywhere bool
	// SessionsEnded is how many ended; nil where the store did not tell.
	SessionsEnded *int
	// TokensRevoked is how many refresh tokens SuperID took back, and Cause why it did not take back the session's own.
	TokensRevoked int
	Cause         string
	Privacy       Privacy
}

// MarshalLogObject writes the line's fields in a fixed order.
func (s *SignOut) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	text(enc, "request_id", s.RequestID)
	text(enc, "client_ip", s.ClientIP)
	text(enc, "endpoint", s.Endpoint)
	text(enc, "app", s.App)
	text(enc, "tenant", s.Tenant)
	text(enc, "principal", s.Privacy.Principal(s.Principal))
	text(enc, "node", s.Node)
	text(enc, "environment", s.Environment)
	text(enc, "trace_id", s.TraceID)
	text(enc, "decision", "allowed")
	enc.AddBool("everywhere", s.Everywhere)
	if s.SessionsEnded != nil {
		enc.AddInt("sessions_ended", *s.SessionsEnded)
	}
	enc.AddInt("refresh_tokens_revoked", s.TokensRevoked)
	text(enc, "cause", s.Privacy.cause(s.Cause))
	enc.AddInt("status", http.StatusOK)
	return nil
}
