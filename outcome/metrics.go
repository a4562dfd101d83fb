package outcome

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Metrics counts calls. Every label comes from a closed list, but for the tenant:
// that one is counted only when a call in it was granted, so callers cannot make up series.
type Metrics struct {
	requests  *prometheus.CounterVec
	outcomes  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	renewals  *prometheus.CounterVec
	up        *prometheus.GaugeVec
	tenants   *prometheus.CounterVec
	consents  *consents
	stale     *prometheus.GaugeVec
	evicted   prometheus.Counter
	unwritten prometheus.Counter
	holds     prometheus.Gauge
	waits     prometheus.Histogram
	async     *prometheus.GaugeVec
	divided   prometheus.Gauge
	notices   *prometheus.CounterVec
	// The issuers are those of the configuration, so that callers cannot make up series.
	issuerKeys *prometheus.GaugeVec

	ofKind   series[kindOfCall, callSeries]
	ofTenant series[string, tenantSeries]
	sending  series[superoffice.Operation, prometheus.Gauge]
}

// kindOfCall is what calls are counted by, callSeries what counts them; outcomes and duration are nil
// where there is no outcome.
type kindOfCall struct {
	operation        superoffice.Operation
	decision, reason string
	class            Class
}

type callSeries struct {
	requests, outcomes prometheus.Counter
	duration           prometheus.Observer
}

type tenantSeries struct{ succeeded, accepted, failed prometheus.Counter }

// series keeps what was found by its labels: finding costs several times what counting does. It
// grows as the metrics themselves do.
type series[K comparable, S any] struct {
	mu    sync.RWMutex
	found map[K]S
}

func (s *series[K, S]) of(key K, find func(K) S) S {
	s.mu.RLock()
	known, ok := s.found[key]
	s.mu.RUnlock()
	if ok {
		return known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found == nil {
		s.found = make(map[K]S)
	}
	known = find(key)
	s.found[key] = known
	return known
}

// Kind is what was renewed. The list is closed: it is a label.
type Kind string

const (
	SystemTicket  Kind = "system_ticket"
	AccountBearer Kind = "account_bearer"
	SessionToken  Kind = "session_token"
)

// Result is how a renewal ended. The list is closed: it is a label.
type Result string

const (
	Renewed Result = "renewed"
	// Refused: it will not come right by itself.
	Refused Result = "refused"
	// Failed: nobody could be asked; it is tried again.
	Failed Result = "failed"
)

// ResultOf names how a renewal ended.
func ResultOf(renewed, refused bool) Result {
	switch {
	case renewed:
		return Renewed
	case refused:
		return Refused
	}
	return Failed
}

// Dependency is what the gateway asks beside the WebAPI itself. The list is closed: it is a label.
type Dependency string

const (
	StateService     Dependency = "state_service"
	SuperID          Dependency = "superid"
	IdentityProvider Dependency = "identity_provider"
	StoreReads       Dependency = "store_read"
	StoreWrites      Dependency = "store_write"
	AuditFile        Dependency = "audit_log"
)

// NewMetrics registers the metrics, or takes those that an earlier configuration registered.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_erpsync_requests_total", Help: "Calls by operation, decision and reason of refusal.",
		}, []string{"operation", "decision", "reason"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_erpsync_outcomes_total", Help: "Calls by operation and what their answer said.",
		}, []string{"operation", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "caddy_erpsync_duration_seconds", Help: "Time from the call's arrival to the end of its answer.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900},
		}, []string{"operation", "outcome"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "caddy_erpsync_in_flight", Help: "Calls that SuperOffice has not answered yet.",
		}, []string{"operation"}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_erpsync_renewals_total", Help: "Credentials minted or renewed, by kind and result.",
		}, []string{"kind", "result"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "caddy_erpsync_dependency_up", Help: "Whether a dependency gave an answer when it was last asked: 1 or 0. Absent until it is asked.",
		}, []string{"dependency"}),
		tenants: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_erpsync_tenant_calls_total", Help: "Calls that were granted, by tenant and result: succeeded, accepted (a batch task), or failed for whatever reason.",
		}, []string{"tenant", "result"}),
		consents: new(consents),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "caddy_erpsync_wait_seconds", Help: "How long calls waited for their turn, those that had to (guard wait).",
			Buckets: []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		divided: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "caddy_erpsync_limits_divided_by", Help: "Among how many gateways rate and in_flight are divided, each holding its part by itself, while the store that they share gives no answer; 0: it does, or no other gateway uses it.",
		}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_erpsync_tenant_status_total", Help: "SuperOffice's notices of tenants, by what they tell and what followed.",
		}, []string{"change", "result"}),
		holds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "caddy_erpsync_holds", Help: "Holds in force at all gateways of the store, that operators ordered or that follow from SuperOffice's notices.",
		}),
		async: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "caddy_erpsync_async_in_flight", Help: "Calls of an app at this gateway that their callers do not wait for (Prefer: respond-async).",
		}, []string{"app"}),
		stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "caddy_erpsync_issuer_keys_stale", Help: "Whether newer signing keys of an identity provider cannot be had, so that the last valid ones are used: 1 or 0. Absent until they are needed.",
		}, []string{"issuer"}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "caddy_erpsync_store_evicted_keys_total", Help: "Keys that the shared store has evicted since the gateway first asked it.",
		}),
		unwritten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "caddy_erpsync_audit_lines_lost_total", Help: "Audit lines that could not be written.",
		}),
		issuerKeys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "caddy_erpsync_issuer_keys", Help: "Signing keys of an identity provider: usable, or skipped because they verify no signature here.",
		}, []string{"issuer", "use"}),
	}
	return m, errors.Join(
		take(registry, &m.requests), take(registry, &m.outcomes), take(registry, &m.duration),
		take(registry, &m.inFlight), take(registry, &m.renewals), take(registry, &m.up), take(registry, &m.tenants), take(registry, &m.consents),
		take(registry, &m.stale), take(registry, &m.issuerKeys), take(registry, &m.evicted), take(registry, &m.unwritten), take(registry, &m.holds), take(registry, &m.waits), take(registry, &m.divided), take(registry, &m.async), take(registry, &m.notices))
}

