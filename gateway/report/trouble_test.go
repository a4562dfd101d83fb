package report_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

func TestStatusSaysWhatIsWrongWithTheStoreAndWhatItMeans(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strict bool
		happen func(*gateway.SharedState)
		what   string
		means  string
	}{
		"well":         {happen: func(*gateway.SharedState) {}},
		"dead":         {happen: func(s *gateway.SharedState) { s.StoreAnswered(false, errDown); s.StoreAnswered(true, errDown) }, what: "store_unavailable", means: "once on each"},
		"strict":       {strict: true, happen: func(s *gateway.SharedState) { s.StoreAnswered(false, errDown) }, what: "store_unavailable", means: "resyncs 503"},
		"full":         {happen: func(s *gateway.SharedState) { s.StoreAnswered(true, errDown); s.StoreAnswered(false, nil) }, what: "store_not_written", means: "nobody can sign in"},
		"full, strict": {strict: true, happen: func(s *gateway.SharedState) { s.StoreAnswered(true, errDown) }, what: "store_not_written", means: "resyncs get 503"},
		"back":         {happen: func(s *gateway.SharedState) { s.StoreAnswered(true, errDown); s.StoreAnswered(true, nil) }},
		"evicting": {happen: func(s *gateway.SharedState) {
			s.StoreEvicts("volatile-lru", 1, nil)
			s.StoreEvicts("volatile-lru", 2, nil)
		}, what: "store_evicts", means: "may run twice"},
		"may evict": {happen: func(s *gateway.SharedState) {
			s.StoreEvicts("volatile-lru", 1, nil)
			s.StoreEvicts("volatile-lru", 1, nil)
		}},
		"silent": {happen: func(s *gateway.SharedState) { s.StoreEvicts("", 0, errors.New("NOPERM")) }},
	} {
		d := newDesk(t, gatewaytest.Configure(func(c *gateway.Config) { c.StrictStore = c.StrictStore || name == "strict" || name == "full, strict" }))
		d.sites.Add(&report.Site{Gateway: d.Gateway, Origin: func() string { return "https://another.example" }}) // the same store is said once
		c.happen(d.State())
		status, err := d.sites.Status(t.Context(), "node", "")
		if err != nil {
			t.Fatal(err)
		}
		switch found := status.Troubles; {
		case c.what == "" && len(found) == 0:
		case len(found) != 1 || found[0].What != c.what || !strings.Contains(found[0].Means, c.means) || found[0].Since == nil || found[0].Remedy == "" || found[0].Cause == "":
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// refusing is a store of a history that cannot be reached.
type refusing struct{ err error }

func (refusing) Key() string                  { return "refusing" }
func (refusing) Retention() history.Retention { return history.Retention{} }
func (r refusing) Open(context.Context, history.Gateway) (history.Store, error) {
	return nil, r.err
}

func TestStatusSaysThatTheHistoryCannotBeWrittenAndThatRowsWereLost(t *testing.T) {
	t.Parallel()
	journal := history.New("node", zap.NewNop())
	d := newDesk(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	d.sites.Add(&report.Site{Gateway: d.Gateway, Origin: func() string { return "https://another.example" }}) // one journal is said once
	troubles := func() []report.Trouble {
		t.Helper()
		status, err := d.sites.Status(t.Context(), "node", "")
		if err != nil {
			t.Fatal(err)
		}
		return status.Troubles
	}
	if found := troubles(); len(found) > 0 {
		t.Errorf("well: %+v", found)
	}
	for d.Resync(d.Service()).Status == 200 && journal.Health().Lost == 0 {
		if journal.Queued() == 0 {
			t.Fatal("calls leave no rows")
		}
		// Calls of their own would take long to fill the queue.
		for range 10_000 {
			journal.Recorder("online").Ended(&outcome.Record{Proved: true})
		}
	}
	if found := troubles(); len(found) != 1 || found[0].What != "history_incomplete" || !strings.Contains(found[0].Means, "rows were lost") || found[0].Since == nil {
		t.Errorf("lost: %+v", found)
	}
	if err := journal.Open(t.Context(), refusing{errDown}); err != nil {
		t.Fatal(err)
	}
	if found := troubles(); len(found) != 1 || found[0].What != "history_not_written" || found[0].Cause != errDown.Error() || found[0].Remedy == "" {
		t.Errorf("down: %+v", found)
	}
}
