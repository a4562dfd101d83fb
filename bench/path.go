package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// Names that rows and goals share.
const (
	alone          = "upstream alone"
	plain          = "plain reverse_proxy, access log"
	plainQuiet     = "plain reverse_proxy, no log"
	plainH2        = "plain reverse_proxy, HTTP/2 in, access log"
	plainTLS       = "plain reverse_proxy, TLS upstream, access log"
	ofSession      = "session, audit log"
	ofJWT          = "JWT, audit log"
	ofTicket       = "the caller's own ticket, audit log"
	ofStranger     = "refused (another tenant), audit log"
	sharedSession  = "session, store redis, audit log"
	sharedJWT      = "JWT, store redis, audit log"
	historySession = "session, history on, audit log"
	quietSession   = "session, no log"
	quietJWT       = "JWT, no log"
	sessionH2      = "session, HTTP/2 in, audit log"
	sessionTLS     = "session, TLS upstream, audit log"
	notOurs        = "not ours, behind the gateway"
	notOursBefore  = "not ours, without the gateway"
)

// measurePath measures the ways of a call beside plain proxies of the same binary and, with -before, those of an earlier
// commit's in the same rounds.
func measurePath(r *room) (s section, err error) {
	var running processes
	defer running.stop()
	ways, err := r.pathWays(r.caddy, &running)
	if err != nil {
		return s, err
	}
	if r.before != "" {
		old, err := r.pathWays(r.before, &running)
		if err != nil {
			return s, fmt.Errorf("-before %s: %w", r.before, err)
		}
		ways = besideBefore(ways, old)
	}
	ways = append([]way{r.upstreamAlone()}, ways...)
	all, ways, err := r.measureWays(ways)
	if err != nil {
		return s, err
	}
	s = all.table(ways)
	compare := func(number int, what, name, beside string, of func(figures) float64, most float64) {
		if all[name] != nil {
			s.goals = append(s.goals, atMost(number, what, all.ratio(name, beside, of), most, "%.2f ×"))
		}
	}
	tell := func(number int, what, name, beside string) {
		if all[name] != nil {
			s.goals = append(s.goals, goal{number: number, what: what, measured: fmt.Sprintf("%.2f ×", all.ratio(name, beside, cpu))})
		}
	}
	compare(1, "CPU of the whole job with a session beside plain reverse_proxy, both with a log", ofSession, plain, cpu, 0.8)
	tell(1, "the same, both without a log", quietSession, plainQuiet)
	compare(1, "CPU of the whole job with a JWT beside plain reverse_proxy, both with a log", ofJWT, plain, cpu, 0.8)
	tell(1, "the same, both without a log", quietJWT, plainQuiet)
	compare(1, "CPU with a session over HTTP/2 beside plain reverse_proxy over HTTP/2", sessionH2, plainH2, cpu, 0.9)
	compare(1, "CPU with a session, store redis beside store memory", sharedSession, ofSession, cpu, 1.15)
	tell(1, "the same with a JWT", sharedJWT, ofJWT)
	compare(1, "CPU with a session, with the history on beside without", historySession, ofSession, cpu, 1.05)
	compare(2, "p99 at 1000 requests a second with a session beside plain reverse_proxy, both with a log", ofSession, plain, p99, 1)
	compare(2, "the same with a JWT", ofJWT, plain, p99, 0.9)
	if all[notOurs] != nil {
		s.goals = append(s.goals, atMost(6, "CPU that a request that is not the gateway's costs more", all.difference(notOurs, notOursBefore, cpu), 2, "%.1f µs"))
	}
	for _, w := range ways {
		if w.name == historySession {
			rows, err := r.lost(w.process)
			if err != nil {
				return s, err
			}
			s.goals = append(s.goals, goal{number: 1, what: "rows that the history lost meanwhile", measured: fmt.Sprintf("%.0f", rows)})
		}
	}
	return s, nil
}

// upstreamAlone is the load and the upstream with nothing in between: what all other ways have in common.
func (r *room) upstreamAlone() way {
	header := http.Header{"Authorization": {"Bearer 8A:Cust12345.x"}, "So-Apptoken": {"app"}}
	return way{name: alone, process: r.upstreamProcess, callers: []caller{{resyncPath(plainTenant), header}}, want: http.StatusOK, judged: true}
}

