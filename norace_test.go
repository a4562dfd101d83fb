//go:build !race

package erpsync

// underRace tells that the race detector is at work, which allocates too.
const underRace = false
