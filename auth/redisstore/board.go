package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/board"
)

const (
	// boardKeep is how long the documents are kept after the last of them was written.
	boardKeep = 90 * 24 * time.Hour

	// boardMax is how many there are at most; then those go that were not written for longest.
	boardMax = 20_000
)

// Board is a board of a Store: a hash of versions and texts by name, whose field "" counts all writings and whose field
// "id" is another for each board, and a sorted set of names by the count at which each was written. It is a board.Store.
type Board struct{ *conn }

func (s Board) keys() []string { return []string{s.prefix + "board", s.prefix + "boardorder"} }

var sinceScript = redis.NewScript(`
local count = tonumber(redis.call('HGET', KEYS[1], '') or '0')
local found = {redis.call('HGET', KEYS[1], 'id') or '', string.format('%.0f', count)}
local names = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #names, 2 do
	found[#found + 1] = names[i]
	found[#found + 1] = names[i + 1]
	found[#found + 1] = redis.call('HGET', KEYS[1], names[i]) or ''
end
return found
`)

// Since returns documents as board.Store says.
func (s Board) Since(ctx context.Context, cursor board.Cursor) (docs []board.Doc, next board.Cursor, more, lost bool, err error) {
	values, err := s.run(ctx, sinceScript, s.keys(), strconv.FormatInt(cursor.At, 10), board.Most).StringSlice()
	if err := s.read(ctx, err); err != nil {
		return nil, cursor, false, false, err
	}
	return parseSince(values, cursor)
}

// parseSince reads the board's id, the count, and of each document its name, the count at which it was written, and its version
// and text.
func parseSince(values []string, cursor board.Cursor) (docs []board.Doc, next board.Cursor, more, lost bool, err error) {
	if len(values)%3 != 2 {
		return nil, cursor, false, false, fmt.Errorf("the store's board has %d values", len(values))
	}
	next = board.Cursor{Board: values[0], At: cursor.At}
	count, err := strconv.ParseInt(values[1], 10, 64)
	if err != nil {
		return nil, cursor, false, false, fmt.Errorf("the store's board counts %q", values[1])
	}
	if cursor.Board != "" && (cursor.Board != next.Board || count < cursor.At) {
		return nil, cursor, false, true, nil
	}
	for i := 2; i < len(values); i += 3 {
		at, err := strconv.ParseFloat(values[i+1], 64)
		if err != nil {
			return nil, cursor, false, false, fmt.Errorf("the store's board has the order %q", values[i+1])
		}
		next.At = int64(at)
		version, text, _ := strings.Cut(values[i+2], " ")
		if n, err := strconv.ParseInt(version, 10, 64); err == nil && n > 0 { // else no gateway wrote it
			docs = append(docs, board.Doc{Name: values[i], Text: text, Version: n})
		}
	}
	return docs, next, len(values)/3 == board.Most, false, nil
}

// A writing whose answer was lost is tried again: then the version is another, and what is there is read first.
var putBoardScript = redis.NewScript(`
local answers = {}
if not redis.call('HGET', KEYS[1], 'id') then redis.call('HSET', KEYS[1], 'id', ARGV[3]) end
for i = 4, #ARGV, 3 do
	local current = redis.call('HGET', KEYS[1], ARGV[i])
	local version = current and tonumber(string.match(current, '^%d+')) or 0
	local written = 0
	if version == tonumber(ARGV[i + 1]) then
		version, written = version + 1, 1
		redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f', version) .. ' ' .. ARGV[i + 2])
		redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[1], '', 1), ARGV[i])
	end
	answers[#answers + 1] = version
	answers[#answers + 1] = written
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[2])
if over > 0 then
	for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do
		redis.call('HDEL', KEYS[1], name)
		redis.call('ZREM', KEYS[2], name)
	end
end
return answers
`)

// Put writes documents as board.Store says.
func (s Board) Put(ctx context.Context, docs []board.Doc) (versions []int64, written []bool, err error) {
	if len(docs) == 0 {
		return nil, nil, nil
	}
	args := []any{boardKeep.Milliseconds(), boardMax, rand.Text()}
	for _, doc := range docs {
		args = append(args, doc.Name, doc.Version, doc.Text)
	}
	answers, err := s.run(ctx, putBoardScript, s.keys(), args...).Int64Slice()
	if err := s.written(ctx, err); err != nil {
		return nil, nil, err
	}
	if len(answers) != 2*len(docs) {
		return nil, nil, fmt.Errorf("the store's board answers %d values to %d", len(answers), len(docs))
	}
	for i := range docs {
		versions, written = append(versions, answers[2*i]), append(written, answers[2*i+1] == 1)
	}
	return versions, written, nil
}

var removeScript = redis.NewScript(`
redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])
`)

// Remove forgets a document as board.Store says.
func (s Board) Remove(ctx context.Context, name string) error {
	return s.written(ctx, s.run(ctx, removeScript, s.keys(), name).Err())
}

var _ board.Store = Board{}
