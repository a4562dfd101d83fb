package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

var epoch = time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)

// at is a time so many seconds after the beginning.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func testSettings() *Settings {
	return &Settings{Failures: 3, FailingFor: 15 * time.Minute, CredentialEnds: 14 * 24 * time.Hour, Source: "/erpsync/test", Environment: "sod", Webhook: &WebhookConfig{URL: "http://127.0.0.1:1/"}}
}

// record is a call that ended so many seconds after the beginning.
func record(tenant string, connection int32, seconds int, class outcome.Class) *outcome.Record {
	r := &outcome.Record{RequestID: fmt.Sprintf("r%d", seconds), App: "erp", Tenant: tenant, Operation: superoffice.ForceResync, Understood: true, Proved: true, Granted: true, Decision: "allowed", Started: at(seconds)}
	r.Arguments.Connection = connection
	r.Outcome.Class = class
	if class == outcome.Error {
		r.Outcome.ErrorCode = "E1"
	}
	return r
}

func newTestNotifier() *Notifier { return &Notifier{watcher: watcher{seen: newSeen()}} }

// story is what gateways see and what is told, in the order in which it happens.
type story struct {
	t        *testing.T
	d        *document
	settings *Settings
	gateways [2]*Notifier
	facts    []Fact
}

func newStory(t *testing.T) *story {
	t.Helper()
	return &story{t: t, d: new(document), settings: testSettings(), gateways: [2]*Notifier{newTestNotifier(), newTestNotifier()}}
}

// flush has a gateway tell what it saw.
func (s *story) flush(gateway, seconds int) {
	taken := s.gateways[gateway].watcher.take(at(seconds))
	s.d.merge(&taken, at(seconds))
}

// judge judges and returns what was decided, in short.
func (s *story) judge(seconds int) (decided []string) {
	before := len(s.d.Fresh)
	s.d.judge(s.settings, s.facts, true, at(seconds))
	for _, f := range s.d.Fresh[before:] {
		decided = append(decided, string(f.Notice.Kind)+" "+f.Notice.Subject())
	}
	s.restart()
	return decided
}

// restart has the document go through the store.
func (s *story) restart() {
	raw, err := json.Marshal(s.d)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.d, err = parse(raw); err != nil {
		s.t.Fatal(err)
	}
}

// step is a call through gateway 0 or 1, or a moment at which the sender judges.
type step struct {
	seconds int
	class   outcome.Class // "": nothing is called
	gateway int
	want    string
}

func TestAConnectionIsToldWhenItChangesItsState(t *testing.T) {
	t.Parallel()
	const failing, recovered = "failing erp/Cust1/612", "recovered erp/Cust1/612"
	for name, steps := range map[string][]step{
		"two failures are none":             {{1, outcome.Error, 0, ""}, {2, outcome.Error, 0, ""}},
		"the third is":                      {{1, outcome.Error, 0, ""}, {2, outcome.Fault, 0, ""}, {3, outcome.Unknown, 0, failing}},
		"once":                              {{1, outcome.Error, 0, ""}, {2, outcome.Error, 0, ""}, {3, outcome.Error, 0, failing}, {4, outcome.Error, 0, ""}, {9999, outcome.Error, 0, ""}},
		"a success between begins anew":     {{1, outcome.Error, 0, ""}, {2, outcome.Error, 0, ""}, {3, outcome.Warning, 0, ""}, {4, outcome.Error, 0, ""}, {5, outcome.Error, 0, ""}, {6, outcome.Error, 0, failing}},
		"a batch task says nothing":         {{1, outcome.Error, 0, ""}, {2, outcome.Error, 0, ""}, {3, outcome.Accepted, 0, ""}, {4, outcome.Error, 0, failing}},
		"one failure and then nothing":      {{1, outcome.Error, 0, ""}, {900, "", 0, ""}, {901, "", 0, failing}, {5000, "", 0, ""}},
		"one failure and then a success":    {{1, outcome.Error, 0, ""}, {800, outcome.OK, 0, ""}, {1000, "", 0, ""}},
		"it is well again":                  {{1, outcome.Error, 0, ""}, {2, outcome.Error, 0, ""}, {3, outcome.Error, 0, failing}, {4, outcome.OK, 0, recovered}, {5, outcome.OK, 0, ""}},
		"failures of two gateways count":    {{1, outcome.Error, 0, ""}, {2, outcome.Error, 1, ""}, {3, outcome.Error, 0, failing}, {4, outcome.OK, 1, recovered}},
		"it fails a second time":            {{1, outcome.Error, 0, ""}, {2, outcome.Error, 0, ""}, {3, outcome.Error, 0, failing}, {4, outcome.OK, 0, recovered}, {5, outcome.Error, 0, ""}, {6, outcome.Error, 0, ""}, {7, outcome.Error, 0, failing}},
		"a call that is refused is no call": {{1, "rate_limited", 0, ""}, {2, "rate_limited", 0, ""}, {3, "rate_limited", 0, ""}, {4, "on_hold", 0, ""}},
		"a tenant that does not run fails":  {{1, "tenant_not_running", 0, ""}, {2, "tenant_not_running", 0, ""}, {3, "tenant_not_running", 0, failing}},
		"a withdrawn consent has its own":   {{1, "consent_required", 0, ""}, {2, "consent_required", 0, ""}, {3, "consent_required", 0, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			for _, step := range steps {
				if step.class != "" {
					s.gateways[step.gateway].Ended(call1(step))
				}
				s.flush(step.gateway, step.seconds)
				if got := strings.Join(s.judge(step.seconds), ", "); got != step.want {
					t.Fatalf("after %d s: %q, want %q", step.seconds, got, step.want)
				}
			}
		})
	}
}

