package outcome

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// maxAuditKeys is how many keys an audit line names.
const maxAuditKeys = 100

// Record is one call as the audit line tells it. Fields that never came to be
// known stay at their zero value and are left out of the line.
type Record struct {
	RequestID string
	ClientIP  string

	App        string
	Tenant     string
	Principal  string
	Scheme     string
	Credential string

	Operation  superoffice.Operation
	Arguments  superoffice.Arguments
	KeysSum    string // of the Arguments
	Understood bool   // Arguments were read

	// Proved reports that the caller proved itself, DryRun that it asked for a dry run, whether or not it got that far.
	Proved, DryRun bool

	// Granted reports whether the call was to be made; whatever kept it from it is a failure of the tenant's.
	Granted  bool
	Decision string // allowed, refused, replayed, dry_run or preflight
	Reason   string
	Cause    string // names the check that refused the call, without a secret

	// AlsoRunning is the request id of the same call, which began at another gateway while the store had lost this one's lease.
	AlsoRunning string

	// Async reports that the call's caller was not to wait for its end: it outlives its connection.
	Async bool

	// Waited is how long the call waited for its turn; zero: not at all.
	Waited time.Duration

	// Replays is the request id of the call whose answer was given again.
	Replays string

	// Retries is the request id of the failed call that an operator repeats with this one.
	Retries string

	Upstream string
	Status   int // the HTTP status that the caller got
	Outcome  Outcome
	Sends    int
	Bytes    int64

	Node        string
	Environment string
	TraceID     string

	Started  time.Time
	Duration time.Duration

	// Began reports that the call was about to be sent, Broken that its answer broke off.
	Began, Broken bool

	// Unwritten is why the last audit line could not be written; nil: it was, or will be, as AuditLog's Written says.
	Unwritten error

	// Widened reports whether the caller's $select was widened by what the outcome is told from.
	Widened bool
	Privacy Privacy
}

// MarshalLogObject writes the line's fields in a fixed order.
func (r *Record) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	text(enc, "request_id", r.RequestID)
	text(enc, "client_ip", r.ClientIP)
	text(enc, "app", r.App)
	text(enc, "tenant", r.Tenant)
	text(enc, "principal", r.Privacy.Principal(r.Principal))
	text(enc, "scheme", r.Scheme)
	text(enc, "credential", r.Credential)
	if err := r.asked(enc); err != nil {
		return err
	}
	if r.Widened {
		enc.AddBool("select_widened", true)
	}
	text(enc, "node", r.Node)
	text(enc, "environment", r.Environment)
	text(enc, "trace_id", r.TraceID)
	text(enc, "decision", r.Decision)
	if r.Decision == "refused" && r.DryRun {
		enc.AddBool("dry_run", true)
	}
	if r.Decision == "refused" && !r.Proved && r.Scheme != "" {
		enc.AddBool("unproved", true)
	}
	text(enc, "reason", r.Reason)
	text(enc, "cause", r.Privacy.cause(r.Cause))
	if r.Async {
		enc.AddBool("async", true)
	}
	if r.Waited > 0 {
		enc.AddFloat64("waited", r.Waited.Seconds())
	}
	text(enc, "replays", r.Replays)
	text(enc, "retries", r.Retries)
	text(enc, "also_running", r.AlsoRunning)
	text(enc, "upstream", r.Upstream)
	if r.Status != 0 {
		enc.AddInt("status", r.Status)
	}
	text(enc, "outcome", string(r.Outcome.Class))
	text(enc, "outcome_cause", r.Outcome.Cause)
	text(enc, "error_code", r.Outcome.ErrorCode)
	if r.Outcome.Added+r.Outcome.Updated+r.Outcome.Deleted > 0 {
		if err := enc.AddObject("changed", (*changed)(&r.Outcome)); err != nil {
			return err
		}
	}
	text(enc, "user_explanation", r.Privacy.disclose(r.Privacy.Explanations, r.Outcome.UserExplanation))
	text(enc, "tech_explanation", r.Privacy.disclose(r.Privacy.Explanations, r.Outcome.TechExplanation))
	if r.Sends > 0 {
		enc.AddInt("sends", r.Sends)
	}
	if r.Duration > 0 {
		enc.AddFloat64("duration", r.Duration.Seconds())
	}
	if r.Bytes > 0 {
		enc.AddInt64("bytes", r.Bytes)
	}
	return nil
}

