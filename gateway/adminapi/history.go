package adminapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// historyQuery are the words that a question for calls may have. A word that is not among them is refused: a filter with a slip of
// the pen must not return everything.
var historyQuery = []string{"tenant", "connection", "app", "environment", "key", "everything", "outcome", "decision", "reason", "principal", "request_id", "since", "until", "keys", "before", "limit"}

// history reads what is asked for.
func (a API) history(r *http.Request) (report.HistoryPage, error) {
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains(historyQuery, name) {
			return report.HistoryPage{}, fmt.Errorf("%q: unknown; want %s", name, strings.Join(historyQuery, ", "))
		}
	}
	wanted := report.HistoryRequest{
		Environment: query.Get("environment"), App: query.Get("app"), Tenant: query.Get("tenant"), RequestID: query.Get("request_id"), Principal: query.Get("principal"),
		Key: query.Get("key"), Decision: query.Get("decision"), Reason: query.Get("reason"), Outcomes: query["outcome"],
	}
	p := parser{query: query}
	if n, found := p.number("connection", 32); found {
		connection := int32(n) //nolint:gosec // it has 32 bits
		wanted.Connection = &connection
	}
	wanted.Before, _ = p.number("before", 64)
	limit, _ := p.number("limit", 32)
	wanted.Limit = int(limit)
	wanted.Since, wanted.Until = p.moment("since"), p.moment("until")
	wanted.OrEverything, wanted.Keys = p.yes("everything"), p.yes("keys")
	if p.err != nil {
		return report.HistoryPage{}, p.err
	}
	return a.Sites.History(r.Context(), wanted)
}

// parser reads the words of a query that are no texts, and keeps the first error.
type parser struct {
	query url.Values
	err   error
}

func (p *parser) fail(name, want string) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: want %s", name, want)
	}
}

// number reads a number; false if it is not there.
func (p *parser) number(name string, bits int) (n int64, found bool) {
	raw := p.query.Get(name)
	if raw == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(raw, 10, bits)
	if err != nil {
		p.fail(name, "a number")
	}
	return n, err == nil
}

// moment reads a time; zero if it is not there.
func (p *parser) moment(name string) (t time.Time) {
	raw := p.query.Get(name)
	if raw == "" {
		return t
	}
	t, err := time.Parse(time.RFC3339, raw)
	if err != nil {
		p.fail(name, "a time such as 2026-11-24T08:00:00Z")
	}
	return t
}

// yes reads true or false; false if it is not there.
func (p *parser) yes(name string) bool {
	raw := p.query.Get(name)
	if raw == "" {
		return false
	}
	yes, err := strconv.ParseBool(raw)
	if err != nil {
		p.fail(name, "true or false")
	}
	return yes
}
