package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

func (s *Store) leased(name string) string { return s.prefix + "l" + name }
func (s *Store) value(key string) string   { return s.prefix + "v" + key }

// An answer that was lost on its way is asked for again: then the lease is the holder's already.
var acquireScript = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return ARGV[1] end
return redis.call('GET', KEYS[1])
`)

// Acquire takes the lease as lease.Locker says.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (string, error) {
	current, err := acquireScript.Run(ctx, s.client, []string{s.leased(name)}, holder, ttl.Milliseconds()).Text()
	return current, s.told(ctx, err)
}

var extendScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// Extend makes the lease last as lease.Locker says.
func (s *Store) Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	done, err := extendScript.Run(ctx, s.client, []string{s.leased(name)}, holder, ttl.Milliseconds()).Int()
	return done == 1, s.told(ctx, err)
}

var releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

// Release gives the lease back as lease.Locker says.
func (s *Store) Release(ctx context.Context, name, holder string) error {
	return s.told(ctx, releaseScript.Run(ctx, s.client, []string{s.leased(name)}, holder).Err())
}

// Take gives the value as auth.Shelf says.
func (s *Store) Take(ctx context.Context, key string) (string, error) {
	value, err := s.client.Get(ctx, s.value(key)).Result()
	if errors.Is(err, redis.Nil) {
		value = ""
	}
	return value, s.told(ctx, err)
}

// Lay keeps the value as auth.Shelf says.
func (s *Store) Lay(ctx context.Context, key, value string, ttl time.Duration) error {
	return s.told(ctx, s.client.Set(ctx, s.value(key), value, ttl).Err())
}

// An answer that was lost on its way is asked for again: then the value lies there already.
var layNewScript = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return 0
`)

// LayNew keeps the value as auth.Shelf says.
func (s *Store) LayNew(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	done, err := layNewScript.Run(ctx, s.client, []string{s.value(key)}, value, ttl.Milliseconds()).Int()
	return done == 1, s.told(ctx, err)
}

// Drop forgets the value as auth.Shelf says.
func (s *Store) Drop(ctx context.Context, key string) error {
	return s.told(ctx, s.client.Del(ctx, s.value(key)).Err())
}

var (
	_ lease.Locker = (*Store)(nil)
	_ auth.Shelf   = (*Store)(nil)
)
