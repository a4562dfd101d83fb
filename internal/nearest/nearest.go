// Package nearest finds the word that a misspelled one was probably meant to be.
package nearest

import "strings"

// Word returns the word of known that is nearest to word, compared without case. It returns "" if
// none is near: at most a third of the letters may differ, and at least one must not.
func Word(word string, known []string) string {
	best, least := "", max(len(word)/3, 1)+1
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < least && d < len(candidate) {
			best, least = candidate, d
		}
	}
	return best
}

// Hint returns a sentence part that offers the nearest word, or "" if none is near.
func Hint(word string, known []string) string {
	if w := Word(word, known); w != "" {
		return "; did you mean " + w + "?"
	}
	return ""
}

// distance is the number of bytes that have to be inserted, deleted, replaced or swapped with
// their neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
