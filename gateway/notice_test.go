package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// noticed takes notices for the app portal; erp has the same tenant.
func noticed() gatewaytest.Option {
	return gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[0].TenantStatus = &gateway.TenantStatusConfig{UpgradeFor: 30 * time.Minute}
	})
}

// with has gateways share a store.
func with(state *gateway.SharedState) gatewaytest.Option {
	return func(_ *gatewaytest.Fixture, _ *gateway.Config, _ *gateway.Platform, s **gateway.SharedState) {
		*s = state
	}
}

// push has SuperOffice send a notice of Cust12345, and returns what the gateway answered.
func push(t *testing.T, f *gatewaytest.Fixture, p sandbox.Push) sandbox.PushAnswer {
	t.Helper()
	p.URL = f.Site + "/erpsync/tenant-status"
	if p.Tenant == "" {
		p.Tenant = "Cust12345"
	}
	answers, err := f.SO.Push(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return answers[len(answers)-1]
}

func result(t *testing.T, answer sandbox.PushAnswer) string {
	t.Helper()
	var said struct{ Result, Reason string }
	if err := json.Unmarshal([]byte(answer.Body), &said); err != nil {
		t.Fatalf("%d %s: %v", answer.Status, answer.Body, err)
	}
	if answer.Status != http.StatusOK {
		return said.Reason
	}
	return said.Result
}

// lookUntil asks the state service about the tenants of which there was notice until done: a question that was under way
// before may bring the answer of before.
func lookUntil(t *testing.T, f *gatewaytest.Fixture, done func() bool) {
	t.Helper()
	gatewaytest.WaitFor(t, func() bool {
		f.LookAfterNotices(t.Context())
		return done()
	})
}

func stoppedNotice(f *gatewaytest.Fixture) bool {
	all := f.State().Holds.Notices()
	return len(all) == 1 && all[0].Stopped && !all[0].Watched
}

func onHold(f *gatewaytest.Fixture) bool {
	got := f.Resync(f.Service())
	return got.Status == http.StatusServiceUnavailable && strings.Contains(got.Body, "on_hold")
}

func TestWhatTheTokenVouchesForIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes []string
		result  string
		held    bool
		says    string
		retry   string
	}{
		"suspended":              {[]string{"Suspend"}, "held", true, "has suspended the tenant", "60"},
		"resumed":                {[]string{"Suspend", "Resume"}, "released", false, "", ""},
		"resumed without a hold": {[]string{"Resume"}, "unchanged", false, "", ""},
		"deleted":                {[]string{"Delete"}, "held", true, "deletes the tenant", "60"},
		"deleted and taken back": {[]string{"Delete", "Resume"}, "released", false, "", ""},
		"to be upgraded":         {[]string{"Upgrade"}, "held", true, "upgrades the tenant", "1800"},
		"resumed in an upgrade":  {[]string{"Upgrade", "Resume"}, "unchanged", true, "upgrades the tenant", "1800"},
		"restored":               {[]string{"BackupRestored"}, "held", true, "what was resynced since the backup may be gone", "60"},
		"restored and resumed":   {[]string{"BackupRestored", "Suspend", "Resume"}, "released", true, "restored the tenant from a backup", "60"},
		"moved":                  {[]string{"Move"}, "refreshed", false, "", ""},
		"something new":          {[]string{"9"}, "warned", false, "", ""},
	} {
		f := gatewaytest.New(t, noticed())
		var last string
		for _, change := range c.changes {
			last = result(t, push(t, f, sandbox.Push{Change: change}))
		}
		if last != c.result {
			t.Errorf("%s: %s, want %s", name, last, c.result)
		}
		line := f.Logs.FilterMessage("erpsync tenant status").All()
		if len(line) != len(c.changes) {
			t.Errorf("%s: %d audit lines", name, len(line))
		} else if got := line[len(line)-1].ContextMap(); got["result"] != c.result || got["actor"] != "SuperOffice" || got["actor_proof"] != "push" || got["tenant"] != "Cust12345" || got["app"] != "portal" || got["request_id"] == "" || got["node"] != "node" {
			t.Errorf("%s: %v", name, got)
		}
		got := f.Resync(f.Service())
		if held := got.Status == http.StatusServiceUnavailable; held != c.held {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		// Retry-After of an upgrade may be a second less by now.
		if c.held && (!strings.Contains(got.Body, c.says) || len(got.Header.Get("Retry-After")) != len(c.retry)) {
			t.Errorf("%s: %v %s", name, got.Header, got.Body)
		}
		metric := strings.ToLower(strings.ReplaceAll(c.changes[len(c.changes)-1], "BackupRestored", "backup_restored")) + " " + c.result + " "
		if name == "something new" {
			metric = "unknown warned "
		}
		if n := counted(t, f.Metrics, "caddy_erpsync_tenant_status_total")[metric]; n != 1 {
			t.Errorf("%s: counted %v of %q", name, n, metric)
		}
	}
}

