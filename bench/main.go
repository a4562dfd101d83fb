// Command bench measures the gateway over loopback beside a plain reverse_proxy of
// the same binary, and writes the tables of docs/performance.md:
//
//	go run ./bench [-parts path,peers,scale,expiry,memory,stages] [-write docs/performance.md]
//	go run ./bench -parts knobs [-write docs/performance.md]
//
// Upstream, gateways and load are processes of their own; what is measured is the CPU time of the gateway's
// process, divided by the requests. Everything stays on loopback and ends with bench.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	parts    []string
	rounds   int           // many and short, so that what else the machine does falls on all ways alike; the first is dropped
	long     time.Duration // of each measurement
	only     substrings    // of ways' names; none: all
	tenants  int
	sessions int
	rows     int
	write    string
	profiles string // a folder
	traces   string // a folder
	before   string // a Caddy of an earlier commit
}

func main() {
	list := func(r rune) bool { return r == ',' }
	var o options
	role := flag.String("role", "", "upstream, floor or load; empty measures")
	parts := flag.String("parts", "path,peers,scale,expiry,memory,stages", "what to measure: path, peers, scale, expiry, memory, stages, knobs")
	flag.IntVar(&o.rounds, "rounds", 16, "rounds, of which the first is dropped; every third looks at the latencies of all ways, every one at those that a goal is about")
	seconds := flag.Float64("seconds", 1, "length of each measurement; latencies are looked at for two or three times as long")
	flag.Var(&o.only, "only", "of path, scale and knobs: measure the ways whose names hold this text, and those that they are compared with; may be repeated; none: all")
	flag.IntVar(&o.tenants, "tenants", 10_000, "how many tenants are many")
	flag.IntVar(&o.sessions, "sessions", 1_000_000, "how many sessions are many")
	flag.IntVar(&o.rows, "rows", 1_000_000, "how many rows of history are many")
	flag.StringVar(&o.write, "write", "", "the page whose marked sections are replaced; empty: print only")
	flag.StringVar(&o.profiles, "profiles", "", "a folder that a CPU profile of each way is written to, before it is measured; empty: none")
	flag.StringVar(&o.traces, "trace", "", "a folder that an execution trace of each way at 1000 requests a second is written to, before it is measured; empty: none")
	flag.StringVar(&o.before, "before", "", "the Caddy of an earlier commit, measured in the same rounds of path; empty: none")
	flag.Parse()
	o.parts, o.long = strings.FieldsFunc(*parts, list), time.Duration(*seconds*float64(time.Second))
	var err error
	switch *role {
	case "upstream":
		err = serveUpstream(flag.Arg(0))
	case "floor":
		err = serveFloor(flag.Arg(0))
	case "load":
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(loadMemory)
		err = runLoad(os.Stdin, os.Stdout)
	default:
		err = measure(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure does the parts in turn, and tells at the end which goals are met.
func measure(o options) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r, err := newRoom(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	machine := machineLine(ctx) // now: the commit may be another at the end
	known := map[string]func(*room) (section, error){"path": measurePath, "peers": measurePeers, "scale": measureScale, "expiry": measureExpiry, "memory": measureMemory, "stages": measureStages, "knobs": measureKnobs}
	if o.write != "" {
		// Now: half an hour later it would be a pity.
		if err := checkSections(o.write, append([]string{"goals"}, o.parts...)); err != nil {
			return err
		}
	}
	var sections []section
	var goals []goal
	for _, part := range o.parts {
		f := known[part]
		if f == nil {
			return fmt.Errorf("-parts %s: there is no such part", part)
		}
		began := time.Now()
		s, err := f(r)
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		s.name, s.took = part, time.Since(began)
		fmt.Fprintf(os.Stderr, "%s took %s\n", part, s.took.Round(time.Second))
		sections, goals = append(sections, s), append(goals, s.goals...)
		if o.write != "" {
			if err := writeSections(o.write, machine, []section{s}); err != nil {
				return err
			}
		}
	}
	// A page says which goals are met only after a run that measured all of them.
	if whole := !slices.ContainsFunc([]string{"path", "scale", "expiry", "memory"}, func(part string) bool { return !slices.Contains(o.parts, part) }) && len(o.only) == 0; whole || o.write == "" {
		told := goalsSection(goals)
		sections = slices.Insert(sections, 0, told)
		if o.write != "" {
			if err := writeSections(o.write, machine, []section{told}); err != nil {
				return err
			}
		}
	}
	for _, s := range sections {
		fmt.Printf("%s\n", s.markdown(machine))
	}
	return nil
}
