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
	requests *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	renewals *prometheus.CounterVec
	up       *prometheus.GaugeVec
	tenants  *prometheus.CounterVec
	consents *consents

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

type tenantSeries struct{ succeeded, failed prometheus.Counter }

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
	Store            Dependency = "store"
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
			Name: "caddy_erpsync_tenant_calls_total", Help: "Calls that were granted, by tenant and result: succeeded, or failed for whatever reason.",
		}, []string{"tenant", "result"}),
		consents: new(consents),
	}
	return m, errors.Join(
		take(registry, &m.requests), take(registry, &m.outcomes), take(registry, &m.duration),
		take(registry, &m.inFlight), take(registry, &m.renewals), take(registry, &m.up), take(registry, &m.tenants), take(registry, &m.consents))
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

// Sending counts a call as in flight until the function that it returns is called.
func (m *Metrics) Sending(op superoffice.Operation) func() {
	gauge := m.sending.of(op, func(op superoffice.Operation) prometheus.Gauge { return m.inFlight.WithLabelValues(op.String()) })
	gauge.Inc()
	return gauge.Dec
}

// Renewal counts a credential that was minted or renewed, or was not.
func (m *Metrics) Renewal(kind Kind, result Result) {
	m.renewals.WithLabelValues(string(kind), string(result)).Inc()
}

// Follow has the metric of tenants tell what the ledger knows.
func (m *Metrics) Follow(ledger *Ledger) { m.consents.follow(ledger) }

// Answered notes whether a dependency gave an answer.
func (m *Metrics) Answered(dependency Dependency, yes bool) {
	up := 0.0
	if yes {
		up = 1
	}
	m.up.WithLabelValues(string(dependency)).Set(up)
}

// Watch is a transport that notes whether the dependency gives answers. A status of 500
// and above is none; a request that its own caller gave up says nothing.
func (m *Metrics) Watch(dependency Dependency, next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if !errors.Is(err, context.Canceled) {
			m.Answered(dependency, err == nil && resp.StatusCode < http.StatusInternalServerError)
		}
		return resp, err
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Count counts a call that is over.
func (m *Metrics) Count(r *Record) {
	calls := m.ofKind.of(kindOfCall{r.Operation, r.Decision, r.Reason, r.Outcome.Class}, m.findKind)
	calls.requests.Inc()
	if r.Outcome.Class != "" {
		calls.outcomes.Inc()
		calls.duration.Observe(r.Duration.Seconds())
	}
	if r.Granted {
		tenant := m.ofTenant.of(r.Tenant, m.findTenant)
		if r.Outcome.Class.Succeeded() {
			tenant.succeeded.Inc()
		} else {
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

// findTenant begins both series together, so that one which never counts is zero and not absent.
func (m *Metrics) findTenant(tenant string) tenantSeries {
	return tenantSeries{m.tenants.WithLabelValues(tenant, "succeeded"), m.tenants.WithLabelValues(tenant, "failed")}
}
