package report_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// failingStore is a history with one group of failures.
type failingStore struct {
	history.Store // what no test here asks for

	asked   history.Filter
	closure history.Closure
	err     error
}

var failed = history.Failure{
	ID: 7, App: "erp", Scope: history.Scope{Environment: "online", Tenant: "Cust12345", Connection: 612, Kind: history.Internal}, Outcome: outcome.Error, ErrorCode: "E1",
	First: time.Unix(1, 0), Last: time.Unix(2, 0), Tries: 2, Keys: 3, RequestID: "r",
}

func (s *failingStore) Key() string { return "failing" }

func (s *failingStore) Retention() history.Retention { return history.Retention{} }

func (s *failingStore) Open(context.Context, history.Gateway) (history.Store, error) { return s, nil }
func (s *failingStore) Beat(context.Context, time.Time) error                        { return nil }
func (s *failingStore) Close() error                                                 { return nil }

func (s *failingStore) Failures(_ context.Context, filter history.Filter) ([]history.Failure, error) {
	s.asked = filter
	unknown := failed
	unknown.Outcome, unknown.Reason = outcome.Unknown, "outcome_unknown"
	return []history.Failure{failed, unknown}, s.err
}

func (s *failingStore) CloseFailure(_ context.Context, group int64, closure history.Closure) (history.Failure, error) {
	s.closure = closure
	if group != failed.ID {
		return history.Failure{}, history.ErrNoFailure
	}
	return failed, s.err
}

func TestFailuresAreToldWithWhatToDo(t *testing.T) {
	t.Parallel()
	store, journal := new(failingStore), history.New("node", zap.NewNop())
	d := newDesk(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	if _, err := d.sites.Failures(t.Context(), report.FailuresRequest{}); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("not open: %v", err)
	}
	if err := journal.Open(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(journal.Close)
	connection := int32(612)
	found, err := d.sites.Failures(t.Context(), report.FailuresRequest{Tenant: "cust12345", App: "erp", Connection: &connection, Since: time.Unix(3, 0)})
	if err != nil || len(found.Failures) != 2 || found.More {
		t.Fatalf("%+v, %v", found, err)
	}
	if store.asked.Tenant != "Cust12345" || store.asked.App != "erp" || *store.asked.Connection != 612 || !store.asked.Since.Equal(time.Unix(3, 0)) {
		t.Errorf("asked for %+v", store.asked)
	}
	if f := found.Failures[0]; f.Group != 7 || f.Keys != 3 || f.Tries != 2 || f.Remedy != outcome.Error.Remedy() || f.Tenant != "Cust12345" || f.RequestID != "r" {
		t.Errorf("%+v", f)
	}
	if f := found.Failures[1]; f.Remedy != auth.OutcomeUnknown.Remedy() {
		t.Errorf("%+v", f)
	}
	if _, err := d.sites.Failures(t.Context(), report.FailuresRequest{Tenant: "12345"}); err == nil {
		t.Error("a tenant that is none")
	}
	store.err = errDown
	if _, err := d.sites.Failures(t.Context(), report.FailuresRequest{}); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("an error is no absence: %v", err)
	}
	if _, err := newDesk(t).sites.Failures(t.Context(), report.FailuresRequest{}); statusOf(err) != http.StatusConflict {
		t.Errorf("without history: %v", err)
	}
}

func TestAFailureIsClosedWithWhoAndWhy(t *testing.T) {
	t.Parallel()
	store, journal := new(failingStore), history.New("node", zap.NewNop())
	d := newDesk(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	if err := journal.Open(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(journal.Close)
	by := report.By{Name: "tove", Proof: "unix_peer"}
	done, err := d.sites.CloseFailure(t.Context(), report.CloseFailureRequest{Group: 7, Reason: "repaired"}, by)
	if c := store.closure; err != nil || done.Closed.Group != 7 || c.By != "tove" || c.Proof != "unix_peer" || c.Reason != "repaired" || c.At.IsZero() {
		t.Errorf("%+v, %v, %+v", done, err, c)
	}
	for name, request := range map[string]report.CloseFailureRequest{
		"without a reason": {Group: 7}, "a reason of two lines": {Group: 7, Reason: "a\nb"}, "a long reason": {Group: 7, Reason: strings.Repeat("x", 201)}, "no group": {Reason: "x"},
	} {
		if _, err := d.sites.CloseFailure(t.Context(), request, by); err == nil || statusOf(err) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.sites.CloseFailure(t.Context(), report.CloseFailureRequest{Group: 8, Reason: "x"}, by); statusOf(err) != http.StatusNotFound {
		t.Errorf("no such group: %v", err)
	}
}
