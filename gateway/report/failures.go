package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const failuresTimeout = 20 * time.Second

// store returns the store of the history.
func (s *Sites) store() (history.Store, error) {
	_, store, err := s.journal()
	return store, err
}

// journal returns the history and its store.
func (s *Sites) journal() (*history.Journal, history.Store, error) {
	site := s.Newest()
	if site == nil || site.Platform().History == nil {
		return nil, nil, &Error{http.StatusConflict, errors.New("no history is configured: add history sqlite to the global option erpsync")}
	}
	journal := site.Platform().History
	store, err := journal.Store()
	if err != nil {
		return nil, nil, unavailable(err)
	}
	return journal, store, nil
}

// Failures returns the keys whose last call failed and that no later success covers, by cause.
func (s *Sites) Failures(ctx context.Context, request FailuresRequest) (Failures, error) {
	filter := history.Filter{App: request.App, Connection: request.Connection, Since: request.Since}
	if request.Tenant != "" {
		tenant, ok := superoffice.ParseTenant(request.Tenant)
		if !ok {
			return Failures{}, errTenantForm(request.Tenant)
		}
		filter.Tenant = string(tenant)
	}
	store, err := s.store()
	if err != nil {
		return Failures{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, failuresTimeout)
	defer cancel()
	found, err := store.Failures(ctx, filter)
	if err != nil {
		return Failures{}, unavailable(err)
	}
	answer := Failures{Failures: make([]Failure, 0, len(found)), More: len(found) == history.MaxFailures}
	for _, f := range found {
		answer.Failures = append(answer.Failures, failureOf(f))
	}
	return answer, nil
}

// CloseFailure takes a group of failures for settled.
func (s *Sites) CloseFailure(ctx context.Context, request CloseFailureRequest, by By) (FailureClosed, error) {
	if request.Reason == "" || len(request.Reason) > maxReason || strings.ContainsFunc(request.Reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return FailureClosed{}, fmt.Errorf("reason: is needed, for who looks later: one line of at most %d bytes", maxReason)
	}
	if request.Group <= 0 {
		return FailureClosed{}, errors.New("group: want the number of a group, as failures lists it")
	}
	store, err := s.store()
	if err != nil {
		return FailureClosed{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, failuresTimeout)
	defer cancel()
	closed, err := store.CloseFailure(ctx, request.Group, history.Closure{By: by.Name, Proof: by.Proof, Reason: request.Reason, At: time.Now()})
	switch {
	case errors.Is(err, history.ErrNoFailure):
		return FailureClosed{}, notFound("group %d: %v", request.Group, err)
	case err != nil:
		return FailureClosed{}, unavailable(err)
	}
	return FailureClosed{failureOf(closed)}, nil
}

func failureOf(f history.Failure) Failure {
	return Failure{
		Group: f.ID, Environment: f.Environment, App: f.App, Tenant: f.Tenant, Connection: f.Connection, Kind: string(f.Kind), ActorType: f.ActorType, NoBlankValues: f.NoBlankValues,
		Outcome: string(f.Outcome), Cause: f.OutcomeCause, ErrorCode: f.ErrorCode, Reason: f.Reason, Keys: f.Keys, Everything: f.Everything, Tries: f.Tries, First: f.First.UTC(), Last: f.Last.UTC(), RequestID: f.RequestID,
		Remedy: cmp.Or(auth.Reason(f.Reason).Remedy(), f.Outcome.Remedy()),
	}
}
