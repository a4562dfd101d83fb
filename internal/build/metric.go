package build

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Register adds caddy_erpsync_build_info to a registry: always 1, with the build's identity as labels.
// A registry that has it already, from an earlier configuration, is left as it is.
func Register(registry prometheus.Registerer) error {
	info := Read()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "caddy_erpsync_build_info", Help: "The build that runs, in its labels; the value is always 1.",
		ConstLabels: prometheus.Labels{"version": info.Version, "revision": info.Revision},
	})
	gauge.Set(1)
	err := registry.Register(gauge)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		return nil
	}
	return err
}
