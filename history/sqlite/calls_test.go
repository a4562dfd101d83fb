package sqlite

import (
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestASearchForAKeySaysWhenItEndedEarly(t *testing.T) {
	t.Parallel()
	s, c := openAt(t, newPath(t), thisNode), historytest.NewCalls()
	wanted := c.Call(superoffice.ForceResync, outcome.OK, 612, 77)
	rows := []history.Row{wanted}
	s.MostScanned = 50
	for range 51 {
		rows = append(rows, c.Call(superoffice.ForceResync, outcome.OK, 612, 1))
	}
	historytest.Write(t, s, rows...)
	page, err := s.Calls(t.Context(), history.CallFilter{Key: "77"})
	if err != nil || len(page.Calls) != 0 || !page.Bounded || page.Next == 0 {
		t.Fatalf("%d calls, bounded %t, next %d, %v", len(page.Calls), page.Bounded, page.Next, err)
	}
	page, err = s.Calls(t.Context(), history.CallFilter{Key: "77", Before: page.Next})
	if err != nil || len(page.Calls) != 1 || page.Bounded || page.Next != 0 {
		t.Errorf("%d calls, bounded %t, next %d, %v", len(page.Calls), page.Bounded, page.Next, err)
	}
}
