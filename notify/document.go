package notify

import (
	"encoding/json"
	"time"
)

const (
	// maxConnections bounds the connections of which failures are remembered, maxFresh the notices that wait to be put
	// into messages, and maxQueue the messages that wait to be sent.
	maxConnections = 5000
	maxFresh       = 5000
	maxQueue       = 1000
)

// document is what all gateways of a store know together. What is well is not in it.
type document struct {
	Connections map[string]*connection `json:"connections,omitempty"`
	Consents    map[string]*consent    `json:"consents,omitempty"`
	// Facts are those that have been told, by kind and key; Based reports that those of the beginning were taken as they were.
	Facts map[string]told `json:"facts,omitempty"`
	Based bool            `json:"based,omitempty"`
	// Fresh are decided and in no message yet.
	Fresh []fresh `json:"fresh,omitempty"`
	// Storms are until when notices of a kind are collected for longer.
	Storms map[Kind]time.Time `json:"storms,omitempty"`
	// Singles are when the last messages of a kind were made that were no digests.
	Singles map[Kind][]time.Time `json:"singles,omitempty"`
	Queue   []*message           `json:"queue,omitempty"`
	// Lost is how many messages or notices were dropped, LostLast when the last one was and LostWhy why.
	Lost     uint64    `json:"lost,omitempty"`
	LostLast time.Time `json:"lost_last,omitzero"`
	LostWhy  string    `json:"lost_why,omitempty"`
	// Gone is the receiver that said 410: nothing is sent to it until an operator's sample is received there.
	Gone   string    `json:"gone,omitempty"`
	GoneAt time.Time `json:"gone_at,omitzero"`
}

// connection is one that is not well, or was not lately.
type connection struct {
	App        string `json:"app"`
	Tenant     string `json:"tenant"`
	Connection int32  `json:"connection"`
	// Failures is how many calls have failed since the last success; First and Last are when, Call is the last of them.
	Failures int       `json:"failures,omitempty"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	Call     call      `json:"call,omitzero"`
	// Failing reports that it was notified so.
	Failing bool `json:"failing,omitempty"`
	// Well is since when it is well again, while it is Failing still.
	Well time.Time `json:"well,omitzero"`
	// Came is when it came to be failing, lately.
	Came []time.Time `json:"came,omitempty"`
}

// call is a failed call.
type call struct {
	RequestID string `json:"request_id,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	ErrorCode string `json:"error_code,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// consent is one that was withdrawn.
type consent struct {
	App       string    `json:"app"`
	Tenant    string    `json:"tenant"`
	Since     time.Time `json:"since"`
	At        time.Time `json:"at"` // when it was last said how it is
	Withdrawn bool      `json:"withdrawn,omitempty"`
	Told      bool      `json:"told,omitempty"`
}

// told is a fact that was notified.
type told struct{ Fact }

// fresh is a notice that was decided.
type fresh struct {
	At     time.Time `json:"at"`
	Notice Notice    `json:"notice"`
}

// message is one that is sent until it is received.
type message struct {
	ID   string    `json:"id"`
	Kind Kind      `json:"kind"`
	Time time.Time `json:"time"`
	// Subjects are what it is about: those of one subject are sent in order.
	Subjects []string `json:"subjects"`
	// Body is the CloudEvent.
	Body json.RawMessage `json:"body"`
	// Tried is how often it was sent, First when first, and Next when it is sent again at the earliest.
	Tried int       `json:"tried,omitempty"`
	First time.Time `json:"first,omitzero"`
	Next  time.Time `json:"next,omitzero"`
	// Cause is why it was not received.
	Cause string `json:"cause,omitempty"`
}

// lose counts n notices that nobody will receive.
func (d *document) lose(n int, now time.Time, why string) {
	d.Lost += uint64(n) //nolint:gosec // never negative
	d.LostLast, d.LostWhy = now, why
}

// decide queues a notice.
func (d *document) decide(now time.Time, n Notice) {
	if len(d.Fresh) >= maxFresh {
		d.Fresh = d.Fresh[1:]
		d.lose(1, now, "more notices than can wait")
	}
	d.Fresh = append(d.Fresh, fresh{now, n})
}