func take[C prometheus.Collector](registry prometheus.Registerer, collector *C) error {
	err := registry.Register(*collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		existing, ok := already.ExistingCollector.(C)
		if !ok {
			return err
		}
		*collector = existing
		return nil
	}
	return err
}

// LimitsDivided says among how many gateways the limits are divided; 0: they hold over all of them.
func (m *Metrics) LimitsDivided(gateways int) { m.divided.Set(float64(gateways)) }

// Began counts a call as in flight. It creates the series of its tenant, which tenant * may not have
// named before.
func (m *Metrics) Began(r *Record) {
	m.gauge(r.Operation).Inc()
	if r.Granted {
		m.ofTenant.of(r.Tenant, m.findTenant)
	}
}

// Refusals are the reasons of which calls fail, by whether anything was sent before. The lists are
// closed: they are labels.
type Refusals struct{ Before, After []string }

// KnowApp creates at 0 what an app's calls are counted by: a series that is born with its first failure
// has no increase that Prometheus could see. Durations are left out: they have fifteen series for each
// class, and what they tell of a first call its outcome tells too.
func (m *Metrics) KnowApp(operations []superoffice.Operation, refusals Refusals) {
	for _, operation := range operations {
		m.gauge(operation)
		name := operation.String()
		for _, class := range Classes() {
			m.outcomes.WithLabelValues(name, string(class))
		}
		for _, decision := range []string{"allowed", "replayed", "dry_run"} {
			m.requests.WithLabelValues(name, decision, "")
		}
		for _, reason := range refusals.Before {
			m.requests.WithLabelValues(name, "refused", reason)
		}
		for _, reason := range refusals.After {
			m.requests.WithLabelValues(name, "allowed", reason)
		}
	}
}

// KnowSystemUser creates at 0 what is counted of an app that calls as the tenants' system user.
func (m *Metrics) KnowSystemUser(app string) {
	m.KnowRenewals(SystemTicket)
	m.consents.know(app)
}

// KnowRenewals creates at 0 what the renewals of a kind of credential are counted by.
func (m *Metrics) KnowRenewals(kind Kind) {
	for _, result := range []Result{Renewed, Refused, Failed} {
		m.renewals.WithLabelValues(string(kind), string(result))
	}
}

// KnowTenant creates at 0 what a tenant's calls are counted by.
func (m *Metrics) KnowTenant(tenant string) { m.ofTenant.of(tenant, m.findTenant) }

func (m *Metrics) gauge(op superoffice.Operation) prometheus.Gauge {
	return m.sending.of(op, func(op superoffice.Operation) prometheus.Gauge { return m.inFlight.WithLabelValues(op.String()) })
}

// Renewal counts a credential that was minted or renewed, or was not.
func (m *Metrics) Renewal(kind Kind, result Result) {
	m.renewals.WithLabelValues(string(kind), string(result)).Inc()
}

