package main

import (
	"flag"
	"slices"
	"testing"
)

func TestOnlyTakesEachOfItsValuesAsOneText(t *testing.T) {
	t.Parallel()
	ways := func() []way {
		return []way{{name: plain}, {name: ofSession, beside: plain}, {name: ofJWT, beside: plain}, {name: plainQuiet}, {name: quietSession, beside: plainQuiet}, {name: notOursBefore}}
	}
	for _, c := range []struct {
		arguments []string
		want      []string
	}{
		{nil, []string{plain, ofSession, ofJWT, plainQuiet, quietSession, notOursBefore}},
		{[]string{"-only", ""}, []string{plain, ofSession, ofJWT, plainQuiet, quietSession, notOursBefore}},
		{[]string{"-only", "session, audit log"}, []string{plain, ofSession}},
		{[]string{"-only", "JWT, a", "-only", "session, no"}, []string{plain, ofJWT, plainQuiet, quietSession}},
		{[]string{"-only", "nothing of the kind"}, nil},
	} {
		var only substrings
		flags := flag.NewFlagSet("bench", flag.ContinueOnError)
		flags.Var(&only, "only", "")
		if err := flags.Parse(c.arguments); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range only.choose(ways()) {
			got = append(got, w.name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.arguments, got, c.want)
		}
	}
}
