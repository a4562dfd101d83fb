package outcome

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Consent says what SuperOffice said when it was last asked for a credential of the app's
// system user in a tenant. The list is closed: it is a label.
type Consent string

const (
	// Asked by nobody yet.
	ConsentUnknown Consent = ""
	Approved       Consent = "approved"
	// ConsentRequired: it refused. The approval has ended, or the app's secret or key is wrong.
	ConsentRequired Consent = "consent_required"
)

// TenantHealth is what is known of an app in one tenant: since the process began, or by any gateway of the store.
type TenantHealth struct {
	Consent Consent
	// ConsentSince is when the consent came to be what it is, ConsentAsked when SuperOffice last said so.
	ConsentSince, ConsentAsked time.Time
	// Message is SuperOffice's own on a refusal, bounded and in one line.
	Message string

	// Last is the last granted call, Failed the last that failed for whatever reason, Succeeded when the last one succeeded.
	Last, Failed Call
	Succeeded    time.Time

	// Unknown is the newest call that resynchronises, was sent, and whose end is not known, until one that covers it has
	// succeeded; Unknowns is how many there are.
	Unknown  Call
	Unknowns int
}

// Call is the outcome of a granted call; the zero Call is none.
type Call struct {
	At        time.Time
	RequestID string
	Operation string
	Reason    string
	Outcome   Outcome
}

// Ledger remembers how apps stand in tenants. Only what concerns a granted tenant is entered, so callers
// cannot make it grow. The zero Ledger is ready.
type Ledger struct {
	mu      sync.Mutex
	entries map[member]*standing
	shared  bool
	dropped map[Member]struct{} // which the other gateways are to be told
}

// standing is an entry of the ledger.
type standing struct {
	TenantHealth
	unended []unended // oldest first

	// changes counts what was changed here; exported is up to which the other gateways know.
	changes, exported uint64
	told              map[string]bool // request ids of calls whose end is not known, as the others were told last
	covers            []cover         // oldest first
}

// member is an app in a tenant.
type member struct{ app, tenant string }

func (l *Ledger) entry(app, tenant string) *standing {
	if l.entries == nil {
		l.entries = make(map[member]*standing)
	}
	s := l.entries[member{app, tenant}]
	if s == nil {
		s = new(standing)
		l.entries[member{app, tenant}] = s
	}
	return s
}

// Began does nothing: only what is over says how a tenant is.
func (l *Ledger) Began(*Record) {}

// Ended records a granted call that is over.
func (l *Ledger) Ended(r *Record) {
	if !r.Granted {
		return
	}
	call := Call{At: r.Started.Add(r.Duration), RequestID: r.RequestID, Operation: r.Operation.String(), Reason: r.Reason, Outcome: r.Outcome}
	call.Outcome.UserExplanation, call.Outcome.TechExplanation = "", "" // they may hold personal data
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.entry(r.App, r.Tenant)
	s.changes++
	s.Last = call
	s.account(r, call, l.shared)
	switch {
	case r.Outcome.Class.Succeeded():
		s.Succeeded = call.At
	case r.Outcome.Class != Accepted:
		s.Failed = call
	}
}

// SetConsent notes what SuperOffice said when it was asked for a credential, and gives what it said before.
func (l *Ledger) SetConsent(app, tenant string, consent Consent, message string) (before Consent) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.entry(app, tenant)
	s.changes++
	before = s.Consent
	if before != consent {
		s.ConsentSince = now
	}
	s.Consent, s.ConsentAsked, s.Message = consent, now, message
	if consent == Approved && s.Failed.Reason == string(ConsentRequired) {
		s.Failed = Call{} // it is mended
	}
	return before
}

// Forget drops what is known of the apps and tenants that gone names.
func (l *Ledger) Forget(gone func(app, tenant string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.entries, func(m member, _ *standing) bool { return gone(m.app, m.tenant) })
}

// Forgive drops a refusal that was told before then, and reports whether there was one.
func (l *Ledger) Forgive(app, tenant string, then time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.entries[member{app, tenant}]
	if s == nil || s.Consent != ConsentRequired || !s.ConsentAsked.Before(then) {
		return false
	}
	s.changes++
	s.Consent, s.ConsentSince, s.ConsentAsked, s.Message = ConsentUnknown, then, then, ""
	if s.Failed.Reason == string(ConsentRequired) {
		s.Failed = Call{}
	}
	return true
}

// Required are the tenants in which the app was refused.
func (l *Ledger) Required(app string) (tenants []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, s := range l.entries {
		if m.app == app && s.Consent == ConsentRequired {
			tenants = append(tenants, m.tenant)
		}
	}
	return tenants
}

// Tenants are those in which something is known of the app.
func (l *Ledger) Tenants(app string) (tenants []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m := range l.entries {
		if m.app == app {
			tenants = append(tenants, m.tenant)
		}
	}
	return tenants
}

// TenantHealth returns what is known of the app in the tenant; the zero TenantHealth where nothing is.
func (l *Ledger) TenantHealth(app, tenant string) TenantHealth {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.entries[member{app, tenant}]; s != nil {
		return s.TenantHealth
	}
	return TenantHealth{}
}

// consents is a metric that is counted when it is asked for: how many tenants of each app stand how.
// Ledgers outlive configurations, registries do not.
type consents struct {
	mu      sync.Mutex
	ledgers []*Ledger
	apps    []string // counted even while nothing is known of their tenants
}

var consentsDesc = prometheus.NewDesc("caddy_erpsync_tenants",
	"Tenants by app and by what SuperOffice said when it was last asked for a credential of the system user: approved or consent_required.",
	[]string{"app", "consent"}, nil)

func (c *consents) follow(ledger *Ledger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.ledgers, ledger) {
		c.ledgers = append(c.ledgers, ledger)
	}
}

func (c *consents) know(app string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.apps, app) {
		c.apps = append(c.apps, app)
	}
}

// Describe is a prometheus.Collector's.
func (c *consents) Describe(descs chan<- *prometheus.Desc) { descs <- consentsDesc }

// Collect is a prometheus.Collector's.
func (c *consents) Collect(metrics chan<- prometheus.Metric) {
	counts := make(map[string]map[Consent]int)
	c.mu.Lock()
	for _, app := range c.apps {
		counts[app] = make(map[Consent]int)
	}
	for _, ledger := range c.ledgers {
		ledger.count(counts)
	}
	c.mu.Unlock()
	for app, count := range counts {
		for _, consent := range []Consent{Approved, ConsentRequired} {
			metrics <- prometheus.MustNewConstMetric(consentsDesc, prometheus.GaugeValue, float64(count[consent]), app, string(consent))
		}
	}
}

func (l *Ledger) count(into map[string]map[Consent]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, s := range l.entries {
		if s.Consent == ConsentUnknown {
			continue
		}
		if into[m.app] == nil {
			into[m.app] = make(map[Consent]int)
		}
		into[m.app][s.Consent]++
	}
}
