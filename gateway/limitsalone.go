package gateway

import (
	"context"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
)

// takeAlone decides without the store: within this gateway's part of the limits. charged says that the rate is.
func (s *sharedDecision) takeAlone(ctx context.Context, cause error, charged bool) *auth.Refusal {
	state := s.gateway.state
	limits := state.limitsAlone(s.limits, cause)
	if s.held = s.room[:0]; charged {
		limits.PerSecond = 0
	}
	s.storeAway = cause
	refusal := s.takeWithin(ctx, limits, s.until)
	if refusal != nil || s.Kept != nil {
		return refusal
	}
	// It is counted again when the store is back.
	h := &claim.Held{Holding: claim.Holding{ID: s.record.RequestID}}
	for _, p := range s.places() {
		h.Places = append(h.Places, p.Name)
	}
	if s.name != "" {
		h.Leases = []string{s.name}
	}
	state.claims.Keep(h)
	s.claimed = h
	return nil
}

// limitsAlone returns this gateway's part of the limits while the store gives no answer, and says so once.
func (s *SharedState) limitsAlone(limits guard.Limits, cause error) guard.Limits {
	gateways := s.roster.Alive()
	g := s.current.Load()
	if was := s.divided.Swap(int32(gateways)); g != nil { //nolint:gosec // a handful
		g.platform.Metrics.LimitsDivided(gateways)
		if was == 0 {
			g.platform.Logger.Warn("store unavailable; this gateway holds its part of rate and in_flight by itself", zap.Int("gateways", gateways), zap.Error(cause))
		}
	}
	return limits.Share(gateways)
}

// limitsShared records that the limits hold over all gateways.
func (s *SharedState) limitsShared() {
	if s.divided.Load() == 0 || s.divided.Swap(0) == 0 {
		return
	}
	if g := s.current.Load(); g != nil {
		g.platform.Metrics.LimitsDivided(0)
		g.platform.Logger.Info("store available again; rate and in_flight hold over all gateways")
	}
}
