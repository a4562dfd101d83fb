package notify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const (
	// A connection that came to fail flaps times within flapWithin is notified as recovered only once it has stayed well
	// for as long as it takes to be failing.
	flaps      = 3
	flapWithin = time.Hour
)

// merge takes over what a gateway saw, in whichever order gateways tell. It decides nothing.
func (d *document) merge(s *seen, now time.Time) (changed bool) {
	for key, f := range s.failures {
		id := key.id()
		c := d.Connections[id]
		if c == nil {
			if len(d.Connections) >= maxConnections {
				d.lose(1, now, "more failing connections than are remembered")
				changed = true
				continue
			}
			if d.Connections == nil {
				d.Connections = make(map[string]*connection)
			}
			c = &connection{App: key.app, Tenant: key.tenant, Connection: key.connection}
			d.Connections[id] = c
		}
		if at, ok := s.successes[key]; ok {
			c.succeed(at) // it was before these failures, or they would not be told
		}
		c.fail(f)
		changed = true
	}
	for id, c := range d.Connections {
		if at, ok := s.successes[connectionKey{c.App, c.Tenant, c.Connection}]; ok && c.succeed(at) {
			changed = true
			if !c.Failing && len(c.Came) == 0 && c.Failures == 0 {
				delete(d.Connections, id)
			}
		}
	}
	for key, said := range s.consents {
		changed = d.consent(key, said) || changed
	}
	if s.lost > 0 {
		d.lose(s.lost, now, "more failing connections than are remembered")
		changed = true
	}
	return changed
}

// fail adds failures.
func (c *connection) fail(f failures) {
	if f.first.Before(c.Well) && !f.last.After(c.Well) {
		return // it is well since
	}
	if c.Failures == 0 || f.first.Before(c.First) {
		c.First = f.first
	}
	if !f.last.Before(c.Last) {
		c.Last, c.Call = f.last, f.call
	}
	c.Failures += f.count
	c.Well = time.Time{}
}

// succeed notes a success, unless a later failure is known, and reports whether anything changed.
func (c *connection) succeed(at time.Time) bool {
	switch {
	case c.Failures == 0 || !at.After(c.First):
		return false
	case !at.After(c.Last): // how many of the failures came after it is not known; the last one did
		if c.Failures == 1 {
			return false
		}
		c.Failures, c.First = 1, c.Last
		return true
	}
	c.Failures, c.First = 0, time.Time{}
	if c.Failing {
		c.Well = at
	}
	return true
}

// consent takes over what SuperOffice said of a consent.
func (d *document) consent(key consentKey, said consentSaid) bool {
	id := join(key.app, key.tenant)
	known := d.Consents[id]
	switch {
	case known == nil && !said.withdrawn, known != nil && (!said.at.After(known.At) || known.Withdrawn == said.withdrawn):
		return false
	case known == nil:
		if d.Consents == nil {
			d.Consents = make(map[string]*consent)
		}
		known = &consent{App: key.app, Tenant: key.tenant}
		d.Consents[id] = known
	}
	known.Withdrawn, known.At, known.Since = said.withdrawn, said.at, said.at
	return true
}

// judge decides what is to be told now, and reports whether anything changed.
func (d *document) judge(s *Settings, facts []Fact, known bool, now time.Time) (changed bool) {
	for _, id := range slices.Sorted(maps.Keys(d.Connections)) {
		c := d.Connections[id]
		if s.Granted != nil && !s.Granted(c.App, c.Tenant) {
			delete(d.Connections, id)
			changed = true
			continue
		}
		before := *c
		d.judgeConnection(s, c, now)
		changed = changed || before.Failing != c.Failing || len(before.Came) != len(c.Came)
		if c.Failures == 0 && !c.Failing && len(c.Came) == 0 {
			delete(d.Connections, id)
			changed = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.Consents)) {
		changed = d.judgeConsent(s, id, now) || changed
	}
	changed = d.judgeCredentials(s, now) || changed
	if known {
		changed = d.judgeFacts(s, facts, now) || changed
	}
	return changed
}

