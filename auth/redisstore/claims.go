package redisstore

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
)

// Claims count calls in a Store. It is a claim.Store.
//
// A rate is a text: when, in microseconds of Redis's clock, everything that was granted would have been spread evenly (GCRA). The
// calls in flight of a place are a sorted set, by when each ends unless it is renewed. Beside either lies, while not all can be
// served, a hash of the gateways: s, when one was served last, and w, until when it waits.
type Claims struct{ *conn }

func (s Claims) rate(name string) string   { return s.prefix + "q" + name }
func (s Claims) flight(name string) string { return s.prefix + "f" + name }
func (s Claims) lease(name string) string  { return s.prefix + "l" + name }
func (s Claims) value(name string) string  { return s.prefix + "v" + name }

// counted returns the key of what is counted, and that of the hash of gateways that wait for it.
func counted(key string) []string {
	both := key + "t"
	return []string{both[:len(key)], both}
}

// clock is Lua: Redis's time, in microseconds and milliseconds, and how numbers are written.
const clock = `
local t = redis.call('TIME')
local micros = t[1] * 1000000 + t[2]
local millis = math.floor(micros / 1000)
local function text(n) return string.format('%.0f', n) end
`

// claimScript goes through steps, each of which takes its names from KEYS and its numbers from ARGV. The first that refuses ends
// it, and what the steps before it took is given back, apart from the rate.
//
// Everything can run twice: an answer that was lost is asked for again. A call that is in flight already has been granted.
var claimScript = redis.NewScript(alive + clock + `
local id, gateway, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local k, a = 0, 3
local function key() k = k + 1; return KEYS[k] end
local function arg() a = a + 1; return ARGV[a] end
local epochs, taken, again, refusal, place = {}, {}, false, nil, -1

local function refuse(by, wait, holder, value) refusal = {by, text(wait or 0), holder or '', value or ''} end

-- How many other gateways wait that were served less lately than this one, and whether any waits at all.
local function ahead(turns)
	local all = redis.call('HGETALL', turns)
	local served, waiting, n = {}, {}, 0
	for i = 1, #all, 2 do
		local of, at = string.sub(all[i], 2), tonumber(all[i + 1])
		if string.sub(all[i], 1, 1) == 's' then served[of] = at elseif at > micros then waiting[of] = true end
	end
	for of in pairs(waiting) do
		if of ~= gateway and (served[of] or 0) < (served[gateway] or 0) then n = n + 1 end
	end
	return n, #all > 0
end
local function waits(turns, long)
	redis.call('HSET', turns, 'w' .. gateway, text(micros + long))
	redis.call('PEXPIRE', turns, 10000 + math.ceil(long / 1000))
end
local function served(turns)
	redis.call('HSET', turns, 's' .. gateway, text(micros))
	redis.call('HDEL', turns, 'w' .. gateway)
end

local steps = {}
function steps.session()
	local record, version, epochs = redis.call('HMGET', key(), 'v', 'x', 'c', 'g'), arg(), arg()
	if record[1] ~= version or not alive(record[2], record[3], record[4], epochs) then return refuse('session') end
end
function steps.again()
	again = redis.call('ZSCORE', key(), gateway .. id) and true
end
function steps.epochs()
	local own, n, unlike, keep = key(), tonumber(arg()), arg(), tonumber(arg())
	epochs[1] = redis.call('GET', own)
	if not epochs[1] then
		epochs[1] = arg()
		redis.call('SET', own, epochs[1])
	else
		arg()
	end
	for i = 1, n do epochs[i + 1] = epoch(key(), unlike, keep) end
end
function steps.rate()
	local name, turns, interval, burst = key(), key(), tonumber(arg()), tonumber(arg())
	if again then return end
	local even = math.max(tonumber(redis.call('GET', name) or '0'), micros)
	local others, queue = ahead(turns)
	local at = even - (burst - 1 - others) * interval
	if at > micros then
		waits(turns, at - micros + 1000000)
		return refuse('rate', math.ceil((at - micros) / 1000))
	end
	redis.call('SET', name, text(even + interval), 'PX', math.ceil((even + interval - micros) / 1000) + 1000)
	if queue then served(turns) end
end
function steps.key()
	local name, holder, note, keep, stays = key(), key(), arg(), tonumber(arg()), arg() == '1'
	local there = redis.call('GET', name)
	if there and there ~= note then return refuse('key', 0, redis.call('GET', holder) or '', there) end
	if note == '' then return end
	if not redis.call('SET', holder, id, 'NX', 'PX', ttl) then
		local other = redis.call('GET', holder)
		if other ~= id then return refuse('key', 0, other, '') end
		redis.call('PEXPIRE', holder, ttl)
	end
	if not there then redis.call('SET', name, note, 'PX', keep) end
	table.insert(taken, function(by)
		if by == 'place' and stays then return end
		redis.call('DEL', name, holder)
	end)
end
function steps.place()
	local name, turns, most, patient = key(), key(), tonumber(arg()), arg() == '1'
	place = place + 1
	local member, queue = gateway .. id, false
	redis.call('ZREMRANGEBYSCORE', name, '-inf', text(millis))
	if most > 0 and not again then
		local others
		others, queue = ahead(turns)
		if redis.call('ZCARD', name) + others >= most then
			if patient then waits(turns, 1000000) end
			return refuse('place', place)
		end
	end
	redis.call('ZADD', name, text(millis + ttl), member)
	redis.call('PEXPIRE', name, ttl)
	if queue then served(turns) end
	table.insert(taken, function() redis.call('ZREM', name, member) end)
end
function steps.lease()
	local name = key()
	if not redis.call('SET', name, id, 'NX', 'PX', ttl) then
		local other = redis.call('GET', name)
		if other ~= id then return refuse('lease', 0, other) end
		redis.call('PEXPIRE', name, ttl)
	end
	table.insert(taken, function() redis.call('DEL', name) end)
end
function steps.unended()
	local name = key()
	local there = redis.call('GET', name)
	if there then return refuse('unended', math.max(redis.call('PTTL', name), 0), '', there) end
end
function steps.cooldown()
	local name, value, period = key(), arg(), tonumber(arg())
	local there = redis.call('GET', name)
	if there and there ~= value then return refuse('cooldown', math.max(redis.call('PTTL', name), 0)) end
	if value ~= '' and not there then redis.call('SET', name, value, 'PX', period) end
end

while a < #ARGV and not refusal do steps[arg()]() end
if refusal then
	for i = #taken, 1, -1 do taken[i](refusal[1]) end
else
	refusal = {'', '0', '', ''}
end
for i = 1, #epochs do table.insert(refusal, epochs[i]) end
return refusal
`)

