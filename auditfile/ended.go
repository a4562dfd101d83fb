package auditfile

import (
	"bytes"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// How the line of a call's end begins in Caddy's JSON: level, time, logger and message, in this order and before every field.
var (
	endedHead    = []byte(`{"level":"info","ts":`)
	endedMessage = []byte(`,"logger":"` + outcome.AuditLogger + `","msg":"` + outcome.EndedMessage + `",`)
)

// maxTimestamp bounds the time between them, in bytes. It is a number, or text in the operator's layout.
const maxTimestamp = 64

// endsCall reports whether a line is that of a call's end. What it does not know for certain, such as a line in another format, is none.
// No caller can make it so: the message stands before all that comes from outside, and a quote within a field is written with a backslash.
func endsCall(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, endedHead)
	return ok && bytes.Contains(rest[:min(len(rest), maxTimestamp+len(endedMessage))], endedMessage)
}
