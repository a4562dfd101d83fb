package outcome

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// View is a page of the console that somebody saw, as the audit line tells it.
type View struct {
	Node string
	// Viewer is who looked, as the site's authentication named them; "": somebody at this machine. Role is support or operator.
	Viewer, Role string
	ClientIP     string
	// Page is the page's name, such as call.
	Page string
	// Tenant and RequestID are what was looked at; "": no single one.
	Tenant, RequestID string
	// Calls is how many calls the page was made of. CSV reports that they were taken as a file.
	Calls int
	CSV   bool
	// Question is that of a look-up in SuperOffice, "": there was none. Connection and Found are its.
	Question   string
	Connection int32
	Found      int
}

// MarshalLogObject writes the line's fields in a fixed order. What was searched for is not among them: it may be a name.
func (v *View) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if v.Viewer == "" {
		enc.AddString("viewer_proof", "local")
	}
	text(enc, "viewer", v.Viewer)
	text(enc, "role", v.Role)
	text(enc, "client_ip", v.ClientIP)
	text(enc, "page", v.Page)
	text(enc, "tenant", v.Tenant)
	text(enc, "request_id", v.RequestID)
	enc.AddInt("calls", v.Calls)
	if v.CSV {
		enc.AddBool("csv", true)
	}
	if v.Question != "" {
		enc.AddString("question", v.Question)
		enc.AddInt32("connection_id", v.Connection)
		enc.AddInt("found", v.Found)
	}
	text(enc, "node", v.Node)
	return nil
}

// View writes that somebody looks at calls, and returns why that could not be written.
func (a AuditLog) View(v *View) (unwritten error) {
	r := new(Record)
	a.write(a.Logger.Check(zap.InfoLevel, "erpsync console view"), r, v)
	return r.Unwritten
}
