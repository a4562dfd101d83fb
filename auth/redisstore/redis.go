// Package redisstore keeps what several gateways share in Redis or Valkey: sessions,
// leases and sealed values. Nothing that it keeps opens without the gateways'
// keys or a browser's cookie.
package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// DefaultTimeout bounds one question, with dialling and one more attempt. After a question that got no answer the others
	// fail at once, so that a call does not wait longer than this in sum.
	DefaultTimeout = 800 * time.Millisecond

	// probeEvery is how often a store that gave no answer is asked again, beside the calls.
	probeEvery = 250 * time.Millisecond

	// poolSize is how many connections there are at most. They are opened as they are needed: at 200 ms an answer, a hundred
	// calls a second with their three questions need sixty.
	poolSize = 256

	// redirects is how often a question to a Cluster is sent on, or again while a slot moves. The pauses between grow to half
	// a second in sum, so that what the Cluster says ends the question and not its time: silence is another thing.
	redirects = 5
)

// Config says where the store is.
type Config struct {
	// Addresses of the Redis, of the Sentinels or of nodes of the Cluster, as host:port; or the path of a Redis's unix socket.
	Addresses []string
	// Sentinel is the name of the master that the Sentinels watch; empty: no Sentinel.
	Sentinel string
	// Cluster says that Addresses are of nodes of a Cluster.
	Cluster bool
	// Credentials returns user name (may be empty) and password (empty: none). It is asked for each new connection.
	Credentials func() (user, password string)
	// SentinelPassword is for the Sentinels themselves.
	SentinelPassword func() string
	// TLS is the configuration of TLS; nil: none.
	TLS *tls.Config
	// Prefix begins every key. Gateways with the same prefix share everything.
	Prefix string
	// Answered is told what every question came to; nil: nobody is.
	Answered func(access Access, err error)
	// Timeout bounds one question; zero: DefaultTimeout. Dialling has five eighths of it.
	Timeout time.Duration
	// Inspected is told by Watch how the store evicts; nil: nobody is.
	Inspected func(Inspection)
}

// Access is what a question wants of the store: a store can be good for one and not for the other.
type Access uint8

// Kinds of access.
const (
	Read Access = iota
	Write
)

// Store is a Redis, seen as what it keeps.
type Store struct {
	Sessions Sessions
	Values   Values
	Leases   Leases
	Gateways Gateways
	Board    Board
	Claims   Claims

	*conn
}

// conn is what the views have in common.
type conn struct {
	client redis.UniversalClient
	// prefix stands in braces, so that on a cluster everything lies in one slot and a script can reach it.
	prefix    string
	answered  func(Access, error)
	inspected func(Inspection)
	timeout   time.Duration
	// movingTime is how long a script is run again while a slot of the Cluster moves under it.
	movingTime time.Duration

	group *group // asks the scripts
	epochs

	down   atomic.Bool // the last question got no answer, and probe has not got one since
	closed chan struct{}
}