// call1 is a step's call through connection 612 of Cust1.
func call1(s step) *outcome.Record {
	r := record("Cust1", 612, s.seconds, s.class)
	if strings.Contains(string(s.class), "_") {
		r.Outcome.Class, r.Reason, r.Decision = "", string(s.class), "refused"
	}
	return r
}

func TestWhatSaysNothingOfAConnectionIsNotCounted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*outcome.Record){
		"a stranger's call": func(r *outcome.Record) { r.Granted = false },
		"a dry run":         func(r *outcome.Record) { r.DryRun = true },
		"a kept answer":     func(r *outcome.Record) { r.Decision = "replayed" },
		"a body unread":     func(r *outcome.Record) { r.Understood = false },
	} {
		n := newTestNotifier()
		for i := range 3 {
			r := record("Cust1", 612, i, outcome.Error)
			change(r)
			n.Ended(r)
		}
		if len(n.watcher.seen.failures) != 0 {
			t.Errorf("%s counts", name)
		}
	}
}

// Gateways tell a few seconds apart, so that the later one may come first.
func TestASuccessCountsThoughItsGatewayTellsBeforeTheFailures(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.gateways[0].Ended(record("Cust1", 612, 1, outcome.Error))
	s.gateways[1].Ended(record("Cust1", 612, 5, outcome.OK))
	s.flush(1, 6)
	s.flush(0, 7)
	s.flush(1, 8)
	if decided := s.judge(2000); len(decided) > 0 || len(s.d.Connections) > 0 {
		t.Errorf("%q, %d remembered", decided, len(s.d.Connections))
	}
	s.gateways[0].Ended(record("Cust1", 612, 3001, outcome.Error))
	s.gateways[0].Ended(record("Cust1", 612, 3002, outcome.Error))
	s.flush(0, 3003)
	s.gateways[1].Ended(record("Cust1", 612, 3000, outcome.OK)) // before both
	s.flush(1, 3004)
	if c := s.d.Connections[connectionKey{"erp", "Cust1", 612}.id()]; c == nil || c.Failures != 2 {
		t.Errorf("a success of before took failures away: %+v", c)
	}
}

