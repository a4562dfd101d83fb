package erpsync

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"testing"
)

// allocationsFile holds how often each stage may allocate for one call.
const allocationsFile = "testdata/allocations.json"

// TestNoStageAllocatesMoreThanIsStored compares each stage with what is stored. Times depend on the machine,
// allocations do not. After a change that is meant: make allocations.
func TestNoStageAllocatesMoreThanIsStored(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too: make test runs this once more without it")
	}
	// A collection in the middle would empty pools, and what is taken anew then would count.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	measured := make(map[string]int)
	for _, s := range stages(t) {
		s.do()
		measured[s.name] = leastAllocations(s.do)
	}
	if *update {
		raw, err := json.MarshalIndent(measured, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		write(t, allocationsFile, string(raw)+"\n")
		return
	}
	raw, err := os.ReadFile(allocationsFile)
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]int
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	for name, n := range measured {
		most, ok := stored[name]
		switch {
		case !ok:
			t.Errorf("%s allocates %d times and nothing is stored for it: make allocations", name, n)
		case n > most:
			t.Errorf("%s allocates %d times, stored are %d. If that is meant: make allocations, and say why in the commit", name, n, most)
		case n < most:
			t.Logf("%s allocates %d times, stored are %d: make allocations, so that it stays so", name, n, most)
		}
	}
	for name := range stored {
		if _, ok := measured[name]; !ok {
			t.Errorf("%s is stored and there is no such stage: make allocations", name)
		}
	}
}

// leastAllocations is how often do allocates by itself: what the process does beside it counts in some of the rounds only.
func leastAllocations(do func()) int {
	least := testing.AllocsPerRun(50, do)
	for range 9 {
		least = min(least, testing.AllocsPerRun(50, do))
	}
	return int(least)
}
