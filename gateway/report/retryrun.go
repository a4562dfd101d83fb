package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

const (
	// longestWait is how long a call waits for its turn: the call before it may take as long.
	longestWait = 30 * time.Minute
	// leastRetryWait is between two attempts at a call that waits for its turn.
	leastRetryWait = time.Second
)

// What came of a planned call.
const (
	retrySucceeded = "succeeded"
	retryAccepted  = "accepted"
	retryFailed    = "failed"
	retryBefore    = "before"
	retryCured     = "cured"
	retryNotMade   = "not_made"
)

// Retry makes the calls of a plan, one after the other, and reports each to emit. The plan is made anew and is the first
// event. It ends after the call that is under way when ctx ends or emit fails, and goes on where it ended when it is asked
// for again: a call that went through no longer fails, and until the history says so its Idempotency-Key does.
//
// An error is returned where nothing was begun; later ones are events.
func (s *Sites) Retry(ctx context.Context, request RetryRequest, by By, emit func(RetryEvent) error) (RetrySummary, error) {
	options, err := request.options()
	if err != nil {
		return RetrySummary{}, err
	}
	plan, calls, err := s.planRetry(ctx, options)
	if err != nil {
		return RetrySummary{}, err
	}
	if options.Plan != "" && options.Plan != plan.Digest {
		return RetrySummary{}, &Error{http.StatusConflict, fmt.Errorf("plan: what fails has changed, and the plan is %s now: look at it again", plan.Digest)}
	}
	journal, _, err := s.journal()
	if err != nil {
		return RetrySummary{}, err
	}
	if health := journal.Health(); !health.Fails.IsZero() {
		return RetrySummary{}, unavailable(fmt.Errorf("the history cannot be written, so that nobody would know what came of the calls: %w", health.Cause))
	}
	r := &retry{sites: s, options: options, by: by, emit: emit, calls: calls, ended: make(map[[3]string]bool), mine: make(map[string]bool)}
	r.summary.Planned = len(calls)
	for _, left := range plan.LeftOut {
		r.summary.LeftOut += max(left.Calls, 1)
	}
	if err := emit(RetryEvent{Plan: &plan}); err == nil {
		r.run(ctx)
	} else {
		r.stop("nobody listens")
	}
	r.summary.NotMade = len(calls) - r.summary.Succeeded - r.summary.Accepted - r.summary.Failed - r.summary.Before - r.summary.Cured
	_ = emit(RetryEvent{Done: &r.summary}) // who left is told nothing
	return r.summary, nil
}

// retry is a second try under way.
type retry struct {
	sites   *Sites
	options retryOptions
	by      By
	emit    func(RetryEvent) error
	calls   []*candidate
	summary RetrySummary

	ended map[[3]string]bool // apps in tenants in which no further calls are made
	mine  map[string]bool    // request ids of calls that were made
}

func (r *retry) stop(why string) { r.summary.Stopped = cmp.Or(r.summary.Stopped, why) }

func (r *retry) run(ctx context.Context) {
	for i, c := range r.calls {
		if r.ended[c.place()] {
			continue
		}
		if r.summary.Sent > 0 && !sleep(ctx, r.options.pause) || ctx.Err() != nil {
			r.stop("interrupted")
			return
		}
		if c.stopping() {
			r.stop("the gateway is stopping")
			return
		}
		done := r.call(ctx, i, c)
		if err := r.emit(RetryEvent{Call: &done}); err != nil {
			r.stop("nobody listens")
		}
		if most := r.options.maxFailures; most > 0 && r.summary.Failed >= most {
			r.stop(fmt.Sprintf("%d calls failed (--max-failures)", r.summary.Failed))
		}
		if r.summary.Stopped != "" {
			return
		}
	}
}

func (c *candidate) place() [3]string { return [3]string{c.Environment, c.App, c.Tenant} }

