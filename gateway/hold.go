package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"path"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
)

const (
	// heldRetry is when a caller is told to come back to what is on hold until somebody releases it.
	heldRetry = time.Minute

	// heldRetryMost bounds it for what is on hold for long: it may be released before.
	heldRetryMost = time.Hour
)

// onHold refuses a call that is on hold. It is asked before the call takes anything, and again
// whenever it has waited: calls under way go on.
func (d *Decision) onHold(ctx context.Context) *auth.Refusal {
	connection := max(d.order.Arguments.Connection, hold.EveryConnection) // from the CRM it reaches every one
	if !d.order.Operation.Resyncs() {
		connection = hold.NoConnection
	}
	held, found, err := d.gateway.state.Holds.Find(ctx, d.app.Name, string(d.Principal.Tenant), connection)
	switch {
	case err != nil:
		return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	case !found:
		return nil
	}
	refusal := auth.Refuse(auth.OnHold, fmt.Errorf("the hold of %s since %s", held.Target, held.Since.UTC().Format(time.RFC3339))).After(heldRetry)
	if !held.Until.IsZero() {
		refusal.RetryAfter = min(max(time.Until(held.Until), time.Second), heldRetryMost)
	}
	refusal.Detail += " Reason: " + held.Reason
	return refusal
}

// The events of holds.
const (
	EventHold    = "erpsync_hold"
	EventRelease = "erpsync_release"
)

// HoldEvent returns the fields of a hold in an event.
func HoldEvent(h hold.Hold) map[string]any {
	data := map[string]any{"target": h.Target.String(), "reason": h.Reason, "by": h.By, "since": h.Since}
	if !h.Until.IsZero() {
		data["until"] = h.Until
	}
	return data
}

// followHolds takes over what other gateways were ordered to hold, and has the metric say how much that is.
func (g *Gateway) followHolds(ctx context.Context) {
	failing := false
	g.state.Holds.Follow(ctx, func(err error) {
		if err != nil && !failing {
			g.platform.Logger.Error("reading holds failed; the last known ones stay in force", zap.Error(err))
		}
		failing = err != nil
		g.state.roster.SetHolds(g.state.Holds.Version())
		g.platform.Metrics.Holds(g.state.Holds.Count())
	})
}

// holdsPath is where a copy of the holds is in Caddy's storage. It names what is called, as the store does.
func (g *Gateway) holdsPath() string {
	return path.Join("erpsync", "holds", hex.EncodeToString([]byte(auth.Key(g.config.Environment.Base(), g.config.Upstream, g.state.Name)))) // a key holds any byte
}