func TestAPersonReleasesWhatANoticeHolds(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	push(t, f, sandbox.Push{Change: "BackupRestored"})
	f.LookAfterNotices(t.Context()) // the state service says that it runs, which means nothing here
	if !onHold(f) {
		t.Error("no person has looked")
	}
	if released, err := f.State().Holds.Release(t.Context(), hold.Target{Tenant: "Cust12345"}); len(released) != 1 || released[0].By != "SuperOffice" || err != nil {
		t.Errorf("%v %v", released, err)
	}
	if onHold(f) {
		t.Error("it is released")
	}
}

// What an operator ordered is not SuperOffice's to release.
func TestAResumeLeavesAnOperatorsHold(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	putOnHold(t, f, hold.Target{Tenant: "Cust12345"}, time.Time{})
	push(t, f, sandbox.Push{Change: "Suspend"})
	if got := result(t, push(t, f, sandbox.Push{Change: "Resume"})); got != "released" {
		t.Error(got)
	}
	if !onHold(f) {
		t.Error("it was released")
	}
}

func TestAHintIsAskedAboutBeforeAnythingIsHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims, change string
		apply          bool
		result         string
		held           bool
	}{
		"a suspension that is none":        {"tenant", "Suspend", false, "watched", false},
		"a suspension":                     {"tenant", "Suspend", true, "held", true},
		"a suspension, nothing vouched":    {"none", "Suspend", true, "held", true},
		"a suspension that is none, again": {"none", "Suspend", false, "watched", false},
		"a deletion":                       {"none", "Delete", true, "held", true},
		"an upgrade that has not begun":    {"tenant", "Upgrade", false, "watched", false},
		"a restored backup":                {"tenant", "BackupRestored", false, "warned", false},
		"a restored backup, nothing":       {"none", "BackupRestored", false, "warned", false},
		"a move":                           {"none", "Move", false, "refreshed", false},
	} {
		f := gatewaytest.New(t, noticed())
		f.SO.Switch(func(s *sandbox.Switches) { s.PushClaims = c.claims })
		if got := result(t, push(t, f, sandbox.Push{Change: c.change, Apply: c.apply})); got != c.result {
			t.Errorf("%s: %s, want %s", name, got, c.result)
		}
		if got := onHold(f); got != c.held {
			t.Errorf("%s: on hold %v", name, got)
		}
		if line := f.Logs.FilterMessage("erpsync tenant status").All()[0].ContextMap(); line["actor_proof"] != "hint" || line["result"] != c.result {
			t.Errorf("%s: %v", name, line)
		}
	}
}

func TestAHintHoldsWhenTheStateServiceAgreesAndReleasesWhenItSaysSo(t *testing.T) {
	t.Parallel()
	for _, change := range []string{"Suspend", "Upgrade"} {
		f := gatewaytest.New(t, noticed())
		f.SO.Switch(func(s *sandbox.Switches) { s.PushClaims = "tenant" })
		push(t, f, sandbox.Push{Change: change})
		f.LookAfterNotices(t.Context())
		if onHold(f) {
			t.Errorf("%s: the tenant runs", change)
		}
		f.SO.SetState("Cust12345", "OfflineMaintenance")
		lookUntil(t, f, func() bool { return stoppedNotice(f) && onHold(f) })
		if change == "Suspend" { // with a hint that it resumes, with which the state service does not agree
			if got := result(t, push(t, f, sandbox.Push{Change: "Resume"})); got != "unchanged" || !onHold(f) {
				t.Errorf("%s", got)
			}
		}
		if got := result(t, push(t, f, sandbox.Push{Change: change})); got != "held" || !onHold(f) {
			t.Errorf("%s again: %s", change, got)
		}
		f.SO.SetState("Cust12345", "Running")
		lookUntil(t, f, func() bool { return !onHold(f) })
	}
}