// stopping reports whether the process takes no new calls.
func (c *candidate) stopping() bool {
	draining := c.site.Platform().Draining
	return draining != nil && draining()
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// call makes one call, after it has waited for its turn.
func (r *retry) call(ctx context.Context, i int, c *candidate) RetriedCall {
	done := RetriedCall{Number: i + 1, Tenant: c.Tenant, Retries: c.RequestID, Keys: c.KeyCount, Result: retryNotMade}
	for until := time.Now().Add(longestWait); ; {
		still, err := r.renew(ctx, c)
		switch {
		case err != nil:
			done.Says = err.Error()
			r.stop("what fails cannot be read: " + err.Error())
			return done
		case !still:
			done.Result, done.Says = retryCured, "it no longer fails, or for another cause"
			r.summary.Cured++
			return done
		case len(c.out) > 0:
			done.Reason, done.Says = c.out[0].Code, c.out[0].Says
			r.tenantWide(c, auth.Reason(c.out[0].Code), done.Says)
			return done
		}
		c.call.Operator, c.call.RequestID = r.by.Name, uuid.NewString()
		began := time.Now()
		result := c.site.ServeOperatorCall(c.call)
		r.mine[c.call.RequestID] = true
		if wait, busy := turn(result); busy && time.Now().Add(wait).Before(until) {
			waiting := RetryWait{Number: done.Number, Tenant: c.Tenant, Reason: string(result.Refusal.Reason), Until: time.Now().Add(wait).UTC().Format(time.RFC3339)}
			if r.emit(RetryEvent{Waiting: &waiting}) != nil || !sleep(ctx, wait) {
				r.stop("interrupted")
				done.Reason, done.Says = string(result.Refusal.Reason), result.Refusal.Detail
				return done
			}
			continue
		}
		done.Duration = time.Since(began).Round(time.Millisecond).String()
		r.judge(c, &done, result)
		return done
	}
}

// renew finds out whether the call fails still, and what keeps it from being made now: much may have happened since the plan.
func (r *retry) renew(ctx context.Context, c *candidate) (still bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	store, err := r.sites.store()
	if err != nil {
		return false, err
	}
	failed, err := store.FailedCalls(ctx, c.group)
	if err != nil && !errors.Is(err, history.ErrNoFailure) {
		return false, err
	}
	at := slices.IndexFunc(failed.Calls, func(other history.FailedCall) bool { return other.RequestID == c.RequestID })
	if at < 0 {
		return false, nil
	}
	c.FailedCall, c.out = failed.Calls[at], nil
	options := r.options
	options.olderThan = longestHold // it was young enough for the plan
	return true, r.sites.judge(ctx, store, []*candidate{c}, options, time.Now(), r.mine)
}

// turn reports whether a call has to wait for its turn, and how long.
func turn(result gateway.OperatorResult) (wait time.Duration, busy bool) {
	if result.Refusal == nil || result.Sent {
		return 0, false
	}
	switch result.Refusal.Reason {
	case auth.RateLimited, auth.TooManyInFlight, auth.CallRunning:
		return max(result.Refusal.RetryAfter, leastRetryWait), true
	}
	return 0, false
}

// judge notes what came of a call.
func (r *retry) judge(c *candidate, done *RetriedCall, result gateway.OperatorResult) {
	done.RequestID, done.Sent = c.call.RequestID, result.Sent
	done.Outcome, done.Cause, done.Code = string(result.Outcome.Class), result.Outcome.Cause, result.Outcome.ErrorCode
	if result.Refusal != nil {
		done.Reason, done.Says = string(result.Refusal.Reason), result.Refusal.Detail
	}
	if result.Sent {
		r.summary.Sent++
	}
	class := result.Outcome.Class
	if !result.Sent && result.Refusal != nil && result.Refusal.Reason == auth.OutcomeUnknown { // of the call that was made before
		result.Before, class = result.Refusal.Running, outcome.Unknown
		done.Outcome = string(class)
	}
	if result.Before != "" {
		done.RequestID, done.Says = result.Before, "it was made before, and is not made again"
	}
	switch {
	case result.Before != "" && history.Closes(class):
		done.Result = retryBefore
		r.summary.Before++
	case history.Closes(class):
		done.Result = retrySucceeded
		r.summary.Succeeded++
	case class == outcome.Accepted:
		done.Result = retryAccepted
		r.summary.Accepted++
	case history.Opens(class):
		done.Result = retryFailed
		r.summary.Failed++
	}
	if result.Refusal == nil {
		return
	}
	switch reason := result.Refusal.Reason; reason {
	case auth.StoreUnavailable, auth.AuditUnavailable, auth.Internal:
		r.stop(string(reason) + ": " + done.Says)
	default:
		r.tenantWide(c, reason, done.Says)
	}
}

// tenantWide makes no further calls in a tenant whose next call would be refused or fail for the same reason.
func (r *retry) tenantWide(c *candidate, reason auth.Reason, says string) {
	switch reason {
	case auth.AgentNotGranted, auth.TenantNotGranted, auth.TenantSuspended, auth.NoSystemToken, auth.SwapUnavailable, auth.OnHold,
		auth.TenantNotRunning, auth.TenantUnknown, auth.StateUnavailable, auth.HostNotTrusted, auth.CredentialUnavailable, auth.CredentialInvalid, auth.ConsentRequired, auth.UpstreamCredentialRefused, auth.UpstreamUnreachable:
	default:
		return
	}
	r.ended[c.place()] = true
	left := 0
	seen := false
	for _, other := range r.calls {
		if seen && other.place() == c.place() {
			left++
		}
		seen = seen || other == c
	}
	_ = r.emit(RetryEvent{Stopped: &RetryStop{Environment: c.Environment, App: c.App, Tenant: c.Tenant, Reason: string(reason), Says: says, NotMade: left}})
}
