package main

import "testing"

func TestTheTimeOfAProcessIsThatOfItsTree(t *testing.T) {
	t.Parallel()
	var all []stat
	for _, raw := range []string{
		"100 (nginx: m) x (1)) S 1 100 100 0 -1 4194560 1 2 3 4 10 20 3 4 20 0 1 0 5 6 7",
		"103 (worker) S 102 100 100 0 -1 4194560 1 2 3 4 1000 0 0 0 20 0 1 0 5 6 7", // below one that comes after it
		"102 (worker) S 100 100 100 0 -1 4194560 1 2 3 4 100 200 0 0 20 0 1 0 5 6 7",
		"200 (other) S 1 100 100 0 -1 4194560 1 2 3 4 5000 0 0 0 20 0 1 0 5 6 7",
	} {
		s, ok := parseStat(raw)
		if !ok {
			t.Fatalf("%s is not read", raw)
		}
		all = append(all, s)
	}
	if ticks, found := treeTicks(all, 100); !found || ticks != 1337 {
		t.Errorf("%d %t, want 1337", ticks, found)
	}
	if ticks, found := treeTicks(all, 102); !found || ticks != 1300 {
		t.Errorf("%d %t, want 1300", ticks, found)
	}
	if _, found := treeTicks(all, 1); found {
		t.Error("a process that is not there is found")
	}
	for _, raw := range []string{"", "1 (x", "1 (x) S 1", "1 (x) S 1 1 1 0 -1 0 1 2 3 4 a 0 0 0 0 0"} {
		if _, ok := parseStat(raw); ok {
			t.Errorf("%q is read", raw)
		}
	}
}
