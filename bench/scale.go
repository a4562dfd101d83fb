package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// measuredCallers is how many of many sessions and tenants call.
const (
	measuredCallers = 20_000
	measuredTenants = 1000
	// scaleRounds is how many rounds there are for four of the other parts.
	scaleRounds = 3
)

// crowd is a gateway with tenants and sessions, few or many.
type crowd struct {
	process  process
	callers  []caller // people with a session
	services []caller
	bytes    float64 // for each session, of the gateway's heap
}

// measureScale measures one tenant and session beside many, in each store. The gateways are the module's test
// binary, which alone reaches the store of a running handler; it has the same handler and the same Caddy.
func measureScale(r *room) (s section, err error) {
	binary := filepath.Join(r.dir, "gateway")
	if out, err := exec.CommandContext(r.ctx, "go", "test", "-c", "-tags", "bench", "-o", binary, ".").CombinedOutput(); err != nil { //nolint:gosec // our own program
		return s, fmt.Errorf("%w: %s", err, out)
	}
	one, err := r.crowd(binary, crowdJob{tenants: 1, sessions: 1})
	if err != nil {
		return s, err
	}
	defer one.process.stop()
	// Two that are full: a collection takes longer than a round, and must not be paid by a way that did not make the garbage.
	var many [2]crowd
	for i := range many {
		if many[i], err = r.crowd(binary, crowdJob{tenants: r.tenants, sessions: r.sessions}); err != nil {
			return s, err
		}
		defer many[i].process.stop()
	}
	crowdName := fmt.Sprintf("%d tenants, %d sessions", r.tenants, r.sessions)
	ways := []way{
		{name: "memory: session, one tenant, one session", process: one.process, callers: one.callers, want: http.StatusOK},
		{name: "memory: session, " + crowdName, beside: "memory: session, one tenant, one session", process: many[0].process, callers: many[0].callers, want: http.StatusOK, times: 3},
		{name: "memory: JWT, one tenant, one session", process: one.process, callers: one.services, want: http.StatusOK},
		{name: "memory: JWT, " + crowdName, beside: "memory: JWT, one tenant, one session", process: many[1].process, callers: many[1].services, want: http.StatusOK, times: 3, each: true},
	}
	bytesInRedis := 0.0
	_, missing := exec.LookPath("redis-server")
	if missing != nil {
		fmt.Fprintln(os.Stderr, "redis-server is not installed, so Redis is left out: make setup")
	}
	if missing == nil && r.only.match("Redis") {
		// Two servers, so that the one session has a Redis of its own.
		var few, full crowd
		var stores [2]redisStore
		for i := range stores {
			if stores[i], err = r.startRedis(); err != nil {
				return s, err
			}
			defer stores[i].process.stop()
		}
		if few, err = r.crowd(binary, crowdJob{store: stores[0].option, tenants: 1, sessions: 1}); err != nil {
			return s, err
		}
		defer few.process.stop()
		if full, err = r.crowd(binary, crowdJob{store: stores[1].option, tenants: r.tenants, sessions: r.sessions}); err != nil {
			return s, err
		}
		defer full.process.stop()
		if bytesInRedis, err = stores[1].used(r); err != nil {
			return s, err
		}
		bytesInRedis /= float64(r.sessions)
		ways = append(ways, way{name: "Redis: session, one tenant, one session", process: few.process, callers: few.callers, want: http.StatusOK},
			way{name: "Redis: session, " + crowdName, beside: "Redis: session, one tenant, one session", process: full.process, callers: full.callers, want: http.StatusOK})
	}
	var recording [2]crowd
	if r.only.match("history") {
		if recording, err = r.recordingCrowds(binary); err != nil {
			return s, err
		}
		for _, c := range recording {
			defer c.process.stop()
		}
		const few = "history on: session, one tenant, one session, no rows"
		ways = append(
			ways,
			way{name: few, process: recording[0].process, callers: recording[0].callers, want: http.StatusOK, settle: r.drained(recording[0].process)},
			way{name: "history on: session, " + crowdName + fmt.Sprintf(", %d rows", r.rows), beside: few, process: recording[1].process, callers: recording[1].callers, want: http.StatusOK, settle: r.drained(recording[1].process)},
		)
	}
	rounds := r.rounds
	r.rounds = max(rounds*scaleRounds/4, 2)
	defer func() { r.rounds = rounds }()
	all, ways, err := r.measureWays(ways)
	if err != nil {
		return s, err
	}
	s.head = []string{"way", "CPU µs/request, all rounds", "× one of each", "its rounds", "requests/s, 32 connections", "p50 / p99 µs at 1000/s"}
	for _, w := range ways {
		beside, spread := "", []string{}
		if w.beside != "" {
			beside = fmt.Sprintf("%.2f", all.whole(w.name)/all.whole(w.beside))
		}
		for _, f := range all[w.name] {
			spread = append(spread, fmt.Sprintf("%.0f", f.cpu))
		}
		s = s.row(w.name, fmt.Sprintf("%.0f", all.whole(w.name)), beside, strings.Join(spread, " "), fmt.Sprintf("%.0f", all.median(w.name, rps)),
			fmt.Sprintf("%.0f / %.0f", all.median(w.name, p50), all.median(w.name, p99)))
		if w.beside == "" {
			continue
		}
		g := atMost(4, "CPU beside one of each, "+w.name, all.whole(w.name)/all.whole(w.beside), 1.1, "%.2f ×")
		if strings.HasPrefix(w.name, "Redis") {
			g.bound = "" // Redis is told and not judged
		}
		s.goals = append(s.goals, g)
	}
	for i, name := range []string{"one tenant", fmt.Sprintf("%d tenants", r.tenants)} {
		if recording[i].process.pid == 0 {
			continue
		}
		rows, err := r.lost(recording[i].process)
		if err != nil {
			return s, err
		}
		s.goals = append(s.goals, goal{number: 4, what: "rows that the history lost meanwhile, " + name, measured: fmt.Sprintf("%.0f", rows)})
	}
	s.goals = append(s.goals, atMost(4, fmt.Sprintf("memory of a session in the memory store, among %d", r.sessions), many[0].bytes, 1024, "%.0f bytes"))
	if bytesInRedis > 0 {
		s.goals = append(s.goals, goal{number: 4, what: "memory of a session in Redis (used_memory)", measured: fmt.Sprintf("%.0f bytes", bytesInRedis)})
	}
	return s, nil
}

