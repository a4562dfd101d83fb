package history

import (
	"errors"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Kind is what the keys of a call are. The list is closed: it is in the store.
type Kind string

const (
	Internal Kind = "internal"
	External Kind = "external"
	// EverySync and EveryForced are operations without keys, which say nothing of any other call.
	EverySync   Kind = "SyncAll"
	EveryForced Kind = "ForceSyncAll"
)

// Scope is what calls have to agree in for a success to say anything of a failure.
type Scope struct {
	Environment, Tenant string
	// Connection is the ERP connection from which is synchronised; 0: from the CRM. So it is the direction too.
	Connection int32
	Kind       Kind
	// ActorType is what external keys are keys of.
	ActorType string
	// NoBlankValues is the form that leaves fields alone for which the other side has no value.
	NoBlankValues bool
}

// Scope returns the scope of a call; false for one that moves no data, or of which nobody knows what it asked for.
func (r *Row) Scope() (Scope, bool) {
	s := Scope{Environment: r.Environment, Tenant: r.Tenant}
	if !r.Understood || !r.Operation.Resyncs() {
		return s, false
	}
	switch r.Operation.Arguments() {
	case superoffice.InternalKeys:
		s.Kind = Internal
	case superoffice.ExternalKeys:
		if r.ActorType == "" && r.Partial { // an audit line that does not say what they are keys of
			return s, false
		}
		s.Kind, s.ActorType = External, r.ActorType
	default:
		s.Kind = EverySync
		if r.Operation == superoffice.ForceSyncAll {
			s.Kind = EveryForced
		}
		return s, true
	}
	s.Connection = max(r.Connection, 0)
	s.NoBlankValues = r.Operation == superoffice.ForceResyncNoBlankValues || r.Operation == superoffice.ForceResyncExternalNoBlankValues
	return s, true
}

// Covers returns the scopes of which a success in this one says something: a full resync does what the form without blank
// values does, and not the other way.
func (s Scope) Covers() []Scope {
	if s.NoBlankValues {
		return []Scope{s}
	}
	without := s
	without.NoBlankValues = true
	return []Scope{s, without}
}

// Opens reports whether a call that came to this leaves its keys failing.
func Opens(class outcome.Class) bool {
	switch class {
	case outcome.Error, outcome.Fault, outcome.Contradictory, outcome.Unreachable, outcome.Unknown, outcome.Unreadable, outcome.Empty, outcome.Masked:
		return true
	}
	return false
}

// Closes reports whether a call that came to this closes what failed of its keys before it began.
func Closes(class outcome.Class) bool { return class.Succeeded() }

// Filter says which failures are wanted. A zero field lets all through.
type Filter struct {
	Tenant, App string
	Connection  *int32
	// Since leaves out those that were seen last before it.
	Since time.Time
}

// Failure is a group of keys whose last call failed for one cause, and which no later success covers.
type Failure struct {
	// ID names the group as long as it lasts, and never another.
	ID  int64
	App string
	Scope
	Outcome      outcome.Class
	OutcomeCause string
	ErrorCode    string
	Reason       string
	// First and Last are when the first and the last of its calls were over, Tries how many there were.
	First, Last time.Time
	Tries       int
	// Keys is how many keys fail, Everything that a resync of everything does.
	Keys       int
	Everything bool
	// RequestID is the last call's.
	RequestID string
}

// Closure is why a person takes a failure for settled.
type Closure struct {
	By, Proof, Reason string
	At                time.Time
}

// MaxFailures is how many groups Failures returns at most.
const MaxFailures = 10_000

var (
	// ErrNotOpen says that a journal has no store yet.
	ErrNotOpen = errors.New("the history is not open")
	// ErrNoFailure says that there is no such group, or no more.
	ErrNoFailure = errors.New("there is no such group of failures, or no more")
)

// Store returns the store; ErrNotOpen while it could not be opened.
func (j *Journal) Store() (Store, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.store == nil || j.ended {
		return nil, errors.Join(ErrNotOpen, j.health.Cause)
	}
	return j.store, nil
}
