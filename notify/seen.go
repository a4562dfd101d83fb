package notify

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Successes are remembered for rememberFor, for failures that another gateway tells later; there are at most maxSeen of
// them, and as many connections that failed.
const (
	rememberFor = time.Minute
	maxSeen     = 20_000
)

// connectionKey is an app's connection in a tenant.
type connectionKey struct {
	app, tenant string
	connection  int32
}

func (k connectionKey) id() string {
	return join(k.app, k.tenant, strconv.Itoa(int(k.connection)))
}

// join makes one name of parts, none of which holds the separator.
func join(parts ...string) string { return strings.Join(parts, "\x00") }

// consentKey is an app in a tenant.
type consentKey struct{ app, tenant string }

// failures are those of a connection since its last success, as far as one gateway saw them.
type failures struct {
	count       int
	first, last time.Time
	call        call
}

// consentSaid is what SuperOffice said last.
type consentSaid struct {
	at        time.Time
	withdrawn bool
}

// seen is what this gateway saw and has not told.
type seen struct {
	failures  map[connectionKey]failures
	successes map[connectionKey]time.Time // kept for a while after they were told
	consents  map[consentKey]consentSaid
	lost      int
}

// watcher collects what this gateway sees. Its methods are called on calls' paths.
type watcher struct {
	mu   sync.Mutex
	seen seen
}

// theirs are the refusals that are the connection's own failure and not the caller's.
var theirs = map[auth.Reason]bool{
	auth.TenantNotRunning: true, auth.TenantUnknown: true, auth.StateUnavailable: true, auth.HostNotTrusted: true,
	auth.CredentialUnavailable: true, auth.UpstreamUnreachable: true, auth.UpstreamAnswerRefused: true, auth.OutcomeUnknown: true, auth.NoSystemToken: true,
}

// failed reports whether a call says that its connection does not work. A withdrawn consent is told by itself.
func failed(r *outcome.Record) bool {
	switch c := r.Outcome.Class; {
	case auth.Reason(r.Reason) == auth.ConsentRequired, c.Succeeded(), c == outcome.Accepted:
		return false
	case c != "":
		return true
	}
	return theirs[auth.Reason(r.Reason)]
}

// Began does nothing: only what is over says how a connection is.
func (n *Notifier) Began(*outcome.Record) {}

// Ended notes a granted call that moves data.
func (n *Notifier) Ended(r *outcome.Record) {
	if !r.Granted || r.DryRun || r.Decision == "replayed" || !r.Understood || !r.Operation.Resyncs() {
		return
	}
	succeeded := r.Outcome.Class.Succeeded()
	if !succeeded && !failed(r) {
		return
	}
	key := connectionKey{r.App, r.Tenant, max(r.Arguments.Connection, 0)}
	at := r.Started.Add(r.Duration)
	n.watcher.mu.Lock()
	defer n.watcher.mu.Unlock()
	s := &n.watcher.seen
	if succeeded {
		if f, ok := s.failures[key]; ok && !f.last.After(at) {
			delete(s.failures, key)
		}
		if len(s.successes) < maxSeen {
			s.successes[key] = at
		}
		return
	}
	f, known := s.failures[key]
	switch {
	case !known && len(s.failures) >= maxSeen:
		s.lost++
		return
	case !known, at.Before(f.first):
		f.first = at
	}
	f.count++
	if !at.Before(f.last) {
		f.last = at
		f.call = call{r.RequestID, string(r.Outcome.Class), r.Outcome.ErrorCode, r.Reason}
	}
	s.failures[key] = f
}

// SetConsent notes what SuperOffice said when it was asked for a credential.
func (n *Notifier) SetConsent(app, tenant string, approved bool) {
	n.watcher.mu.Lock()
	defer n.watcher.mu.Unlock()
	n.watcher.seen.consents[consentKey{app, tenant}] = consentSaid{time.Now(), !approved}
}

func newSeen() seen {
	return seen{failures: make(map[connectionKey]failures), successes: make(map[connectionKey]time.Time), consents: make(map[consentKey]consentSaid)}
}

// take returns what is to be told. Successes stay.
func (w *watcher) take(now time.Time) seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.seen
	w.seen = newSeen()
	for key, at := range taken.successes {
		if now.Sub(at) < rememberFor {
			w.seen.successes[key] = at
		}
	}
	return taken
}

// putBack takes back what could not be told.
func (w *watcher) putBack(s seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := &w.seen
	now.lost += s.lost
	for key, f := range s.failures {
		if at, ok := now.successes[key]; ok && at.After(f.last) {
			continue
		}
		if later, ok := now.failures[key]; ok {
			later.count += f.count
			later.first = f.first
			f = later
		}
		now.failures[key] = f
	}
	for key, at := range s.successes {
		if !now.successes[key].After(at) {
			now.successes[key] = at
		}
	}
	for key, said := range s.consents {
		if _, later := now.consents[key]; !later {
			now.consents[key] = said
		}
	}
}
