package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
)

// A session is a hash: a(pp), t(enant), x (its scopes), s(ealed), u(sed),
// e(xpires), v(ersion), g, the epochs of its scopes when it was added, and c, when that was by Redis's clock, which all
// gateways share. Beside it lie, for each person, a sorted set of that person's sessions, and for each scope its epoch.
//
// A scope's epoch is made with the first record that needs it, and another is put in its place by a revocation. A record
// is alive only where the epochs of its scopes are those that it was added under: one that Redis has evicted or lost
// is another from then on, so that what was revoked stays so. An epoch is a decimal number: the milliseconds of the
// revocation, 0 if there was none, and behind the point what makes it unlike every other. Records from before there
// were epochs have no g. For them the number alone counts, as it did then, until they end.

// Sessions are the sessions in a Store. It is a session.Store.
type Sessions struct{ *conn }

func (s Sessions) record(place session.Place) string { return s.prefix + "s" + string(place[:]) }
func (s Sessions) person(scope session.Place) string { return s.prefix + "p" + string(scope[:]) }
func (s Sessions) epochPrefix() string               { return s.prefix + "r" }
func milliseconds(t time.Time) int64                 { return t.UnixMilli() }
func untilThen(then time.Time) int64                 { return max(time.Until(then).Milliseconds(), 1) }

func parseMilliseconds(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n), err
}

// alive is a function of Lua: whether no scope was revoked since the record was added. epoch is one that returns a scope's
// epoch and makes it where there is none; it is kept for that many milliseconds at least half of them.
const alive = `
local function names(scopes, prefix)
	local found = {}
	for i = 0, #scopes / 32 - 1 do found[i + 1] = prefix .. string.sub(scopes, i * 32 + 1, i * 32 + 32) end
	return found
end
local function alive(scopes, added, epochs, prefix)
	local current = redis.call('MGET', unpack(names(scopes, prefix)))
	for i = 1, #current do
		if epochs and not current[i] then return false end
		if not epochs and current[i] and tonumber(current[i]) >= tonumber(added) then return false end
	end
	return not epochs or table.concat(current, ',') == epochs
end
local function epoch(name, unlike, keep)
	local value = redis.call('GET', name)
	if not value then
		value = '0.' .. unlike
		redis.call('SET', name, value, 'PX', keep)
	elseif redis.call('PTTL', name) < keep / 2 then
		redis.call('PEXPIRE', name, keep)
	end
	return value
end
local function now()
	local t = redis.call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end
`

// epochs makes epochs for one store: the digits of two random numbers, behind which it counts. The zero epochs is ready.
type epochs struct {
	once  sync.Once
	begin string
	count atomic.Uint64
}

// unlike returns digits that no other epoch has.
func (e *epochs) unlike() string {
	e.once.Do(func() {
		var raw [16]byte
		_, _ = rand.Read(raw[:]) // never fails
		e.begin = fmt.Sprintf("%020d%020d", binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:]))
	})
	return e.begin + strconv.FormatUint(e.count.Add(1), 10)
}

var getScript = redis.NewScript(alive + `
local r = redis.call('HMGET', KEYS[1], 'a', 't', 's', 'u', 'e', 'v', 'x', 'c', 'g')
if not r[1] or not alive(r[7], r[8], r[9], ARGV[1]) then return false end
table.remove(r)
return r
`)

// Get returns the record as session.Store says.
func (s Sessions) Get(ctx context.Context, place session.Place) (session.Record, bool, error) {
	values, err := s.run(ctx, getScript, []string{s.record(place)}, s.epochPrefix()).StringSlice()
	found, err := s.result(ctx, Read, err)
	if err != nil || !found {
		return session.Record{}, false, err
	}
	record, ok := parseRecord(values)
	return record, ok, nil
}

const scopeSize = len(session.Place{})

