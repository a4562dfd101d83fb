package history

import (
	"context"
	"errors"
	"time"
)

// Driver opens the store of a history. It is what a Caddy module of the namespace erpsync.history is.
type Driver interface {
	// Key identifies the store, with what it is and never with its tunables: drivers with one key mean the same rows.
	Key() string
	// Open opens the store and brings its schema up to date. An error that is ErrRefused is for good, any other may pass.
	Open(ctx context.Context, gateway Gateway) (Store, error)
	// Retention says how much is kept.
	Retention() Retention
}

// Gateway names the process that writes.
type Gateway struct {
	// Node is the same after a restart.
	Node string
	// Started is when the process began to write.
	Started time.Time
}

// Retention bounds a history. Zero bounds nothing.
type Retention struct {
	Keep time.Duration
	// MaxSize is in bytes.
	MaxSize int64
}

// Store keeps rows. Its methods may be called concurrently.
type Store interface {
	// Write commits rows, all of them or none. A row replaces an earlier one of the same call unless that one has its end
	// already. An error that is ErrNeverWritten is the rows' own fault, any other may pass.
	Write(ctx context.Context, rows []Row) error
	// Beat notes that this gateway lives, and makes calls unknown whose end nobody will write. It fails with ErrGone if the store
	// was moved or removed.
	Beat(ctx context.Context, now time.Time) error
	// Trim removes a few of the rows that are too many, the oldest first, and reports whether there are more.
	Trim(ctx context.Context, now time.Time, retention Retention) (more bool, err error)
	// Import is Write for calls of another time, and returns how many rows were taken: a call that has its end already stays.
	Import(ctx context.Context, rows []Row) (taken int, err error)
	// Failures returns what fails, the last seen first, and at most MaxFailures of it.
	Failures(ctx context.Context, filter Filter) ([]Failure, error)
	// CloseFailure takes a group for settled by a person, and returns it; ErrNoFailure if there is none.
	CloseFailure(ctx context.Context, group int64, closure Closure) (Failure, error)
	// FailedCalls returns a group with the last calls of its keys; ErrNoFailure if there is none.
	FailedCalls(ctx context.Context, group int64) (Failed, error)
	// SentSince has each take the calls of a tenant that began at that time or later and were sent, those under way too, in any
	// order. It ends with the first error of each.
	SentSince(ctx context.Context, environment, tenant string, since time.Time, each func(*Row) error) error
	// Calls returns a page of calls, the one that began last first. It fails with ErrNoCall if the call after which the page begins
	// is no longer there.
	Calls(ctx context.Context, filter CallFilter) (Page, error)
	// Usage returns what was called for whom, by day or altogether.
	Usage(ctx context.Context, filter UsageFilter) (Usages, error)
	// Tenants returns a page of tenants, and how they are.
	Tenants(ctx context.Context, filter TenantFilter) (TenantPage, error)
	// Forget removes all that is kept of a tenant, in steps between which others may write: after an error some of it is gone, and
	// the result says how much. A call that is not over yet comes back with its end.
	Forget(ctx context.Context, filter ForgetFilter) (Forgotten, error)
	// Close writes nothing more.
	Close() error
}

var (
	// ErrRefused says that a store must not be used: its schema is newer, or it lies where it would break.
	ErrRefused = errors.New("the history cannot be used")
	// ErrNeverWritten says that a row can never be written, however often it is tried.
	ErrNeverWritten = errors.New("the row cannot be written")
	// ErrGone says that nobody would find what is written: the store has to be opened anew.
	ErrGone = errors.New("the history is no longer where it was opened")
)

// LongestCall is longer than a call may last from when it is sent to the end of its answer.
const LongestCall = 25 * time.Minute
