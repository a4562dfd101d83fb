package notify

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// storm has connections of so many tenants fail.
func (s *story) storm(tenants, seconds int, class outcome.Class) {
	for tenant := range tenants {
		for i := range 3 {
			s.gateways[0].Ended(record(fmt.Sprintf("Cust%03d", tenant), 1, seconds+i, class))
		}
	}
	s.flush(0, seconds+3)
	s.judge(seconds + 3)
}

func decode(t *testing.T, m *message) (event.Event, Notice) {
	t.Helper()
	var e event.Event
	if err := json.Unmarshal(m.Body, &e); err != nil {
		t.Fatal(err)
	}
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	var n Notice
	if err := e.DataAs(&n); err != nil {
		t.Fatal(err)
	}
	return e, n
}

func TestAStormIsOneDigest(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.storm(300, 0, outcome.Unreachable)
	if s.d.gather(s.settings, at(5)); len(s.d.Queue) != 0 {
		t.Fatalf("%d messages before the notices of a moment were collected", len(s.d.Queue))
	}
	s.d.gather(s.settings, at(13))
	if len(s.d.Queue) != 1 || len(s.d.Fresh) != 0 {
		t.Fatalf("%d messages, %d notices wait", len(s.d.Queue), len(s.d.Fresh))
	}
	e, n := decode(t, s.d.Queue[0])
	if e.Type() != "com.github.caddy-erpsync.digest.v1" || n.Digest.Of != Failing || n.Digest.Count != 300 || n.Digest.Tenants != 300 || len(n.Digest.First) != 10 || n.Digest.First[0] != "erp/Cust000/1" {
		t.Errorf("%s %+v", e.Type(), n.Digest)
	}
	if len(n.Digest.Causes) != 1 || n.Digest.Causes[0] != (CauseCount{"unreachable", 300}) || !n.Since.Equal(at(0)) {
		t.Errorf("%+v since %s", n.Digest.Causes, n.Since)
	}
	// Those that come to fail while the storm lasts are collected for longer.
	for i := range 3 {
		s.gateways[0].Ended(record("Cust999", 1, 30+i, outcome.Unreachable))
	}
	s.flush(0, 33)
	s.judge(33)
	if s.d.gather(s.settings, at(60)); len(s.d.Queue) != 1 {
		t.Error("a straggler of the storm is a message at once")
	}
	if s.d.gather(s.settings, at(33+301)); len(s.d.Queue) != 2 {
		t.Error("a straggler of the storm is never told")
	}
	// It is over: one more.
	for tenant := range 300 {
		s.gateways[0].Ended(record(fmt.Sprintf("Cust%03d", tenant), 1, 400, outcome.OK))
	}
	s.flush(0, 401)
	s.judge(401)
	s.d.gather(s.settings, at(412))
	if _, n := decode(t, s.d.Queue[2]); len(s.d.Queue) != 3 || n.Digest == nil || n.Digest.Of != Recovered || n.Digest.Count != 300 {
		t.Errorf("%d messages, the last %+v", len(s.d.Queue), n)
	}
}

// An outage that reaches one tenant after the other is a storm too.
func TestASlowStormIsAFewMessagesAndThenDigests(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for second := range 300 {
		tenant := fmt.Sprintf("Cust%03d", second)
		for range 3 {
			s.gateways[0].Ended(record(tenant, 1, second, outcome.Unreachable))
		}
		s.flush(0, second)
		s.judge(second)
		s.d.gather(s.settings, at(second))
	}
	s.d.gather(s.settings, at(900))
	told := 0
	for _, m := range s.d.Queue {
		if _, n := decode(t, m); n.Kind == Digest {
			told += n.Digest.Count
		} else {
			told++
		}
	}
	if len(s.d.Queue) > maxSingle+3 || told != 300 {
		t.Errorf("%d messages that tell of %d", len(s.d.Queue), told)
	}
	// A single one, an hour later, is a message at once.
	s.gateways[0].Ended(record("Cust000", 1, 4000, outcome.OK))
	s.flush(0, 4000)
	s.judge(4000)
	before := len(s.d.Queue)
	if s.d.gather(s.settings, at(4006)); len(s.d.Queue) != before+1 || s.d.Queue[before].Kind != Recovered {
		t.Errorf("%d messages more", len(s.d.Queue)-before)
	}
}

