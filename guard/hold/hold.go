// Package hold keeps what operators have put on hold: an app, a tenant, a connection or everything. The gateways of
// a store share the holds; each keeps them in force while the store is away, and over a restart.
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
}

// InForce reports whether the hold stops calls now.
func (h Hold) InForce(now time.Time) bool { return h.Until.IsZero() || now.Before(h.Until) }

// record is what is stored: all holds, with a version that grows with every change, so that the newer
// of two is known.
type record struct {
	Version int64  `json:"version"`
	Holds   []Hold `json:"holds"`
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
