package gateway

import (
	"regexp"
	"strconv"
	"testing"
)

func TestTheCopyOfTheHoldsHasANameThatEveryStorageTakes(t *testing.T) {
	t.Parallel()
	plain, seen := regexp.MustCompile(`^erpsync/holds/[0-9a-f]{64}$`), make(map[string]bool)
	for i := range 100 {
		g := &Gateway{config: Config{Upstream: "http://upstream.example:" + strconv.Itoa(i)}, state: new(SharedState)}
		if path := g.holdsPath(); !plain.MatchString(path) || seen[path] {
			t.Errorf("%q", path)
		} else {
			seen[path] = true
		}
	}
}