// parseRecord reads a record. One that no gateway wrote is none.
func parseRecord(values []string) (_ session.Record, ok bool) {
	var err error
	var record session.Record
	if len(values) != 8 {
		return record, false
	}
	scopes := values[6]
	if len(scopes) == scopeSize*(len(record.Scopes)-1) { // from before a person had two: the last stands for both
		scopes += scopes[len(scopes)-scopeSize:]
	}
	if len(scopes) != scopeSize*len(record.Scopes) {
		return record, false
	}
	record.App, record.Tenant, record.Sealed = values[0], values[1], []byte(values[2])
	for i := range record.Scopes {
		copy(record.Scopes[i][:], scopes[i*scopeSize:])
	}
	if record.Used, err = parseMilliseconds(values[3]); err != nil {
		return session.Record{}, false
	}
	if record.Expires, err = parseMilliseconds(values[4]); err != nil {
		return session.Record{}, false
	}
	if record.Version, err = strconv.ParseUint(values[5], 10, 64); err != nil {
		return session.Record{}, false
	}
	return record, true
}

var addScript = redis.NewScript(alive + `
local place, ttl, most, records = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local at = now()
local epochs = {}
for i, name in ipairs(names(ARGV[7], ARGV[11])) do epochs[i] = epoch(name, ARGV[12], 2 * ttl) end
redis.call('HSET', KEYS[1], 'a', ARGV[5], 't', ARGV[6], 'x', ARGV[7], 's', ARGV[8], 'u', ARGV[9], 'e', ARGV[10], 'v', 1, 'c', at, 'g', table.concat(epochs, ','))
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('ZADD', KEYS[2], at, place)
local own = redis.call('ZRANGE', KEYS[2], 0, -1)
local there = {}
for _, p in ipairs(own) do
	local r = redis.call('HMGET', records .. p, 'x', 'c', 'g')
	if r[1] and alive(r[1], r[2], r[3], ARGV[11]) then
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
func (s Sessions) Add(ctx context.Context, place session.Place, record session.Record, most int) error {
	var scopes []byte
	for _, scope := range record.Scopes {
		scopes = append(scopes, scope[:]...)
	}
	err := s.run(ctx, addScript, []string{s.record(place), s.person(record.Scopes.Person())},
		string(place[:]), untilThen(record.Expires), most, s.prefix+"s", record.App, record.Tenant, string(scopes), string(record.Sealed),
		milliseconds(record.Used), milliseconds(record.Expires), s.epochPrefix(), s.unlike()).Err()
	return s.written(ctx, err)
}

var putScript = redis.NewScript(alive + `
local r = redis.call('HMGET', KEYS[1], 'v', 'x', 'c', 'g')
if not r[1] or not alive(r[2], r[3], r[4], ARGV[6]) then return -1 end
if r[1] ~= ARGV[1] then return 0 end
if r[4] then
	for _, name in ipairs(names(r[2], ARGV[6])) do epoch(name, '', 2 * tonumber(ARGV[5])) end
end
redis.call('HSET', KEYS[1], 's', ARGV[2], 'u', ARGV[3], 'e', ARGV[4], 'v', ARGV[1] + 1)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
`)

// Put writes the record as session.Store says.
func (s Sessions) Put(ctx context.Context, place session.Place, record session.Record) (session.PutResult, error) {
	done, err := s.run(ctx, putScript, []string{s.record(place)},
		strconv.FormatUint(record.Version, 10), string(record.Sealed), milliseconds(record.Used), milliseconds(record.Expires), untilThen(record.Expires), s.epochPrefix()).Int()
	if err := s.written(ctx, err); err != nil {
		return 0, err
	}
	switch done {
	case 1:
		return session.Written, nil
	case 0:
		return session.Conflict, nil
	}
	return session.Gone, nil
}

// Delete forgets the record at place.
func (s Sessions) Delete(ctx context.Context, place session.Place) error {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.written(asked, s.client.Del(asked, s.record(place)).Err())
}

var revokeScript = redis.NewScript(alive + `
redis.call('SET', KEYS[1], string.format('%.0f', now()) .. '.' .. ARGV[2], 'PX', ARGV[1])
return 1
`)

// Revoke ends records as session.Store says.
func (s Sessions) Revoke(ctx context.Context, scope session.Place, keep time.Duration) error {
	return s.written(ctx, s.run(ctx, revokeScript, []string{s.epochPrefix() + string(scope[:])}, keep.Milliseconds(), s.unlike()).Err())
}

var countPersonScript = redis.NewScript(alive + `
local n = 0
for _, place in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
	local r = redis.call('HMGET', ARGV[2] .. place, 'x', 'c', 'g')
	if r[1] and alive(r[1], r[2], r[3], ARGV[1]) then n = n + 1 end
end
return n
`)

// CountPerson returns how many records of the person are alive, as session.Store says.
func (s Sessions) CountPerson(ctx context.Context, person session.Place) (int, error) {
	n, err := s.run(ctx, countPersonScript, []string{s.person(person)}, s.epochPrefix(), s.prefix+"s").Int()
	return n, s.read(ctx, err)
}

// countedAtOnce is how many keys one step of a count looks at, so that the store serves others in between.
const countedAtOnce = 500

var countScript = redis.NewScript(alive + `
local n = 0
for _, key in ipairs(KEYS) do
	local r = redis.call('HMGET', key, 'x', 'c', 'g')
	if r[1] and alive(r[1], r[2], r[3], ARGV[1]) then
		for i = 0, #r[1] / 32 - 1 do
			if string.sub(r[1], i * 32 + 1, i * 32 + 32) == ARGV[2] then
				n = n + 1
				break
			end
		end
	end
end
return n
`)

// Count returns how many records of the scope are alive, as session.Store says. It goes through all of
// them in small steps; one that is added meanwhile may be counted twice, or not.
func (s Sessions) Count(ctx context.Context, scope session.Place) (n int, err error) {
	pattern := globEscaper.Replace(s.prefix) + "s" + strings.Repeat("?", len(scope))
	for cursor := uint64(0); ; {
		found, next, err := s.countStep(ctx, cursor, pattern, scope)
		if err != nil {
			return 0, err
		}
		n += found
		if cursor = next; cursor == 0 {
			return n, nil
		}
	}
}

func (s Sessions) countStep(ctx context.Context, cursor uint64, pattern string, scope session.Place) (n int, next uint64, err error) {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer cancel()
	node, err := s.node(asked)
	if err != nil {
		return 0, 0, s.read(ctx, err)
	}
	keys, next, err := node.Scan(asked, cursor, pattern, countedAtOnce).Result()
	if err == nil && len(keys) > 0 {
		n, err = s.run(asked, countScript, keys, s.epochPrefix(), string(scope[:])).Int()
	}
	return n, next, s.read(ctx, err)
}

// globEscaper takes the meaning from what a pattern of Redis's SCAN gives one.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `-`, `\-`)

// Marks returns when scopes were revoked, as session.Store says.
func (s Sessions) Marks(ctx context.Context, scopes iter.Seq[session.Place]) (string, error) {
	keys := []string{s.prefix + "epoch"}
	for scope := range scopes {
		keys = append(keys, s.epochPrefix()+string(scope[:]))
	}
	values, err := s.run(ctx, marksScript, keys, s.unlike(), s.unlike(), epochLife.Milliseconds()).StringSlice()
	if err := s.read(ctx, err); err != nil {
		return "", err
	}
	return strings.Join(values, ","), nil
}

// epochLife is how long a scope's epoch is kept for what is not a session: kept answers and tickets, which live for less.
const epochLife = 32 * 24 * time.Hour

// A store that was lost has lost its epochs too: they are others then. It is full where it takes nothing, and still tells
// what it has: nothing is written that is there already.
var marksScript = redis.NewScript(alive + `
local found = {redis.call('GET', KEYS[1])}
if not found[1] then
	redis.call('SET', KEYS[1], ARGV[1])
	found[1] = ARGV[1]
end
for i = 2, #KEYS do found[i] = epoch(KEYS[i], ARGV[2], tonumber(ARGV[3])) end
return found
`)

var _ session.Store = Sessions{}
