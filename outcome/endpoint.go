package outcome

import "go.uber.org/zap/zapcore"

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
