package outcome

import (
	"errors"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Recorder learns of calls. Both methods are called with the call's one record, which they must not change (but for what is their own),
// and must not block.
type Recorder interface {
	// Began is called before a call is sent, and not for one that is refused.
	Began(*Record)
	// Ended is called once for each call, when everything about it is known.
	Ended(*Record)
}

// AuditLogger is the name of the logger that audit lines come from.
const AuditLogger = "http.handlers.erpsync.audit"

// The messages of a call's two audit lines.
const (
	StartedMessage = "erpsync call started"
	EndedMessage   = "erpsync call"
)

// AuditLog writes a line before a call is sent, so that a process that is killed meanwhile leaves a
// trace, and one when it is over.
type AuditLog struct {
	Logger *zap.Logger
	// Written is called for every line with the error that kept it from being written; nil: it was, or, with the writer erpsync_file and
	// EndedMessage, it will be within milliseconds. If that fails the writer keeps the line, and the next one has the error.
	// A nil Written is not called.
	Written func(error)
}

// Began writes who wants what. The record's Unwritten tells afterwards whether that could be written; nil: the line is in the file.
func (a AuditLog) Began(r *Record) {
	a.write(a.Logger.Check(zap.InfoLevel, StartedMessage), r, (*started)(r))
}

// Ended writes the whole record.
func (a AuditLog) Ended(r *Record) {
	a.write(a.Logger.Check(zap.InfoLevel, EndedMessage), r, r)
}

var errNoAuditLog = errors.New("no log takes the logger " + AuditLogger)

func (a AuditLog) write(entry *zapcore.CheckedEntry, r *Record, line zapcore.ObjectMarshaler) {
	r.Unwritten = errNoAuditLog
	if entry == nil {
		return
	}
	r.Unwritten = nil
	entry.ErrorOutput = (*unwritten)(r) // where zap says what a core could not write; it returns nothing
	entry.Write(zap.Inline(line))
	if a.Written != nil {
		a.Written(r.Unwritten)
	}
}

// unwritten takes zap's error for a line that could not be written.
type unwritten Record

// Write keeps what is said. zap writes the time, "write error: " and the error.
func (u *unwritten) Write(said []byte) (int, error) {
	_, cause, _ := strings.Cut(strings.TrimSpace(string(said)), "write error: ")
	u.Unwritten = errors.New(cause)
	return len(said), nil
}

// Sync does nothing.
func (*unwritten) Sync() error { return nil }

// EndpointRefused writes that a request to an endpoint was refused.
func (a AuditLog) EndpointRefused(r *EndpointRefusal) {
	a.write(a.Logger.Check(zap.InfoLevel, "erpsync endpoint refused"), new(Record), r)
}

// SignedOut writes that a person has signed out.
func (a AuditLog) SignedOut(s *SignOut) {
	a.write(a.Logger.Check(zap.InfoLevel, "erpsync signed out"), new(Record), s)
}

var (
	_ Recorder = AuditLog{}
	_ Recorder = (*Metrics)(nil)
	_ Recorder = (*Ledger)(nil)
)
