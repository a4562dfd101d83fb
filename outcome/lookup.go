package outcome

import (
	"time"

	"go.uber.org/zap/zapcore"
)

// Lookup is a look-up of a caller's, served or refused, as the audit line tells it.
type Lookup struct {
	RequestID, ClientIP string
	App, Tenant         string
	Principal, Scheme   string
	Node, Environment   string
	TraceID             string
	Question            string
	Connection          int32
	Text                string // an ERP number or a name that was searched for
	Number              int32  // a key or a record's id
	Found               int
	Decision            string // allowed or refused
	Reason, Cause       string
	Status              int
	Duration            time.Duration
	Privacy             Privacy
}

// MarshalLogObject writes the line's fields in a fixed order. What was searched for is personal where it is a name: it is told as
// explanations are, an ERP number and a record's id as keys are.
func (l *Lookup) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	text(enc, "request_id", l.RequestID)
	text(enc, "client_ip", l.ClientIP)
	text(enc, "app", l.App)
	text(enc, "tenant", l.Tenant)
	text(enc, "principal", l.Privacy.Principal(l.Principal))
	text(enc, "scheme", l.Scheme)
	text(enc, "question", l.Question)
	if l.Connection != 0 {
		enc.AddInt32("connection_id", l.Connection)
	}
	if l.Number != 0 {
		enc.AddInt32("searched_id", l.Number)
	}
	if l.Question == "name" {
		text(enc, "searched", l.Privacy.disclose(l.Privacy.Explanations, l.Text))
	} else {
		text(enc, "searched", l.Text)
	}
	text(enc, "node", l.Node)
	text(enc, "environment", l.Environment)
	text(enc, "trace_id", l.TraceID)
	text(enc, "decision", l.Decision)
	text(enc, "reason", l.Reason)
	text(enc, "cause", l.Privacy.cause(l.Cause))
	enc.AddInt("status", l.Status)
	if l.Decision == "allowed" {
		enc.AddInt("found", l.Found)
	}
	enc.AddDuration("duration", l.Duration)
	return nil
}

// Lookup writes that somebody looked something up, or was refused, and returns why that could not be written.
func (a AuditLog) Lookup(l *Lookup) (unwritten error) {
	r := new(Record)
	a.write(a.Logger.Check(zapcore.InfoLevel, "erpsync lookup"), r, l)
	return r.Unwritten
}