// One that comes and goes is told twice, and then only once it stays.
func TestAConnectionThatFlapsIsToldToBeWellOnceItStaysSo(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	var told []string
	for round := range 6 {
		for i := range 3 {
			s.gateways[0].Ended(record("Cust1", 612, 60*round+i, outcome.Error))
		}
		s.flush(0, 60*round+4)
		told = append(told, s.judge(60*round+4)...)
		s.gateways[0].Ended(record("Cust1", 612, 60*round+10, outcome.OK))
		s.flush(0, 60*round+11)
		told = append(told, s.judge(60*round+11)...)
	}
	const failing, recovered = "failing erp/Cust1/612", "recovered erp/Cust1/612"
	if want := []string{failing, recovered, failing, recovered, failing}; !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
	if decided := s.judge(310 + 899); len(decided) > 0 {
		t.Errorf("%q before it has stayed well", decided)
	}
	if decided := s.judge(310 + 901); !slices.Equal(decided, []string{recovered}) {
		t.Errorf("%q once it has", decided)
	}
	if s.judge(310 + 9000); len(s.d.Connections) != 0 {
		t.Error("a connection that is well is remembered")
	}
}

func TestANoticeSaysWhatTheLastFailureWas(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for i := range 3 {
		s.gateways[0].Ended(record("Cust1", 612, 10+i, outcome.Error))
	}
	s.flush(0, 13)
	s.judge(13)
	n := s.d.Fresh[0].Notice
	if n.Environment != "sod" || n.App != "erp" || n.Tenant != "Cust1" || *n.Connection != 612 || !n.Since.Equal(at(10)) || n.Failures != 3 || n.Outcome != "error" || n.ErrorCode != "E1" || n.RequestID != "r12" || n.Advice != outcome.Error.Remedy() {
		t.Errorf("%+v", n)
	}
}

