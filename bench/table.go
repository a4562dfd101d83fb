package main

import "fmt"

// beforeSuffix is what the names of an earlier commit's ways end with.
const beforeSuffix = ", before"

// besideBefore puts each way of an earlier commit before its own of this one. What it is compared with is the earlier commit's too.
func besideBefore(ways, old []way) (both []way) {
	for i, w := range ways {
		twin := old[i]
		twin.name += beforeSuffix
		if twin.beside != "" {
			twin.beside += beforeSuffix
		}
		both = append(both, twin, w)
	}
	return both
}

// table has one row for each way. Where ways of an earlier commit were measured too, their figures stand before this one's.
func (all rounds) table(ways []way) section {
	old := make(map[string]way)
	for _, w := range ways {
		old[w.name] = w
	}
	compared := false
	for _, w := range ways {
		_, found := old[w.name+beforeSuffix]
		compared = compared || found
	}
	s := section{head: []string{"way", "beside"}}
	if compared {
		for _, when := range []string{"before", "after"} {
			s.head = append(s.head, when+": CPU µs/request", "× beside", "half of the rounds")
		}
		s.head = append(s.head, "requests/s, 32 connections")
		for _, when := range []string{"before", "after"} {
			s.head = append(s.head, when+": p50 / p99 µs at 1000/s", "p99 × beside", "half of the rounds")
		}
	} else {
		s.head = append(s.head, "CPU µs/request", "× beside", "half of the rounds", "requests/s, 32 connections", "p50 / p99 µs at 1000/s", "p99 × beside", "half of the rounds")
	}
	isOld := make(map[string]bool)
	for _, w := range ways {
		isOld[w.name+beforeSuffix] = true
	}
	for _, w := range ways {
		if isOld[w.name] {
			continue
		}
		sides := []way{w}
		if compared {
			sides = []way{old[w.name+beforeSuffix], w}
		}
		row := []string{w.name, w.beside}
		for _, side := range sides {
			row = append(row, all.number(side, cpu), all.times(side, cpu), all.half(side, cpu))
		}
		row = append(row, all.number(w, rps))
		for _, side := range sides {
			latencies := ""
			if all[side.name] != nil {
				latencies = all.number(side, p50) + " / " + all.number(side, p99)
			}
			row = append(row, latencies, all.times(side, p99), all.half(side, p99))
		}
		s = s.row(row...)
	}
	return s
}

// number is a way's median as a cell; empty for one that was not measured.
func (all rounds) number(w way, of func(figures) float64) string {
	if all[w.name] == nil {
		return ""
	}
	return fmt.Sprintf("%.0f", all.median(w.name, of))
}

// times is the median of a way's ratios as a cell.
func (all rounds) times(w way, of func(figures) float64) string {
	if len(all.ratios(w.name, w.beside, of)) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", all.ratio(w.name, w.beside, of))
}

// half is where the middle half of a way's ratios lies, as a cell.
func (all rounds) half(w way, of func(figures) float64) string {
	ratios := all.ratios(w.name, w.beside, of)
	if len(ratios) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f–%.2f", quantile(ratios, 0.25), quantile(ratios, 0.75))
}
