package notify

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

const (
	// gatherFor is how long notices of a kind are collected before they become messages, and stormFor how long while there
	// are many of that kind, which is until there was no digest of it for calmAfter.
	gatherFor = 5 * time.Second
	stormFor  = 5 * time.Minute
	calmAfter = 15 * time.Minute
	// More than maxSingle messages of a kind within calmAfter are a storm: what comes is told in digests, each of which names
	// the first digestNames.
	maxSingle   = 10
	digestNames = 10
	// digestCauses is how many causes a digest counts.
	digestCauses = 10
)

// gather makes messages of the notices that have waited for long enough. What is about one subject keeps its order. published
// are for the process's own subscribers; a message is queued only if it is to be posted.
func (d *document) gather(s *Settings, now time.Time) (published []outgoing, changed bool) {
	if s.Webhook == nil && len(d.Queue) > 0 {
		d.lose(len(d.Queue), now, "no webhook is configured any more")
		d.Queue, changed = nil, true
	}
	if d.Storms == nil {
		d.Storms = make(map[Kind]time.Time)
	}
	if d.Singles == nil {
		d.Singles = make(map[Kind][]time.Time)
	}
	for {
		group, rest := d.ripe(now)
		if len(group) == 0 {
			return published, changed
		}
		changed = true
		kind := group[0].Notice.Kind
		recent := slices.DeleteFunc(slices.Clone(d.Singles[kind]), func(at time.Time) bool { return now.Sub(at) > calmAfter })
		storm := now.Before(d.Storms[kind])
		switch {
		case !storm && len(group) <= maxSingle && len(recent)+len(group) > maxSingle: // they go on coming
			d.Storms[kind] = now.Add(calmAfter)
			continue
		case len(group) > maxSingle, storm && len(group) > 1:
			d.Storms[kind] = now.Add(calmAfter)
			digest, subjects := summarize(s, group)
			published = append(published, d.send(s, now, digest, subjects))
		default:
			for _, f := range group {
				published = append(published, d.send(s, f.At, f.Notice, []string{f.Notice.Subject()}))
				recent = append(recent, now)
			}
		}
		d.Fresh, d.Singles[kind] = rest, recent[max(len(recent)-maxSingle, 0):]
	}
}

// ripe returns the first notices of a kind whose time has come, and the others. None overtakes another of its subject.
func (d *document) ripe(now time.Time) (group, rest []fresh) {
	waiting := make(map[string]bool)
	oldest := make(map[Kind]time.Time)
	for _, f := range d.Fresh {
		if at, ok := oldest[f.Notice.Kind]; !ok || f.At.Before(at) {
			oldest[f.Notice.Kind] = f.At
		}
	}
	for _, f := range d.Fresh {
		kind, subject := f.Notice.Kind, f.Notice.Subject()
		wait := gatherFor
		if now.Before(d.Storms[kind]) {
			wait = stormFor
		}
		ready := now.Sub(oldest[kind]) >= wait
		if ready && !waiting[subject] && (len(group) == 0 || group[0].Notice.Kind == kind) {
			group = append(group, f)
			continue
		}
		waiting[subject] = true
		rest = append(rest, f)
	}
	return group, rest
}

// summarize makes one notice of many, and returns what they are about.
func summarize(s *Settings, group []fresh) (Notice, []string) {
	n := Notice{Kind: Digest, Environment: s.Environment, Since: group[0].Notice.Since, Digest: &Summary{Of: group[0].Notice.Kind, Count: len(group)}}
	subjects := make([]string, 0, len(group))
	tenants, causes := make(map[string]bool), make(map[string]int)
	for _, f := range group {
		subjects = append(subjects, f.Notice.Subject())
		tenants[f.Notice.Tenant] = true
		if cause := f.Notice.cause(); cause != "" {
			causes[cause]++
		}
		if f.Notice.Since.Before(n.Since) {
			n.Since = f.Notice.Since
		}
	}
	n.Digest.Tenants, n.Digest.First = len(tenants), subjects[:min(len(subjects), digestNames)]
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		n.Digest.Causes = append(n.Digest.Causes, CauseCount{cause, causes[cause]})
	}
	slices.SortStableFunc(n.Digest.Causes, func(a, b CauseCount) int { return cmp.Compare(b.Count, a.Count) })
	n.Digest.Causes = n.Digest.Causes[:min(len(n.Digest.Causes), digestCauses)]
	if len(causes) == 1 && len(tenants) > 1 {
		n.Advice = "all of them have one cause: look at SuperOffice, the network and the app's own secrets before any single connection"
	} else {
		n.Advice = "caddy erpsync status --attention names all of them"
	}
	return n, subjects
}

// outgoing is a notice that was made a message.
type outgoing struct {
	id     string
	notice Notice
}

// send makes a message of a notice.
func (d *document) send(s *Settings, at time.Time, n Notice, subjects []string) outgoing {
	id := newID()
	if s.Webhook == nil {
		return outgoing{id, n}
	}
	body, err := encodeEvent(s.Source, id, at, &n)
	if err != nil {
		d.lose(1, at, err.Error())
		return outgoing{id, n}
	}
	if len(d.Queue) >= maxQueue { // the oldest says least of how things are now
		d.Queue = d.Queue[1:]
		d.lose(1, at, "more messages than can wait for the receiver")
	}
	d.Queue = append(d.Queue, &message{ID: id, Kind: n.Kind, Time: at, Subjects: subjects, Body: body})
	return outgoing{id, n}
}

// encodeEvent returns a notice as a CloudEvent in structured JSON.
func encodeEvent(source, id string, at time.Time, n *Notice) ([]byte, error) {
	e := event.New(event.CloudEventsVersionV1)
	e.SetID(id)
	e.SetSource(source)
	e.SetType(n.Kind.Type())
	e.SetSubject(n.Subject())
	e.SetTime(at)
	if err := e.SetData(event.ApplicationJSON, n); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// due returns the messages that may be sent now, the oldest first, of which none has to wait for another of its subject,
// and when the next one may be if there is none.
func (d *document) due(now time.Time) (all []*message, next time.Time) {
	waiting := make(map[string]bool)
	for _, m := range d.Queue {
		behind := slices.ContainsFunc(m.Subjects, func(subject string) bool { return waiting[subject] })
		for _, subject := range m.Subjects {
			waiting[subject] = true
		}
		switch {
		case behind:
		case !now.Before(m.Next):
			all = append(all, m)
		case next.IsZero() || m.Next.Before(next):
			next = m.Next
		}
	}
	return all, next
}
