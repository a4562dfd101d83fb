package gateway

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// approvalsEvery is how often a refused tenant is looked up for an approval that another gateway took.
	approvalsEvery = time.Minute

	resealTimeout = 10 * time.Minute
)

// maintain does, while the gateway is in force, what no call has to wait for.
func (g *Gateway) maintain(ctx context.Context) {
	g.forgetUngranted()
	g.reseal(ctx)
	tick := time.NewTicker(approvalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.state.detach(g)
			return
		case <-tick.C:
			g.noticeApprovals(ctx)
		}
	}
}

// forgetUngranted drops what is known of tenants that no gateway in force grants any more, or that are suspended.
func (g *Gateway) forgetUngranted() {
	g.state.health.Forget(func(app, tenant string) bool { return !g.state.granted(app, tenant) })
}

// reseal seals kept tokens anew under the first of the keys, so that the others can be removed.
func (g *Gateway) reseal(ctx context.Context) {
	if len(g.config.Keys) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resealTimeout)
	defer cancel()
	for _, app := range g.Apps() {
		if app.Registry.Tokens == nil {
			continue
		}
		logger := g.platform.Logger.With(zap.String("app", app.Name))
		resealed, err := app.Registry.Tokens.Reseal(ctx)
		if err != nil {
			logger.Error("resealing system tokens failed; keep the older keys configured", zap.Int("resealed", resealed), zap.Error(err))
			continue
		}
		logger.Info("system tokens sealed under the first of keys", zap.Int("resealed", resealed))
	}
}

// noticeApprovals forgets refusals of tenants whose administrator approved since, at any gateway: nobody
// has to be asked again, and the next call tries.
func (g *Gateway) noticeApprovals(ctx context.Context) {
	for _, app := range g.Apps() {
		if app.Registry.Tokens == nil {
			continue
		}
		for _, tenant := range g.state.health.Required(app.Name) {
			kept, found, err := app.Registry.Tokens.Fresh(ctx, superoffice.Tenant(tenant))
			if err == nil && found && g.state.health.Forgive(app.Name, tenant, kept.Since) {
				g.platform.Logger.Info("approved since it was refused", zap.String("app", app.Name), zap.String("tenant", tenant))
			}
		}
	}
}
