package hold

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

const (
	// FollowEvery is how often the store is asked for what other gateways were ordered.
	FollowEvery = 500 * time.Millisecond

	askTimeout = 2 * time.Second

	// maxHolds bounds how many holds that operators ordered there are at a time, maxNotices how many that follow from
	// notices, and maxHeard how many messages are remembered.
	maxHolds   = 1000
	maxNotices = 2000
	maxHeard   = 2000

	// storeKey is where the holds are in the store, and the name of the lease that changes are made under.
	storeKey = "holds"

	// keptFor is how long the store keeps them: in effect until they are written again.
	keptFor = 10 * 365 * 24 * time.Hour

	lookAgain = 20 * time.Millisecond

	// tryAgain is how long after a failure nobody asks again what is on hold.
	tryAgain = time.Second
)

// Storage keeps a copy for a start without the store. What is not there is fs.ErrNotExist.
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

// ErrUnknown means that neither the store nor the copy could be read since the start: nobody knows what is on hold.
var ErrUnknown = errors.New("neither the store nor Caddy's storage says what is on hold")

// errUnreadable means that something is kept as holds and cannot be read as that, now or later.
var errUnreadable = errors.New("cannot be read; restore it, or give up what it holds: caddy erpsync release --all --unreadable")

// CopyError means that a change is in force, but that the copy for a start without the store is not.
type CopyError struct{ Err error }

func (e *CopyError) Error() string {
	return "it is in force, but could not be written to Caddy's storage for a start without the store: " + e.Err.Error()
}

func (e *CopyError) Unwrap() error { return e.Err }

// Book keeps what is on hold at the gateways of a store. It is safe for concurrent use.
type Book struct {
	kv     auth.KV
	locker lease.Locker

	current atomic.Pointer[record] // nil: not known yet

	mu      sync.Mutex // over the following, and over changes of current
	storage Storage    // nil: no copy is kept
	path    string
	copied  int64 // the version of the copy; -1: unknown
	unread  error // why the copy could not be read; nil: it was, or there is none

	opening sync.Mutex
	tried   time.Time // when opening failed last
	failed  error     // and why
}

// NewBook makes the book of a store. Nothing is read before it is asked for.
func NewBook(kv auth.KV, locker lease.Locker) *Book {
	return &Book{kv: kv, locker: locker, copied: -1}
}

// KeepIn has a copy kept at path of storage, for a start without the store. The first storage stays.
func (b *Book) KeepIn(storage Storage, path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.storage == nil {
		b.storage, b.path = storage, path
	}
}

// open reads what is on hold, once for all who wait: the copy, then the store, of which the newer counts. The error is
// ErrUnknown with what failed.
func (b *Book) open(ctx context.Context) (*record, error) {
	b.opening.Lock()
	defer b.opening.Unlock()
	if known := b.current.Load(); known != nil {
		return known, nil
	}
	if time.Since(b.tried) < tryAgain {
		return nil, b.failed
	}
	ctx = context.WithoutCancel(ctx) // a caller that leaves is no failure for those who wait with it; both steps bound themselves
	kept, err := b.load(ctx)
	if err == nil && kept != nil {
		b.learn(kept)
	}
	b.mu.Lock()
	b.unread = err
	b.mu.Unlock()
	err = b.Refresh(ctx) // without the store the copy is in force
	if known := b.current.Load(); known != nil {
		return known, nil
	}
	b.tried, b.failed = time.Now(), fmt.Errorf("%w: %w", ErrUnknown, err)
	return nil, b.failed
}

// load reads the copy; nil if there is none.
func (b *Book) load(ctx context.Context) (*record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.storage == nil {
		return nil, nil //nolint:nilnil // no copy is a value
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	raw, err := b.storage.Load(ctx, b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return new(record), nil
	}
	if err != nil {
		return nil, fmt.Errorf("storage of Caddy: %w", err)
	}
	var kept record
	if err := json.Unmarshal(raw, &kept); err != nil {
		return nil, fmt.Errorf("storage of Caddy: %s: %w (%w)", b.path, errUnreadable, err)
	}
	b.copied = kept.Version
	return &kept, nil
}

// copyUnread returns why the copy could not be read; nil if it was, or if there is none.
func (b *Book) copyUnread() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unread
}

// learn takes a record over unless a newer one is known.
func (b *Book) learn(r *record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.current.Load(); known == nil || known.Version < r.Version {
		b.current.Store(r)
	}
}

