package outcome

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Metrics counts calls. Every label comes from a closed list.
type Metrics struct {
	requests *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

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
	}
	return m, errors.Join(
		take(registry, &m.requests), take(registry, &m.outcomes), take(registry, &m.duration), take(registry, &m.inFlight))
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
	gauge := m.inFlight.WithLabelValues(op.String())
	gauge.Inc()
	return gauge.Dec
}

// Count counts a call that is over.
func (m *Metrics) Count(r *Record) {
	operation := r.Operation.String()
	m.requests.WithLabelValues(operation, r.Decision, r.Reason).Inc()
	if r.Outcome.Class != "" {
		m.outcomes.WithLabelValues(operation, string(r.Outcome.Class)).Inc()
		m.duration.WithLabelValues(operation, string(r.Outcome.Class)).Observe(time.Since(r.Started).Seconds())
	}
}
