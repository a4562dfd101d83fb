// Package notify says when a tenant's connection changes state: it counts failures at all gateways of a store, decides what is
// worth a message, and sends it from one of them, in order and until it is received. It knows no Caddy.
package notify

import (
	"cmp"
	"crypto/rand"
	"strconv"
	"time"
)

// Kind is what a notice is about. The list is closed: events and types are named after it.
type Kind string

const (
	Failing          Kind = "failing"
	Recovered        Kind = "recovered"
	CredentialEnding Kind = "credential_ending"
	CredentialEnded  Kind = "credential_ended"
	ConsentWithdrawn Kind = "consent_withdrawn"
	ConsentGiven     Kind = "consent_given"
	OnHold           Kind = "on_hold"
	Released         Kind = "released"
	Suspended        Kind = "suspended"
	Resumed          Kind = "resumed"
	// Digest takes the place of many notices of one kind.
	Digest Kind = "digest"
	// Test is a sample that an operator sends.
	Test Kind = "test"
)

// typePrefix begins the type of every CloudEvent.
const typePrefix = "com.github.caddy-erpsync."

// types are the CloudEvents' types without their prefix. They never change: a new form gets a new version.
var types = map[Kind]string{
	Failing: "connection.failing.v1", Recovered: "connection.recovered.v1",
	CredentialEnding: "credential.ending.v1", CredentialEnded: "credential.ended.v1",
	ConsentWithdrawn: "consent.withdrawn.v1", ConsentGiven: "consent.given.v1",
	OnHold: "hold.begun.v1", Released: "hold.released.v1",
	Suspended: "tenant.suspended.v1", Resumed: "tenant.resumed.v1",
	Digest: "digest.v1", Test: "test.v1",
}

// Kinds returns every kind, in the order of the documentation.
func Kinds() []Kind {
	return []Kind{Failing, Recovered, CredentialEnding, CredentialEnded, ConsentWithdrawn, ConsentGiven, OnHold, Released, Suspended, Resumed, Digest, Test}
}

// Type returns the CloudEvent's type of a kind; "" for one that there is not.
func (k Kind) Type() string {
	if types[k] == "" {
		return ""
	}
	return typePrefix + types[k]
}

// Event returns the name under which a notice of the kind is published in the gateway's own process.
func (k Kind) Event() string { return "erpsync_notice_" + string(k) }

// Notice is the data of a message. It holds no secret and nothing of a person.
type Notice struct {
	Kind        Kind   `json:"kind"`
	Environment string `json:"environment"`
	App         string `json:"app,omitempty"`
	// Tenant is "" onsite, and where the notice is about no single one.
	Tenant string `json:"tenant,omitempty"`
	// Connection is the ERP connection; 0: from the CRM. Nil: the notice is about none.
	Connection *int32 `json:"connection,omitempty"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	// Failures is how many calls failed in a row.
	Failures int `json:"failures,omitempty"`
	// Outcome, ErrorCode, Reason and RequestID are the last failed call's. Of a hold, Reason is what callers are told.
	Outcome   string `json:"outcome,omitempty"`
	ErrorCode string `json:"error_code,omitempty"`
	Reason    string `json:"reason,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Advice is what to do.
	Advice string `json:"advice,omitempty"`
	// Approve is where the tenant's administrator approves the app.
	Approve string `json:"approve,omitempty"`
	// Target says what is on hold, in words, and Until when that ends by itself.
	Target string    `json:"target,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	// Credential is the name of what ends, and Ends when.
	Credential string    `json:"credential,omitempty"`
	Ends       time.Time `json:"ends,omitzero"`
	// Digest says what a digest takes the place of.
	Digest *Summary `json:"digest,omitempty"`
	// Sample reports that nothing of it is so: an operator had it sent.
	Sample bool `json:"sample,omitempty"`
}

// Summary is what many notices of one kind say together.
type Summary struct {
	Of      Kind `json:"of"`
	Count   int  `json:"count"`
	Tenants int  `json:"tenants"`
	// First are the first of them, and Causes how many have which cause, the most frequent first.
	First  []string     `json:"first"`
	Causes []CauseCount `json:"causes,omitempty"`
}

// CauseCount is how many notices of a digest have a cause.
type CauseCount struct {
	Cause string `json:"cause"`
	Count int    `json:"count"`
}

// Subject names what the notice is about: app/tenant/connection, app/tenant, a hold's target or a credential.
func (n *Notice) Subject() string {
	switch {
	case n.Kind == Digest:
		return "digest/" + string(n.Digest.Of)
	case n.Kind == Test:
		return "test"
	case n.Credential != "":
		return "credential/" + n.Credential
	case n.Target != "":
		return "hold/" + n.Target
	case n.Connection != nil:
		return n.App + "/" + n.Tenant + "/" + strconv.Itoa(int(*n.Connection))
	}
	return n.App + "/" + n.Tenant
}

// cause is why it is so, in a word.
func (n *Notice) cause() string { return cmp.Or(n.ErrorCode, n.Reason, n.Outcome) }

// fields are a notice as an event of the process has it.
func (n *Notice) fields(id string) map[string]any {
	data := map[string]any{"id": id, "type": n.Kind.Type(), "subject": n.Subject(), "environment": n.Environment, "since": n.Since.UTC().Format(time.RFC3339)}
	for name, value := range map[string]string{
		"app": n.App, "tenant": n.Tenant, "outcome": n.Outcome, "error_code": n.ErrorCode, "reason": n.Reason, "request_id": n.RequestID,
		"advice": n.Advice, "approve": n.Approve, "target": n.Target, "credential": n.Credential,
	} {
		if value != "" {
			data[name] = value
		}
	}
	if n.Connection != nil {
		data["connection"] = *n.Connection
	}
	if n.Sample {
		data["sample"] = true
	}
	if n.Failures > 0 {
		data["failures"] = n.Failures
	}
	for name, at := range map[string]time.Time{"until": n.Until, "ends": n.Ends} {
		if !at.IsZero() {
			data[name] = at.UTC().Format(time.RFC3339)
		}
	}
	if d := n.Digest; d != nil {
		data["of"], data["count"], data["tenants"], data["first"] = string(d.Of), d.Count, d.Tenants, d.First
	}
	return data
}

// newID returns the id of a message, which is the same in every repeat.
func newID() string { return "msg_" + rand.Text() }
