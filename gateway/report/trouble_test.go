package report_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
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
