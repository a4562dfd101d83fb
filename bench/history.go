package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// metric returns what a gateway's metric without labels says.
func (r *room) metric(p process, name string) (float64, error) {
	page, err := r.ask(p, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(page)) {
		if found, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && found == name {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("the gateway has no metric %s", name)
}

// drained returns what waits until a gateway's history has written its rows: the calls of a measurement have then cost all
// that they cost, and nothing of those before them is left.
func (r *room) drained(p process) func() error {
	return func() error {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			queued, err := r.metric(p, "caddy_erpsync_history_rows_queued")
			if err != nil || queued == 0 {
				return err
			}
		}
		return fmt.Errorf("the history writes its rows for longer than a minute: %s", p.logFile)
	}
}

// lost returns how many rows a gateway's history has not written: they cost less than rows that are.
func (r *room) lost(p process) (float64, error) {
	return r.metric(p, "caddy_erpsync_history_rows_lost_total")
}