func (d *document) judgeConnection(s *Settings, c *connection, now time.Time) {
	c.Came = slices.DeleteFunc(slices.Clone(c.Came), func(at time.Time) bool { return now.Sub(at) > flapWithin })
	switch {
	case !c.Failing && c.Failures > 0 && (c.Failures >= s.Failures || now.Sub(c.First) >= s.FailingFor):
		c.Failing = true
		c.Came = append(c.Came, now)
		n := c.notice(s, Failing)
		n.Since, n.Failures = c.First, c.Failures
		n.Outcome, n.ErrorCode, n.Reason, n.RequestID = c.Call.Outcome, c.Call.ErrorCode, c.Call.Reason, c.Call.RequestID
		n.Advice = cmp.Or(auth.Reason(c.Call.Reason).Remedy(), outcome.Class(c.Call.Outcome).Remedy())
		d.decide(now, n)
	case c.Failing && c.Failures == 0 && (len(c.Came) < flaps || now.Sub(c.Well) >= s.FailingFor):
		n := c.notice(s, Recovered)
		n.Since = c.Well
		c.Failing, c.Well, c.Call, c.Last = false, time.Time{}, call{}, time.Time{}
		d.decide(now, n)
	}
}

func (c *connection) notice(s *Settings, kind Kind) Notice {
	number := c.Connection
	return Notice{Kind: kind, Environment: s.Environment, App: c.App, Tenant: c.Tenant, Connection: &number}
}

func (d *document) judgeConsent(s *Settings, id string, now time.Time) (changed bool) {
	c := d.Consents[id]
	if s.Granted != nil && !s.Granted(c.App, c.Tenant) {
		delete(d.Consents, id)
		return true
	}
	n := Notice{Environment: s.Environment, App: c.App, Tenant: c.Tenant, Since: c.Since}
	switch {
	case c.Withdrawn && !c.Told:
		c.Told = true
		n.Kind, n.Reason, n.Advice = ConsentWithdrawn, string(auth.ConsentRequired), auth.ConsentRequired.Remedy()
		if s.Approve != nil {
			n.Approve = s.Approve(c.App, c.Tenant)
		}
		d.decide(now, n)
	case c.Withdrawn:
		return false
	default:
		delete(d.Consents, id)
		if c.Told {
			n.Kind = ConsentGiven
			d.decide(now, n)
		}
	}
	return true
}

// factID names a fact in the document.
func factID(kind Kind, key string) string { return join(string(kind), key) }

// judgeCredentials tells each end twice: in time, and when it is over. Another date is another end.
func (d *document) judgeCredentials(s *Settings, now time.Time) (changed bool) {
	present := make(map[string]bool, 2*len(s.Credentials))
	for _, c := range s.Credentials {
		kind := CredentialEnding
		if !now.Before(c.Ends) {
			kind = CredentialEnded
		} else if c.Ends.Sub(now) > s.CredentialEnds {
			continue
		}
		id := factID(kind, join(c.Name, c.Ends.UTC().Format(time.RFC3339)))
		present[id] = true
		if _, already := d.Facts[id]; already {
			continue
		}
		d.tell(id, Fact{Kind: kind, Key: c.Name, Since: now})
		d.decide(now, Notice{Kind: kind, Environment: s.Environment, Credential: c.Name, Since: now, Ends: c.Ends, Advice: "renew it, replace its file, and write its new end in the configuration"})
		changed = true
	}
	for id, f := range d.Facts {
		if (f.Kind == CredentialEnding || f.Kind == CredentialEnded) && !present[id] {
			delete(d.Facts, id)
			changed = true
		}
	}
	return changed
}

func (d *document) tell(id string, f Fact) {
	if d.Facts == nil {
		d.Facts = make(map[string]told)
	}
	d.Facts[id] = told{Fact: f}
}

// judgeFacts tells what is on hold or suspended since, and what is no more. Those of the beginning are taken as they are.
func (d *document) judgeFacts(s *Settings, facts []Fact, now time.Time) (changed bool) {
	present := make(map[string]bool, len(facts))
	for _, f := range facts {
		id := factID(f.Kind, f.Key)
		present[id] = true
		if _, already := d.Facts[id]; already {
			continue
		}
		d.tell(id, f)
		changed = true
		if d.Based {
			n := f.notice(s, f.Kind)
			n.Since, n.Until, n.Reason = f.Since, f.Until, f.Reason
			d.decide(now, n)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.Facts)) {
		f := d.Facts[id]
		ends := map[Kind]Kind{OnHold: Released, Suspended: Resumed}[f.Kind]
		if ends == "" || present[id] {
			continue
		}
		delete(d.Facts, id)
		changed = true
		n := f.notice(s, ends)
		n.Since = now
		d.decide(now, n)
	}
	if !d.Based {
		d.Based, changed = true, true
	}
	return changed
}

func (f Fact) notice(s *Settings, kind Kind) Notice {
	return Notice{Kind: kind, Environment: s.Environment, App: f.App, Tenant: f.Tenant, Connection: f.Connection, Target: f.Target}
}