// pathWays starts a Caddy's gateways and proxies and returns the ways through them.
func (r *room) pathWays(binary string, running *processes) (ways []way, err error) {
	serve := func(config configuration) (process, error) {
		p, err := r.serveWith(binary, config)
		if err == nil {
			running.add(p)
		}
		return p, err
	}
	var all [6]process
	for i, config := range []configuration{
		proxyConfig{upstream: "http://" + r.upstream, log: true},
		proxyConfig{upstream: "http://" + r.upstream},
		proxyConfig{upstream: "https://" + r.upstreamTLS, log: true},
		gatewayConfig{},
		gatewayConfig{noAudit: true},
		gatewayConfig{history: filepath.Join(r.dir, r.name("history")+".db")},
	} {
		if all[i], err = serve(config); err != nil {
			return nil, err
		}
	}
	proxy, quietProxy, secureProxy, ours, quiet, recording := all[0], all[1], all[2], all[3], all[4], all[5]
	var people []caller
	for _, at := range []struct {
		gateway process
		tenant  string
	}{{ours, plainTenant}, {ours, secureTenant}, {quiet, plainTenant}, {recording, plainTenant}} {
		person, err := r.person(at.gateway, at.tenant, "tove")
		if err != nil {
			return nil, err
		}
		people = append(people, person)
	}
	service := r.service(plainTenant, plainTenant)
	ticket := caller{resyncPath(plainTenant), http.Header{"Authorization": {"SOTicket " + r.so.Ticket("portal", plainTenant, "per")}}}
	nobody, elsewhere := caller{Path: resyncPath(plainTenant)}, caller{Path: "/other"}
	ok := http.StatusOK
	ways = []way{
		{name: plain, process: proxy, callers: []caller{nobody}, want: ok, judged: true},
		{name: ofSession, beside: plain, process: ours, callers: people[:1], want: ok, judged: true},
		{name: ofJWT, beside: plain, process: ours, callers: []caller{service}, want: ok, judged: true},
		{name: ofTicket, beside: plain, process: ours, callers: []caller{ticket}, want: ok},
		{name: ofStranger, beside: plain, process: ours, callers: []caller{r.service(plainTenant, "Cust99999")}, want: http.StatusForbidden},
		{name: historySession, beside: ofSession, process: recording, callers: people[3:4], want: ok, settle: r.drained(recording)},
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		fmt.Fprintln(os.Stderr, "redis-server is not installed, so Redis is left out: make setup")
	} else if r.only.match(sharedSession) || r.only.match(sharedJWT) {
		store, err := r.startRedis()
		if err != nil {
			return nil, err
		}
		running.add(store.process)
		shared, err := serve(gatewayConfig{store: store.option})
		if err != nil {
			return nil, err
		}
		person, err := r.person(shared, plainTenant, "tove")
		if err != nil {
			return nil, err
		}
		ways = append(ways, way{name: sharedSession, beside: ofSession, process: shared, callers: []caller{person}, want: ok},
			way{name: sharedJWT, beside: ofJWT, process: shared, callers: []caller{service}, want: ok})
	}
	return append(
		ways,
		way{name: plainQuiet, process: quietProxy, callers: []caller{nobody}, want: ok},
		way{name: quietSession, beside: plainQuiet, process: quiet, callers: people[2:3], want: ok},
		way{name: quietJWT, beside: plainQuiet, process: quiet, callers: []caller{service}, want: ok},
		way{name: plainH2, process: proxy, callers: []caller{nobody}, want: ok, h2: true},
		way{name: sessionH2, beside: plainH2, process: ours, callers: people[:1], want: ok, h2: true},
		way{name: plainTLS, process: secureProxy, callers: []caller{nobody}, want: ok},
		way{name: sessionTLS, beside: plainTLS, process: ours, callers: people[1:2], want: ok},
		way{name: notOursBefore, process: quietProxy, callers: []caller{elsewhere}, want: http.StatusNoContent},
		way{name: notOurs, beside: notOursBefore, process: quiet, callers: []caller{elsewhere}, want: http.StatusNoContent},
	), nil
}
