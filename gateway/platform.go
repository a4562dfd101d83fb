package gateway

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Platform is what the gateway needs of the server that it runs in.
type Platform struct {
	// Logger takes what operators have to know, Audit one line for each call.
	Logger *zap.Logger
	Audit  *zap.Logger
	// Metrics counts.
	Metrics *outcome.Metrics
	// Storage keeps system tokens for good.
	Storage systemuser.Storage
	// Transport reaches SuperOffice, SuperID and identity providers.
	Transport http.RoundTripper
	// Background returns a new context with the values that Transport looks for, and
	// with nothing of a caller's request. It is never done.
	Background func() context.Context
	// Emit publishes an event to whatever subscribes to the server's events. It does not block.
	Emit func(name string, data map[string]any)
	// Draining reports whether the process is stopping and takes no new calls; nil: never.
	Draining func() bool
	// History keeps calls as rows; nil: none is kept.
	History *history.Journal
	// Notices watches how connections are; nil: nobody is told.
	Notices *notify.Notifier
	// Node names this process in audit lines.
	Node string
}

// Visit is what the server knows of one HTTP request, and what it is told of it.
type Visit interface {
	// ID identifies the request. It is never taken from the caller.
	ID() string
	// ClientIP is the caller's address, as far as proxies in front are trusted.
	ClientIP() string
	// Proved is told the principal of a caller that has proved itself for something that is no call.
	Proved(principal string)
	// Ended is told the record of a call that is over, with its principal. The record does not change any more.
	Ended(record *outcome.Record)
}

// detachedTransport sends requests with the platform's values in their context in place of the caller's.
type detachedTransport struct {
	transport  http.RoundTripper
	background func() context.Context
}

func (t detachedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.transport.RoundTrip(r.WithContext(callContext{r.Context(), t.background()}))
}

// callContext ends with one context and prefers the values of another.
type callContext struct {
	context.Context
	values context.Context
}

func (c callContext) Value(key any) any {
	if value := c.values.Value(key); value != nil {
		return value
	}
	return c.Context.Value(key)
}
