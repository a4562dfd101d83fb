package history

import "errors"

// ErrForgetNothing says that a ForgetFilter names no tenant and no environment.
var ErrForgetNothing = errors.New("name the tenant to forget, or onsite the environment")

// ForgetFilter says of whom nothing is to be kept: the tenant, of all environments and apps unless they are named. Onsite there
// are no tenants: the environment must be named.
type ForgetFilter struct {
	Environment, App, Tenant string
	// DryRun counts and removes nothing.
	DryRun bool
}

// Forgotten is how much was removed, or would be.
type Forgotten struct {
	Calls int64
	// Failures are groups, FailingKeys the keys in them, Closures what persons took for settled.
	Failures, FailingKeys, Closures int64
	// Days are of the usage.
	Days int64
}
