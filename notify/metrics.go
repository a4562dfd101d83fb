package notify

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what this process did since it began.
type counts struct {
	mu       sync.Mutex
	notices  map[Kind]uint64
	received uint64
	refused  uint64
}

func (c *counts) decided(kind Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.notices == nil {
		c.notices = make(map[Kind]uint64)
	}
	c.notices[kind]++
}

func (c *counts) attempted(received bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if received {
		c.received++
	} else {
		c.refused++
	}
}

func (n *Notifier) desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("caddy_erpsync_"+name, help, labels, prometheus.Labels{"environment": n.environment})
}

func (n *Notifier) descs() [5]*prometheus.Desc {
	return [5]*prometheus.Desc{
		n.desc("notices_total", "Notices that this gateway decided, by kind.", "kind"),
		n.desc("notices_sent_total", "Attempts of this gateway at sending a message, by whether the receiver took it.", "result"),
		n.desc("notices_lost_total", "Notices that nobody will receive, of all gateways of the store."),
		n.desc("notices_queued", "Messages that wait for the receiver, of all gateways of the store."),
		n.desc("notices_oldest_seconds", "How long the first of the messages that wait has waited; 0 if none does."),
	}
}

// Describe is a prometheus.Collector's.
func (n *Notifier) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range n.descs() {
		descs <- d
	}
}

// Collect is a prometheus.Collector's.
func (n *Notifier) Collect(metrics chan<- prometheus.Metric) {
	d := n.descs()
	n.counts.mu.Lock()
	notices, received, refused := maps.Clone(n.counts.notices), n.counts.received, n.counts.refused
	n.counts.mu.Unlock()
	for _, kind := range Kinds() {
		metrics <- prometheus.MustNewConstMetric(d[0], prometheus.CounterValue, float64(notices[kind]), string(kind))
	}
	metrics <- prometheus.MustNewConstMetric(d[1], prometheus.CounterValue, float64(received), "received")
	metrics <- prometheus.MustNewConstMetric(d[1], prometheus.CounterValue, float64(refused), "failed")
	h := n.Health()
	if !h.Known { // a count that began at 0 would seem to have grown
		return
	}
	waited := 0.0
	if !h.Oldest.IsZero() {
		waited = max(time.Since(h.Oldest).Seconds(), 0)
	}
	metrics <- prometheus.MustNewConstMetric(d[2], prometheus.CounterValue, float64(h.Lost))
	metrics <- prometheus.MustNewConstMetric(d[3], prometheus.GaugeValue, float64(h.Queued))
	metrics <- prometheus.MustNewConstMetric(d[4], prometheus.GaugeValue, waited)
}

var _ prometheus.Collector = (*Notifier)(nil)