// A weaker word takes nothing of what a stronger one did.
func TestAHintReleasesNothingThatIsHeld(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	push(t, f, sandbox.Push{Change: "Upgrade"})
	f.SO.Switch(func(s *sandbox.Switches) { s.PushClaims = "none" })
	if got := result(t, push(t, f, sandbox.Push{Change: "Upgrade"})); got != "unchanged" || !onHold(f) {
		t.Errorf("%s, on hold %v", got, onHold(f))
	}
}

func TestAnUpgradeHoldsUntilItWasSeenStoppedAndRunsAgainAtAllGateways(t *testing.T) {
	t.Parallel()
	state := gateway.NewMemoryState()
	one := gatewaytest.New(t, noticed(), with(state))
	other := one.Beside(noticed(), with(state))
	push(t, one, sandbox.Push{Change: "Upgrade"})
	one.LookAfterNotices(t.Context())
	other.LookAfterNotices(t.Context())
	if !onHold(one) || !onHold(other) {
		t.Error("the upgrade has not begun, and the hold has ended")
	}
	one.SO.SetState("Cust12345", "OfflineMaintenance")
	lookUntil(t, one, func() bool { return stoppedNotice(one) && onHold(one) && onHold(other) })
	one.SO.SetState("Cust12345", "Running")
	lookUntil(t, one, func() bool { return !onHold(one) })
	lookUntil(t, other, func() bool { return !onHold(other) })
	var lines int
	for _, f := range []*gatewaytest.Fixture{one, other} {
		for _, entry := range f.Logs.FilterMessage("erpsync tenant status").All() {
			if line := entry.ContextMap(); line["result"] == "released" && line["actor_proof"] == "state_service" && line["act"] == "upgrade" {
				lines++
			}
		}
	}
	if lines != 1 {
		t.Errorf("%d audit lines say that it was released", lines)
	}
}

// An error is no absence: what was said before the state service failed is not its word.
func TestAStateServiceThatGivesNoAnswerReleasesNothing(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	if onHold(f) { // and its host is known by now
		t.Fatal()
	}
	push(t, f, sandbox.Push{Change: "Upgrade"})
	f.SO.SetState("Cust12345", "OfflineMaintenance")
	lookUntil(t, f, func() bool { return stoppedNotice(f) })
	f.SO.SetState("Cust12345", "Running")
	f.SO.Switch(func(s *sandbox.Switches) { s.StateFault = "500" })
	f.LookAfterNotices(t.Context())
	if !onHold(f) {
		t.Error("released on nobody's word")
	}
}

func TestAHintThatNobodyCanConfirmMayComeAgain(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	f.SO.Switch(func(s *sandbox.Switches) { s.PushClaims, s.StateFault = "tenant", "500" })
	first := push(t, f, sandbox.Push{Change: "Suspend", Apply: true})
	if got := result(t, first); got != "state_unavailable" || first.Status != http.StatusServiceUnavailable || onHold(f) {
		t.Errorf("%d %s", first.Status, first.Body)
	}
	f.SO.Switch(func(s *sandbox.Switches) { s.StateFault = "none" })
	if got := result(t, push(t, f, sandbox.Push{Replay: true})); got != "held" || !onHold(f) {
		t.Errorf("sent again: %s", got)
	}
}