// KnowAsync creates at 0 what an app's calls are counted by that outlive their connections.
func (m *Metrics) KnowAsync(app string) { m.async.WithLabelValues(app) }

// AsyncBegan counts in a call that outlives its connection, AsyncEnded counts it out.
func (m *Metrics) AsyncBegan(app string) { m.async.WithLabelValues(app).Inc() }

// AsyncEnded counts out what AsyncBegan has counted in.
func (m *Metrics) AsyncEnded(app string) { m.async.WithLabelValues(app).Dec() }

// Follow has the metric of tenants tell what the ledger knows.
func (m *Metrics) Follow(ledger *Ledger) { m.consents.follow(ledger) }

// StoreEvicted counts keys that the shared store has evicted.
func (m *Metrics) StoreEvicted(keys uint64) { m.evicted.Add(float64(keys)) }

// AuditLineLost counts an audit line that could not be written.
func (m *Metrics) AuditLineLost() { m.unwritten.Inc() }

// Holds records how many holds are in force.
func (m *Metrics) Holds(n int) { m.holds.Set(float64(n)) }

// KnowTenantStatus creates at 0 what notices are counted by.
func (m *Metrics) KnowTenantStatus() {
	for _, change := range superoffice.Changes() {
		for _, result := range noticeResults[change] {
			m.notices.WithLabelValues(string(change), string(result))
		}
	}
}

// TenantStatus counts a notice of SuperOffice's, or what the state service said after one.
func (m *Metrics) TenantStatus(change superoffice.Change, result NoticeResult) {
	m.notices.WithLabelValues(string(change), string(result)).Inc()
}

// Answered notes whether a dependency gave an answer.
func (m *Metrics) Answered(dependency Dependency, yes bool) {
	up := 0.0
	if yes {
		up = 1
	}
	m.up.WithLabelValues(string(dependency)).Set(up)
}

// KeysLoaded records that valid signing keys of an issuer were got.
func (m *Metrics) KeysLoaded(issuer string, usable, skipped int) {
	m.stale.WithLabelValues(issuer).Set(0)
	m.issuerKeys.WithLabelValues(issuer, "usable").Set(float64(usable))
	m.issuerKeys.WithLabelValues(issuer, "skipped").Set(float64(skipped))
}

// KeysStale records that newer signing keys of an issuer cannot be had.
func (m *Metrics) KeysStale(issuer string) { m.stale.WithLabelValues(issuer).Set(1) }

// Watch is a transport that notes whether the dependency gives answers. A status of 500
// and above is none; a request that its own caller gave up says nothing.
func (m *Metrics) Watch(dependency Dependency, next http.RoundTripper) http.RoundTripper {
	return RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if !errors.Is(err, context.Canceled) {
			m.Answered(dependency, err == nil && resp.StatusCode < http.StatusInternalServerError)
		}
		return resp, err
	})
}

// RoundTripperFunc is a function that is an http.RoundTripper.
type RoundTripperFunc func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Ended counts a call that is over.
func (m *Metrics) Ended(r *Record) {
	if r.Began {
		m.gauge(r.Operation).Dec()
	}
	if r.Waited > 0 {
		m.waits.Observe(r.Waited.Seconds())
	}
	calls := m.ofKind.of(kindOfCall{r.Operation, r.Decision, r.Reason, r.Outcome.Class}, m.findKind)
	calls.requests.Inc()
	if r.Outcome.Class != "" {
		calls.outcomes.Inc()
		calls.duration.Observe(r.Duration.Seconds())
	}
	if r.Granted {
		tenant := m.ofTenant.of(r.Tenant, m.findTenant)
		switch {
		case r.Outcome.Class.Succeeded():
			tenant.succeeded.Inc()
		case r.Outcome.Class == Accepted:
			tenant.accepted.Inc()
		default:
			tenant.failed.Inc()
		}
	}
}

func (m *Metrics) findKind(kind kindOfCall) (s callSeries) {
	operation := kind.operation.String()
	s.requests = m.requests.WithLabelValues(operation, kind.decision, kind.reason)
	if kind.class != "" {
		s.outcomes = m.outcomes.WithLabelValues(operation, string(kind.class))
		s.duration = m.duration.WithLabelValues(operation, string(kind.class))
	}
	return s
}

// findTenant begins all series together, so that one which never counts is zero and not absent.
func (m *Metrics) findTenant(tenant string) tenantSeries {
	of := func(result string) prometheus.Counter { return m.tenants.WithLabelValues(tenant, result) }
	return tenantSeries{of("succeeded"), of("accepted"), of("failed")}
}
