package redisstore

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/roster"
)

// Gateways are the gateways of a Store, in one hash: of each its entry, behind when it gave its last sign of life by
// Redis's clock, in milliseconds and a space. It is a roster.Store.
type Gateways struct{ *conn }

func (s Gateways) key() string { return s.prefix + "gateways" }

var noteScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local seen = tonumber(string.match(all[i + 1], '^%d+'))
	if not seen or now - seen > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) end
end
return 1
`)

// Note records a sign of life as roster.Store says.
func (s Gateways) Note(ctx context.Context, g roster.Gateway, keep time.Duration) error {
	entry, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return s.written(ctx, s.run(ctx, noteScript, []string{s.key()}, g.ID, string(entry), keep.Milliseconds()).Err())
}

// Forget removes a gateway as roster.Store says.
func (s Gateways) Forget(ctx context.Context, id string) error {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.written(ctx, s.client.HDel(asked, s.key(), id).Err())
}

var gatewaysScript = redis.NewScript(`
local t = redis.call('TIME')
local found = redis.call('HVALS', KEYS[1])
table.insert(found, 1, string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
return found
`)

// Gateways returns those that are kept, as roster.Store says. An entry that no gateway wrote is none.
func (s Gateways) Gateways(ctx context.Context) ([]roster.Gateway, error) {
	values, err := s.run(ctx, gatewaysScript, []string{s.key()}).StringSlice()
	if err := s.read(ctx, err); err != nil {
		return nil, err
	}
	return parseGateways(values), nil
}

// parseGateways reads what the script returned: the time, and the entries.
func parseGateways(values []string) (found []roster.Gateway) {
	if len(values) == 0 {
		return nil
	}
	now, err := parseMilliseconds(values[0])
	if err != nil {
		return nil
	}
	for _, value := range values[1:] {
		digits := 0
		for digits < len(value) && value[digits] >= '0' && value[digits] <= '9' {
			digits++
		}
		seen, err := strconv.ParseInt(value[:digits], 10, 64)
		var g roster.Gateway
		if err != nil || json.Unmarshal([]byte(value[digits:]), &g) != nil || g.ID == "" {
			continue
		}
		g.Seen = time.UnixMilli(seen)
		g.Silent = max(0, now.Sub(g.Seen))
		found = append(found, g)
	}
	return found
}

var _ roster.Store = Gateways{}
