package console

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// freshFor is how long an answer about all tenants is used again: with ten thousand of them it costs more than a page may.
const freshFor = 2 * time.Second

// known keeps what was last known of all tenants, for all viewers. Scopes take from it what one may see, and change nothing in it.
type known struct {
	source   Source
	statuses cached[report.Status]
	fails    cached[report.Failures]
}

func (k *known) status(ctx context.Context) (report.Status, error) {
	return k.statuses.get(ctx, k.source.Status)
}

func (k *known) failures(ctx context.Context) (report.Failures, error) {
	return k.fails.get(ctx, func(ctx context.Context) (report.Failures, error) {
		return k.source.Failures(ctx, report.FailuresRequest{})
	})
}

// cached keeps one answer for a short time. An error is not kept.
type cached[T any] struct {
	mu    sync.Mutex
	at    time.Time
	value T
}

// get returns the answer, which one caller at a time asks for; the others wait for it.
func (c *cached[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < freshFor {
		return c.value, nil
	}
	value, err := ask(ctx)
	if err == nil {
		c.value, c.at = value, time.Now()
	}
	return value, err
}
