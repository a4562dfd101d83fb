package gateway

import (
	"context"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// sharedRate is the rate of an app's calls in a tenant, as the store counts it.
func (g *Gateway) sharedRate(app string, tenant superoffice.Tenant) claim.Rate {
	return claim.Rate{Name: auth.Key("rate", app, string(tenant)), PerSecond: g.config.Limits.PerSecond, Burst: g.config.Limits.Burst()}
}

// charge counts a request of the gateway's own by the rate of an app's calls in a tenant.
func (g *Gateway) charge(app string, tenant superoffice.Tenant) {
	g.state.meter.Charge(g.config.Limits, app, string(tenant))
	if g.state.claims != nil && g.config.Limits.PerSecond > 0 {
		g.state.claims.Charge(g.sharedRate(app, tenant))
	}
}

// allow counts a request by the rate of an app's calls in a tenant. wait is zero if it may begin, else when it might.
func (g *Gateway) allow(ctx context.Context, app string, tenant superoffice.Tenant) (wait time.Duration) {
	state, limits := g.state, g.config.Limits
	if wait = state.meter.Allow(limits, app, string(tenant)); wait > 0 || state.claims == nil || limits.PerSecond <= 0 {
		return wait
	}
	result, err := state.claims.Claim(ctx, &claim.Request{ID: "look-up", Rate: g.sharedRate(app, tenant)})
	switch {
	case err != nil:
		state.meter.Refund(limits, app, string(tenant))
		return state.meter.Allow(state.limitsAlone(limits, err), app, string(tenant))
	case result.Refused == claim.ByRate:
		state.meter.Refund(limits, app, string(tenant))
		state.meter.Block(app, string(tenant), result.Wait)
		return max(result.Wait, time.Millisecond)
	}
	return 0
}
