package superoffice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/bounded"
	"golang.org/x/sync/singleflight"
)

const (
	// What the state service says is believed for at least a few seconds and
	// at most a day, whatever ValidUntil it names.
	minStateAge = 10 * time.Second
	maxStateAge = 24 * time.Hour

	// renewAhead is the part of an answer's lifetime in which it is asked for
	// again beside the request that noticed.
	renewAhead = 0.2

	// failureAge is how long a failure of the state service is remembered, so
	// that a service that is down costs one time-out and not one for each caller.
	failureAge = 2 * time.Second

	stateTimeout   = 10 * time.Second
	maxStateAnswer = 64 << 10
)

// ErrStateUnavailable means that the state service gave no usable answer and
// that nothing is known from before.
var ErrStateUnavailable = errors.New("the tenant state service gave no answer")

// ErrTenantUnknown means that SuperOffice knows no such tenant in this environment.
var ErrTenantUnknown = errors.New("no such tenant in this environment")

// HostNotTrustedError means that a tenant's API is said to live where the
// gateway must not send anything.
type HostNotTrustedError struct{ cause error }

func (e *HostNotTrustedError) Error() string { return "host not trusted: " + e.cause.Error() }

// NotRunningError means that a tenant is stopped, suspended or in maintenance.
type NotRunningError struct{ State string }

func (e *NotRunningError) Error() string { return "the tenant's state is " + e.State }

// Locator finds out where tenants live and remembers it until the answer's
// ValidUntil. When the state service is down the last answer is used: a tenant
// that moved meanwhile answers 421, and then Moved forgets it.
type Locator struct {
	env    Environment
	client *http.Client
	now    func() time.Time

	flight singleflight.Group
	mu     sync.Mutex
	known  *bounded.Map[Tenant, *located] // bounded: with tenant *, callers make tenants up
}

type located struct {
	api        string // trusted, "" if err
	state      string // "" if nothing was told
	err        error
	stale      bool // nothing newer could be had when it was asked for last
	until      time.Time
	renewAfter time.Time
}

// maxKnown is how many tenants' hosts are remembered at least.
const maxKnown = 20_000

// NewLocator makes a locator that asks env's state service through client,
// whose redirects must be off. A nil now is the system's clock.
func NewLocator(env Environment, client *http.Client, now func() time.Time) *Locator {
	if now == nil {
		now = time.Now
	}
	return &Locator{env: env, client: client, now: now, known: bounded.NewMap[Tenant, *located](maxKnown)}
}

// Locate returns the tenant's WebAPI, for example https://sod3.superoffice.com/Cust12345/api.
// Errors: *NotRunningError, *HostNotTrustedError, ErrTenantUnknown, ErrStateUnavailable or the context's.
func (l *Locator) Locate(ctx context.Context, tenant Tenant) (api string, err error) {
	last := l.last(tenant)
	now := l.now()
	if last != nil && now.Before(last.until) {
		if now.After(last.renewAfter) {
			go l.ask(context.WithoutCancel(ctx), tenant)
		}
		return last.api, last.err
	}
	select {
	case fresh := <-l.ask(context.WithoutCancel(ctx), tenant):
		answer := fresh.Val.(*located)
		return answer.api, answer.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// last returns what is known of a tenant; nil if nothing is.
func (l *Locator) last(tenant Tenant) *located {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, _ := l.known.Get(tenant)
	return last
}

// Location is what was told of where a tenant lives.
type Location struct {
	API   string // trusted, "" if Err
	State string // "" where none was told
	Err   error  // as Locate's
	// Stale reports that the state service gave no answer when it was asked last, so that this is from before.
	Stale bool
}

func (l *located) location() Location { return Location{l.api, l.state, l.err, l.stale} }

// Known returns what is known of a tenant without asking; false: nothing is.
func (l *Locator) Known(tenant Tenant) (Location, bool) {
	last := l.last(tenant)
	if last == nil {
		return Location{}, false
	}
	return last.location(), true
}

// Ask is Locate for somebody who wants the state service's word now, whatever is known.
func (l *Locator) Ask(ctx context.Context, tenant Tenant) Location {
	select {
	case fresh := <-l.ask(context.WithoutCancel(ctx), tenant):
		return fresh.Val.(*located).location()
	case <-ctx.Done():
		return Location{Err: ctx.Err()}
	}
}

// Moved forgets where the tenant lives if that is still api: the host at api
// answered that it is not the tenant's.
func (l *Locator) Moved(tenant Tenant, api string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, _ := l.known.Get(tenant); last != nil && last.api == api {
		l.known.Delete(tenant)
	}
}

// ask runs one request per tenant at a time, for all who wait.
func (l *Locator) ask(ctx context.Context, tenant Tenant) <-chan singleflight.Result {
	return l.flight.DoChan(string(tenant), func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, stateTimeout)
		defer cancel()
		answer := l.resolve(ctx, tenant)
		l.mu.Lock()
		defer l.mu.Unlock()
		last, _ := l.known.Get(tenant)
		if errors.Is(answer.err, ErrStateUnavailable) && last != nil && !errors.Is(last.err, ErrStateUnavailable) {
			answer = &located{api: last.api, state: last.state, err: last.err, stale: true, until: answer.until, renewAfter: answer.until}
		}
		l.known.Set(tenant, answer)
		return answer, nil
	})
}

func (l *Locator) resolve(ctx context.Context, tenant Tenant) *located {
	now := l.now()
	state, err := l.fetch(ctx, tenant)
	if err != nil {
		until := now.Add(failureAge)
		return &located{err: err, until: until, renewAfter: until}
	}
	age := min(max(state.ValidUntil.Sub(now), minStateAge), maxStateAge)
	answer := &located{state: state.State, until: now.Add(age), renewAfter: now.Add(age - time.Duration(float64(age)*renewAhead))}
	switch {
	case state.Tenant != tenant:
		answer.err = &HostNotTrustedError{fmt.Errorf("the answer is about %s", state.Tenant)}
	case !state.Running:
		answer.err = &NotRunningError{state.State}
		// A tenant that starts again should not have to wait for a long ValidUntil.
		answer.until = now.Add(minStateAge)
		answer.renewAfter = answer.until
	default:
		if answer.api, err = l.env.Trusts(state.API, tenant); err != nil {
			answer.err = &HostNotTrustedError{err}
		}
	}
	return answer
}

func (l *Locator) fetch(ctx context.Context, tenant Tenant) (TenantState, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.env.Base()+"/api/state/"+string(tenant), nil)
	if err != nil {
		return TenantState{}, fmt.Errorf("%w: %w", ErrStateUnavailable, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return TenantState{}, fmt.Errorf("%w: %w", ErrStateUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStateAnswer))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return TenantState{}, ErrTenantUnknown
	case err != nil:
		return TenantState{}, fmt.Errorf("%w: %w", ErrStateUnavailable, err)
	case resp.StatusCode != http.StatusOK:
		return TenantState{}, fmt.Errorf("%w: HTTP %d", ErrStateUnavailable, resp.StatusCode)
	}
	state, err := ParseTenantState(body)
	if err != nil {
		return TenantState{}, fmt.Errorf("%w: %w", ErrStateUnavailable, err)
	}
	return state, nil
}
