package outcome

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Gateways tell each other how apps stand in tenants: each exports what has changed, and absorbs what others exported. Of two
// that differ the later counts, for each thing that is known by itself, so that the order does not matter.

const (
	// maxCovers is how many calls that succeeded are remembered for an app in a tenant, and coverFor how long, for a call
	// without a known end that another gateway tells of meanwhile.
	maxCovers = 64
	coverFor  = 2 * time.Minute
)

// Member is an app in a tenant.
type Member struct{ App, Tenant string }

// sharedHealth is a TenantHealth as gateways tell it each other.
type sharedHealth struct {
	Consent      Consent      `json:"consent,omitempty"`
	ConsentSince time.Time    `json:"consent_since,omitzero"`
	ConsentAsked time.Time    `json:"consent_asked,omitzero"`
	Message      string       `json:"message,omitempty"`
	Last         sharedCall   `json:"last,omitzero"`
	Failed       sharedCall   `json:"failed,omitzero"`
	Succeeded    time.Time    `json:"succeeded,omitzero"`
	Unended      []sharedTodo `json:"unended,omitempty"`
}

type sharedCall struct {
	At        time.Time `json:"at,omitzero"`
	RequestID string    `json:"request_id,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Class     Class     `json:"class,omitempty"`
	ErrorCode string    `json:"error_code,omitempty"`
}

// sharedTodo is a call whose end is not known.
type sharedTodo struct {
	Call         sharedCall `json:"call"`
	Connection   int32      `json:"connection"`
	Keys         []int32    `json:"keys,omitempty"`
	ExternalKeys []string   `json:"external_keys,omitempty"`
	ActorType    string     `json:"actor_type,omitempty"`
	Everything   bool       `json:"everything,omitempty"`
	KeysSum      string     `json:"keys_sum,omitempty"`
}

func shareCall(c Call) sharedCall {
	return sharedCall{At: moment(c.At), RequestID: c.RequestID, Operation: c.Operation, Reason: c.Reason, Class: c.Outcome.Class, ErrorCode: c.Outcome.ErrorCode}
}

func (c sharedCall) call() Call {
	return Call{At: c.At, RequestID: c.RequestID, Operation: c.Operation, Reason: c.Reason, Outcome: Outcome{Class: c.Class, ErrorCode: c.ErrorCode}}
}

// moment is a time as it comes back from JSON.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// later returns the later of two calls; of two at the same time always the same.
func later(a, b Call) Call {
	x, y := moment(a.At), moment(b.At)
	if x.After(y) || x.Equal(y) && a.RequestID >= b.RequestID {
		return a
	}
	return b
}

// Share has the ledger remember what it takes to exchange. Before it is called nothing is.
func (l *Ledger) Share() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = true
}

// Changed returns what was changed since it was exported, at most that many.
func (l *Ledger) Changed(most int) (changed []Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, s := range l.entries {
		if s.changes != s.exported && len(changed) < most {
			changed = append(changed, Member{m.app, m.tenant})
		}
	}
	return changed
}

// Export returns what is known of a member, for Absorb, and the change up to which it is. ok is false if nothing is known.
func (l *Ledger) Export(m Member) (doc []byte, change uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.entries[member{m.App, m.Tenant}]
	if s == nil {
		return nil, 0, false
	}
	return s.export(), s.changes, true
}

// Exported notes that the other gateways are told what Export returned up to a change.
func (l *Ledger) Exported(m Member, change uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.entries[member{m.App, m.Tenant}]; s != nil {
		s.exported = change
		s.told = s.ids()
	}
}

// Unexport has everything count as changed: what was exported is lost.
func (l *Ledger) Unexport() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.entries {
		s.changes++
		s.told = nil
	}
}

// Forgotten returns what Drop dropped since it was last called.
func (l *Ledger) Forgotten() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped := slices.Collect(maps.Keys(l.dropped))
	l.dropped = nil
	return dropped
}

// Drop forgets a member here and, if the ledger is shared, has that told to the others.
func (l *Ledger) Drop(m Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, member{m.App, m.Tenant})
	if !l.shared {
		return
	}
	if l.dropped == nil {
		l.dropped = make(map[Member]struct{})
	}
	l.dropped[m] = struct{}{}
}

// Absorb takes over what another gateway exported. It returns an error if it is no export.
func (l *Ledger) Absorb(m Member, doc []byte) error {
	var other sharedHealth
	if err := json.Unmarshal(doc, &other); err != nil {
		return fmt.Errorf("the health of %s in %s, as it was shared: %w", m.App, m.Tenant, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.entry(m.App, m.Tenant)
	s.absorb(other)
	if same, _ := json.Marshal(other); bytes.Equal(s.export(), same) {
		s.exported = s.changes
	} else if s.changes == s.exported {
		s.changes++
	}
	return nil
}

func (s *standing) export() []byte {
	h := sharedHealth{
		Consent: s.Consent, ConsentSince: moment(s.ConsentSince), ConsentAsked: moment(s.ConsentAsked), Message: s.Message,
		Last: shareCall(s.Last), Failed: shareCall(s.Failed), Succeeded: moment(s.Succeeded),
	}
	for _, u := range s.unended {
		a := u.arguments
		h.Unended = append(h.Unended, sharedTodo{Call: shareCall(u.call), Connection: a.Connection, Keys: a.Keys, ExternalKeys: a.ExternalKeys, ActorType: a.ActorType, Everything: a.Everything, KeysSum: u.keysSum})
	}
	doc, err := json.Marshal(h)
	if err != nil {
		panic(err) // texts, numbers and times always marshal
	}
	return doc
}

func (s *standing) ids() map[string]bool {
	ids := make(map[string]bool, len(s.unended))
	for _, u := range s.unended {
		ids[u.call.RequestID] = true
	}
	return ids
}

func (s *standing) absorb(other sharedHealth) {
	own, theirs := moment(s.ConsentAsked), other.ConsentAsked
	if theirs.After(own) || theirs.Equal(own) && other.Consent > s.Consent {
		s.Consent, s.ConsentSince, s.ConsentAsked, s.Message = other.Consent, other.ConsentSince, other.ConsentAsked, other.Message
	}
	s.Last, s.Failed = later(s.Last, other.Last.call()), later(s.Failed, other.Failed.call())
	if s.Consent != ConsentRequired && s.Failed.Reason == string(ConsentRequired) && !moment(s.Failed.At).After(moment(s.ConsentAsked)) {
		s.Failed = Call{} // it is mended
	}
	if other.Succeeded.After(moment(s.Succeeded)) {
		s.Succeeded = other.Succeeded
	}
	s.absorbUnended(other.Unended)
}

// absorbUnended takes over calls whose end is not known. One that the others were told of and that is not among theirs has been
// covered there, and one of theirs that was told before and is not here has been covered here.
func (s *standing) absorbUnended(others []sharedTodo) {
	theirs := make(map[string]bool, len(others))
	for _, o := range others {
		theirs[o.Call.RequestID] = true
	}
	s.unended = slices.DeleteFunc(s.unended, func(u unended) bool { return s.told[u.call.RequestID] && !theirs[u.call.RequestID] })
	here := s.ids()
	for _, o := range others {
		operation, known := superoffice.ParseOperation(o.Call.Operation)
		if here[o.Call.RequestID] || s.told[o.Call.RequestID] || !known {
			continue
		}
		u := unended{call: o.Call.call(), operation: operation, keysSum: o.KeysSum, arguments: superoffice.Arguments{
			Connection: o.Connection, Keys: o.Keys, ExternalKeys: o.ExternalKeys, ActorType: o.ActorType, Everything: o.Everything,
		}}
		if !slices.ContainsFunc(s.covers, u.coveredBy) {
			s.unended = append(s.unended, u)
		}
	}
	slices.SortStableFunc(s.unended, func(a, b unended) int {
		if at := moment(a.call.At).Compare(moment(b.call.At)); at != 0 {
			return at
		}
		return strings.Compare(a.call.RequestID, b.call.RequestID)
	})
	s.unended = s.unended[max(0, len(s.unended)-maxUnended):]
	s.told = theirs
	s.newest()
}
