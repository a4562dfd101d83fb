package outcome

import (
	"slices"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// maxUnended is how many calls whose end is not known are remembered for an app in a tenant.
const maxUnended = 32

// unended is a call that was sent and whose end is not known, and what it was about.
type unended struct {
	call      Call
	operation superoffice.Operation
	arguments superoffice.Arguments
	keysSum   string
}

// account adds a call whose end is not known to those that somebody has to look after, and takes out
// those that a call which succeeded covers.
func (s *standing) account(r *Record, call Call) {
	switch {
	case !r.Operation.Resyncs() || r.Sends == 0:
		return
	case r.Outcome.Class == Unknown, r.Outcome.Class == "":
		u := unended{call: call, operation: r.Operation, arguments: r.Arguments, keysSum: r.KeysSum}
		if len(r.Arguments.Keys)+len(r.Arguments.ExternalKeys) > maxAuditKeys { // the same keys or everything covers them still
			u.arguments.Keys, u.arguments.ExternalKeys = nil, nil
		}
		if len(s.unended) == maxUnended {
			s.unended = s.unended[1:]
		}
		s.unended = append(s.unended, u)
	case r.Outcome.Class.Succeeded():
		s.unended = slices.DeleteFunc(s.unended, func(u unended) bool { return !r.Started.Before(u.call.At) && u.coveredBy(r) })
	}
	s.Unknown, s.Unknowns = Call{}, len(s.unended)
	if s.Unknowns > 0 {
		s.Unknown = s.unended[s.Unknowns-1].call
	}
}

// coveredBy reports whether a call that succeeded has done all that this one was to do.
func (u unended) coveredBy(r *Record) bool {
	// A batch task does what the plain call does.
	plain := func(op superoffice.Operation) superoffice.Operation {
		if op == superoffice.ForceResyncBatchTask {
			return superoffice.ForceResync
		}
		return op
	}
	a, b := &u.arguments, &r.Arguments
	switch {
	case plain(u.operation) != plain(r.Operation), a.Connection != b.Connection, a.ActorType != b.ActorType:
		return false
	case b.Everything, u.keysSum == r.KeysSum:
		return true
	case a.Everything, len(a.Keys)+len(a.ExternalKeys) == 0:
		return false
	}
	return within(a.Keys, b.Keys) && within(a.ExternalKeys, b.ExternalKeys)
}

func within[T comparable](keys, of []T) bool {
	return !slices.ContainsFunc(keys, func(key T) bool { return !slices.Contains(of, key) })
}
