package main

import (
	"slices"
	"strings"
	"testing"
)

// measured is what three rounds gave; in the second nobody looked at latencies.
func measured(first, second, third float64) []figures {
	return []figures{{cpu: first, rps: 1000, p50: 10, p99: 10 * first}, {cpu: second, rps: 2000}, {cpu: third, rps: 3000, p50: 30, p99: 20 * third}}
}

func TestARatioIsTheMedianOfTheRoundsOwn(t *testing.T) {
	t.Parallel()
	all := rounds{plain: measured(100, 200, 400), ofSession: measured(50, 150, 500)}
	if got := all.ratios(ofSession, plain, cpu); !slices.Equal(got, []float64{0.5, 0.75, 1.25}) {
		t.Errorf("%v", got)
	}
	if got := all.ratio(ofSession, plain, cpu); got != 0.75 {
		t.Errorf("%v", got)
	}
	if got := all.ratios(ofSession, plain, p99); !slices.Equal(got, []float64{0.5, 1.25}) {
		t.Errorf("latencies: %v: only rounds that looked at them count", got)
	}
	if got := all.ratio(ofSession, "not measured", cpu); got != 0 {
		t.Errorf("%v", got)
	}
	for _, c := range []struct {
		values []float64
		part   float64
		want   float64
	}{{nil, 0.5, 0}, {[]float64{7}, 0.25, 7}, {[]float64{4, 1}, 0.5, 2.5}, {[]float64{5, 1, 4, 2, 3}, 0.25, 2}, {[]float64{5, 1, 4, 2, 3}, 0.75, 4}, {[]float64{1, 2}, 1, 2}} {
		if got := quantile(c.values, c.part); got != c.want {
			t.Errorf("%v of %v: %v, want %v", c.part, c.values, got, c.want)
		}
	}
}

func TestTheTableHasColumnsOfAnEarlierCommitOnlyWhereThatWasMeasured(t *testing.T) {
	t.Parallel()
	ways := func() []way { return []way{{name: plain}, {name: ofSession, beside: plain}} }
	all := rounds{
		plain: measured(100, 100, 100), ofSession: measured(80, 70, 90),
		plain + beforeSuffix: measured(200, 200, 200), ofSession + beforeSuffix: measured(220, 240, 260),
	}
	now := all.table(ways())
	// Latencies: 800 and 1800 µs, of 1000 and 2000.
	if got, want := strings.Join(now.rows[1], "|"), ofSession+"|"+plain+"|80|0.80|0.75–0.85|2000|20 / 1300|0.85|0.83–0.88"; got != want || len(now.rows[1]) != len(now.head) {
		t.Errorf("%s, want %s", got, want)
	}
	both := besideBefore(ways(), ways())
	if both[2].beside != plain+beforeSuffix || both[3].beside != plain {
		t.Errorf("%q %q: each is compared with its own", both[2].beside, both[3].beside)
	}
	compared := append([]way{{name: alone}}, both...)
	all[alone] = measured(8, 8, 8)
	table := all.table(compared)
	if len(table.rows) != 3 {
		t.Fatalf("%q", table.rows)
	}
	for _, row := range table.rows {
		if len(row) != len(table.head) {
			t.Errorf("%q has other columns than %q", row, table.head)
		}
	}
	if got, want := strings.Join(table.rows[2][2:8], "|"), "240|1.20|1.15–1.25|80|0.80|0.75–0.85"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := strings.Join(table.rows[0][2:8], "|"); got != "|||8||" {
		t.Errorf("the upstream alone: %s", got)
	}
}
