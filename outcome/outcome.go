// Package outcome says what a call did: it reads the PluginResponse out of an
// answer that passes by, and writes the audit line and the metrics of each call.
package outcome

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Class says in one word what became of a call. The list is closed: it stands
// in audit lines and is a label of metrics.
type Class string

const (
	OK      Class = "ok"
	Info    Class = "info"
	Warning Class = "warning"
	Error   Class = "error"
	// Contradictory: the parts of the answer disagree, or the HTTP status and the body.
	Contradictory Class = "contradictory"
	// Masked: the caller's $select nulled what the outcome is told from.
	Masked Class = "masked"
	// Accepted: the work goes on in a batch task.
	Accepted Class = "accepted"
	// Empty: the answer is null, which SuperOffice documents for a failed call.
	Empty Class = "empty"
	// Unreadable: not an answer of the agent; Cause says what it was.
	Unreadable Class = "unreadable"
	// Fault: an error body or a status of 400 and above.
	Fault Class = "fault"
	// Unreachable: nothing was sent.
	Unreachable Class = "unreachable"
	// Unknown: sent, and no whole answer came; it may have run.
	Unknown Class = "unknown"
)

// Classes lists every class.
func Classes() []Class {
	return []Class{OK, Info, Warning, Error, Contradictory, Masked, Accepted, Empty, Unreadable, Fault, Unreachable, Unknown}
}

// Outcome is what became of a call.
type Outcome struct {
	Class Class
	// Cause says why in a code, where the class alone does not.
	Cause string
	// Status and ErrorCode are the PluginResponse's, in SuperOffice's spelling.
	Status    string
	ErrorCode string
	// UserExplanation and TechExplanation may hold personal data.
	UserExplanation string
	TechExplanation string
	Added           int
	Updated         int
	Deleted         int
}

// maxText bounds each text taken from an answer, in bytes.
const maxText = 512

// maxObserved is how much of an answer is kept to be read. A longer one passes
// all the same; its outcome is unreadable with the cause too_large.
const maxObserved = 1 << 20

// Tap reads an answer while it passes.
type Tap struct {
	operation superoffice.Operation
	status    int
	media     string
	encoded   bool
	masked    bool
	seen      bytes.Buffer
	overflow  bool
}

// NewTap begins to observe an answer with this head. masked tells that the
// $select that was sent nulls what the outcome is told from.
func NewTap(op superoffice.Operation, status int, header http.Header, masked bool) *Tap {
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	encoding := header.Get("Content-Encoding")
	return &Tap{operation: op, status: status, media: media, encoded: encoding != "" && encoding != "identity", masked: masked}
}

// Write keeps a copy within the bound. It never fails.
func (t *Tap) Write(p []byte) (int, error) {
	if t.overflow || t.seen.Len()+len(p) > maxObserved {
		t.overflow = true
		return len(p), nil
	}
	return t.seen.Write(p)
}

// Outcome tells what the answer said. end is nil when it arrived whole.
func (t *Tap) Outcome(end error) Outcome {
	body := t.seen.Bytes()
	switch {
	case end != nil:
		return Outcome{Class: Unknown, Cause: "truncated"}
	case t.status == http.StatusNoContent && t.operation.Answer() == superoffice.AnswersNothing:
		return Outcome{Class: Accepted}
	case t.status < 300 && t.operation.Answer() == superoffice.AnswersOther:
		return Outcome{Class: OK}
	}
	answer, fault, null, cause := t.read(body)
	switch {
	case t.status >= 400 && answer.Present:
		return describe(answer, Contradictory, "plugin_response_under_error_status")
	case t.status >= 400:
		return Outcome{Class: Fault, Cause: cause, ErrorCode: clip(fault.Type), TechExplanation: clip(fault.Message)}
	case cause != "":
		return Outcome{Class: Unreadable, Cause: cause}
	case null:
		return Outcome{Class: Empty}
	case fault.Present && !answer.Present:
		return Outcome{Class: Contradictory, Cause: "error_body_under_success", ErrorCode: clip(fault.Type), TechExplanation: clip(fault.Message)}
	}
	class, cause := classify(answer, t.masked)
	return describe(answer, class, cause)
}

func (t *Tap) read(body []byte) (answer superoffice.PluginResponse, fault superoffice.Fault, null bool, cause string) {
	switch {
	case t.overflow:
		return answer, fault, false, "too_large"
	case t.encoded:
		return answer, fault, false, "encoded"
	case t.media == "text/html":
		return answer, fault, false, "html"
	case len(body) == 0:
		return answer, fault, false, "no_body"
	case t.media != "application/json" && t.media != "text/json":
		return answer, fault, false, "media_type"
	}
	answer, fault, null, err := superoffice.ParseAnswer(body)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.Is(err, superoffice.ErrTwice):
		cause = "duplicate_property"
	case errors.Is(err, superoffice.ErrNotAnAnswer), errors.As(err, &kind):
		cause = "not_plugin_response"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		cause = "cut_short"
	default:
		cause = "malformed"
	}
	if err != nil {
		return superoffice.PluginResponse{}, superoffice.Fault{}, false, cause
	}
	return answer, fault, null, ""
}

func classify(answer superoffice.PluginResponse, masked bool) (Class, string) {
	var class Class
	if answer.Status != nil {
		switch *answer.Status {
		case "Ok":
			class = OK
		case "OkWithInfo":
			class = Info
		case "Warning", "Warn": // the wire's word and the prose's
			class = Warning
		case "Error":
			class = Error
		default:
			return Unreadable, "status_unknown"
		}
	}
	switch {
	case class == "" && answer.IsOk == nil && masked:
		return Masked, "select"
	case class == "" && answer.IsOk == nil:
		return Unreadable, "not_plugin_response"
	case class == "" && *answer.IsOk:
		return OK, ""
	case class == "":
		return Error, ""
	case answer.IsOk != nil && *answer.IsOk == (class == Error):
		return Contradictory, "status_disagrees"
	}
	return class, ""
}

func describe(answer superoffice.PluginResponse, class Class, cause string) Outcome {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return clip(*s)
	}
	return Outcome{
		Class: class, Cause: cause, Status: text(answer.Status), ErrorCode: text(answer.ErrorCode),
		UserExplanation: text(answer.UserExplanation), TechExplanation: text(answer.TechExplanation),
		Added: answer.Added, Updated: answer.Updated, Deleted: answer.Deleted,
	}
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}