// Refresh asks the store what is on hold. While it gives no answer, the last known holds stay in force. A store
// that has lost them is told again: that they are not there does not mean that anybody released them.
func (b *Book) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	stored, found, err := b.get(ctx)
	if err != nil {
		return err
	}
	known := b.current.Load()
	switch {
	case found && (known == nil || stored.Version >= known.Version):
		b.learn(stored)
	case found: // it was restored from before
		if err := b.kv.Set(ctx, storeKey, encode(known), keptFor); err != nil {
			return err
		}
	case known == nil && b.copyUnread() != nil: // that the store has nothing does not mean that nothing is on hold
		return b.copyUnread()
	case known == nil:
		b.learn(new(record))
	case known.Version > 0:
		if _, err := b.kv.SetNX(ctx, storeKey, encode(known), keptFor); err != nil {
			return err
		}
	}
	if err := b.copy(ctx); err != nil {
		return &CopyError{err}
	}
	return nil
}

// get reads the record of the store.
func (b *Book) get(ctx context.Context) (*record, bool, error) {
	raw, found, err := b.kv.Get(ctx, storeKey)
	if err != nil || !found {
		return nil, false, err
	}
	var stored record
	if err := json.Unmarshal([]byte(raw), &stored); err != nil {
		return nil, false, fmt.Errorf("the store's holds: %w (%w)", errUnreadable, err)
	}
	return &stored, true, nil
}

// copy keeps what is known in Caddy's storage, if that is not what is there.
func (b *Book) copy(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.current.Load()
	if b.storage == nil || known == nil || known.Version == 0 || known.Version == b.copied {
		return nil
	}
	if err := b.storage.Store(ctx, b.path, []byte(encode(known))); err != nil {
		return fmt.Errorf("storage of Caddy: %w", err)
	}
	b.copied = known.Version
	return nil
}

func encode(r *record) string {
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err) // texts, numbers and times always marshal
	}
	return string(raw)
}

// Find returns the hold that stops a call; of several the one that lasts longest. connection is as in Target.Covers. The error is
// ErrUnknown, with what failed.
func (b *Book) Find(ctx context.Context, app, tenant string, connection int32) (Hold, bool, error) {
	known := b.current.Load()
	if known == nil {
		var err error
		if known, err = b.open(ctx); err != nil {
			return Hold{}, false, err
		}
	}
	if len(known.Holds) == 0 { // nearly always
		return Hold{}, false, nil
	}
	found, held := known.find(app, tenant, connection, time.Now())
	return found, held, nil
}

// InForce returns what is on hold, the oldest first. The error is ErrUnknown, with what failed.
func (b *Book) InForce(ctx context.Context) ([]Hold, error) {
	known := b.current.Load()
	if known == nil {
		var err error
		if known, err = b.open(ctx); err != nil {
			return nil, err
		}
	}
	return known.inForce(time.Now()), nil
}

// Version returns which change of the holds is in force here, as far as is known without asking: a later one is greater, 0 is
// none.
func (b *Book) Version() int64 {
	if known := b.current.Load(); known != nil {
		return known.Version
	}
	return 0
}

// Count returns how many holds are in force, as far as is known without asking.
func (b *Book) Count() int {
	known := b.current.Load()
	if known == nil {
		return 0
	}
	return len(known.inForce(time.Now()))
}

