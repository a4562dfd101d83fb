package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is Linux's unit of process times.
const clockTick = 10 * time.Millisecond

// stat is one process as /proc shows it.
type stat struct {
	pid, parent int
	// ticks are those that it used in user and system mode, and those of its children that are over.
	ticks int
}

// parseStat reads /proc/<pid>/stat. The program's name is in parentheses and may have anything in it.
func parseStat(raw string) (s stat, ok bool) {
	end := strings.LastIndex(raw, ")")
	if end < 0 {
		return s, false
	}
	pid, _, _ := strings.Cut(raw, " ")
	fields := strings.Fields(raw[end+1:])
	if len(fields) < 15 {
		return s, false
	}
	numbers := make([]int, 0, 6)
	for _, field := range append([]string{pid, fields[1]}, fields[11:15]...) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return s, false
		}
		numbers = append(numbers, n)
	}
	return stat{numbers[0], numbers[1], numbers[2] + numbers[3] + numbers[4] + numbers[5]}, true
}

// treeTicks adds up what a process and all below it used.
func treeTicks(all []stat, root int) (ticks int, found bool) {
	below := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, s := range all {
			if below[s.parent] && !below[s.pid] {
				below[s.pid], grown = true, true
			}
		}
	}
	for _, s := range all {
		if below[s.pid] {
			ticks += s.ticks
			found = found || s.pid == root
		}
	}
	return ticks, found
}

// cpuTime is what the process and its children have used of the CPU, in user and system mode.
func (p process) cpuTime() (time.Duration, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var all []stat
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			continue // it ended meanwhile; its parent has its time
		}
		if s, ok := parseStat(string(raw)); ok {
			all = append(all, s)
		}
	}
	ticks, found := treeTicks(all, p.pid)
	if !found {
		return 0, fmt.Errorf("process %d is not there", p.pid)
	}
	return time.Duration(ticks) * clockTick, nil
}
