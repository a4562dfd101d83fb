package sqlite

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

// ahead is a database whose clock is ahead of the gateway's.
type ahead struct {
	dialect
	by time.Duration
}

func (a ahead) Ahead(*sqlstore.Tx) (time.Duration, error) { return a.by, nil }

// Two gateways of one history may have clocks that differ by more than a call may last.
func TestAGatewayWhoseClockIsWrongTakesNoOtherForSilent(t *testing.T) {
	t.Parallel()
	path, wrong := newPath(t), 3*history.LongestCall
	right, late := openAt(t, path, thisNode), openAt(t, path, history.Gateway{Node: "late"})
	late.Dialect = ahead{by: wrong} // its own clock is that much behind
	historytest.Write(t, right, historytest.Began("right", time.Now()))
	historytest.Write(t, late, historytest.Began("late", time.Now().Add(-wrong)))
	for range 2 {
		for s, now := range map[*store]time.Time{right: time.Now(), late: time.Now().Add(-wrong)} {
			if err := s.Beat(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := became(t, right, "right"), became(t, right, "late"); a != "open" || b != "open" {
		t.Errorf("%s, %s", a, b)
	}
}