// text adds a field whose value comes from outside. An empty one is left out.
func text(enc zapcore.ObjectEncoder, key, value string) {
	if value != "" {
		enc.AddString(key, Printable(value))
	}
}

// asked writes what the call asks for.
func (r *Record) asked(enc zapcore.ObjectEncoder) error {
	if r.Operation != superoffice.UnknownOperation {
		enc.AddString("operation", r.Operation.String())
	}
	if r.Understood && r.Operation.Arguments() != superoffice.NoArguments {
		enc.AddInt32("connection_id", r.Arguments.Connection)
		text(enc, "actor_type", r.Arguments.ActorType)
		if err := enc.AddObject("keys", (*auditKeys)(r)); err != nil {
			return err
		}
	}
	if r.Understood && r.Operation.Resyncs() {
		enc.AddBool("resync_all", r.Arguments.Everything)
	}
	return nil
}

// started is a record before its call is sent: what has to be known of it should there be no other line.
type started Record

// MarshalLogObject writes the line's fields in a fixed order.
func (s *started) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	text(enc, "request_id", s.RequestID)
	text(enc, "app", s.App)
	text(enc, "tenant", s.Tenant)
	text(enc, "principal", s.Privacy.Principal(s.Principal))
	text(enc, "scheme", s.Scheme)
	text(enc, "node", s.Node)
	text(enc, "retries", s.Retries)
	if s.Async {
		enc.AddBool("async", true)
	}
	return (*Record)(s).asked(enc)
}

// auditKeys is a record's keys, the first of them by name.
type auditKeys Record

func (k *auditKeys) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	n := len(k.Arguments.Keys) + len(k.Arguments.ExternalKeys)
	enc.AddInt("count", n)
	if n == 0 {
		return nil
	}
	enc.AddString("digest", (*Record)(k).KeysDigest())
	return enc.AddArray("first", k)
}

func (k *auditKeys) MarshalLogArray(list zapcore.ArrayEncoder) error {
	ids, names := k.Arguments.Keys, k.Arguments.ExternalKeys
	for _, id := range ids[:min(len(ids), maxAuditKeys)] {
		list.AppendInt32(id)
	}
	for _, name := range names[:min(len(names), maxAuditKeys)] {
		list.AppendString(Printable(clip(name)))
	}
	return nil
}

// Disclosed returns what may be kept of what is personal in the record, as the audit line tells it; "" is nothing.
func (r *Record) Disclosed() (principal, cause, userExplanation, techExplanation string) {
	p := r.Privacy
	return p.Principal(r.Principal), p.cause(r.Cause), p.disclose(p.Explanations, r.Outcome.UserExplanation), p.disclose(p.Explanations, r.Outcome.TechExplanation)
}

// KeysDigest is as much of KeysSum as names the set of keys to people. It recognises the same
// call; it hides nothing.
func (r *Record) KeysDigest() string { return r.KeysSum[:min(16, len(r.KeysSum))] }

type changed Outcome

func (c *changed) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddInt("added", c.Added)
	enc.AddInt("updated", c.Updated)
	enc.AddInt("deleted", c.Deleted)
	return nil
}

// Trace sets what the line tells as attributes of the request's span. A span that is not recorded costs nothing.
func (r *Record) Trace(span trace.Span) {
	if !span.IsRecording() {
		return
	}
	for key, value := range map[string]string{
		"app": r.App, "tenant": r.Tenant, "operation": r.Operation.String(), "decision": r.Decision, "reason": r.Reason,
		"outcome": string(r.Outcome.Class), "outcome_cause": r.Outcome.Cause, "error_code": r.Outcome.ErrorCode, "request_id": r.RequestID,
	} {
		if value != "" {
			span.SetAttributes(attribute.String("erpsync."+key, value))
		}
	}
	if r.Understood {
		span.SetAttributes(attribute.Int("erpsync.connection_id", int(r.Arguments.Connection)), attribute.Bool("erpsync.resync_all", r.Arguments.Everything))
	}
}
