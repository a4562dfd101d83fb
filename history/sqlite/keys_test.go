package sqlite

import (
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Many keys are changed with one statement, few with one each: what follows must be the same.
func TestManyKeysFailAndAreClosedAsFewAre(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op  superoffice.Operation
		n   int
		key func(i int) any
	}{
		"few":        {superoffice.ForceResync, fewKeys, func(i int) any { return i }},
		"many":       {superoffice.ForceResync, 10 * fewKeys, func(i int) any { return i }},
		"many names": {superoffice.ForceResyncExternal, 10 * fewKeys, func(i int) any { return string(rune('a' + i)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, calls := openAt(t, newPath(t), thisNode), historytest.NewCalls()
			keys := func(from, to int) (all []any) {
				for i := from; i < to; i++ {
					all = append(all, c.key(i))
				}
				return all
			}
			first, again := calls.Call(c.op, outcome.Error, 612, keys(0, c.n)...), calls.Call(c.op, outcome.Fault, 612, keys(c.n/2, c.n)...)
			half := calls.Call(c.op, outcome.OK, 612, keys(0, c.n/4)...)
			historytest.Write(t, s, again, first, half) // first is older, and takes nothing from again
			failing := map[outcome.Class]int{}
			for _, f := range historytest.Failures(t, s, history.Filter{}) {
				failing[f.Outcome] += f.Keys
			}
			if failing[outcome.Error] != c.n/2-c.n/4 || failing[outcome.Fault] != c.n-c.n/2 {
				t.Errorf("%v", failing)
			}
			historytest.Write(t, s, calls.Call(c.op, outcome.OK, 612, keys(0, c.n)...))
			if left := historytest.Failures(t, s, history.Filter{}); len(left) > 0 {
				t.Errorf("%+v", left)
			}
		})
	}
}
