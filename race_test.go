//go:build race

package erpsync

// underRace reports whether the race detector is at work, which allocates too.
const underRace = true
