package erpsync

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// upkeepAfter keeps configurations that are only tried out, such as by caddy validate, from
	// writing anything, and lets one that failed leave everything as it was.
	upkeepAfter = 10 * time.Second

	// noticeEvery is how often it is looked whether a refused tenant's administrator approved at another gateway.
	noticeEvery = time.Minute

	resealTimeout = 10 * time.Minute
)

// upkeep does, while the configuration is in force, what no call has to wait for.
func (h *Handler) upkeep(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(upkeepAfter):
	}
	h.forgetOthers()
	h.reseal(ctx)
	tick := time.NewTicker(noticeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.noticeApprovals(ctx)
		}
	}
}

// forgetOthers drops what is known of tenants that no running configuration grants any more, or that are
// suspended: nobody has to look after them.
func (h *Handler) forgetOthers() {
	var apps []*App
	for _, other := range running.all() {
		if other.common == h.common {
			apps = append(apps, other.Apps...)
		}
	}
	h.common.ledger.Forget(func(app, tenant string) bool {
		for _, a := range apps {
			if a.Name != app {
				continue
			}
			if grant, granted := a.registry.tenant(superoffice.Tenant(tenant)); granted && !grant.Suspended {
				return false
			}
		}
		return true
	})
}

// reseal seals kept tokens anew under the first of keys, so that the others can be taken out.
func (h *Handler) reseal(ctx context.Context) {
	if len(h.keys) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resealTimeout)
	defer cancel()
	for _, app := range h.Apps {
		if app.registry.kept == nil {
			continue
		}
		resealed, err := app.registry.kept.Reseal(ctx)
		if err != nil {
			h.logger.Error("not every kept system token was sealed anew: leave the older of keys where they are", zap.String("app", app.Name), zap.Int("resealed", resealed), zap.Error(err))
			continue
		}
		h.logger.Info("kept system tokens are sealed under the first of keys", zap.String("app", app.Name), zap.Int("resealed", resealed))
	}
}

// noticeApprovals forgets refusals of tenants whose administrator approved since, at whichever gateway: nobody
// has to be asked again, and the next call tries.
func (h *Handler) noticeApprovals(ctx context.Context) {
	for _, app := range h.Apps {
		if app.registry.kept == nil {
			continue
		}
		for _, tenant := range h.common.ledger.Required(app.Name) {
			kept, there, err := app.registry.kept.Fresh(ctx, superoffice.Tenant(tenant))
			if err == nil && there && h.common.ledger.Forgive(app.Name, tenant, kept.Since) {
				h.logger.Info("an approval was kept since the refusal", zap.String("app", app.Name), zap.String("tenant", tenant))
			}
		}
	}
}