// Follow takes over what other gateways were ordered, until ctx ends. After each look at the store it calls looked, with
// the error of one that failed.
func (b *Book) Follow(ctx context.Context, looked func(error)) {
	tick := time.NewTicker(FollowEvery)
	defer tick.Stop()
	for {
		_, _ = b.open(ctx)
		if err := b.Refresh(ctx); ctx.Err() == nil {
			looked(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Set puts on hold, in place of an earlier hold of the same target and notice. It is in force at this gateway when Set
// returns, and at the others within FollowEvery. An error means that nothing has changed, unless it is a *CopyError.
func (b *Book) Set(ctx context.Context, h Hold) error {
	return b.Amend(ctx, func(holds []Hold) ([]Hold, bool) { return Put(holds, h), true })
}

// Put returns the holds with h in place of an earlier one of the same target and notice.
func Put(holds []Hold, h Hold) []Hold {
	return append(slices.DeleteFunc(holds, h.Same), h)
}

// Release ends the holds of exactly the target, no matter who ordered them, and returns those that were in force. An error means
// that nothing has changed, unless it is a *CopyError.
func (b *Book) Release(ctx context.Context, target Target) (released []Hold, err error) {
	err = b.Amend(ctx, func(holds []Hold) ([]Hold, bool) {
		released = nil
		now := time.Now()
		kept := slices.DeleteFunc(holds, func(h Hold) bool {
			ends := h.Equal(target) && h.InForce(now)
			if ends {
				released = append(released, h)
			}
			return ends
		})
		return kept, len(released) > 0
	})
	return released, err
}

// GiveUpUnreadable puts what this gateway knows, or nothing on hold, in place of what cannot be read in the store or as the copy. found
// is false if everything can be read, or if the store knows what the copy does not say. A gateway that knows
// a newer version keeps it in force. An error means that nothing has changed, unless it is a *CopyError.
func (b *Book) GiveUpUnreadable(ctx context.Context) (found bool, err error) {
	held, err := b.lock(ctx)
	if err != nil {
		return false, err
	}
	defer held.Release()
	b.opening.Lock()
	b.tried = time.Time{} // what was mended a moment ago is read first
	b.opening.Unlock()
	known, _ := b.open(ctx)
	_, _, err = b.get(ctx)
	switch {
	case err != nil && !errors.Is(err, errUnreadable):
		return false, err
	case err == nil && known != nil:
		return false, nil
	}
	next := &record{Version: 1}
	if known != nil {
		next = &record{Version: known.Version + 1, Holds: known.Holds, Heard: known.Heard}
	}
	return true, b.write(ctx, next)
}

// Notices returns what is kept of SuperOffice's notices, in force or watched, as far as is known without asking.
func (b *Book) Notices() []Hold {
	known := b.current.Load()
	if known == nil {
		return nil
	}
	return known.notices(time.Now())
}

// Amend changes holds, one change at a time among all gateways. edit gets a copy of those that have not ended, watched ones
// too, and reports whether anything is to be changed. It may be called although nothing comes of it. An error means that
// nothing has changed, unless it is a *CopyError.
func (b *Book) Amend(ctx context.Context, edit func(holds []Hold) (next []Hold, changed bool)) error {
	return b.change(ctx, func(r *record) (changed bool) {
		r.Holds, changed = edit(r.Holds)
		return changed
	})
}

// Hear is Amend for a message: its effect and that it was heard are one change, so that the message has no effect a second
// time, no matter at which gateway it comes again. first is false if it was heard before.
func (b *Book) Hear(ctx context.Context, m Message, edit func(holds []Hold) []Hold) (first bool, err error) {
	err = b.change(ctx, func(r *record) bool {
		if first = !r.heard(m.ID); first {
			r.Holds, r.Heard = edit(r.Holds), append(r.Heard, m)
		}
		return first
	})
	return first, err
}

// Heard reports whether a message has had its effect, as far as is known without asking.
func (b *Book) Heard(m Message) bool {
	known := b.current.Load()
	return known != nil && known.heard(m.ID)
}

// change edits the record of the store, one at a time among all gateways, without what has ended. edit reports whether
// anything is to be changed.
func (b *Book) change(ctx context.Context, edit func(*record) bool) error {
	held, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer held.Release()
	_, _ = b.open(ctx)
	if err := b.Refresh(ctx); err != nil && !errors.As(err, new(*CopyError)) {
		return err
	}
	known, now := b.current.Load(), time.Now()
	next := &record{
		Version: known.Version + 1,
		Holds:   slices.DeleteFunc(slices.Clone(known.Holds), func(h Hold) bool { return h.over(now) }),
		Heard:   slices.DeleteFunc(slices.Clone(known.Heard), func(m Message) bool { return m.Until < now.Unix() }),
	}
	ordered, noticed := next.count()
	if !edit(next) {
		return nil
	}
	if err := next.tooLong(ordered, noticed); err != nil {
		return err
	}
	return b.write(ctx, next)
}

// write puts the next record in force: in the store, here, and in the copy.
func (b *Book) write(ctx context.Context, next *record) error {
	if err := b.kv.Set(ctx, storeKey, encode(next), keptFor); err != nil {
		return err
	}
	b.learn(next)
	if err := b.copy(ctx); err != nil {
		return &CopyError{err}
	}
	return nil
}

// count returns how many holds operators ordered, and how many follow from notices.
func (r *record) count() (ordered, noticed int) {
	for _, h := range r.Holds {
		if h.Notice == "" {
			ordered++
		} else {
			noticed++
		}
	}
	return ordered, noticed
}

// tooLong returns an error if there is more than may be, and more than there was.
func (r *record) tooLong(ordered, noticed int) error {
	switch n, m := r.count(); {
	case n > max(maxHolds, ordered):
		return fmt.Errorf("%d holds are in force, and there can be no more; hold a tenant, an app or everything", ordered)
	case m > max(maxNotices, noticed):
		return fmt.Errorf("notices of %d tenants are in force, and there can be no more", noticed)
	case len(r.Heard) > maxHeard:
		return fmt.Errorf("%d notices came that could come again, and no more can be remembered", maxHeard)
	}
	return nil
}

// lock waits until nobody else changes the holds.
func (b *Book) lock(ctx context.Context) (*lease.Held, error) {
	holder := rand.Text()
	for {
		held, current, err := lease.Hold(ctx, b.locker, storeKey, holder)
		if err != nil || current == holder {
			return held, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}
