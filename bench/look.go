package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// look writes the profiles and traces that are asked for, before anything is measured.
func (r *room) look(ways []way) error {
	for _, w := range ways {
		if w.process.admin == "" {
			continue // no Caddy
		}
		if r.profiles != "" {
			seconds := math.Ceil(r.long.Seconds()) * float64(max(w.times, 1))
			if err := r.lookAt(w, 0, seconds, "profile", filepath.Join(r.profiles, fileName(w.name)+".pprof")); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		if r.traces != "" {
			if err := r.lookAt(w, 1000, 2, "trace", filepath.Join(r.traces, fileName(w.name)+".trace")); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return nil
}

// lookAt writes a profile of the way's process while it is under load; a rate of 0 saturates it.
func (r *room) lookAt(w way, rate int, seconds float64, what, file string) error {
	loaded := make(chan error, 1)
	go func() {
		_, err := r.load(w, loadJob{Connections: connections, Seconds: seconds + 0.5, Rate: rate})
		loaded <- err
	}()
	raw, err := r.ask(w.process, fmt.Sprintf("/debug/pprof/%s?seconds=%.0f", what, seconds))
	if err = errors.Join(err, <-loaded); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// fileName is a way's name as that of a file.
func fileName(name string) string {
	return strings.NewReplacer(" ", "-", ",", "", ":", "", "(", "", ")", "", "/", "", "'", "").Replace(name)
}
