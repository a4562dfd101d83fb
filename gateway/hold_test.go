package gateway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func putOnHold(t *testing.T, f *gatewaytest.Fixture, target hold.Target, until time.Time) {
	t.Helper()
	if err := f.State().Holds.Set(t.Context(), hold.Hold{Target: target, Reason: "the ERP is being repaired", Since: time.Now(), Until: until}); err != nil {
		t.Fatal(err)
	}
}

func connection(n int32) *int32 { return &n }

func TestWhatIsOnHoldIsRefusedWithTheReasonToThoseWhoProvedThemselves(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	status := strings.Replace(gatewaytest.TenantPath, "ForceResync", "GetEngineStatus", 1)
	fromCRM := `{"ErpConnectionId":0,"InternalKeyIds":[386]}`
	for name, c := range map[string]struct {
		target     hold.Target
		path, body string
		held       bool
	}{
		"everything":                            {hold.Target{}, gatewaytest.TenantPath, gatewaytest.SeedBody, true},
		"the app":                               {hold.Target{App: "erp"}, gatewaytest.TenantPath, gatewaytest.SeedBody, true},
		"another app":                           {hold.Target{App: "portal"}, gatewaytest.TenantPath, gatewaytest.SeedBody, false},
		"the tenant":                            {hold.Target{Tenant: "Cust12345"}, gatewaytest.TenantPath, gatewaytest.SeedBody, true},
		"another tenant":                        {hold.Target{Tenant: "Cust54321"}, gatewaytest.TenantPath, gatewaytest.SeedBody, false},
		"the connection":                        {hold.Target{Tenant: "Cust12345", Connection: connection(612)}, gatewaytest.TenantPath, gatewaytest.SeedBody, true},
		"another connection":                    {hold.Target{Tenant: "Cust12345", Connection: connection(613)}, gatewaytest.TenantPath, gatewaytest.SeedBody, false},
		"from the CRM, through each connection": {hold.Target{Tenant: "Cust12345", Connection: connection(613)}, gatewaytest.TenantPath, fromCRM, true},
		"a question that reaches no connection": {hold.Target{Tenant: "Cust12345", Connection: connection(612)}, status, "", false},
	} {
		until := time.Now().Add(10 * time.Minute)
		putOnHold(t, g, c.target, until)
		before := len(g.Sent())
		got := g.Do(nil, http.MethodPost, c.path, c.body, g.Service())
		left := int(time.Until(until).Seconds())
		after, _ := strconv.Atoi(got.Header.Get("Retry-After"))
		told := strings.Contains(got.Body, `"reason":"on_hold"`) && strings.Contains(got.Body, "Reason: the ERP is being repaired")
		if held := got.Status == http.StatusServiceUnavailable && told && after > left && after <= 600 && len(g.Sent()) == before; held != c.held {
			t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
		}
		if c.held && (g.Audited()["reason"] != "on_hold" || g.Audited()["principal"] == "") {
			t.Errorf("%s: %v", name, g.Audited())
		}
		header := g.Service()
		header.Set("ErpSync-Dry-Run", "true")
		if got := g.Do(nil, http.MethodPost, c.path, c.body, header); (got.Status == http.StatusServiceUnavailable) != c.held {
			t.Errorf("%s: a dry run says %d %s", name, got.Status, got.Body)
		}
		if stranger := g.Do(nil, http.MethodPost, c.path, c.body, nil); strings.Contains(stranger.Body, "hold") || strings.Contains(stranger.Body, "repaired") {
			t.Errorf("%s: a stranger is told %s", name, stranger.Body)
		}
		if released, err := g.State().Holds.Release(t.Context(), c.target); len(released) != 1 || err != nil {
			t.Fatal(released, err)
		}
		if got := g.Do(nil, http.MethodPost, c.path, c.body, g.Service()); got.Status == http.StatusServiceUnavailable {
			t.Errorf("%s: released, and still refused: %s", name, got.Body)
		}
	}
}

func TestAHoldWithoutAnEndSaysWhenToAskAgain(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	putOnHold(t, g, hold.Target{}, time.Time{})
	if got := g.Resync(g.Service()); got.Header.Get("Retry-After") != "60" {
		t.Errorf("%d %v", got.Status, got.Header)
	}
	putOnHold(t, g, hold.Target{}, time.Now().Add(100*time.Hour))
	if got := g.Resync(g.Service()); got.Header.Get("Retry-After") != "3600" {
		t.Errorf("%d %v", got.Status, got.Header)
	}
}

func TestACallThatWaitsForItsCredentialLooksAgainBeforeItIsSent(t *testing.T) {
	t.Parallel()
	var g *gatewaytest.Fixture
	g = gatewaytest.New(t, gatewaytest.Answering(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "PartnerSystemUser") {
			putOnHold(t, g, hold.Target{App: "erp"}, time.Time{})
		}
		return false
	}))
	g.Refused(g.Resync(g.Service()), http.StatusServiceUnavailable, "on_hold")
	if len(g.Logs.FilterMessage("erpsync call started").All()) != 0 {
		t.Error("it is said to have begun")
	}
}

func TestACallThatIsToBeSentAgainLooksFirst(t *testing.T) {
	t.Parallel()
	var g *gatewaytest.Fixture
	sent := 0
	g = gatewaytest.New(t, gatewaytest.Answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/Agents/") {
			return false
		}
		sent++
		putOnHold(t, g, hold.Target{App: "erp"}, time.Time{})
		w.WriteHeader(http.StatusMisdirectedRequest) // the tenant has moved, and is found again
		return true
	}))
	if got := g.Resync(g.Service()); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "on_hold") || sent != 1 {
		t.Errorf("%d %s after %d sends", got.Status, got.Body, sent)
	}
	if line := g.Audited(); line["outcome"] != "fault" || line["outcome_cause"] != "on_hold" {
		t.Errorf("%v", line)
	}
}

func TestACallUnderWayGoesOnAndAKeptAnswerIsGivenAgainOnHold(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Answer(func(string, int) *sandbox.Answer {
		putOnHold(t, g, hold.Target{}, time.Time{})
		return nil
	})
	header := g.Service()
	header.Set("Idempotency-Key", "one")
	if got := g.Resync(header); got.Status != http.StatusOK {
		t.Errorf("the call under way: %d %s", got.Status, got.Body)
	}
	if got := g.Resync(header); got.Status != http.StatusOK || got.Header.Get("ErpSync-Replayed") == "" {
		t.Errorf("its kept answer: %d %s", got.Status, got.Body)
	}
	header.Set("Idempotency-Key", "two")
	if got := g.Resync(header); got.Status != http.StatusServiceUnavailable {
		t.Errorf("a new call: %d %s", got.Status, got.Body)
	}
	if _, err := g.State().Holds.Release(t.Context(), hold.Target{}); err != nil {
		t.Fatal(err)
	}
	g.SO.Answer(nil)
	if got := g.Resync(header); got.Status != http.StatusOK || got.Header.Get("ErpSync-Replayed") != "" {
		t.Errorf("a key whose call was on hold is used up: %d %s", got.Status, got.Body)
	}
}
