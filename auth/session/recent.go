package session

import (
	"bytes"
	"sync"
	"time"
)

const (
	// RecentBytes is how much a Recent remembers unless told otherwise: 32 MiB, the records of 40,000 to 80,000 sessions whose sealed
	// part has 300 bytes.
	RecentBytes = 32 << 20

	// recentTime is how long a record is remembered at most after it was read or written. It bounds memory and nothing else: however
	// young, what is remembered holds only where the store confirms it.
	recentTime = 5 * time.Minute

	// recentChunk is how much is allocated at a time.
	recentChunk = 64 << 10

	// recentOverhead is what remembering a record costs beside its sealed bytes, about.
	recentOverhead = 128
)

// Recent remembers records that this process has read or written lately, sealed as they are: each opens with its own cookie alone.
// A record may have been written anew, ended or revoked since, elsewhere and unnoticed. So what is remembered proves nobody until
// the store has confirmed its Version. It is safe for concurrent use; a nil one remembers nothing.
//
// There are two generations. The young one takes what comes; when it is full or old enough the other is dropped, and it takes
// that one's place. Neither holds pointers that the garbage collector would follow for each record.
type Recent struct {
	bytes int // of a generation

	mu         sync.Mutex
	young, old generation
}

type generation struct {
	began  time.Time
	at     map[Place]remembered
	names  names
	chunks [][]byte
	bytes  int
}

// remembered is a record as a generation keeps it.
type remembered struct {
	app, tenant         uint32 // of names
	chunk, offset, size uint32
	used, expires       int64 // in microseconds
	version             uint64
}

// NewRecent returns a Recent that remembers so many bytes, overhead included; 0: RecentBytes.
func NewRecent(bytes int) *Recent {
	if bytes == 0 {
		bytes = RecentBytes
	}
	return &Recent{bytes: bytes / 2}
}

// put remembers a record as the store has it now.
func (r *Recent) put(place Place, record *Record, now time.Time) {
	if r == nil || len(record.Sealed) > recentChunk {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if r.young.at == nil {
		r.young = generation{began: now, at: make(map[Place]remembered)}
	}
	r.young.put(place, record)
	if r.young.bytes >= r.bytes {
		r.old, r.young = r.young, generation{}
	}
}

// get returns a copy of a record as it was read or written last, without its scopes.
func (r *Recent) get(place Place, now time.Time) (Record, bool) {
	if r == nil {
		return Record{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	for _, g := range [...]*generation{&r.young, &r.old} {
		if found, ok := g.at[place]; ok {
			return g.read(found), true
		}
	}
	return Record{}, false
}

// drop forgets a record.
func (r *Recent) drop(place Place) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young.at, place)
	delete(r.old.at, place)
}

// turn drops what is old.
func (r *Recent) turn(now time.Time) {
	if r.young.at != nil && now.Sub(r.young.began) >= recentTime/2 {
		r.old, r.young = r.young, generation{}
	}
	if r.old.at != nil && now.Sub(r.old.began) >= recentTime {
		r.old = generation{}
	}
}

func (g *generation) put(place Place, record *Record) {
	last := len(g.chunks) - 1
	if last < 0 || cap(g.chunks[last])-len(g.chunks[last]) < len(record.Sealed) {
		g.chunks = append(g.chunks, make([]byte, 0, recentChunk))
		last++
	}
	offset := len(g.chunks[last])
	g.chunks[last] = append(g.chunks[last], record.Sealed...)
	g.bytes += len(record.Sealed) + recentOverhead
	g.at[place] = remembered{
		app: g.names.number(record.App), tenant: g.names.number(record.Tenant), chunk: uint32(last), offset: uint32(offset), size: uint32(len(record.Sealed)),
		used: record.Used.UnixMicro(), expires: record.Expires.UnixMicro(), version: record.Version,
	}
}

func (g *generation) read(found remembered) Record {
	end := found.offset + found.size
	return Record{
		App: g.names.all[found.app], Tenant: g.names.all[found.tenant], Sealed: bytes.Clone(g.chunks[found.chunk][found.offset:end]),
		Used: time.UnixMicro(found.used), Expires: time.UnixMicro(found.expires), Version: found.version,
	}
}
