package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
)

func init() { caddy.RegisterModule(probe{}) }

// probe is an event handler that passes on what it is told.
type probe struct{}

var told = make(chan caddy.Event, 16)

func (probe) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.erpsync_probe", New: func() caddy.Module { return new(probe) }}
}

func (probe) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (probe) Handle(_ context.Context, e caddy.Event) error {
	told <- e
	return nil
}

var _ caddyevents.Handler = probe{}

func TestAConsentThatEndsAndComesBackIsAnEventEachOnce(t *testing.T) {
	g := newInProcess(t)
	g.load(t, "events {\n\t\ton erpsync_consent_required erpsync_probe\n\t\ton erpsync_consent_given erpsync_probe\n\t}", "idle 1h", "")
	defer func() { _ = caddy.Stop() }()
	service := http.Header{"Authorization": {"Bearer " + g.provider.Token("Cust12345", time.Hour)}}
	token := g.so.SystemToken("erp", "Cust12345")
	g.so.Revoke("erp", "Cust12345")
	for range 5 {
		if status := g.call(t, service); status != http.StatusForbidden {
			t.Errorf("refused: %d", status)
		}
	}
	e := <-told
	if e.Name() != "erpsync_consent_required" || e.Data["app"] != "erp" || e.Data["tenant"] != "Cust12345" || e.Data["approve"] != g.site+"/erpsync/approve?app=erp&tenant=Cust12345" {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
	for _, value := range e.Data {
		if text, _ := value.(string); strings.Contains(text, token) {
			t.Error("the event holds the system token")
		}
	}
	if status, page, err := demo.Approve(t.Context(), g.site, g.so, "erp", "Cust12345", "tove"); err != nil || status != http.StatusOK {
		t.Fatalf("%v %d %s", err, status, page)
	}
	if e := <-told; e.Name() != "erpsync_consent_given" || e.Data["tenant"] != "Cust12345" {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
	if status := g.call(t, service); status != http.StatusOK {
		t.Errorf("after the approval: %d", status)
	}
	select {
	case e := <-told:
		t.Errorf("one more: %s %v", e.Name(), e.Data)
	case <-time.After(300 * time.Millisecond): // none comes
	}
}