// New makes a store. It makes no network requests.
func New(c Config) *Store {
	timeout := cmp.Or(c.Timeout, DefaultTimeout)
	options := &redis.UniversalOptions{
		Addrs: slices.Clone(c.Addresses), MasterName: c.Sentinel, IsClusterMode: c.Cluster, TLSConfig: c.TLS,
		DialTimeout: timeout * 5 / 8, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout, PoolSize: poolSize,
		PipelinePoolSize:      -1, // no connections of their own for pipelines: one question and many go the same way
		ContextTimeoutEnabled: true, ClientName: "caddy-erpsync",
		// One attempt more, for a connection that the other side had closed. Every script can run twice.
		MaxRetries: 1, MaxRedirects: redirects,
		// Dialling is tried again by the caller, not within one question.
		DialerRetries: 1,
		// A new connection costs one question before the first of ours, so that a store with a slow way is not taken for a dead one
		// when the pool grows: no library's name, and no notices of maintenance, which would be one more each.
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.Credentials != nil {
		options.CredentialsProvider = c.Credentials
	}
	if c.SentinelPassword != nil {
		options.SentinelPassword = c.SentinelPassword()
	}
	shared := &conn{client: redis.NewUniversalClient(options), prefix: "{" + c.Prefix + "}", answered: c.Answered, inspected: c.Inspected, timeout: timeout, movingTime: timeout / movingPart, closed: make(chan struct{})}
	shared.group = newGroup(shared.client)
	if c.Answered == nil {
		shared.answered = func(Access, error) {}
	}
	if c.Inspected == nil {
		shared.inspected = func(Inspection) {}
	}
	return &Store{Sessions{shared}, Values{shared}, Leases{shared}, Gateways{shared}, Board{shared}, Claims{shared}, shared}
}

// Close ends the connections.
func (s *Store) Close() error {
	close(s.closed)
	return s.client.Close()
}

// LogTo gives what the client has to say, such as that a Sentinel chose another
// master, to log. It holds for the whole process.
func LogTo(log func(message string)) { redis.SetLogger(logger(log)) }

type logger func(string)

func (l logger) Printf(_ context.Context, format string, args ...any) {
	l(fmt.Sprintf(format, args...))
}

var errDown = errors.New("it gave no answer a moment ago, and is asked again beside the calls")

// question bounds one question. While the store is down it fails at once.
func (c *conn) question(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if c.down.Load() {
		return nil, nil, fmt.Errorf("the store gives no answer: %w", errDown)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	return ctx, cancel, nil
}

// result tells the three things apart that a question can come to: found, not found, or no answer. The comparison is
// deliberately not errors.Is: the error of a Sentinel that does not know its master wraps redis.Nil too.
func (c *conn) result(asker context.Context, access Access, err error) (found bool, _ error) {
	var refused redis.Error
	switch {
	case err == redis.Nil: //nolint:errorlint // see above
		c.answered(access, nil)
		return false, nil
	case errors.Is(err, errDown): // it was not asked
	case err == nil:
		c.answered(access, nil)
		return true, nil
	case errors.As(err, &refused): // an answer, such as that its memory is full
		if writesRefused(err) {
			access = Write // whatever the question was for, this says nothing of what can be read
		}
		err = c.explained(err)
		c.answered(access, err)
	case asker.Err() == nil: // not because the asker left
		c.answered(Read, err)
		c.answered(Write, err)
		c.trip()
	}
	return false, fmt.Errorf("the store gives no answer: %w", err)
}

// written is result for an order, which finds nothing.
func (c *conn) written(ctx context.Context, err error) error {
	_, err = c.result(ctx, Write, err)
	return err
}

// read is result for a question that always finds something.
func (c *conn) read(ctx context.Context, err error) error {
	_, err = c.result(ctx, Read, err)
	return err
}

// writesRefused reports whether the store answers questions and takes nothing: its memory is full, it is a replica, or its
// disk or its replicas are gone.
func writesRefused(err error) bool {
	for _, code := range []string{"OOM ", "READONLY ", "MISCONF ", "NOREPLICAS "} {
		if redis.HasErrorPrefix(err, code) || strings.Contains(err.Error(), "-"+code) {
			return true
		}
	}
	return false
}

// explained adds to what Redis says what the operator does about it.
func (c *conn) explained(err error) error {
	_, cluster := c.client.(*redis.ClusterClient)
	switch {
	case cluster && (moving(err) || redis.HasErrorPrefix(err, "CLUSTERDOWN")):
		return fmt.Errorf("a slot of the Cluster moves, or has no master: %w", err)
	case !cluster && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "CROSSSLOT") || redis.HasErrorPrefix(err, "CLUSTERDOWN")):
		return fmt.Errorf("the address is a node of a Cluster; store redis needs the option cluster: %w", err)
	case strings.Contains(err.Error(), "cluster support disabled"):
		return fmt.Errorf("the address is no node of a Cluster; take the option cluster out of store redis: %w", err)
	case redis.HasErrorPrefix(err, "NOPERM"):
		return fmt.Errorf("the ACL user lacks a right (docs/operations.md has the line): %w", err)
	}
	return err
}

// trip has questions fail at once until the store answers again.
func (c *conn) trip() {
	if c.down.CompareAndSwap(false, true) {
		go c.probe()
	}
}

// probe asks, and writes, until there is an answer. One that refuses to write is there all the same for those who ask.
func (c *conn) probe() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-tick.C:
		}
		if cluster, ok := c.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(context.Background()) // a dead master says to nobody who has taken its place; the client itself asks once a minute
		}
		// What a connection costs does not count: it is there for the calls then.
		ctx, cancel := context.WithTimeout(context.Background(), 2*c.timeout)
		_ = c.client.Get(ctx, c.prefix+"probe")
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), c.timeout)
		read, write := c.ask(ctx)
		cancel()
		if read == nil {
			c.answered(Read, nil)
			c.answered(Write, write)
			c.down.Store(false)
			return
		}
	}
}

// ask finds out whether the store can be read and written.
func (c *conn) ask(ctx context.Context) (read, write error) {
	both := c.client.Pipeline()
	get, set := both.Get(ctx, c.prefix+"probe"), both.Set(ctx, c.prefix+"probe", "", time.Minute)
	_, err := both.Exec(ctx)
	if err != nil && get.Err() == nil && set.Err() == nil { // there was no connection, and Redis itself said why: the client leaves the commands as they were
		return c.explained(err), err
	}
	if read = get.Err(); read == redis.Nil { //nolint:errorlint // as in result
		read = nil
	}
	if read != nil {
		return c.explained(read), read
	}
	if write = set.Err(); write != nil {
		write = c.explained(write)
	}
	return nil, write
}