func TestAFewAreAMessageEach(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.storm(maxSingle, 0, outcome.Error)
	published, _ := s.d.gather(s.settings, at(14))
	if len(s.d.Queue) != maxSingle || len(published) != maxSingle || published[0].id != s.d.Queue[0].ID {
		t.Fatalf("%d messages, %d events", len(s.d.Queue), len(published))
	}
	e, n := decode(t, s.d.Queue[0])
	if e.ID() != s.d.Queue[0].ID || e.Source() != "/erpsync/test" || e.Subject() != "erp/Cust000/1" || e.DataContentType() != "application/json" || e.Time().IsZero() || n.Kind != Failing {
		t.Errorf("%s %+v", e, n)
	}
}

// What is about one connection keeps its order, though a storm holds the first of it up.
func TestAConnectionsRecoveryDoesNotOvertakeItsFailure(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.d.Storms = map[Kind]time.Time{Failing: at(900)}
	s.storm(1, 0, outcome.Error)
	s.gateways[0].Ended(record("Cust000", 1, 5, outcome.OK))
	s.flush(0, 6)
	s.judge(6)
	if s.d.gather(s.settings, at(100)); len(s.d.Queue) != 0 {
		t.Fatalf("%s went first", s.d.Queue[0].Kind)
	}
	s.d.gather(s.settings, at(400))
	if len(s.d.Queue) != 2 || s.d.Queue[0].Kind != Failing || s.d.Queue[1].Kind != Recovered {
		t.Fatalf("%d messages", len(s.d.Queue))
	}
	if due, _ := s.d.due(at(400)); len(due) != 1 || due[0].Kind != Failing {
		t.Errorf("both may be sent at once")
	}
}

func TestAMessageWaitsForAnotherOfItsSubjectAlone(t *testing.T) {
	t.Parallel()
	d := &document{Queue: []*message{
		{ID: "digest", Subjects: []string{"a", "b"}, Next: at(60)},
		{ID: "a again", Subjects: []string{"a"}},
		{ID: "c", Subjects: []string{"c"}},
		{ID: "c again", Subjects: []string{"c"}},
	}}
	if due, _ := d.due(at(0)); len(due) != 1 || due[0].ID != "c" {
		t.Errorf("%d due", len(due))
	}
	d.Queue = d.Queue[:2]
	if due, next := d.due(at(0)); len(due) != 0 || !next.Equal(at(60)) {
		t.Errorf("%d due, next at %s", len(due), next)
	}
	if due, _ := d.due(at(60)); len(due) != 1 || due[0].ID != "digest" {
		t.Errorf("%d due", len(due))
	}
}

func TestTheQueueIsBoundedAndSaysWhatItDropped(t *testing.T) {
	t.Parallel()
	d, settings := new(document), testSettings()
	connection := int32(1)
	for i := range maxQueue + 5 {
		n := Notice{Kind: Failing, App: "erp", Tenant: fmt.Sprintf("Cust%d", i), Connection: &connection}
		d.send(settings, epoch, n, []string{n.Subject()})
	}
	if len(d.Queue) != maxQueue || d.Queue[0].Subjects[0] != "erp/Cust5/1" || d.Lost != 5 {
		t.Errorf("%d queued, the first %s, %d lost", len(d.Queue), d.Queue[0].Subjects[0], d.Lost)
	}
	settings.Webhook = nil
	if d.gather(settings, epoch); len(d.Queue) != 0 || d.Lost != maxQueue+5 {
		t.Errorf("without a webhook %d wait, %d lost", len(d.Queue), d.Lost)
	}
}

func TestEveryKindHasATypeAndAnEventOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, kind := range Kinds() {
		n := sample(kind, testSettings())
		if body, err := encodeEvent("/erpsync/test", "msg_1", epoch, &n); err != nil || len(body) == 0 {
			t.Errorf("%s: %v", kind, err)
		}
		if n.fields("msg_1")["type"] != kind.Type() || seen[kind.Type()] || seen[kind.Event()] {
			t.Errorf("%s: %s, %s", kind, kind.Type(), kind.Event())
		}
		seen[kind.Type()], seen[kind.Event()] = true, true
	}
	if len(types) != len(Kinds()) || Kind("other").Type() != "" {
		t.Errorf("%d types, %d kinds", len(types), len(Kinds()))
	}
}
