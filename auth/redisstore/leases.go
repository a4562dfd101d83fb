package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

// Leases are the leases in a Store. It is a lease.Locker.
type Leases struct{ *conn }

func (s Leases) leased(name string) string { return s.prefix + "l" + name }

// An answer that was lost on its way is asked for again: then the lease is the holder's already.
var acquireScript = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return ARGV[1] end
return redis.call('GET', KEYS[1])
`)

// Acquire takes the lease as lease.Locker says.
func (s Leases) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (string, error) {
	current, err := s.run(ctx, acquireScript, []string{s.leased(name)}, holder, ttl.Milliseconds()).Text()
	return current, s.written(ctx, err)
}

var extendScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// Extend makes the lease last as lease.Locker says.
func (s Leases) Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	done, err := s.run(ctx, extendScript, []string{s.leased(name)}, holder, ttl.Milliseconds()).Int()
	return done == 1, s.written(ctx, err)
}

var releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

// Release gives the lease back as lease.Locker says.
func (s Leases) Release(ctx context.Context, name, holder string) error {
	return s.written(ctx, s.run(ctx, releaseScript, []string{s.leased(name)}, holder).Err())
}

var _ lease.Locker = Leases{}
