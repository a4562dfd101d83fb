package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// benchmarks are the stages, and what the packages measure beside them.
const benchmarks = "Stage|Tenants|AMillionSessions|HugeAnswer"

var benchmarkLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(.*)`)

// measureStages runs the repository's benchmarks: each stage of a call alone.
func measureStages(r *room) (s section, err error) {
	out, err := exec.CommandContext(r.ctx, "go", "test", "-run", "^$", "-bench", benchmarks, "-benchmem", "-benchtime", "0.5s", "-p", "1", ".", "./auth/...", "./outcome/...", "./superoffice/...").CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("%w: %s", err, out)
	}
	s.head = []string{"stage", "µs", "bytes", "allocations", ""}
	for line := range strings.Lines(string(out)) {
		found := benchmarkLine.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			continue
		}
		cells := map[string]string{}
		var others []string
		fields := strings.Fields(found[3])
		for i := 0; i+1 < len(fields); i += 2 {
			switch unit := fields[i+1]; unit {
			case "B/op", "allocs/op":
				cells[unit] = fields[i]
			default:
				if strings.HasSuffix(found[1], "/1") {
					continue // what one takes is mostly what the map around it takes
				}
				others = append(others, fields[i]+" "+unit)
			}
		}
		nanoseconds, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return s, err
		}
		s = s.row(strings.ReplaceAll(strings.TrimPrefix(found[1], "Stage/"), "_", " "), fmt.Sprintf("%.2f", nanoseconds/1000), cells["B/op"], cells["allocs/op"], strings.Join(others, ", "))
	}
	if len(s.rows) == 0 {
		return s, fmt.Errorf("no benchmark ran: %s", out)
	}
	return s, nil
}
