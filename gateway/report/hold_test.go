package report_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func number(n int32) *int32 { return &n }

var operatorOne = report.By{Name: "ops", Proof: "unix_peer"}

func TestAHoldStopsCallsSaysWhoOrderedItAndIsReleasedByTheSameNames(t *testing.T) {
	t.Parallel()
	events := make(chan string, 10)
	d := newDesk(t, gatewaytest.On(func(p *gateway.Platform) {
		p.Emit = func(name string, data map[string]any) { events <- name + " " + data["target"].(string) }
	}))
	target := report.HoldTarget{Tenant: word("Cust12345"), Connection: number(612)}
	held, err := d.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: target, Reason: "repair", For: "2h"}, operatorOne)
	if err != nil || held.Unknown != "" || held.Remark != "" || held.Hold.Until == nil || held.Hold.Until.Sub(held.Hold.Since).Hours() != 2 {
		t.Fatalf("%+v %v", held, err)
	}
	if got := d.Resync(d.Service()); got.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	for wanted, n := range map[string]int{"": 1, "Cust12345": 1, "Cust54321": 0} {
		status, err := d.sites.Status(t.Context(), "node", wanted)
		if err != nil || len(status.Holds) != n {
			t.Errorf("%s: %+v %v", wanted, status.Holds, err)
		} else if n == 1 && (status.Holds[0].Target != "tenant Cust12345, connection 612" || status.Holds[0].By != "ops" || status.Holds[0].Proof != "unix_peer" || status.Holds[0].Reason != "repair") {
			t.Errorf("%+v", status.Holds[0])
		}
	}
	if !d.Storage.Holds(`"reason":"repair"`) {
		t.Error("no copy is kept for a restart")
	}
	other, err := d.sites.Release(t.Context(), report.ReleaseRequest{HoldTarget: report.HoldTarget{Tenant: word("Cust12345")}})
	if err != nil || other.Found || len(other.Remaining) != 1 {
		t.Errorf("a wider name released it: %+v %v", other, err)
	}
	done, err := d.sites.Release(t.Context(), report.ReleaseRequest{HoldTarget: target})
	if err != nil || !done.Found || len(done.Remaining) != 0 {
		t.Errorf("%+v %v", done, err)
	}
	if got := d.Resync(d.Service()); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	for _, want := range []string{"erpsync_hold tenant Cust12345, connection 612", "erpsync_release tenant Cust12345, connection 612"} {
		if got := <-events; got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
}

func TestAHoldOfANameThatNobodyKnowsIsInForceAndSaysSo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, c := range map[string]struct {
		target  report.HoldTarget
		unknown string
	}{
		"app":    {report.HoldTarget{App: word("porta")}, `no app "porta" is configured; did you mean portal?`},
		"tenant": {report.HoldTarget{Tenant: word("Cust99999")}, "no app is granted in Cust99999"},
	} {
		held, err := d.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: c.target, Reason: "r"}, operatorOne)
		if err != nil || held.Unknown != c.unknown {
			t.Errorf("%s: %+v %v", name, held, err)
		}
	}
	if status, err := d.sites.Status(t.Context(), "node", ""); err != nil || len(status.Holds) != 2 {
		t.Errorf("%+v %v", status.Holds, err)
	}
}

func TestAHoldThatNamesTooLittleOrTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := report.HoldTarget{All: true}
	for name, c := range map[string]struct {
		request report.HoldRequest
		want    string
	}{
		"nothing":               {report.HoldRequest{Reason: "r"}, "want an app"},
		"something and all":     {report.HoldRequest{HoldTarget: report.HoldTarget{App: word("erp"), All: true}, Reason: "r"}, "want an app"},
		"an empty app":          {report.HoldRequest{HoldTarget: report.HoldTarget{App: word("")}, Reason: "r"}, "app: is empty"},
		"an empty tenant":       {report.HoldRequest{HoldTarget: report.HoldTarget{Tenant: word("")}, Reason: "r"}, "tenant: is empty"},
		"no tenant's name":      {report.HoldRequest{HoldTarget: report.HoldTarget{Tenant: word("12345")}, Reason: "r"}, "Cust12345"},
		"a connection alone":    {report.HoldRequest{HoldTarget: report.HoldTarget{Connection: number(612)}, Reason: "r"}, "name its tenant too"},
		"the CRM as connection": {report.HoldRequest{HoldTarget: report.HoldTarget{Tenant: word("Cust12345"), Connection: number(0)}, Reason: "r"}, "want a connection's number"},
		"no reason":             {report.HoldRequest{HoldTarget: all}, "reason"},
		"a long reason":         {report.HoldRequest{HoldTarget: all, Reason: strings.Repeat("r", 201)}, "reason"},
		"a reason of two lines": {report.HoldRequest{HoldTarget: all, Reason: "a\nb"}, "reason"},
		"no duration":           {report.HoldRequest{HoldTarget: all, Reason: "r", For: "2"}, "for"},
		"a duration that ended": {report.HoldRequest{HoldTarget: all, Reason: "r", For: "-2h"}, "for"},
		"ten years":             {report.HoldRequest{HoldTarget: all, Reason: "r", For: "87600h"}, "for"},
	} {
		if _, err := d.sites.Hold(t.Context(), c.request, operatorOne); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if status, err := d.sites.Status(t.Context(), "node", ""); err != nil || len(status.Holds) != 0 {
		t.Errorf("%+v %v", status.Holds, err)
	}
	if _, err := new(report.Sites).Hold(t.Context(), report.HoldRequest{HoldTarget: all, Reason: "r"}, operatorOne); err == nil {
		t.Error("without a handler nothing can be held")
	}
}

