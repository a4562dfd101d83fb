package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// forgetTimeout bounds the forgetting of a tenant, which may have a million calls.
const forgetTimeout = 10 * time.Minute

// ForgetRequest removes all that the history keeps of a tenant, of all environments and apps unless they are named. Onsite, where
// there are no tenants, the environment must be named.
type ForgetRequest struct {
	Environment string `json:"environment,omitempty"`
	App         string `json:"app,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	// DryRun counts and removes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// Forgotten is how much was removed, or would be.
type Forgotten struct {
	Forgotten string `json:"forgotten"` // who, in words
	Removed   bool   `json:"removed"`   // false for a dry run
	Calls     int64  `json:"calls"`
	// Failures are groups, FailingKeys the keys in them, Closures those that persons closed, Days what was counted.
	Failures    int64 `json:"failures"`
	FailingKeys int64 `json:"failing_keys"`
	Closures    int64 `json:"closures"`
	Days        int64 `json:"days"`
}

// Nothing reports whether the history kept nothing.
func (f *Forgotten) Nothing() bool { return f.Calls+f.Failures+f.FailingKeys+f.Closures+f.Days == 0 }

// Forget removes all that the history keeps of a tenant. After an error part of it is gone; it can be run again.
func (s *Sites) Forget(ctx context.Context, request ForgetRequest) (Forgotten, error) {
	filter := history.ForgetFilter{Environment: request.Environment, App: request.App, DryRun: request.DryRun}
	if request.Tenant != "" {
		tenant, ok := superoffice.ParseTenant(request.Tenant)
		if !ok {
			return Forgotten{}, errTenantForm(request.Tenant)
		}
		filter.Tenant = string(tenant)
	}
	store, err := s.store()
	if err != nil {
		return Forgotten{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, forgetTimeout)
	defer cancel()
	done, err := store.Forget(ctx, filter)
	answer := Forgotten{
		Forgotten: forgottenWho(filter), Removed: err == nil && !request.DryRun,
		Calls: done.Calls, Failures: done.Failures, FailingKeys: done.FailingKeys, Closures: done.Closures, Days: done.Days,
	}
	switch {
	case errors.Is(err, history.ErrForgetNothing):
		return answer, err
	case err != nil && !answer.Nothing():
		return answer, &Error{http.StatusServiceUnavailable, fmt.Errorf("not everything was removed, try again: %w", err)}
	case err != nil:
		return answer, unavailable(err)
	}
	return answer, nil
}

func forgottenWho(f history.ForgetFilter) string {
	who := "tenant " + f.Tenant
	if f.Tenant == "" {
		who = "what has no tenant"
	}
	if f.App != "" {
		who += " of app " + f.App
	}
	if f.Environment != "" {
		who += " in " + f.Environment
	}
	return who
}
