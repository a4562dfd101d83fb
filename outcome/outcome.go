// Package outcome says what a call did: it reads the PluginResponse out of an
// answer that passes by, and writes the audit line and the metrics of each call.
package outcome

import (
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Class is the outcome of a call in one word. The list is closed: it is
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

// Succeeded reports whether SuperOffice says that the call did what it was for. Of a batch task it says
// nothing: Accepted is neither a success nor a failure.
func (c Class) Succeeded() bool { return c == OK || c == Info || c == Warning }

// Explanation says to people what a class means that could be taken for another; "" where its name says it.
func (c Class) Explanation() string {
	if c == Accepted {
		return "SuperOffice does not report its outcome"
	}
	return ""
}

// Remedy is what an operator does about a call that came to this, "" where nothing is to be done.
func (c Class) Remedy() string {
	switch c {
	case Error:
		return "look into the ERP connection: the error code is its own"
	case Contradictory, Unreadable, Empty:
		return "look at the audit line's outcome_cause, and in SuperOffice whether it ran"
	case Fault:
		return "look at the audit line: SuperOffice answered an error"
	case Unreachable:
		return "look at the network and at SuperOffice: nothing was sent"
	case Unknown:
		return "look in SuperOffice whether it ran before anybody repeats it"
	case Masked:
		return "leave IsOk, Status or ErrorCode in the caller's $select"
	}
	return ""
}

// Outcome is the outcome of a call.
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

// MaxText bounds each text taken from an answer, and each key that an audit line names, in bytes.
const MaxText = 512

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

func describe(answer superoffice.Answer, class Class, cause string) Outcome {
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
	if len(s) > MaxText {
		return s[:MaxText]
	}
	return s
}
