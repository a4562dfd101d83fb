package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

const (
	// tokenLife is how long tokens live while they expire. They are renewed when a fifth of it is left.
	tokenLife = 2 * time.Second
	// window is how long each look at the latencies is.
	window = 6 * time.Second
	// renewalTakes is how long SuperID takes to renew one, meanwhile.
	renewalTakes = 200 * time.Millisecond
	people       = 5
)

// measureExpiry compares latencies across token expiries with those of tokens that live an hour, and counts who mints.
func measureExpiry(r *room) (s section, err error) {
	gateway, err := r.serve(gatewayConfig{})
	if err != nil {
		return s, err
	}
	defer gateway.stop()
	look := func(life time.Duration) (result loadResult, mints int, err error) {
		r.so.Switch(func(s *sandbox.Switches) { s.AccessLifetime = life })
		w := way{process: gateway, want: http.StatusOK}
		for range people {
			person, err := r.person(gateway, plainTenant, "tove")
			if err != nil {
				return result, 0, err
			}
			w.callers = append(w.callers, person)
		}
		if w.file, err = r.write(r.name("callers"), w.callers); err != nil {
			return result, 0, err
		}
		if life == tokenLife {
			r.renewalTakes.Store(int64(renewalTakes))
			defer r.renewalTakes.Store(0)
		}
		before := r.so.Mints("access")
		// load fails for any answer but 200.
		result, err = r.load(w, loadJob{Connections: connections, Seconds: window.Seconds(), Rate: 1000})
		return result, r.so.Mints("access") - before, err
	}
	all := make(rounds)
	renewals, requests := 0, 0
	for round := range max(r.rounds/pacedEvery, 2) {
		steady, none, err := look(time.Hour)
		if err != nil {
			return s, err
		}
		expiring, mints, err := look(tokenLife)
		if err != nil {
			return s, err
		}
		if none > 0 {
			return s, fmt.Errorf("%d tokens of an hour were renewed", none)
		}
		fmt.Fprintf(os.Stderr, "round %d  p99 steady %.0f µs, across expiries %.0f µs, %d renewals\n", round, steady.P99, expiring.P99, mints)
		if round > 0 {
			all["steady"] = append(all["steady"], figures{p50: steady.P50, p99: steady.P99})
			all["expiring"] = append(all["expiring"], figures{p50: expiring.P50, p99: expiring.P99})
			renewals, requests = renewals+mints, requests+expiring.Requests
		}
	}
	lives := len(all["expiring"]) * people * int(math.Ceil(float64(window)/(float64(tokenLife)*4/5)))

	// A system user's ticket lives five hours: what can be seen is how many are minted for all who wait at once.
	cold, err := r.serve(gatewayConfig{})
	if err != nil {
		return s, err
	}
	defer cold.stop()
	before := r.so.Mints("ticket")
	w := way{process: cold, callers: []caller{r.service(plainTenant, plainTenant)}, want: http.StatusOK}
	if w.file, err = r.write(r.name("callers"), w.callers); err != nil {
		return s, err
	}
	rush, err := r.load(w, loadJob{Connections: 200, Seconds: 2})
	if err != nil {
		return s, err
	}
	tickets := r.so.Mints("ticket") - before

	s.head = []string{"", "p50 / p99 µs at 1000/s", "p99 × steady", "renewals"}
	show := func(name string) string {
		return fmt.Sprintf("%.0f / %.0f", all.median(name, p50), all.median(name, p99))
	}
	s = s.row(fmt.Sprintf("%d people, tokens of an hour", people), show("steady"), "1.00", "0").
		row(fmt.Sprintf("the same, tokens of %s, SuperID takes %s", tokenLife, renewalTakes), show("expiring"), fmt.Sprintf("%.2f", all.ratio("expiring", "steady", p99)),
			fmt.Sprintf("%d for %d calls and at most %d token lives", renewals, requests, lives)).
		row("200 callers of one service at a gateway that was just started", "", "", fmt.Sprintf("%d ticket for %d calls", tickets, rush.Requests))
	s.goals = []goal{
		atMost(3, "p99 across expiries", all.ratio("expiring", "steady", p99), 1.1, "%.2f × steady"),
		atMost(3, "renewals for each token's life, 32 callers", float64(renewals)/float64(lives), 1, "%.2f"),
		atMost(3, "tickets for 200 callers at once", float64(tickets), 1, "%.0f"),
		{3, "answers other than 200 meanwhile", "0", "0 of " + fmt.Sprint(requests), true},
	}
	return s, nil
}
