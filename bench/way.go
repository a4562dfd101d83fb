package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// way is one way through one process.
type way struct {
	name    string
	beside  string // the way that it is compared with; "": none
	process process
	callers []caller
	want    int
	h2      bool
	times   int  // how many times as long it is measured; 0: once
	each    bool // every caller calls once before each measurement: proofs of tokens are kept for 30 s
	judged  bool // a goal is about its latencies: they are looked at in every round, and longer
	// settle waits until the process has done what calls leave to be done later; nil: they leave nothing.
	settle func() error

	file string // the callers, for the load
}

// connections is how many connections the load has.
const connections = 32

// figures are what one measurement gave.
type figures struct {
	cpu, rps float64 // microseconds for each request, and requests per second, at 32 connections
	requests int     // that cpu was told from
	p50, p99 float64 // microseconds at a fixed 1000 requests per second; 0: not looked at in this round
}

// pacedEvery is how many rounds share one look at the latencies of ways that no goal is about. Those looks are pacedLong
// measurements long, others judgedLong.
const (
	pacedEvery = 3
	pacedLong  = 2
	judgedLong = 3
)

func cpu(f figures) float64 { return f.cpu }
func rps(f figures) float64 { return f.rps }
func p50(f figures) float64 { return f.p50 }
func p99(f figures) float64 { return f.p99 }

// rounds are the figures of each round, by way.
type rounds map[string][]figures

// measureWays measures all ways in turn, round after round, so that what the machine does to one it does to all.
func (r *room) measureWays(ways []way) (rounds, []way, error) {
	ways = r.only.choose(ways)
	for i := range ways {
		w := &ways[i]
		var err error
		if w.file, err = r.write(r.name("callers"), w.callers); err != nil {
			return nil, nil, err
		}
		// Hosts are asked for and tickets minted before any clock starts.
		if _, err := r.load(*w, loadJob{Connections: connections, Each: true}); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if err := r.look(ways); err != nil {
		return nil, nil, err
	}
	all := make(rounds)
	for round := range r.rounds {
		// There and back again: what one way leaves to the next falls on both in turn.
		turn := slices.Clone(ways)
		if round%2 == 1 {
			slices.Reverse(turn)
		}
		for _, w := range turn {
			f, err := r.measureWay(w, round%pacedEvery == 1 || r.rounds == 1)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if round > 0 || r.rounds == 1 {
				all[w.name] = append(all[w.name], f)
			}
			fmt.Fprintf(os.Stderr, "round %d  %-52s %6.1f µs  %6.0f rps  p99 %6.0f µs\n", round, w.name, f.cpu, f.rps, f.p99)
		}
	}
	return all, ways, nil
}

// measureWay measures one way: saturated for CPU, then at a fixed rate for latencies, if a goal is about them or this round looks at all.
func (r *room) measureWay(w way, paced bool) (f figures, err error) {
	settle := w.settle
	if settle == nil {
		settle = func() error { return nil }
	}
	// Connections are opened and caches filled before the clock starts.
	if _, err := r.load(w, loadJob{Connections: connections, Seconds: 0.2}); err != nil {
		return f, err
	}
	if w.each {
		if _, err := r.load(w, loadJob{Connections: connections, Each: true}); err != nil {
			return f, err
		}
	}
	if err := settle(); err != nil {
		return f, err
	}
	before, err := w.process.cpuTime()
	if err != nil {
		return f, err
	}
	result, err := r.load(w, loadJob{Connections: connections, Seconds: r.long.Seconds() * float64(max(w.times, 1))})
	if err != nil {
		return f, err
	}
	if err := settle(); err != nil {
		return f, err
	}
	after, err := w.process.cpuTime()
	if err != nil {
		return f, err
	}
	f.cpu = float64((after - before).Microseconds()) / float64(result.Requests)
	f.requests = result.Requests
	f.rps = float64(result.Requests) / result.Seconds
	if long := r.long.Seconds() * pacedLong; paced || w.judged {
		if w.judged {
			long = r.long.Seconds() * judgedLong
		}
		result, err = r.load(w, loadJob{Connections: connections, Seconds: long, Rate: 1000})
		f.p50, f.p99 = result.P50, result.P99
	}
	return f, err
}

// load runs a load process; an answer that is not the wanted one is an error.
func (r *room) load(w way, job loadJob) (loadResult, error) {
	result, err := r.tryLoad(w, job)
	if err == nil && result.Bad > 0 {
		err = fmt.Errorf("%d of %d answers were not %d; the first: %s", result.Bad, result.Requests, w.want, result.FirstBad)
	}
	return result, err
}

// tryLoad runs a load process and counts what was not answered as it should be.
func (r *room) tryLoad(w way, job loadJob) (result loadResult, err error) {
	job.URL, job.Host, job.CallersFile, job.Want, job.HTTP2 = "http://"+w.process.addr, "localhost:"+portOf(w.process.addr), w.file, w.want, w.h2
	in, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	cmd := exec.CommandContext(r.ctx, r.self, "-role", "load") //nolint:gosec // this program
	cmd.Stdin = strings.NewReader(string(in))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return result, fmt.Errorf("load: %w: %s", err, said.Bytes())
	}
	return result, json.Unmarshal(out, &result)
}

// median is of all rounds of a way.
func (all rounds) median(name string, of func(figures) float64) float64 {
	var values []float64
	for _, f := range all[name] {
		if value := of(f); value > 0 {
			values = append(values, value)
		}
	}
	return middle(values)
}

// ratio is the median of the rounds' own ratios: what the machine does to one round it does to both.
func (all rounds) ratio(name, beside string, of func(figures) float64) float64 {
	return middle(all.ratios(name, beside, of))
}

// ratios are those of the rounds in which both were looked at, the least first.
func (all rounds) ratios(name, beside string, of func(figures) float64) (ratios []float64) {
	for i := range min(len(all[name]), len(all[beside])) {
		if mine, other := of(all[name][i]), of(all[beside][i]); mine > 0 && other > 0 {
			ratios = append(ratios, mine/other)
		}
	}
	slices.Sort(ratios)
	return ratios
}

// difference is the median of the rounds' own differences.
func (all rounds) difference(name, beside string, of func(figures) float64) float64 {
	var differences []float64
	for i := range min(len(all[name]), len(all[beside])) {
		differences = append(differences, of(all[name][i])-of(all[beside][i]))
	}
	return middle(differences)
}

// whole is the CPU of all rounds for each of their requests: where the collector comes by once in several
// rounds, a median would leave it out.
func (all rounds) whole(name string) float64 {
	spent, requests := 0.0, 0
	for _, f := range all[name] {
		spent, requests = spent+f.cpu*float64(f.requests), requests+f.requests
	}
	return spent / float64(max(requests, 1))
}

func middle(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value that a part of the values is not above, between two of them in proportion; 0 if there are none.
func quantile(values []float64, part float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	at := part * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (values[high]-values[low])*(at-float64(low))
}
