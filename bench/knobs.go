package main

import (
	"fmt"
	"net/http"
)

// knob is something that an operator can turn.
type knob struct {
	name   string
	config gatewayConfig
	tenant string
	beside string
}

// measureKnobs measures each beside the default, on the session path.
func measureKnobs(r *room) (s section, err error) {
	const standard, secure = "as it comes", "as it comes, TLS upstream"
	var ways []way
	for _, k := range []knob{
		{name: standard},
		{name: "GOGC=50", config: gatewayConfig{env: []string{"GOGC=50"}}},
		{name: "GOGC=200", config: gatewayConfig{env: []string{"GOGC=200"}}},
		{name: "GOGC=400", config: gatewayConfig{env: []string{"GOGC=400"}}},
		{name: "GOGC=off GOMEMLIMIT=256MiB", config: gatewayConfig{env: []string{"GOGC=off", "GOMEMLIMIT=256MiB"}}},
		{name: "GOMEMLIMIT=64MiB", config: gatewayConfig{env: []string{"GOMEMLIMIT=64MiB"}}},
		{name: "GOMAXPROCS=1", config: gatewayConfig{env: []string{"GOMAXPROCS=1"}}},
		{name: "no audit log", config: gatewayConfig{noAudit: true}},
		{name: "an access log beside the audit log", config: gatewayConfig{log: true}},
		{name: "keepalive_idle_conns_per_host 4", config: gatewayConfig{transport: "keepalive_idle_conns_per_host 4"}},
		{name: "keepalive_idle_conns_per_host 256", config: gatewayConfig{transport: "keepalive_idle_conns_per_host 256"}},
		{name: "keepalive off", config: gatewayConfig{transport: "keepalive off"}},
		{name: secure, tenant: secureTenant},
		{name: "versions 2, TLS upstream", config: gatewayConfig{transport: "versions 2"}, tenant: secureTenant, beside: secure},
	} {
		p, err := r.serve(k.config, k.config.env...)
		if err != nil {
			return s, fmt.Errorf("%s: %w", k.name, err)
		}
		defer p.stop()
		if k.tenant == "" {
			k.tenant = plainTenant
		}
		if k.beside == "" && k.name != standard {
			k.beside = standard
		}
		person, err := r.person(p, k.tenant, "tove")
		if err != nil {
			return s, fmt.Errorf("%s: %w", k.name, err)
		}
		ways = append(ways, way{name: k.name, beside: k.beside, process: p, callers: []caller{person}, want: http.StatusOK})
	}
	all, ways, err := r.measureWays(ways)
	if err != nil {
		return s, err
	}
	s = all.table(ways)
	s.head = append(s.head, "resident at the peak")
	for i, w := range ways {
		_, peak, err := w.process.resident()
		if err != nil {
			return s, err
		}
		s.rows[i] = append(s.rows[i], fmt.Sprintf("%d MiB", peak>>20))
	}
	return s, nil
}