func TestAConsentIsToldWhenItIsWithdrawnAndGivenAgain(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.settings.Approve = func(app, tenant string) string {
		return "https://gate.example/approve?app=" + app + "&tenant=" + tenant
	}
	say := func(seconds int, withdrawn bool) []string {
		s.d.consent(consentKey{"erp", "Cust1"}, consentSaid{at(seconds), withdrawn})
		return s.judge(seconds)
	}
	for i, step := range []struct {
		withdrawn bool
		want      string
	}{{false, ""}, {true, "consent_withdrawn erp/Cust1"}, {true, ""}, {false, "consent_given erp/Cust1"}, {false, ""}, {true, "consent_withdrawn erp/Cust1"}} {
		if got := strings.Join(say(i, step.withdrawn), ", "); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if n := s.d.Fresh[0].Notice; n.Approve != "https://gate.example/approve?app=erp&tenant=Cust1" || n.Reason != "consent_required" || n.Advice == "" {
		t.Errorf("%+v", n)
	}
	if s.d.consent(consentKey{"erp", "Cust1"}, consentSaid{at(4), false}) {
		t.Error("what was said before is taken for news")
	}
}

func TestHoldsAndSuspensionsAreToldWhenTheyBeginAndEnd(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	old := Fact{Kind: OnHold, Key: "old", Target: "everything"}
	held := Fact{Kind: OnHold, Key: "new", Tenant: "Cust1", Target: "tenant Cust1", Reason: "the ERP moves", Since: at(1), Until: at(9)}
	suspended := Fact{Kind: Suspended, Key: "suspend", Tenant: "Cust2"}
	for i, step := range []struct {
		facts []Fact
		want  string
	}{
		{[]Fact{old}, ""}, // as it was when notices began
		{[]Fact{old, held}, "on_hold hold/tenant Cust1"},
		{[]Fact{old, held, suspended}, "suspended /Cust2"},
		{[]Fact{suspended}, "released hold/tenant Cust1, released hold/everything"},
		{nil, "resumed /Cust2"},
		{nil, ""},
	} {
		s.facts = step.facts
		if got := strings.Join(s.judge(i), ", "); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if n := s.d.Fresh[0].Notice; n.Reason != "the ERP moves" || !n.Since.Equal(at(1)) || !n.Until.Equal(at(9)) {
		t.Errorf("%+v", n)
	}
	s.facts = []Fact{held}
	s.judge(10)
	s.d.judge(s.settings, nil, false, at(11)) // nobody knows what is on hold, which does not mean that nothing is
	if len(s.d.Facts) != 1 {
		t.Error("what nobody knows was taken for an end")
	}
}

func TestACredentialIsToldInTimeAndWhenItHasEnded(t *testing.T) {
	t.Parallel()
	const day = 24 * 3600
	s := newStory(t)
	s.settings.Credentials = []Credential{{"client secret", at(20 * day)}, {"far", at(900 * day)}}
	for i, step := range []struct {
		seconds int
		want    string
	}{
		{0, ""},
		{6*day - 1, ""},
		{6 * day, "credential_ending credential/client secret"},
		{7 * day, ""},
		{20*day - 1, ""},
		{20 * day, "credential_ended credential/client secret"},
		{21 * day, ""},
	} {
		if got := strings.Join(s.judge(step.seconds), ", "); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	s.settings.Credentials[0].Ends = at(30 * day) // renewed
	if got := strings.Join(s.judge(22*day), ", "); got != "credential_ending credential/client secret" {
		t.Errorf("the next end: %q", got)
	}
	s.settings.Credentials = nil
	if s.judge(23 * day); len(s.d.Facts) != 0 {
		t.Error("what is watched no more is remembered")
	}
}

func TestWhatIsGrantedNoMoreIsForgotten(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for i := range 3 {
		s.gateways[0].Ended(record("Cust1", 612, i, outcome.Error))
	}
	s.flush(0, 3)
	s.d.consent(consentKey{"erp", "Cust1"}, consentSaid{at(3), true})
	s.settings.Granted = func(app, tenant string) bool { return app != "erp" || tenant != "Cust1" }
	if decided := s.judge(4); len(decided) > 0 || len(s.d.Connections)+len(s.d.Consents) > 0 {
		t.Errorf("%q, %v %v", decided, s.d.Connections, s.d.Consents)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for i := range maxConnections + 7 {
		s.gateways[0].Ended(record("Cust1", int32(i+1), 1, outcome.Error)) //nolint:gosec // small
	}
	s.flush(0, 2)
	if len(s.d.Connections) != maxConnections || s.d.Lost != 7 || s.d.LostWhy == "" {
		t.Errorf("%d remembered, %d lost: %s", len(s.d.Connections), s.d.Lost, s.d.LostWhy)
	}
	n := newTestNotifier()
	for i := range maxSeen + 7 {
		n.Ended(record("Cust1", int32(i+1), 1, outcome.Error)) //nolint:gosec // small
		n.Ended(record("Cust2", int32(i+1), 1, outcome.OK))    //nolint:gosec // small
	}
	if seen := n.watcher.seen; len(seen.failures) != maxSeen || seen.lost != 7 || len(seen.successes) != maxSeen {
		t.Errorf("%d failures, %d lost, %d successes", len(seen.failures), seen.lost, len(seen.successes))
	}
	d := new(document)
	for range maxFresh + 3 {
		d.decide(epoch, Notice{Kind: Failing})
	}
	if len(d.Fresh) != maxFresh || d.Lost != 3 {
		t.Errorf("%d decided, %d lost", len(d.Fresh), d.Lost)
	}
}

// An observation that could not be told is told later, in its order.
func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	t.Parallel()
	n := newTestNotifier()
	n.Ended(record("Cust1", 612, 1, outcome.Error))
	n.Ended(record("Cust2", 612, 1, outcome.Error))
	n.SetConsent("erp", "Cust1", false)
	taken := n.watcher.take(at(2))
	n.Ended(record("Cust1", 612, 3, outcome.Fault))
	n.Ended(record("Cust2", 612, 3, outcome.OK))
	n.watcher.putBack(taken)
	again := n.watcher.take(at(4))
	f := again.failures[connectionKey{"erp", "Cust1", 612}]
	if f.count != 2 || !f.first.Equal(at(1)) || !f.last.Equal(at(3)) || f.call.RequestID != "r3" {
		t.Errorf("%+v", f)
	}
	if _, failing := again.failures[connectionKey{"erp", "Cust2", 612}]; failing {
		t.Error("a success since did not count")
	}
	if said, ok := again.consents[consentKey{"erp", "Cust1"}]; !ok || !said.withdrawn {
		t.Error("a consent was forgotten")
	}
}
