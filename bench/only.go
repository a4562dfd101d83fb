package main

import (
	"slices"
	"strings"
)

// substrings is a flag that may be repeated. Each value is one whole substring: names of ways have commas in them.
type substrings []string

func (s *substrings) String() string { return strings.Join(*s, "; ") }

// Set appends a value. An empty one is ignored: it would match every name.
func (s *substrings) Set(value string) error {
	if value != "" {
		*s = append(*s, value)
	}
	return nil
}

// match reports whether a name contains one of the substrings, or there are none.
func (s substrings) match(name string) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(part string) bool { return strings.Contains(name, part) })
}

// choose returns the ways whose names match, and those that they are compared with.
func (s substrings) choose(ways []way) []way {
	keep := make(map[string]bool)
	// What a way is compared with stands before it.
	for _, w := range slices.Backward(ways) {
		if keep[w.name] || s.match(w.name) {
			keep[w.name], keep[w.beside] = true, true
		}
	}
	return slices.DeleteFunc(ways, func(w way) bool { return !keep[w.name] })
}
