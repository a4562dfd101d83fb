package main

import "net/http"

// Names that rows and goals share.
const (
	plain         = "plain reverse_proxy, access log"
	plainQuiet    = "plain reverse_proxy, no log"
	plainH2       = "plain reverse_proxy, HTTP/2 in, access log"
	plainTLS      = "plain reverse_proxy, TLS upstream, access log"
	ofSession     = "session, audit log"
	ofJWT         = "JWT, audit log"
	ofTicket      = "the caller's own ticket, audit log"
	ofStranger    = "refused (another tenant), audit log"
	quietSession  = "session, no log"
	quietJWT      = "JWT, no log"
	sessionH2     = "session, HTTP/2 in, audit log"
	sessionTLS    = "session, TLS upstream, audit log"
	notOurs       = "not ours, behind the gateway"
	notOursBefore = "not ours, without the gateway"
)

// measurePath measures the ways of a call beside plain proxies of the same binary.
func measurePath(r *room) (s section, err error) {
	var processes [5]process
	for i, config := range []configuration{
		proxyConfig{upstream: "http://" + r.upstream, log: true},
		proxyConfig{upstream: "http://" + r.upstream},
		proxyConfig{upstream: "https://" + r.upstreamTLS, log: true},
		gatewayConfig{},
		gatewayConfig{noAudit: true},
	} {
		if processes[i], err = r.serve(config); err != nil {
			return s, err
		}
		defer processes[i].stop()
	}
	proxy, quietProxy, secureProxy, ours, quiet := processes[0], processes[1], processes[2], processes[3], processes[4]
	session, err := r.person(ours, plainTenant, "tove")
	if err != nil {
		return s, err
	}
	secureSession, err := r.person(ours, secureTenant, "tove")
	if err != nil {
		return s, err
	}
	quietlySigned, err := r.person(quiet, plainTenant, "tove")
	if err != nil {
		return s, err
	}
	service := r.service(plainTenant, plainTenant)
	ticket := caller{resyncPath(plainTenant), http.Header{"Authorization": {"SOTicket " + r.so.Ticket("portal", plainTenant, "per")}}}
	nobody, elsewhere := caller{Path: resyncPath(plainTenant)}, caller{Path: "/other"}
	ok := http.StatusOK
	all, ways, err := r.measureWays([]way{
		{name: plain, process: proxy, callers: []caller{nobody}, want: ok},
		{name: ofSession, beside: plain, process: ours, callers: []caller{session}, want: ok},
		{name: ofJWT, beside: plain, process: ours, callers: []caller{service}, want: ok},
		{name: ofTicket, beside: plain, process: ours, callers: []caller{ticket}, want: ok},
		{name: ofStranger, beside: plain, process: ours, callers: []caller{r.service(plainTenant, "Cust99999")}, want: http.StatusForbidden},
		{name: plainQuiet, process: quietProxy, callers: []caller{nobody}, want: ok},
		{name: quietSession, beside: plainQuiet, process: quiet, callers: []caller{quietlySigned}, want: ok},
		{name: quietJWT, beside: plainQuiet, process: quiet, callers: []caller{service}, want: ok},
		{name: plainH2, process: proxy, callers: []caller{nobody}, want: ok, h2: true},
		{name: sessionH2, beside: plainH2, process: ours, callers: []caller{session}, want: ok, h2: true},
		{name: plainTLS, process: secureProxy, callers: []caller{nobody}, want: ok},
		{name: sessionTLS, beside: plainTLS, process: ours, callers: []caller{secureSession}, want: ok},
		{name: notOursBefore, process: quietProxy, callers: []caller{elsewhere}, want: http.StatusNoContent},
		{name: notOurs, beside: notOursBefore, process: quiet, callers: []caller{elsewhere}, want: http.StatusNoContent},
	})
	if err != nil {
		return s, err
	}
	s = all.table(ways)
	compare := func(number int, what, name, beside string, of func(figures) float64, most float64) {
		if all[name] != nil {
			s.goals = append(s.goals, atMost(number, what, all.ratio(name, beside, of), most, "%.2f ×"))
		}
	}
	compare(1, "CPU of the whole job with a session, both with a log", ofSession, plain, cpu, 0.65)
	compare(1, "the same, both without a log", quietSession, plainQuiet, cpu, 0.65)
	compare(1, "CPU of the whole job with a JWT, both with a log", ofJWT, plain, cpu, 0.75)
	compare(1, "the same, both without a log", quietJWT, plainQuiet, cpu, 0.75)
	compare(2, "p99 at 1000 requests a second with a session, both with a log", ofSession, plain, p99, 0.8)
	compare(2, "the same with a JWT", ofJWT, plain, p99, 0.8)
	if all[notOurs] != nil {
		s.goals = append(s.goals, atMost(6, "CPU that a request that is not the gateway's costs more", all.difference(notOurs, notOursBefore, cpu), 2, "%.1f µs"))
	}
	return s, nil
}
