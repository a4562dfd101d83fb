package outcome

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// NoticeResult is what followed a notice of SuperOffice's. The list is closed: it is a label.
type NoticeResult string

// What follows a notice.
const (
	// NoticeHeld: the tenant is on hold.
	NoticeHeld NoticeResult = "held"
	// NoticeReleased: a hold that followed from a notice has ended.
	NoticeReleased NoticeResult = "released"
	// NoticeRefreshed: the state service was asked where the tenant lives.
	NoticeRefreshed NoticeResult = "refreshed"
	// NoticeWatched: the notice is only a hint, with which the state service does not agree yet; it is asked again.
	NoticeWatched NoticeResult = "watched"
	// NoticeWarned: nothing was done, and the log says so.
	NoticeWarned NoticeResult = "warned"
	// NoticeUnchanged: there was nothing to be done.
	NoticeUnchanged NoticeResult = "unchanged"
	// NoticeRepeated: it had come before, and changed nothing.
	NoticeRepeated NoticeResult = "repeated"
	// NoticeRefused: it did not prove itself, or could not be taken.
	NoticeRefused NoticeResult = "refused"
)

// noticeResults are what may follow each change.
var noticeResults = map[superoffice.Change][]NoticeResult{
	superoffice.Upgrade:        {NoticeHeld, NoticeReleased, NoticeWatched, NoticeUnchanged, NoticeRepeated},
	superoffice.BackupRestored: {NoticeHeld, NoticeWarned, NoticeRepeated},
	superoffice.Suspend:        {NoticeHeld, NoticeReleased, NoticeWatched, NoticeUnchanged, NoticeRepeated},
	superoffice.Resume:         {NoticeReleased, NoticeUnchanged, NoticeRepeated},
	superoffice.Delete:         {NoticeHeld, NoticeReleased, NoticeWatched, NoticeUnchanged, NoticeRepeated},
	superoffice.Move:           {NoticeRefreshed, NoticeRepeated},
	superoffice.UnknownChange:  {NoticeWarned, NoticeRepeated, NoticeRefused},
}

// TenantStatus is a notice of SuperOffice's as the audit line tells it, or what the state service said after one. It has the
// fields of an operator's act, so that one list shows both.
type TenantStatus struct {
	RequestID, ClientIP string // of the push; "" for the state service
	App, Tenant         string
	Change              superoffice.Change
	// Proof is what shows it: push, hint (a push whose token does not say all of it) or state_service.
	Proof string
	// State is what the state service says; "" if it was not asked or gave no answer.
	State string
	// Until is when the hold ends by itself; zero: it does not, or there is none.
	Until             time.Time
	Result            NoticeResult
	Reason            string // what callers of a held tenant are told
	Node, Environment string
}

// MarshalLogObject writes the line's fields in a fixed order.
func (s *TenantStatus) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("act", string(s.Change))
	enc.AddString("actor", NoticeActor)
	enc.AddString("actor_proof", s.Proof)
	text(enc, "request_id", s.RequestID)
	text(enc, "client_ip", s.ClientIP)
	text(enc, "app", s.App)
	text(enc, "tenant", s.Tenant)
	text(enc, "environment", s.Environment)
	text(enc, "state", s.State)
	text(enc, "reason", s.Reason)
	if !s.Until.IsZero() {
		enc.AddTime("until", s.Until)
	}
	text(enc, "node", s.Node)
	enc.AddString("result", string(s.Result))
	return nil
}

// NoticeActor is whose act a notice is.
const NoticeActor = "SuperOffice"

// NoticeMessage is the audit line's of a notice.
const NoticeMessage = "erpsync tenant status"

// TenantStatus writes what followed a notice.
func (a AuditLog) TenantStatus(s *TenantStatus) {
	a.write(a.Logger.Check(zap.InfoLevel, NoticeMessage), new(Record), s)
}
