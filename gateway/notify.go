package gateway

import (
	"cmp"
	"context"
	"encoding/hex"
	"path"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// NewNotifier returns what tells of the gateways that use this state.
func (s *SharedState) NewNotifier(environment string, logger *zap.Logger) *notify.Notifier {
	return notify.New(environment, s.alone, s.Locker, logger)
}

// NoticeSettings completes the settings of notices by what the gateways of the state know.
func (g *Gateway) NoticeSettings(settings notify.Settings) notify.Settings {
	settings.Environment = g.EnvironmentLabel()
	settings.Source = cmp.Or(settings.Source, "/erpsync/"+noticeSource(g))
	settings.Store = notify.SharedStore(g.state.KV, g.keys)
	if g.state.alone {
		settings.Store = notify.FileStore(g.platform.Storage, g.noticesPath(), g.keys)
	}
	settings.Emit = g.platform.Emit
	settings.Facts, settings.Granted, settings.Approve = g.state.noticeFacts, g.state.granted, g.state.approveURL
	return settings
}

// noticeSource names the environment in a URI, without an address.
func noticeSource(g *Gateway) string {
	if !g.Online() {
		return "onsite"
	}
	return g.config.Environment.Name()
}

// noticesPath is where notices are kept in Caddy's storage. Another process may use it, too.
func (g *Gateway) noticesPath() string {
	return path.Join("erpsync", "notices", hex.EncodeToString([]byte(auth.Key(g.config.Environment.Base(), g.config.Upstream, g.state.Name, g.platform.Node))))
}

// noticeFacts returns what is on hold and which tenants are suspended, by SuperOffice or by an operator.
func (s *SharedState) noticeFacts(ctx context.Context) ([]notify.Fact, error) {
	holds, err := s.Holds.InForce(ctx)
	if err != nil {
		return nil, err
	}
	facts := make([]notify.Fact, 0, len(holds))
	for _, h := range holds {
		f := notify.Fact{Kind: notify.OnHold, Key: string(h.Notice) + " " + h.Target.String(), App: h.App, Tenant: h.Tenant, Connection: h.Connection, Target: h.Target.String(), Reason: h.Reason, Since: h.Since, Until: h.Until}
		if h.Notice == hold.Suspend || h.Notice == hold.Delete {
			f.Kind, f.Target = notify.Suspended, ""
		}
		facts = append(facts, f)
	}
	for _, g := range s.inForce() {
		for _, app := range g.Apps() {
			for tenant, grant := range app.Registry.Named() {
				if grant.Suspended {
					facts = append(facts, notify.Fact{Kind: notify.Suspended, Key: "configuration " + app.Name + " " + string(tenant), App: app.Name, Tenant: string(tenant), Reason: string(auth.TenantSuspended)})
				}
			}
		}
	}
	return facts, nil
}

// approveURL returns where the tenant's administrator approves the app; "" if nowhere.
func (s *SharedState) approveURL(app, tenant string) string {
	for _, g := range s.inForce() {
		if a := g.apps[app]; a != nil && a.TakesApprovals() {
			return g.ApproveURL(a, superoffice.Tenant(tenant))
		}
	}
	return ""
}

// tellConsent has notices learn what SuperOffice said of a consent.
func (g *Gateway) tellConsent(app *App, tenant superoffice.Tenant, approved bool) {
	if g.platform.Notices != nil {
		g.platform.Notices.SetConsent(app.Name, string(tenant), approved)
	}
}