var bounds = map[string]claim.Bound{
	"": claim.Granted, "session": claim.BySession, "rate": claim.ByRate, "key": claim.ByKey, "place": claim.ByPlace, "lease": claim.ByLease, "unended": claim.ByUnended, "cooldown": claim.ByCoolDown,
}

// steps are those of a claim.
type steps struct{ keys, args []string }

func (p *steps) add(step string, keys []string, args ...string) {
	p.keys = append(p.keys, keys...)
	p.args = append(append(p.args, step), args...)
}

// newSteps returns some that begin with args, with room for that many steps.
func newSteps(room int, args ...string) *steps {
	return &steps{keys: make([]string, 0, 2*room), args: append(make([]string, 0, len(args)+4*room), args...)}
}

// number writes one for a script.
func number[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

var (
	claimTTL      = number(claim.TTL.Milliseconds())
	epochLifeText = number(epochLife.Milliseconds())
)

func (s Claims) steps(gateway string, r *claim.Request) *steps {
	p := newSteps(10, r.ID, gateway, claimTTL)
	if r.Session.Version != 0 {
		sessions := Sessions(s)
		p.add("session", []string{sessions.record(r.Session.Place)}, strconv.FormatUint(r.Session.Version, 10), sessions.epochPrefix())
	}
	if n := len(r.Places); n > 0 {
		p.add("again", []string{s.flight(r.Places[n-1].Name)})
	}
	if len(r.Scopes) > 0 {
		keys := append(make([]string, 0, 8), s.prefix+"epoch")
		for _, scope := range r.Scopes {
			keys = append(keys, s.prefix+"r"+string(scope[:]))
		}
		p.add("epochs", keys, number(len(r.Scopes)), s.unlike(), epochLifeText, s.unlike())
	}
	if r.Rate.Name != "" {
		p.add("rate", counted(s.rate(r.Rate.Name)), number(interval(r.Rate)), number(max(1, r.Rate.Burst)))
	}
	if r.Key.Name != "" {
		note := ""
		if r.Key.Note != "" {
			note = claimed + r.Token + r.Key.Note
		}
		p.add("key", []string{s.value(r.Key.Name), s.lease(r.Key.Name)}, note, number(r.Key.Keep.Milliseconds()), flag(r.Key.Stays))
	}
	for _, place := range r.Places {
		p.add("place", counted(s.flight(place.Name)), number(place.Most), flag(r.Waits))
	}
	if r.Lease != "" {
		p.add("lease", []string{s.lease(r.Lease)})
	}
	if r.Unended != "" {
		p.add("unended", []string{s.value(r.Unended)})
	}
	if c := r.CoolDown; c.Name != "" {
		value := ""
		if c.Until != "" {
			value = claimed + r.Token + c.Until
		}
		p.add("cooldown", []string{s.value(c.Name)}, value, number(c.Period.Milliseconds()))
	}
	return p
}

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

// interval returns the time between two calls of a rate, in microseconds.
func interval(r claim.Rate) int64 { return int64(math.Ceil(1e6 / r.PerSecond)) }

// Claim takes what the request wants, or nothing, as claim.Store says.
func (s Claims) Claim(ctx context.Context, gateway string, r *claim.Request) (claim.Result, error) {
	p := s.steps(gateway, r)
	values, err := s.runTexts(ctx, claimScript, p.keys, p.args).StringSlice()
	if err := s.written(ctx, err); err != nil {
		return claim.Result{}, err
	}
	return parseClaim(values)
}

// errClaim is an answer that is none of the script's.
const errClaim = claimError("the answer to a claim cannot be read")

type claimError string

func (e claimError) Error() string { return string(e) }

func parseClaim(values []string) (result claim.Result, err error) {
	if len(values) < 4 {
		return result, errClaim
	}
	bound, known := bounds[values[0]]
	number, err := strconv.ParseInt(values[1], 10, 64)
	if !known || err != nil {
		return result, errClaim
	}
	result = claim.Result{Refused: bound, Holder: values[2], Value: plain(values[3])}
	if bound == claim.ByPlace {
		result.Full = int(number)
	} else {
		result.Wait = time.Duration(number) * time.Millisecond
	}
	if len(values) > 4 {
		result.Epochs = values[4:]
	}
	return result, nil
}

var renewScript = redis.NewScript(clock + `
local gateway, ttl = ARGV[1], tonumber(ARGV[2])
local k, a, call, lost = 0, 2, 0, {}
local function key() k = k + 1; return KEYS[k] end
local function arg() a = a + 1; return ARGV[a] end
while a < #ARGV do
	local id, places, leases = arg(), tonumber(arg()), tonumber(arg())
	for _ = 1, places do
		local name = key()
		redis.call('ZADD', name, text(millis + ttl), gateway .. id)
		redis.call('PEXPIRE', name, ttl)
	end
	for _ = 1, leases do
		local name = key()
		if not redis.call('SET', name, id, 'NX', 'PX', ttl) then
			local holder = redis.call('GET', name)
			if holder == id then
				redis.call('PEXPIRE', name, ttl)
			else
				table.insert(lost, text(call))
				table.insert(lost, holder)
			end
		end
	end
	call = call + 1
end
return lost
`)

// Renew has what calls hold last, as claim.Store says.
func (s Claims) Renew(ctx context.Context, gateway string, calls []claim.Holding) (map[int]string, error) {
	p := newSteps(2*len(calls), gateway, claimTTL)
	for i := range calls {
		s.hold(p, &calls[i])
	}
	values, err := s.runTexts(ctx, renewScript, p.keys, p.args).StringSlice()
	if err := s.written(ctx, err); err != nil {
		return nil, err
	}
	lost := make(map[int]string)
	for i := 0; i+1 < len(values); i += 2 {
		if call, err := strconv.Atoi(values[i]); err == nil {
			lost[call] = values[i+1]
		}
	}
	return lost, nil
}

// hold adds a call's places and leases.
func (s Claims) hold(p *steps, h *claim.Holding) {
	for _, place := range h.Places {
		p.keys = append(p.keys, s.flight(place))
	}
	for _, lease := range h.Leases {
		p.keys = append(p.keys, s.lease(lease))
	}
	p.args = append(p.args, h.ID, number(len(h.Places)), number(len(h.Leases)))
}

var returnScript = redis.NewScript(clock + `
local gateway = ARGV[1]
local k, a = 0, 1
local function key() k = k + 1; return KEYS[k] end
local function arg() a = a + 1; return ARGV[a] end
while a < #ARGV do
	local id, places, leases, values, interval = arg(), tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
	for _ = 1, places do redis.call('ZREM', key(), gateway .. id) end
	for _ = 1, values do
		local name = key()
		if redis.call('GET', name) == arg() then redis.call('DEL', name) end
	end
	for _ = 1, leases do
		local name = key()
		if redis.call('GET', name) == id then redis.call('DEL', name) end
	end
	if interval > 0 then
		local name = key()
		local even = math.max(tonumber(redis.call('GET', name) or '0'), micros) + interval
		redis.call('SET', name, text(even), 'PX', math.ceil((even - micros) / 1000) + 1000)
	end
end
return 1
`)

// Return releases what calls hold, as claim.Store documents.
func (s Claims) Return(ctx context.Context, gateway string, calls []claim.Holding) error {
	p := newSteps(2*len(calls), gateway)
	for i := range calls {
		h := &calls[i]
		for _, place := range h.Places {
			p.keys = append(p.keys, s.flight(place))
		}
		for _, v := range h.Values {
			p.keys = append(p.keys, s.value(v.Name))
		}
		for _, lease := range h.Leases {
			p.keys = append(p.keys, s.lease(lease))
		}
		every := int64(0)
		if h.Charge.Name != "" {
			every = interval(h.Charge)
			p.keys = append(p.keys, s.rate(h.Charge.Name))
		}
		p.args = append(p.args, h.ID, number(len(h.Places)), number(len(h.Leases)), number(len(h.Values)), number(every))
		for _, v := range h.Values {
			p.args = append(p.args, claimed+v.Token+v.Value)
		}
	}
	return s.written(ctx, s.runTexts(ctx, returnScript, p.keys, p.args).Err())
}

var _ claim.Store = Claims{}
