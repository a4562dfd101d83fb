package history

import "github.com/prometheus/client_golang/prometheus"

var (
	lostDesc   = prometheus.NewDesc("caddy_erpsync_history_rows_lost_total", "Rows of the history that were not written.", nil, nil)
	queuedDesc = prometheus.NewDesc("caddy_erpsync_history_rows_queued", "Rows of the history that wait to be written.", nil, nil)
	upDesc     = prometheus.NewDesc("caddy_erpsync_history_up", "Whether rows of the history can be written: 1 or 0.", nil, nil)
)

// Describe is a prometheus.Collector's.
func (j *Journal) Describe(descs chan<- *prometheus.Desc) {
	descs <- lostDesc
	descs <- queuedDesc
	descs <- upDesc
}

// Collect is a prometheus.Collector's.
func (j *Journal) Collect(metrics chan<- prometheus.Metric) {
	health, up := j.Health(), 1.0
	if !health.Fails.IsZero() {
		up = 0
	}
	metrics <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(health.Lost))
	metrics <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(j.Queued()))
	metrics <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up)
}
