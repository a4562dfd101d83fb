package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// Values are the sealed values in a Store. It is an auth.KV.
type Values struct{ *conn }

func (s Values) value(key string) string { return s.prefix + "v" + key }

// Get returns a value as auth.KV says.
func (s Values) Get(ctx context.Context, key string) (string, bool, error) {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return "", false, err
	}
	defer cancel()
	value, err := s.client.Get(asked, s.value(key)).Result()
	found, err := s.result(ctx, Read, err)
	return value, found, err
}

// Set keeps a value as auth.KV says.
func (s Values) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.written(asked, s.client.Set(asked, s.value(key), value, ttl).Err())
}

// An answer that was lost on its way is asked for again: then the value is there already.
var setNXScript = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return 0
`)

// SetNX keeps a value as auth.KV says.
func (s Values) SetNX(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return false, err
	}
	defer cancel()
	done, err := setNXScript.Run(asked, s.client, []string{s.value(key)}, value, ttl.Milliseconds()).Int()
	return done == 1, s.written(ctx, err)
}

// Delete forgets a value as auth.KV says.
func (s Values) Delete(ctx context.Context, key string) error {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.written(asked, s.client.Del(asked, s.value(key)).Err())
}

var _ auth.KV = Values{}
