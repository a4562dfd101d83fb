package notify

import (
	"context"
	"errors"
	"time"
)

// Sample is what came of a sample that an operator had sent.
type Sample struct {
	ID   string
	Kind Kind
	// Receiver is where it went: scheme and host; "": there is no webhook, and it was an event of the process alone.
	Receiver string
	// Status is the answer's; 0: there was none.
	Status   int
	Received bool
	Cause    string
	Took     time.Duration
	// Resumed reports that messages are sent again, which a 410 had stopped.
	Resumed bool
}

// ErrNotStarted means that no configuration with notices is in force.
var ErrNotStarted = errors.New("no notices are configured")

// Test publishes and posts a sample of a kind, once and at once. Nothing of it is kept.
func (n *Notifier) Test(ctx context.Context, kind Kind) (Sample, error) {
	n.mu.Lock()
	started := n.settings != nil && n.running > 0
	n.mu.Unlock()
	if !started {
		return Sample{}, ErrNotStarted
	}
	settings, to := n.current()
	notice, now := sample(kind, settings), time.Now().UTC()
	s := Sample{ID: newID(), Kind: kind}
	body, err := encodeEvent(settings.Source, s.ID, now, &notice)
	if err != nil {
		return s, err
	}
	if settings.Emit != nil {
		settings.Emit(kind.Event(), notice.fields(s.ID))
	}
	if to == nil {
		return s, nil
	}
	v := to.post(ctx, s.ID, body)
	n.counts.attempted(v.Received)
	s.Receiver, s.Status, s.Received, s.Cause, s.Took = to.host(), v.Status, v.Received, v.Cause, v.Took
	if !v.Received {
		return s, nil
	}
	err = n.change(ctx, func(d *document) bool {
		s.Resumed = d.Gone == to.name()
		if s.Resumed {
			d.Gone, d.GoneAt = "", time.Time{}
		}
		return s.Resumed
	})
	if err == nil {
		n.mu.Lock()
		n.rests = time.Time{}
		n.mu.Unlock()
	}
	return s, err
}

// sample returns a notice of a kind about an app and a tenant that there are not.
func sample(kind Kind, s *Settings) Notice {
	connection, now := int32(1), time.Now().UTC().Truncate(time.Second)
	n := Notice{Kind: kind, Environment: s.Environment, App: "sample", Tenant: "Cust00000", Since: now, Advice: "nothing: this is a sample", Sample: true}
	switch kind {
	case Failing:
		n.Connection, n.Failures, n.Outcome, n.ErrorCode, n.RequestID = &connection, s.Failures, "error", "SAMPLE", "00000000-0000-0000-0000-000000000000"
	case Recovered:
		n.Connection = &connection
	case CredentialEnding, CredentialEnded:
		n.App, n.Tenant, n.Credential, n.Ends = "", "", "sample", now.Add(s.CredentialEnds)
		if kind == CredentialEnded {
			n.Ends = now
		}
	case OnHold, Released:
		n.Target, n.Reason = "app sample, tenant Cust00000", "this is a sample"
	case Digest:
		n.App, n.Tenant = "", ""
		n.Digest = &Summary{Of: Failing, Count: 12, Tenants: 12, First: []string{"sample/Cust00000/1"}, Causes: []CauseCount{{"SAMPLE", 12}}}
	}
	return n
}