// crowdTenant is the name of one of the tenants.
func crowdTenant(i int) string { return fmt.Sprintf("Cust%d", 10000+i) }

// recordingCrowds starts a gateway with an empty history and one tenant, and one with many of each that goes on with a history.
func (r *room) recordingCrowds(binary string) (both [2]crowd, err error) {
	past := filepath.Join(r.dir, r.name("past")+".db")
	began := time.Now()
	if err := fillHistory(r.ctx, past, r.rows, r.tenants, "http://"+r.upstream); err != nil {
		return both, fmt.Errorf("history: %w", err)
	}
	fmt.Fprintf(os.Stderr, "%d rows of history were written in %s\n", r.rows, time.Since(began).Round(time.Second))
	if both[0], err = r.crowd(binary, crowdJob{history: filepath.Join(r.dir, r.name("empty")+".db"), tenants: 1, sessions: 1}); err != nil {
		return both, err
	}
	both[1], err = r.crowd(binary, crowdJob{history: past, tenants: r.tenants, sessions: r.sessions})
	if err != nil {
		both[0].process.stop()
	}
	return both, err
}

// crowdJob is what a gateway is to be filled with.
type crowdJob struct {
	store             string // the option; "": memory
	history           string // a file; "": none is kept
	tenants, sessions int
}

// crowd starts a gateway and fills it.
func (r *room) crowd(binary string, job crowdJob) (c crowd, err error) {
	tenants, sessions := job.tenants, job.sessions
	addr, err := freeAddr()
	if err != nil {
		return c, err
	}
	admin, err := freeAddr()
	if err != nil {
		return c, err
	}
	name := r.name("crowd")
	var grants []map[string]any
	for i := range tenants {
		grants = append(grants, map[string]any{"tenant": crowdTenant(i), "name": fmt.Sprintf("Customer %d", i), "connections": []any{612, "crm"}, "system_token": fmt.Sprintf("App-%020d", i)})
	}
	file, err := r.write(name+"-tenants", map[string]any{"tenants": grants})
	if err != nil {
		return c, err
	}
	caddyfile := filepath.Join(r.dir, name+".Caddyfile")
	config := gatewayConfig{environment: "http://" + r.upstream, tenantsFile: file, store: job.store, history: job.history}
	if err := os.WriteFile(caddyfile, []byte(config.caddyfile(r, name, siteAt(addr), admin)), 0o600); err != nil {
		return c, err
	}
	out := filepath.Join(r.dir, name+".out")
	raw, err := json.Marshal(map[string]any{"Caddyfile": caddyfile, "API": "http://" + r.upstream, "Tenants": tenants, "Sessions": sessions, "Callers": min(measuredCallers, sessions), "Out": out})
	if err != nil {
		return c, err
	}
	began := time.Now()
	if c.process, err = start(r.ctx, r.dir, addr, append(r.home(), "ERPSYNC_BENCH_GATEWAY="+string(raw)), binary); err != nil {
		return c, err
	}
	c.process.admin = admin
	var told struct {
		Callers         []caller
		BytesPerSession float64
	}
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Clean(out))
		if err == nil {
			if err := json.Unmarshal(raw, &told); err != nil {
				return c, err
			}
			break
		}
		if _, gone := c.process.cpuTime(); gone != nil || r.ctx.Err() != nil || time.Now().After(deadline) {
			log, _ := os.ReadFile(c.process.logFile)
			return c, errors.Join(r.ctx.Err(), fmt.Errorf("the gateway was not filled: %s", log))
		}
	}
	fmt.Fprintf(os.Stderr, "%d sessions of %d tenants began in %s\n", sessions, tenants, time.Since(began).Round(time.Second))
	c.callers, c.bytes = told.Callers, told.BytesPerSession
	for i := range min(tenants, measuredTenants) {
		tenant := crowdTenant(i * max(tenants/measuredTenants, 1))
		c.services = append(c.services, r.service(tenant, tenant))
	}
	return c, nil
}