func TestAReplayChangesNothingAtAnyGatewayAndAfterARestart(t *testing.T) {
	t.Parallel()
	for _, claims := range []string{"all", "none"} {
		state := gateway.NewMemoryState()
		f := gatewaytest.New(t, noticed(), with(state))
		f.SO.Switch(func(s *sandbox.Switches) { s.PushClaims = claims })
		push(t, f, sandbox.Push{Change: "Suspend", Apply: true})
		if _, err := state.Holds.Release(t.Context(), hold.Target{Tenant: "Cust12345"}); err != nil {
			t.Fatal(err)
		}
		for name, g := range map[string]*gatewaytest.Fixture{"the same": f, "another": f.Beside(noticed(), with(state)), "one that starts": f.Beside(noticed())} {
			if got := result(t, push(t, g, sandbox.Push{Replay: true, Times: 2})); got != "repeated" || onHold(g) {
				t.Errorf("%s, claims %s: %s, on hold %v", name, claims, got, onHold(g))
			}
		}
	}
}

// A token that says nothing of the change is good once, whatever stands beside it.
func TestATokenIsNotGoodForAnotherBody(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	f.SO.Switch(func(s *sandbox.Switches) { s.PushClaims = "none" })
	var taken string
	spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Token string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		taken = body.Token
	}))
	defer spy.Close()
	if _, err := f.SO.Push(t.Context(), sandbox.Push{URL: spy.URL, Tenant: "Cust12345", Change: "Move"}); err != nil {
		t.Fatal(err)
	}
	send := func(change string) sandbox.PushAnswer {
		got := f.Do(nil, http.MethodPost, "/erpsync/tenant-status", `{"ChangeType":`+change+`,"ContextIdentifier":"Cust12345","Token":"`+taken+`"}`, nil)
		return sandbox.PushAnswer{Status: got.Status, Body: got.Body}
	}
	if got := result(t, send("5")); got != "refreshed" {
		t.Fatal(got)
	}
	f.SO.SetState("Cust12345", "Suspended")
	if got := result(t, send("2")); got != "repeated" || onHold(f) {
		t.Errorf("%s", got)
	}
}

