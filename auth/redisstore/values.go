package redisstore

import (
	"context"
	"crypto/rand"
	"strings"
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
	return plain(value), found, err
}

// Set keeps a value as auth.KV says.
func (s Values) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if strings.HasPrefix(value, claimed) { // or Get would take a part of it for a claim
		value = asClaim(value)
	}
	return s.written(asked, s.client.Set(asked, s.value(key), value, ttl).Err())
}

// claimed begins a value that SetNX has set. A random text of claimLength bytes follows it, which tells the caller's own
// claim from another's with the same value.
const (
	claimed     = "\x01"
	claimLength = 26
)

// An answer that was lost on its way is asked for again: then the claim is there already.
var setNXScript = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return 0
`)

// SetNX keeps a value as auth.KV says.
func (s Values) SetNX(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	done, err := s.run(ctx, setNXScript, []string{s.value(key)}, asClaim(value), ttl.Milliseconds()).Int()
	return done == 1, s.written(ctx, err)
}

// asClaim returns a value as SetNX stores it, different each time.
func asClaim(value string) string { return claimed + rand.Text() + value }

// plain returns the value that was stored.
func plain(stored string) string {
	if !strings.HasPrefix(stored, claimed) || len(stored) < len(claimed)+claimLength {
		return stored
	}
	return stored[len(claimed)+claimLength:]
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
