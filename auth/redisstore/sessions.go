package redisstore

import (
	"context"
	"crypto/rand"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
)

// A session is a hash: a(pp), t(enant), x (its three scopes), s(ealed), u(sed),
// e(xpires), v(ersion), and c, when it was added by Redis's clock, which all gateways share.
// Beside it lie, for each person, a sorted set of that person's sessions, and for each
// revoked scope the time of it.

func (s *Store) record(place session.Place) string { return s.prefix + "s" + string(place[:]) }
func (s *Store) person(scope session.Place) string { return s.prefix + "p" + string(scope[:]) }
func (s *Store) revokedPrefix() string             { return s.prefix + "r" }
func milliseconds(t time.Time) int64               { return t.UnixMilli() }
func untilThen(then time.Time) int64               { return max(time.Until(then).Milliseconds(), 1) }

func parseMilliseconds(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n), err
}

// alive is a function of Lua: whether no scope was revoked since the record was added.
const alive = `
local function alive(scopes, added, prefix)
	for i = 0, 2 do
		local at = redis.call('GET', prefix .. string.sub(scopes, i * 32 + 1, i * 32 + 32))
		if at and tonumber(at) >= tonumber(added) then return false end
	end
	return true
end
local function now()
	local t = redis.call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end
`

var getScript = redis.NewScript(alive + `
local r = redis.call('HMGET', KEYS[1], 'a', 't', 's', 'u', 'e', 'v', 'x', 'c')
if not r[1] or not alive(r[7], r[8], ARGV[1]) then return false end
return r
`)

// Get gives the record as session.Store says.
func (s *Store) Get(ctx context.Context, place session.Place) (session.Record, error) {
	values, err := getScript.Run(ctx, s.client, []string{s.record(place)}, s.revokedPrefix()).StringSlice()
	if err := s.told(ctx, err); err != nil {
		return session.Record{}, err
	}
	if len(values) != 8 || len(values[6]) != 96 {
		return session.Record{}, session.ErrNotFound
	}
	record := session.Record{App: values[0], Tenant: values[1], Sealed: []byte(values[2])}
	for i := range record.Scopes {
		copy(record.Scopes[i][:], values[6][i*32:])
	}
	if record.Used, err = parseMilliseconds(values[3]); err != nil {
		return session.Record{}, session.ErrNotFound
	}
	if record.Expires, err = parseMilliseconds(values[4]); err != nil {
		return session.Record{}, session.ErrNotFound
	}
	if record.Version, err = strconv.ParseUint(values[5], 10, 64); err != nil {
		return session.Record{}, session.ErrNotFound
	}
	return record, nil
}

var addScript = redis.NewScript(alive + `
local place, ttl, most, records = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local at = now()
redis.call('HSET', KEYS[1], 'a', ARGV[5], 't', ARGV[6], 'x', ARGV[7], 's', ARGV[8], 'u', ARGV[9], 'e', ARGV[10], 'v', 1, 'c', at)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('ZADD', KEYS[2], at, place)
local own = redis.call('ZRANGE', KEYS[2], 0, -1)
local there = {}
for _, p in ipairs(own) do
	local r = redis.call('HMGET', records .. p, 'x', 'c')
	if r[1] and alive(r[1], r[2], ARGV[11]) then
		table.insert(there, p)
	else
		redis.call('ZREM', KEYS[2], p)
	end
end
if most > 0 then
	for i = 1, #there - most do
		redis.call('DEL', records .. there[i])
		redis.call('ZREM', KEYS[2], there[i])
	end
end
if redis.call('PTTL', KEYS[2]) < ttl then redis.call('PEXPIRE', KEYS[2], ttl) end
return 1
`)

// Add keeps a new record as session.Store says.
func (s *Store) Add(ctx context.Context, place session.Place, record session.Record, most int) error {
	var scopes []byte
	for _, scope := range record.Scopes {
		scopes = append(scopes, scope[:]...)
	}
	person := record.Scopes[len(record.Scopes)-1]
	err := addScript.Run(ctx, s.client, []string{s.record(place), s.person(person)},
		string(place[:]), untilThen(record.Expires), most, s.prefix+"s", record.App, record.Tenant, string(scopes), string(record.Sealed),
		milliseconds(record.Used), milliseconds(record.Expires), s.revokedPrefix()).Err()
	return s.told(ctx, err)
}

var putScript = redis.NewScript(alive + `
local r = redis.call('HMGET', KEYS[1], 'v', 'x', 'c')
if not r[1] or not alive(r[2], r[3], ARGV[6]) then return -1 end
if r[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 's', ARGV[2], 'u', ARGV[3], 'e', ARGV[4], 'v', ARGV[1] + 1)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
`)

// Put writes the record as session.Store says.
func (s *Store) Put(ctx context.Context, place session.Place, record session.Record) error {
	done, err := putScript.Run(ctx, s.client, []string{s.record(place)},
		strconv.FormatUint(record.Version, 10), string(record.Sealed), milliseconds(record.Used), milliseconds(record.Expires), untilThen(record.Expires), s.revokedPrefix()).Int()
	if err := s.told(ctx, err); err != nil {
		return err
	}
	switch done {
	case -1:
		return session.ErrNotFound
	case 0:
		return session.ErrConflict
	}
	return nil
}

// Delete forgets the record at place.
func (s *Store) Delete(ctx context.Context, place session.Place) error {
	return s.told(ctx, s.client.Del(ctx, s.record(place)).Err())
}

var revokeScript = redis.NewScript(alive + `
redis.call('SET', KEYS[1], now(), 'PX', ARGV[1])
return 1
`)

// Revoke ends records as session.Store says.
func (s *Store) Revoke(ctx context.Context, scope session.Place, keep time.Duration) error {
	return s.told(ctx, revokeScript.Run(ctx, s.client, []string{s.revokedPrefix() + string(scope[:])}, keep.Milliseconds()).Err())
}

// Marks tells of revocations as session.Store says.
func (s *Store) Marks(ctx context.Context, scopes iter.Seq[session.Place]) (string, error) {
	keys := []string{s.prefix + "epoch"}
	for scope := range scopes {
		keys = append(keys, s.revokedPrefix()+string(scope[:]))
	}
	values, err := marksScript.Run(ctx, s.client, keys, rand.Text()).StringSlice()
	if err := s.told(ctx, err); err != nil {
		return "", err
	}
	return strings.Join(values, ","), nil
}

// A store that was lost has lost its marks too: its epoch is another then, and so is every mark.
var marksScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[1], 'NX')
local found = {}
for _, key in ipairs(KEYS) do
	local value = redis.call('GET', key)
	if value then table.insert(found, value) end
end
return found
`)

var _ session.Store = (*Store)(nil)