func TestAMoveIsFollowedAtOnceAtAllGateways(t *testing.T) {
	t.Parallel()
	var old atomic.Int32
	so := gatewaytest.NewSandboxBehind(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/Agents/") {
			old.Add(1)
		}
		return false
	})
	home, state := newHome(t, so), gateway.NewMemoryState()
	one := gatewaytest.NewIn(t, so, noticed(), trusting(t, home), with(state))
	other := one.Beside(noticed(), trusting(t, home), with(state))
	for _, f := range []*gatewaytest.Fixture{one, other} {
		if got := f.Resync(f.Service()); got.Status != http.StatusOK || f.Audited()["upstream"] == home {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	if got := result(t, push(t, one, sandbox.Push{Change: "Move", PublicEndpoint: home, Apply: true})); got != "refreshed" {
		t.Error(got)
	}
	gatewaytest.WaitFor(t, func() bool { // the other one looks every half second
		location, known := other.Location("Cust12345")
		return known && strings.HasPrefix(location.API, home)
	})
	before := old.Load()
	for _, f := range []*gatewaytest.Fixture{one, other} {
		for range 5 {
			if got := f.Resync(f.Service()); got.Status != http.StatusOK || f.Audited()["upstream"] != home {
				t.Errorf("%d %s at %v", got.Status, got.Body, f.Audited()["upstream"])
			}
		}
	}
	if n := old.Load() - before; n != 0 {
		t.Errorf("%d calls went to the old host", n)
	}
}

func TestAPushThatIsNotSuperOfficesIsRefusedAndSaidAndAsksNobody(t *testing.T) {
	t.Parallel()
	var asked, keys atomic.Int32
	begun := time.Now()
	f := gatewaytest.New(t, noticed(), gatewaytest.Answering(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/jwks") {
			keys.Add(1)
		} else {
			asked.Add(1)
		}
		return false
	}))
	for name, c := range map[string]struct {
		push   sandbox.Push
		key    string
		reason auth.Reason
		status int
		cause  string
	}{
		"a wrong signature":        {sandbox.Push{Signature: "wrong"}, "", auth.CredentialInvalid, 401, "signature"},
		"no signature":             {sandbox.Push{Signature: "none"}, "", auth.CredentialInvalid, 401, "signature"},
		"a key of nobody's":        {sandbox.Push{}, "other", auth.CredentialInvalid, 401, "signature"},
		"an old one":               {sandbox.Push{Age: "1h"}, "", auth.CredentialInvalid, 401, "expired"},
		"another tenant":           {sandbox.Push{TokenTenant: "Cust54321"}, "", auth.TenantMismatch, 403, "the token is about \"Cust54321\", the body about Cust12345"},
		"another change":           {sandbox.Push{TokenChange: "Resume"}, "", auth.CredentialInvalid, 401, "the token says resume, the body suspend"},
		"another app's":            {sandbox.Push{App: "erp"}, "", auth.CredentialInvalid, 401, "tenant_status"},
		"a tenant without the app": {sandbox.Push{Tenant: "Cust54321"}, "", auth.TenantNotGranted, 403, "granted in Cust54321"},
		"a long one":               {sandbox.Push{Padding: 100_000}, "", auth.BodyTooLarge, 413, "longer than a push may be, 65536 bytes"},
	} {
		f.SO.Switch(func(s *sandbox.Switches) { s.PushKey = c.key })
		c.push.Change = "Suspend"
		got := push(t, f, c.push)
		if got.Status != c.status || result(t, got) != string(c.reason) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		lines := f.Logs.FilterMessage("erpsync endpoint refused").All()
		line := lines[len(lines)-1].ContextMap()
		if line["reason"] != string(c.reason) || !strings.Contains(line["cause"].(string), c.cause) || line["endpoint"] != "/tenant-status" || line["app"] != nil {
			t.Errorf("%s: %v", name, line)
		}
	}
	for body, reason := range map[string]auth.Reason{"": auth.BodyNotUnderstood, "[]": auth.BodyNotUnderstood, `{"Token":"x"}`: auth.BodyNotUnderstood} {
		if got := f.Do(nil, http.MethodPost, "/erpsync/tenant-status", body, nil); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, string(reason)) {
			t.Errorf("%q: %d %s", body, got.Status, got.Body)
		}
	}
	if got := f.Do(nil, http.MethodGet, "/erpsync/tenant-status", "", nil); got.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got.Status)
	}
	if n := counted(t, f.Metrics, "caddy_erpsync_tenant_status_total")["unknown refused "]; n != 12 {
		t.Errorf("%v refused pushes are counted", n)
	}
	most := 2 + int32(time.Since(begun)/(10*time.Second)) // once, and once more in ten seconds
	if asked.Load() != 0 || keys.Load() > most || len(f.State().Holds.Notices()) != 0 {
		t.Errorf("asked %d times, keys %d times; kept %v", asked.Load(), keys.Load(), f.State().Holds.Notices())
	}
}

// The gateway may close the connection before the sender has written it all and reads the answer.
func TestAPushOfTenMegabytesIsNotRead(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	_, _ = f.SO.Push(t.Context(), sandbox.Push{URL: f.Site + "/erpsync/tenant-status", Tenant: "Cust12345", Change: "Suspend", Padding: 10 << 20})
	gatewaytest.WaitFor(t, func() bool { return len(f.Logs.FilterMessage("erpsync endpoint refused").All()) == 1 })
	if line := f.Logs.FilterMessage("erpsync endpoint refused").All()[0].ContextMap(); line["reason"] != "body_too_large" || onHold(f) {
		t.Errorf("%v", line)
	}
}

func TestWithoutTheOptionThereIsNoEndpoint(t *testing.T) {
	t.Parallel()
	if got := push(t, gatewaytest.New(t), sandbox.Push{Change: "Suspend"}); got.Status != http.StatusNotFound {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestKeysThatCannotBeHadAreNoWordAboutThePush(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, noticed())
	f.SO.Switch(func(s *sandbox.Switches) { s.JWKSFault = "500" })
	if got := push(t, f, sandbox.Push{Change: "Suspend"}); got.Status != http.StatusServiceUnavailable || result(t, got) != "proof_unavailable" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
