package console

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// freshFor is how long an answer about all tenants is used again: with ten thousand of them it costs more than a page may.
const freshFor = 2 * time.Second

// staleFor is how long an answer is given again while the next one is asked for beside it, and monthStaleFor the same of the calls of a
// month, of which a few more or less change no view. Pages that follow ask all the time, so that theirs is never older than freshFor.
const (
	staleFor      = 10 * time.Second
	monthFreshFor = time.Minute
	monthStaleFor = 10 * time.Minute
)

// known keeps what was last known of all tenants, for all viewers. Scopes take from it what one may see, and change nothing in it.
type known struct {
	source   Source
	statuses cached[report.Status]
	fails    cached[report.Failures]
	months   cached[[]Usage]
}

func (k *known) status(ctx context.Context) (report.Status, error) {
	return k.statuses.get(ctx, freshFor, staleFor, k.source.Status)
}

func (k *known) failures(ctx context.Context) (report.Failures, error) {
	return k.fails.get(ctx, freshFor, staleFor, func(ctx context.Context) (report.Failures, error) {
		return k.source.Failures(ctx, report.FailuresRequest{})
	})
}

// month returns the calls of the last 30 days, summed up.
func (k *known) month(ctx context.Context) ([]Usage, error) {
	return k.months.get(ctx, monthFreshFor, monthStaleFor, func(ctx context.Context) ([]Usage, error) {
		kept, err := k.source.History()
		if err != nil {
			return nil, err
		}
		filter := lastDays(30, time.Now())
		filter.Whole = true
		return kept.Usage(ctx, filter)
	})
}

// cached keeps one answer for a short time. An error is not kept.
type cached[T any] struct {
	mu     sync.Mutex // of who asks
	kept   sync.Mutex // of the rest
	at     time.Time
	value  T
	asking bool // beside the pages
}

// get returns the answer, which one caller at a time asks for; the others wait for it, or take the last one while it is not stale.
func (c *cached[T]) get(ctx context.Context, fresh, stale time.Duration, ask func(context.Context) (T, error)) (T, error) {
	if value, age := c.last(); age < fresh {
		return value, nil
	} else if age < stale {
		c.refresh(ask)
		return value, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if value, age := c.last(); age < fresh { // who waited has its answer
		return value, nil
	}
	return c.ask(ctx, ask)
}

// last returns the last answer and its age, which is endless if there is none.
func (c *cached[T]) last() (value T, age time.Duration) {
	c.kept.Lock()
	defer c.kept.Unlock()
	if c.at.IsZero() {
		return value, math.MaxInt64
	}
	return c.value, time.Since(c.at)
}

func (c *cached[T]) ask(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	value, err := ask(ctx)
	if err == nil {
		c.kept.Lock()
		defer c.kept.Unlock()
		c.value, c.at = value, time.Now()
	}
	return value, err
}

// refresh asks beside the pages, once at a time. An error leaves the last answer, until it is stale.
func (c *cached[T]) refresh(ask func(context.Context) (T, error)) {
	c.kept.Lock()
	defer c.kept.Unlock()
	if c.asking {
		return
	}
	c.asking = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), pageTimeout)
		defer cancel()
		_, _ = c.ask(ctx, ask)
		c.kept.Lock()
		defer c.kept.Unlock()
		c.asking = false
	}()
}
