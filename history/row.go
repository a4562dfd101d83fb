package history

import (
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Row is one call. What never came to be known is zero.
type Row struct {
	RequestID string
	Node      string // the gateway

	// Environment is the gateway's: online, stage, sod, a base URL, or the URL of an onsite WebAPI.
	Environment string
	App         string
	Tenant      string // "" onsite
	// Principal is who called, as far as the audit log tells it.
	Principal string
	Scheme    string
	// Credential is whose credential went upstream, and of what kind, such as "system soticket".
	Credential string

	Operation superoffice.Operation
	// Understood reports that the fields from here to ActorType were read from the call.
	Understood bool
	Connection int32
	Everything bool
	// Keys is the whole key set as PackKeys packs it, KeyCount how many there are, Partial that only the first of them
	// are known: such a call can never be repeated from its row.
	Keys     []byte
	KeyCount int
	Partial  bool
	// ActorType and Stated complete superoffice.Arguments.
	ActorType string
	Stated    superoffice.Properties

	Decision string // allowed, refused or replayed
	Reason   string
	Cause    string // of a refusal
	Replays  string
	// Retries is the request id of the failed call that an operator repeats with this one; "" for every other call.
	Retries string

	Outcome      outcome.Class
	OutcomeCause string
	ErrorCode    string
	// UserExplanation and TechExplanation are empty unless the operator keeps them.
	UserExplanation, TechExplanation string
	Status                           int
	Sends                            int

	// Started is when the call arrived, Sent when it was about to be sent (zero: it never was), Ended when it was over (zero: not yet).
	Started, Sent, Ended time.Time
}

// NoEnd is the OutcomeCause of a call whose end nobody saw: its gateway was killed, or the row of its end was lost.
const NoEnd = "no_end"

// newRow returns the row of a call that is over or, with the time until then as its Duration, is about to be sent. The
// record's Privacy decides what of a person is in it.
func newRow(r *outcome.Record, environment string, ended bool) Row {
	row := Row{
		RequestID: r.RequestID, Node: r.Node, Environment: environment, App: r.App, Tenant: r.Tenant, Scheme: r.Scheme, Credential: r.Credential,
		Operation: r.Operation, Understood: r.Understood, Decision: r.Decision, Reason: r.Reason, Replays: r.Replays, Retries: r.Retries,
		Outcome: r.Outcome.Class, OutcomeCause: r.Outcome.Cause, ErrorCode: r.Outcome.ErrorCode, Status: r.Status, Sends: r.Sends, Started: r.Started,
	}
	row.Principal, row.Cause, row.UserExplanation, row.TechExplanation = r.Disclosed()
	if a := &r.Arguments; r.Understood {
		row.Connection, row.Everything, row.ActorType, row.Stated = a.Connection, a.Everything, a.ActorType, a.Stated
		row.Keys, row.KeyCount = PackKeys(a), len(a.Keys)+len(a.ExternalKeys)
	}
	if !ended {
		row.Sent = r.Started.Add(r.Duration)
		return row
	}
	if r.Began {
		row.Sent = r.Started // where the row before it was lost
	}
	row.Ended = r.Started.Add(r.Duration)
	if row.Outcome == "" && row.Sends > 0 { // a fault of ours after it was sent
		row.Outcome = outcome.Unknown
	}
	return row
}
