package historytest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// lastCalls returns the calls of every group: request id and how many of its keys fail because of it, and at the end the
// keys whose call is gone.
func lastCalls(t *testing.T, s *Store) (all []string) {
	t.Helper()
	for _, f := range Failures(t, s, history.Filter{}) {
		failed, err := s.FailedCalls(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if failed.ID != f.ID || failed.Scope != f.Scope || failed.Keys != f.Keys {
			t.Errorf("%+v, want %+v", failed.Failure, f)
		}
		for _, call := range failed.Calls {
			all = append(all, fmt.Sprintf("%s:%d", call.RequestID, call.Failing))
		}
		if failed.Lost > 0 {
			all = append(all, fmt.Sprintf("lost:%d", failed.Lost))
		}
	}
	return all
}

func theLastCallsOfFailingKeysAreFoundWithTheirWholeKeySets(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	const full, external = superoffice.ForceResync, superoffice.ForceResyncExternal
	first := c.Call(full, outcome.Error, 612, 1, 2, 3)
	first.Scheme, first.Credential, first.Principal, first.Stated, first.Retries = "jwt", "system soticket", "iss#sub", superoffice.ConnectionProperty|superoffice.InternalKeysProperty, "before"
	Write(t, s, first, c.Call(full, outcome.Error, 612, 3, 4), c.Call(external, outcome.Error, 612, "1", "x"), c.Call(full, outcome.Error, 612))
	Write(t, s, c.Call(full, outcome.OK, 0, 1, 2, 3, 4)) // closes nothing in the other direction
	if all := lastCalls(t, s); !slices.Equal(all, []string{"1:2", "2:2", "4:1", "3:2"}) {
		t.Fatalf("%v", all)
	}
	failed, err := s.FailedCalls(t.Context(), Failures(t, s, history.Filter{})[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	got := failed.Calls[0].Row
	want := first
	want.Retries, want.Cause = "", ""
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	// One key is cured, one fails for another cause, and the call of two is gone.
	other := c.Call(full, outcome.Fault, 612, 2)
	Write(t, s, c.Call(full, outcome.OK, 612, 1), other)
	if all := lastCalls(t, s); !slices.Equal(all, []string{other.RequestID + ":1", "2:2", "4:1", "3:2"}) {
		t.Errorf("%v", all)
	}
	if _, err := s.at.DB().ExecContext(t.Context(), "DELETE FROM calls WHERE request_id = '2'"); err != nil {
		t.Fatal(err)
	}
	if all := lastCalls(t, s); !slices.Equal(all, []string{other.RequestID + ":1", "4:1", "lost:2", "3:2"}) {
		t.Errorf("%v", all)
	}
	if _, err := s.FailedCalls(t.Context(), 999); !errors.Is(err, history.ErrNoFailure) {
		t.Errorf("no such group: %v", err)
	}
}

func ofTwoCallsThatEndedTogetherTheLastThatBeganHasTheKey(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	a, b := c.Call(superoffice.ForceResync, outcome.Error, 612, 1, 2), c.Call(superoffice.ForceResync, outcome.Error, 612, 2, 3)
	elsewhere := c.Call(superoffice.ForceResync, outcome.Error, 612, 2, 3)
	elsewhere.Tenant = "Cust54321"
	a.Ended, elsewhere.Ended = b.Ended, b.Ended
	Write(t, s, a, b, elsewhere)
	if all := lastCalls(t, s); !slices.Equal(all, []string{"2:2", "1:1", "3:2"}) {
		t.Errorf("%v", all)
	}
}

func whatWasSentSinceIsFoundWhateverItCameTo(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	before := c.Call(superoffice.ForceResync, outcome.OK, 612, 1)
	since := c.At.Add(2 * time.Minute)
	rows := []history.Row{before}
	want := []string{}
	for _, class := range outcome.Classes() {
		r := c.Call(superoffice.ForceResync, class, 0, 1)
		if rows = append(rows, r); class != outcome.Unreachable {
			want = append(want, r.RequestID)
		}
	}
	open := c.Call(superoffice.ForceResync, "", 0, 1)
	open.Ended = time.Time{}
	abandoned := c.Call(superoffice.ForceResync, outcome.Unknown, 0, 1)
	abandoned.Sends, abandoned.OutcomeCause = 0, history.NoEnd
	refused := c.Call(superoffice.ForceResync, "", 0, 1)
	refused.Sent = time.Time{}
	tenant, environment := c.Call(superoffice.ForceResync, outcome.OK, 0, 1), c.Call(superoffice.ForceResync, outcome.OK, 0, 1)
	tenant.Tenant, environment.Environment = "Cust54321", "sod"
	Write(t, s, append(rows, open, abandoned, refused, tenant, environment)...)
	want = append(want, open.RequestID, abandoned.RequestID)
	var got []string
	if err := s.SentSince(t.Context(), "online", "Cust12345", since, func(r *history.Row) error {
		got = append(got, r.RequestID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	broken := errors.New("enough")
	if err := s.SentSince(t.Context(), "online", "Cust12345", since, func(*history.Row) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
