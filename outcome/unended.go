package outcome

import (
	"slices"
	"time"

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

// cover is a call that succeeded, as far as it says what it covers.
type cover struct {
	operation superoffice.Operation
	arguments superoffice.Arguments
	keysSum   string
	started   time.Time
}

// account adds a call whose end is not known to those that somebody has to look after, and takes out
// those that a call which succeeded covers. remember has the latter be kept for those that other gateways tell of.
func (s *standing) account(r *Record, call Call, remember bool) {
	arguments := r.Arguments
	if len(arguments.Keys)+len(arguments.ExternalKeys) > maxAuditKeys { // the same keys or everything covers them still
		arguments.Keys, arguments.ExternalKeys = nil, nil
	}
	switch {
	case !r.Operation.Resyncs() || r.Sends == 0:
		return
	case r.Outcome.Class == Unknown, r.Outcome.Class == "":
		if len(s.unended) == maxUnended {
			s.unended = s.unended[1:]
		}
		s.unended = append(s.unended, unended{call: call, operation: r.Operation, arguments: arguments, keysSum: r.KeysSum})
	case r.Outcome.Class.Succeeded():
		by := cover{r.Operation, r.Arguments, r.KeysSum, r.Started}
		s.unended = slices.DeleteFunc(s.unended, func(u unended) bool { return u.coveredBy(by) })
		if remember {
			by.arguments = arguments
			s.covers = slices.DeleteFunc(s.covers, func(old cover) bool { return call.At.Sub(old.started) > coverFor })
			s.covers = append(s.covers[max(0, len(s.covers)-maxCovers+1):], by)
		}
	}
	s.newest()
}

// newest has the newest of the calls whose end is not known shown, and how many there are.
func (s *standing) newest() {
	s.Unknown, s.Unknowns = Call{}, len(s.unended)
	if s.Unknowns > 0 {
		s.Unknown = s.unended[s.Unknowns-1].call
	}
}

// coveredBy reports whether a call that succeeded has done all that this one was to do.
func (u unended) coveredBy(by cover) bool {
	// A batch task does what the plain call does.
	plain := func(op superoffice.Operation) superoffice.Operation {
		if op == superoffice.ForceResyncBatchTask {
			return superoffice.ForceResync
		}
		return op
	}
	a, b := &u.arguments, &by.arguments
	switch {
	case by.started.Before(u.call.At):
		return false
	case plain(u.operation) != plain(by.operation), a.Connection != b.Connection, a.ActorType != b.ActorType:
		return false
	case b.Everything, u.keysSum == by.keysSum:
		return true
	case a.Everything, len(a.Keys)+len(a.ExternalKeys) == 0:
		return false
	}
	return within(a.Keys, b.Keys) && within(a.ExternalKeys, b.ExternalKeys)
}

func within[T comparable](keys, of []T) bool {
	return !slices.ContainsFunc(keys, func(key T) bool { return !slices.Contains(of, key) })
}