func TestAHoldWhoseCopyCannotBeWrittenIsInForceWithARemark(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if _, err := d.State().Holds.InForce(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Storage.SetDown(errors.New("the disk is full"))
	held, err := d.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: report.HoldTarget{All: true}, Reason: "r"}, operatorOne)
	if err != nil || !strings.Contains(held.Remark, "the disk is full") {
		t.Errorf("%+v %v", held, err)
	}
	if got := d.Resync(d.Service()); !strings.Contains(got.Body, "on_hold") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestAnInstallationHasOneTenantSoThatAConnectionIsNameEnough(t *testing.T) {
	t.Parallel()
	d := before(t, gatewaytest.Onsite(t, "/crm7"))
	if _, err := d.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: report.HoldTarget{Connection: number(612)}, Reason: "r"}, operatorOne); err != nil {
		t.Fatal(err)
	}
	got := d.Do(nil, http.MethodPost, "/crm7/api/v1/Agents/ErpSync/ForceResync", gatewaytest.SeedBody, d.Service())
	if !strings.Contains(got.Body, "on_hold") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestHoldsThatCannotBeReadAreGivenUpByOrderAlone(t *testing.T) {
	t.Parallel()
	first := newDesk(t)
	if _, err := first.sites.Hold(t.Context(), report.HoldRequest{HoldTarget: report.HoldTarget{App: word("portal")}, Reason: "r"}, operatorOne); err != nil {
		t.Fatal(err)
	}
	keys, err := first.Storage.List(t.Context(), "erpsync/holds/", true)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := first.Storage.Store(t.Context(), keys[0], []byte(`{"version":1,"holds":[{`)); err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 10)
	d := before(t, first.Beside(gatewaytest.On(func(p *gateway.Platform) { // as after a restart
		p.Emit = func(name string, data map[string]any) { events <- name }
	})))
	if got := d.Resync(d.Service()); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "store_unavailable") {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	status, err := d.sites.Status(t.Context(), "node", "")
	if err != nil || len(status.Troubles) != 1 || status.Troubles[0].What != "holds_unknown" || !strings.Contains(status.Troubles[0].Cause, keys[0]) || !strings.Contains(status.Troubles[0].Remedy, "release --all --unreadable") {
		t.Errorf("%+v %v", status.Troubles, err)
	}
	all := report.HoldTarget{All: true}
	for name, request := range map[string]report.ReleaseRequest{
		"a release of everything": {HoldTarget: all},
		"one that names an app":   {HoldTarget: report.HoldTarget{App: word("portal")}, Unreadable: true},
	} {
		if _, err := d.sites.Release(t.Context(), request); err == nil {
			t.Errorf("%s gives up what cannot be read", name)
		}
	}
	done, err := d.sites.Release(t.Context(), report.ReleaseRequest{HoldTarget: all, Unreadable: true})
	if err != nil || !done.Found || done.Target != "what could not be read" || len(done.Remaining) != 0 || done.Remark != "" {
		t.Errorf("%+v %v", done, err)
	}
	if got := <-events; got != "erpsync_release" {
		t.Errorf("event %s", got)
	}
	if got := d.Resync(d.Service()); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if done, err := d.sites.Release(t.Context(), report.ReleaseRequest{HoldTarget: all, Unreadable: true}); err != nil || done.Found {
		t.Errorf("again: %+v %v", done, err)
	}
}
