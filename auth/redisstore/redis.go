// Package redisstore keeps what several gateways share in Redis or Valkey: sessions,
// leases and sealed values. Nothing that it keeps opens without the gateways'
// keys or a browser's cookie.
package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
)

const (
	// dialTimeout and answerTimeout bound what a call waits for a store that is down.
	dialTimeout   = 2 * time.Second
	answerTimeout = 2 * time.Second
)

// Config says where the store is.
type Config struct {
	// Addresses of the Redis, or of the Sentinels.
	Addresses []string
	// Sentinel is the name of the master that the Sentinels watch; empty: no Sentinel.
	Sentinel string
	// Credentials gives user name (may be empty) and password (empty: none). It is asked for each new connection.
	Credentials func() (user, password string)
	// SentinelPassword is for the Sentinels themselves.
	SentinelPassword func() string
	// TLS is the configuration of TLS; nil: none.
	TLS *tls.Config
	// Prefix begins every key. Gateways with the same prefix share everything.
	Prefix string
	// Answered is told of every question whether there was an answer; nil: nobody is.
	Answered func(bool)
}

// Store is a Redis. It is a session.Store, a lease.Locker and an auth.Shelf.
type Store struct {
	client redis.UniversalClient
	// prefix stands in braces, so that on a cluster everything lies in one slot and a script can reach it.
	prefix   string
	answered func(bool)
}

// New makes a store. It asks nobody on the network.
func New(c Config) *Store {
	options := &redis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.Sentinel, TLSConfig: c.TLS,
		DialTimeout: dialTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, PoolTimeout: answerTimeout,
		ContextTimeoutEnabled: true, ClientName: "caddy-erpsync",
		// One attempt more, for a connection that the other side had closed. Every script can run twice.
		MaxRetries: 1,
	}
	if c.Credentials != nil {
		options.CredentialsProvider = c.Credentials
	}
	if c.SentinelPassword != nil {
		options.SentinelPassword = c.SentinelPassword()
	}
	answered := c.Answered
	if answered == nil {
		answered = func(bool) {}
	}
	return &Store{redis.NewUniversalClient(options), "{" + c.Prefix + "}", answered}
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

// LogTo gives what the client has to say, such as that a Sentinel chose another
// master, to log. It holds for the whole process.
func LogTo(log func(message string)) { redis.SetLogger(logger(log)) }

type logger func(string)

func (l logger) Printf(_ context.Context, format string, args ...any) {
	l(fmt.Sprintf(format, args...))
}

// told turns an error of Redis into the one that callers know.
func (s *Store) told(ctx context.Context, err error) error {
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	if err == nil || ctx.Err() == nil {
		s.answered(err == nil)
	}
	if err != nil {
		return &unavailableError{err}
	}
	return nil
}

// unavailableError is session.ErrUnavailable with its cause.
type unavailableError struct{ cause error }

func (e *unavailableError) Error() string        { return "the store gives no answer: " + e.cause.Error() }
func (e *unavailableError) Unwrap() error        { return e.cause }
func (e *unavailableError) Is(target error) bool { return target == session.ErrUnavailable }
