// Package hold keeps what is on hold: what an operator ordered of an app, a tenant, a connection or everything, and the
// tenants of which SuperOffice gave notice. The gateways of a store share the holds; each keeps them in force while the
// store is away, and over a restart.
package hold

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Target says which calls are held: those that have every field that is not zero. The zero Target means every call.
type Target struct {
	App        string `json:"app,omitempty"`
	Tenant     string `json:"tenant,omitempty"`
	Connection *int32 `json:"connection,omitempty"`
}

// What a call reaches that names no connection.
const (
	EveryConnection int32 = 0
	NoConnection    int32 = -1
)

// Covers reports whether a call of the app in the tenant is held. connection is the call's, EveryConnection, which the
// hold of a single one covers too, or NoConnection.
func (t Target) Covers(app, tenant string, connection int32) bool {
	return (t.App == "" || t.App == app) && (t.Tenant == "" || t.Tenant == tenant) &&
		(t.Connection == nil || connection == EveryConnection || *t.Connection == connection)
}

// Equal reports whether both hold the same calls.
func (t Target) Equal(other Target) bool {
	return t.App == other.App && t.Tenant == other.Tenant && (t.Connection == nil) == (other.Connection == nil) &&
		(t.Connection == nil || *t.Connection == *other.Connection)
}

// String names the target in words.
func (t Target) String() string {
	var parts []string
	if t.App != "" {
		parts = append(parts, "app "+t.App)
	}
	if t.Tenant != "" {
		parts = append(parts, "tenant "+t.Tenant)
	}
	if t.Connection != nil {
		parts = append(parts, fmt.Sprintf("connection %d", *t.Connection))
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}

// Hold stops new calls until it is released or ends by itself.
type Hold struct {
	Target
	// Reason is what callers are told.
	Reason string `json:"reason"`
	// By is who ordered it, and Proof what shows that, as the audit log has both.
	By    string    `json:"by"`
	Proof string    `json:"proof,omitempty"`
	Since time.Time `json:"since"`
	// Until is when it ends by itself; zero: when it is released.
	Until time.Time `json:"until,omitzero"`

	// Notice is which of SuperOffice's notices it follows from; "": an operator ordered it. A target may be held by an
	// operator and by each notice at a time.
	Notice Notice `json:"notice,omitempty"`
	// Watched means that it holds nothing yet: the notice is only a hint until the state service agrees with it.
	Watched bool `json:"watched,omitempty"`
	// Stopped means that the state service has said since the notice that the tenant does not run.
	Stopped bool `json:"stopped,omitempty"`
}

// Notice is SuperOffice's notice of a tenant.
type Notice string

// The notices that are kept.
const (
	Upgrade        Notice = "upgrade"
	BackupRestored Notice = "backup_restored"
	Suspend        Notice = "suspend"
	Delete         Notice = "delete"
	// Move holds nothing, and is Watched: the gateways ask where the tenant lives.
	Move Notice = "move"
)

// InForce reports whether the hold stops calls now.
func (h Hold) InForce(now time.Time) bool { return !h.Watched && !h.over(now) }

// over reports whether the hold has ended by itself.
func (h Hold) over(now time.Time) bool { return !h.Until.IsZero() && !now.Before(h.Until) }

// Same reports whether one takes the other's place: both hold the same calls for the same cause.
func (h Hold) Same(other Hold) bool { return h.Target.Equal(other.Target) && h.Notice == other.Notice }

// record is what is stored: all holds, with a version that grows with every change, so that the newer
// of two is known.
type record struct {
	Version int64  `json:"version"`
	Holds   []Hold `json:"holds"`
	// Heard are the messages that have had their effect.
	Heard []Message `json:"heard,omitempty"`
}

// Message is one message of SuperOffice's, which has its effect once.
type Message struct {
	ID string `json:"id"`
	// Until is how long the message could be sent again, in seconds since 1970: it is remembered for so long.
	Until int64 `json:"until"`
}

// heard reports whether a message has had its effect.
func (r *record) heard(id string) bool {
	return slices.ContainsFunc(r.Heard, func(m Message) bool { return m.ID == id })
}

// notices returns what is kept of notices, in force or watched.
func (r *record) notices(now time.Time) []Hold {
	return slices.DeleteFunc(slices.Clone(r.Holds), func(h Hold) bool { return h.Notice == "" || h.over(now) })
}

// find returns the hold in force that covers a call and lasts longest.
func (r *record) find(app, tenant string, connection int32, now time.Time) (found Hold, held bool) {
	for _, h := range r.Holds {
		if h.InForce(now) && h.Covers(app, tenant, connection) && (!held || h.outlasts(found)) {
			found, held = h, true
		}
	}
	return found, held
}

func (h Hold) outlasts(other Hold) bool {
	return !other.Until.IsZero() && (h.Until.IsZero() || h.Until.After(other.Until))
}

// inForce returns the holds in force in a fixed order.
func (r *record) inForce(now time.Time) []Hold {
	all := slices.DeleteFunc(slices.Clone(r.Holds), func(h Hold) bool { return !h.InForce(now) })
	slices.SortFunc(all, func(a, b Hold) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.String(), b.String())) })
	return all
}
