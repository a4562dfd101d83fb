package gateway_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
)

// events collects what a gateway publishes.
type events struct {
	mu  sync.Mutex
	all []map[string]any
}

func (e *events) emit(name string, data map[string]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	data["name"] = name
	e.all = append(e.all, data)
}

// await waits for a notice about a subject and returns it.
func (e *events) await(t *testing.T, name, subject string) (found map[string]any) {
	t.Helper()
	gatewaytest.WaitFor(t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		i := slices.IndexFunc(e.all, func(data map[string]any) bool { return data["name"] == name && data["subject"] == subject })
		if i >= 0 {
			found = e.all[i]
		}
		return i >= 0
	})
	return found
}

// telling has a gateway tell what changes, to the last of its options.
func telling(into *events, notifier **notify.Notifier) gatewaytest.Option {
	return func(_ *gatewaytest.Fixture, c *gateway.Config, p *gateway.Platform, s **gateway.SharedState) {
		*notifier = (*s).NewNotifier(c.EnvironmentLabel(), zap.NewNop())
		p.Notices, p.Emit = *notifier, into.emit
	}
}

func TestAConnectionAConsentAHoldAndASuspensionAreToldWhenTheyChange(t *testing.T) {
	t.Parallel()
	var told events
	var notifier *notify.Notifier
	fails := false
	var mu sync.Mutex
	g := gatewaytest.New(t, gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if fails && r.URL.Path == gatewaytest.TenantPath {
			http.Error(w, "broken", http.StatusInternalServerError)
			return true
		}
		return false
	}), telling(&told, &notifier))
	stop := notifier.Start(g.NoticeSettings(notify.Settings{Failures: 2, FailingFor: time.Hour}))
	defer func() { stop(); notifier.Close() }()
	set := func(to bool) { mu.Lock(); fails = to; mu.Unlock() }

	gatewaytest.WaitFor(t, func() bool { return notifier.Health().Sends }) // what holds until then is taken as it is

	set(true)
	var last gatewaytest.Answer
	for range 2 {
		last = g.Resync(g.Service())
	}
	putOnHold(t, g, hold.Target{App: "portal"}, time.Time{})
	suspended := hold.Hold{Target: hold.Target{Tenant: "Cust54321"}, Notice: hold.Suspend, Reason: "SuperOffice has suspended the tenant.", Since: time.Now()}
	if err := g.State().Holds.Set(t.Context(), suspended); err != nil {
		t.Fatal(err)
	}
	failing := told.await(t, "erpsync_notice_failing", "erp/Cust12345/612")
	if failing["tenant"] != "Cust12345" || failing["connection"] != int32(612) || failing["failures"] != 2 || failing["outcome"] != "fault" || failing["request_id"] != last.Header.Get("ErpSync-Request-Id") || failing["environment"] != g.EnvironmentLabel() || failing["advice"] == nil {
		t.Errorf("%v", failing)
	}
	if held := told.await(t, "erpsync_notice_on_hold", "hold/app portal"); held["reason"] != "the ERP is being repaired" || held["target"] != "app portal" {
		t.Errorf("%v", held)
	}
	told.await(t, "erpsync_notice_suspended", "/Cust54321")

	set(false)
	g.Resync(g.Service())
	if err := g.State().Holds.Amend(t.Context(), func([]hold.Hold) ([]hold.Hold, bool) { return nil, true }); err != nil {
		t.Fatal(err)
	}
	erp := g.App("erp")
	g.SO.Revoke("erp", "Cust12345")
	g.DropTicket(t.Context(), erp, "Cust12345", erp.Registry.Named()["Cust12345"].SystemToken)
	if got := g.Resync(g.Service()); got.Status != http.StatusForbidden {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	told.await(t, "erpsync_notice_recovered", "erp/Cust12345/612")
	told.await(t, "erpsync_notice_released", "hold/app portal")
	told.await(t, "erpsync_notice_resumed", "/Cust54321")
	told.await(t, "erpsync_notice_consent_withdrawn", "erp/Cust12345")
	g.Consented(erp, "Cust12345")
	told.await(t, "erpsync_notice_consent_given", "erp/Cust12345")
}
