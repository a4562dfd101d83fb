package hold_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
)

var errDown = errors.New("it gives no answer")

// store is a KV that can be away.
type store struct {
	auth.MemoryKV
	mu   sync.Mutex
	down error
}

func (s *store) setDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *store) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

func (s *store) Get(ctx context.Context, key string) (string, bool, error) {
	if err := s.failing(); err != nil {
		return "", false, err
	}
	return s.MemoryKV.Get(ctx, key)
}

func (s *store) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.MemoryKV.Set(ctx, key, value, ttl)
}

func (s *store) SetNX(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	if err := s.failing(); err != nil {
		return false, err
	}
	return s.MemoryKV.SetNX(ctx, key, value, ttl)
}

// disk is a storage that can be away, for reading and for writing.
type disk struct {
	mu             sync.Mutex
	values         map[string]string
	reads, writes  error
	timesItWritten int
}

func (d *disk) Load(_ context.Context, key string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reads != nil {
		return nil, d.reads
	}
	value, ok := d.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(value), nil
}

func (d *disk) Store(_ context.Context, key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes != nil {
		return d.writes
	}
	if d.values == nil {
		d.values = make(map[string]string)
	}
	d.values[key] = string(value)
	d.timesItWritten++
	return nil
}

func book(t *testing.T, kv auth.KV, locker lease.Locker, storage hold.Storage) *hold.Book {
	t.Helper()
	b := hold.NewBook(kv, locker)
	if storage != nil {
		b.KeepIn(storage, "holds")
	}
	return b
}

func set(t *testing.T, b *hold.Book, h hold.Hold) {
	t.Helper()
	h.Since = time.Now()
	if err := b.Set(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

func finds(t *testing.T, b *hold.Book, app, tenant string, connection int32) bool {
	t.Helper()
	_, found, err := b.Find(t.Context(), app, tenant, connection)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func number(n int32) *int32 { return &n }

func TestAHoldCoversWhatItNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target      hold.Target
		app, tenant string
		connection  int32
		want        bool
	}{
		{hold.Target{}, "a", "Cust1", 1, true},
		{hold.Target{App: "a"}, "a", "Cust1", 1, true},
		{hold.Target{App: "a"}, "b", "Cust1", 1, false},
		{hold.Target{Tenant: "Cust1"}, "b", "Cust1", hold.EveryConnection, true},
		{hold.Target{Tenant: "Cust1"}, "b", "Cust2", hold.EveryConnection, false},
		{hold.Target{Tenant: "Cust1", Connection: number(612)}, "a", "Cust1", 612, true},
		{hold.Target{Tenant: "Cust1", Connection: number(612)}, "a", "Cust1", 613, false},
		{hold.Target{Tenant: "Cust1", Connection: number(612)}, "a", "Cust1", hold.NoConnection, false},
		{hold.Target{Tenant: "Cust1", Connection: number(612)}, "a", "Cust1", hold.EveryConnection, true}, // it reaches every connection
		{hold.Target{App: "a", Tenant: "Cust1"}, "b", "Cust1", hold.EveryConnection, false},
	} {
		if got := c.target.Covers(c.app, c.tenant, c.connection); got != c.want {
			t.Errorf("%v covers %s %s %v: %v", c.target, c.app, c.tenant, c.connection, got)
		}
	}
}

func TestAHoldIsInForceAtTheOtherGatewaysWhenTheyLookAndUntilItIsReleased(t *testing.T) {
	t.Parallel()
	kv, locker := new(store), new(lease.Memory)
	one, other := book(t, kv, locker, nil), book(t, kv, locker, nil)
	if finds(t, other, "a", "Cust1", 1) {
		t.Error("nothing is on hold")
	}
	set(t, one, hold.Hold{Target: hold.Target{Tenant: "Cust1"}, Reason: "r"})
	if !finds(t, one, "a", "Cust1", 1) || finds(t, one, "a", "Cust2", 1) {
		t.Error("it is not in force where it was ordered, for what it names alone")
	}
	ctx, stop := context.WithCancel(t.Context())
	looked := make(chan error, 100)
	done := make(chan struct{})
	go func() { defer close(done); other.Follow(ctx, func(err error) { looked <- err }) }()
	if err := <-looked; err != nil || !finds(t, other, "a", "Cust1", 1) {
		t.Errorf("it is not in force at the other gateway: %v", err)
	}
	if released, err := one.Release(t.Context(), hold.Target{}); len(released) > 0 || err != nil {
		t.Errorf("a hold of everything was released: %v %v", released, err)
	}
	released, err := one.Release(t.Context(), hold.Target{Tenant: "Cust1"})
	if len(released) != 1 || err != nil || released[0].Reason != "r" {
		t.Errorf("%v %v", released, err)
	}
	for range 3 { // one look may have begun before
		<-looked
	}
	if finds(t, other, "a", "Cust1", 1) || finds(t, one, "a", "Cust1", 1) {
		t.Error("it is on hold still")
	}
	stop()
	<-done
}

func TestAHoldEndsByItselfWhenAskedTo(t *testing.T) {
	t.Parallel()
	b := book(t, new(store), new(lease.Memory), nil)
	set(t, b, hold.Hold{Reason: "over", Until: time.Now().Add(-time.Second)})
	set(t, b, hold.Hold{Target: hold.Target{App: "a"}, Reason: "short", Until: time.Now().Add(time.Minute)})
	set(t, b, hold.Hold{Target: hold.Target{Tenant: "Cust1"}, Reason: "long", Until: time.Now().Add(time.Hour)})
	if finds(t, b, "b", "Cust2", 1) {
		t.Error("a hold that is over holds")
	}
	if h, _, _ := b.Find(t.Context(), "a", "Cust1", hold.EveryConnection); h.Reason != "long" {
		t.Errorf("the caller is told of %q, which ends first", h.Reason)
	}
	if all, err := b.InForce(t.Context()); len(all) != 2 || b.Count() != 2 || err != nil {
		t.Errorf("%v %v", all, err)
	}
}

func TestALaterHoldOfTheSameReplacesTheEarlier(t *testing.T) {
	t.Parallel()
	b := book(t, new(store), new(lease.Memory), nil)
	set(t, b, hold.Hold{Target: hold.Target{Connection: number(1)}, Reason: "first"})
	set(t, b, hold.Hold{Target: hold.Target{Connection: number(1)}, Reason: "second"})
	set(t, b, hold.Hold{Target: hold.Target{Connection: number(2)}, Reason: "third"})
	if all, _ := b.InForce(t.Context()); len(all) != 2 || all[0].Reason != "second" {
		t.Errorf("%v", all)
	}
}

func TestWhileTheStoreIsAwayTheLastKnownHoldsStayInForceAndNothingIsChanged(t *testing.T) {
	t.Parallel()
	kv, locker := new(store), new(lease.Memory)
	b := book(t, kv, locker, nil)
	set(t, b, hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	kv.setDown(errDown)
	if err := b.Refresh(t.Context()); !errors.Is(err, errDown) || !finds(t, b, "a", "", 1) {
		t.Errorf("%v", err)
	}
	if err := b.Set(t.Context(), hold.Hold{Reason: "x"}); !errors.Is(err, errDown) || finds(t, b, "b", "", 1) {
		t.Errorf("a hold that nobody else knows of: %v", err)
	}
	if _, err := b.Release(t.Context(), hold.Target{App: "a"}); !errors.Is(err, errDown) || !finds(t, b, "a", "", 1) {
		t.Errorf("a release that nobody else knows of: %v", err)
	}
}

func TestAStoreThatLostTheHoldsOrIsFromBeforeIsToldAgain(t *testing.T) {
	t.Parallel()
	kv, locker := new(store), new(lease.Memory)
	b := book(t, kv, locker, nil)
	set(t, b, hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	before, _, _ := kv.Get(t.Context(), "holds")
	set(t, b, hold.Hold{Target: hold.Target{App: "b"}, Reason: "r"})
	for name, lose := range map[string]func() error{
		"lost":     func() error { return kv.Delete(t.Context(), "holds") },
		"restored": func() error { return kv.Set(t.Context(), "holds", before, time.Hour) },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		if err := b.Refresh(t.Context()); err != nil || !finds(t, b, "b", "", 1) {
			t.Errorf("%s: this gateway releases what nobody released: %v", name, err)
		}
		if fresh := book(t, kv, locker, nil); !finds(t, fresh, "a", "", 1) || !finds(t, fresh, "b", "", 1) {
			t.Errorf("%s: the store does not know the holds again", name)
		}
	}
}

func TestAHoldSurvivesAStartWithoutTheStore(t *testing.T) {
	t.Parallel()
	kv, locker, storage := new(store), new(lease.Memory), new(disk)
	set(t, book(t, kv, locker, storage), hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	kv.setDown(errDown)
	if b := book(t, kv, locker, storage); !finds(t, b, "a", "", 1) || finds(t, b, "b", "", 1) {
		t.Error("the copy is not in force")
	}
	kv.setDown(nil)
	if err := kv.Delete(t.Context(), "holds"); err != nil { // as a store in memory begins
		t.Fatal(err)
	}
	if b := book(t, kv, locker, storage); !finds(t, b, "a", "", 1) {
		t.Error("a store that begins anew ends the hold")
	}
}

func TestTheCopyFollowsWhatOtherGatewaysWereOrderedAndIsWrittenOnce(t *testing.T) {
	t.Parallel()
	kv, locker, storage := new(store), new(lease.Memory), new(disk)
	other := book(t, kv, locker, storage)
	set(t, book(t, kv, locker, nil), hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	for range 5 {
		if err := other.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if storage.timesItWritten != 1 || !strings.Contains(storage.values["holds"], `"app":"a"`) {
		t.Errorf("written %d times: %s", storage.timesItWritten, storage.values["holds"])
	}
}

func TestWhatIsOnHoldIsUnknownIfNeitherStoreNorCopyCanBeRead(t *testing.T) {
	t.Parallel()
	kv, storage := new(store), new(disk)
	kv.setDown(errDown)
	storage.reads = errDown
	b := book(t, kv, new(lease.Memory), storage)
	if _, found, err := b.Find(t.Context(), "a", "", hold.EveryConnection); found || !errors.Is(err, hold.ErrUnknown) {
		t.Errorf("%v %v: an error is no absence", found, err)
	}
	if _, err := b.InForce(t.Context()); !errors.Is(err, hold.ErrUnknown) {
		t.Error(err)
	}
	storage = &disk{values: map[string]string{"holds": "{"}}
	if _, _, err := book(t, kv, new(lease.Memory), storage).Find(t.Context(), "a", "", hold.EveryConnection); !errors.Is(err, hold.ErrUnknown) {
		t.Errorf("a copy that is torn: %v", err)
	}
	kv.setDown(nil)
	if err := b.Refresh(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("a store that begins anew releases what the copy may hold: %v", err)
	}
	if _, _, err := b.Find(t.Context(), "a", "", hold.EveryConnection); !errors.Is(err, hold.ErrUnknown) {
		t.Errorf("a store that begins anew releases what the copy may hold: %v", err)
	}
	set(t, book(t, kv, new(lease.Memory), nil), hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"}) // at another gateway
	if err := b.Refresh(t.Context()); !errors.As(err, new(*hold.CopyError)) && err != nil || !finds(t, b, "a", "", 1) || finds(t, b, "b", "", 1) {
		t.Errorf("the store says what is on hold: %v", err)
	}
}

func TestAHoldWhoseCopyCannotBeWrittenIsInForceAndSaysSo(t *testing.T) {
	t.Parallel()
	storage := &disk{writes: errDown}
	b := book(t, new(store), new(lease.Memory), storage)
	var uncopied *hold.CopyError
	if err := b.Set(t.Context(), hold.Hold{Reason: "r"}); !errors.As(err, &uncopied) || !errors.Is(err, errDown) || !finds(t, b, "a", "", 1) {
		t.Errorf("%v", err)
	}
	storage.writes = nil
	if err := b.Refresh(t.Context()); err != nil || storage.timesItWritten != 1 {
		t.Errorf("the copy is not made up for: %v", err)
	}
}

func TestHoldsOrderedAtOnceAtManyGatewaysAreAllInForce(t *testing.T) {
	t.Parallel()
	kv, locker := new(store), new(lease.Memory)
	var group sync.WaitGroup
	for i := range int32(20) {
		group.Go(func() {
			if err := book(t, kv, locker, nil).Set(t.Context(), hold.Hold{Target: hold.Target{Connection: number(i + 1)}, Reason: "r"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if all, err := book(t, kv, locker, nil).InForce(t.Context()); len(all) != 20 || err != nil {
		t.Errorf("%d holds, %v", len(all), err)
	}
}

func TestHoldsAreBounded(t *testing.T) {
	t.Parallel()
	kv, holds := new(store), make([]hold.Hold, 999)
	for i := range holds {
		holds[i] = hold.Hold{Target: hold.Target{Connection: number(int32(i + 1))}, Reason: "r"}
	}
	raw, err := json.Marshal(map[string]any{"version": 1, "holds": holds})
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Set(t.Context(), "holds", string(raw), time.Hour); err != nil {
		t.Fatal(err)
	}
	b := book(t, kv, new(lease.Memory), nil)
	set(t, b, hold.Hold{Target: hold.Target{Connection: number(1000)}, Reason: "the thousandth"})
	if err := b.Set(t.Context(), hold.Hold{Target: hold.Target{Connection: number(1001)}, Reason: "one too many"}); err == nil {
		t.Error("there is room for one more")
	}
	if err := b.Set(t.Context(), hold.Hold{Target: hold.Target{Connection: number(1)}, Reason: "again"}); err != nil {
		t.Errorf("one that replaces another needs no room: %v", err)
	}
}

// leaving is a storage that waits until its caller has left.
type leaving struct {
	disk
	leave context.CancelFunc
}

func (l *leaving) Load(ctx context.Context, key string) ([]byte, error) {
	l.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.disk.Load(ctx, key)
}

func TestACallerThatLeavesWhileTheBookIsOpenedIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	b := book(t, new(store), new(lease.Memory), &leaving{leave: leave})
	if _, found, err := b.Find(ctx, "a", "", hold.EveryConnection); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
}

func TestWhatIsUnknownSaysWhatFailed(t *testing.T) {
	t.Parallel()
	kv := new(store)
	kv.setDown(errDown)
	b := book(t, kv, new(lease.Memory), nil)
	for _, ask := range []string{"the first", "one soon after, that asks nothing"} {
		if _, _, err := b.Find(t.Context(), "a", "", hold.EveryConnection); !errors.Is(err, hold.ErrUnknown) || !errors.Is(err, errDown) {
			t.Errorf("%s: %v", ask, err)
		}
	}
}

const torn = `{"version":7,"holds":[{"app":"a"`

func TestWhatCannotBeReadIsGivenUpOnceAndForAll(t *testing.T) {
	t.Parallel()
	kv, storage := new(store), &disk{values: map[string]string{"holds": torn}}
	b := book(t, kv, new(lease.Memory), storage)
	_, _, err := b.Find(t.Context(), "a", "Cust1", 1)
	if !errors.Is(err, hold.ErrUnknown) || !strings.Contains(err.Error(), "caddy erpsync release --all --unreadable") {
		t.Fatalf("no way on is named: %v", err)
	}
	if found, err := b.GiveUpUnreadable(t.Context()); !found || err != nil {
		t.Fatal(found, err)
	}
	if finds(t, b, "a", "Cust1", 1) {
		t.Error("what could not be read is on hold")
	}
	if found, err := b.GiveUpUnreadable(t.Context()); found || err != nil {
		t.Errorf("again: %t, %v", found, err)
	}
	restarted := book(t, new(store), new(lease.Memory), storage)
	if finds(t, restarted, "a", "Cust1", 1) {
		t.Error("after a start with another store it is on hold")
	}
	set(t, b, hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	if !finds(t, b, "a", "Cust1", 1) {
		t.Error("nothing can be held any more")
	}
}

func TestWhatCanBeReadIsNotGivenUp(t *testing.T) {
	t.Parallel()
	kv, storage := new(store), new(disk)
	b := book(t, kv, new(lease.Memory), storage)
	set(t, b, hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	whole := storage.values["holds"]
	if found, err := b.GiveUpUnreadable(t.Context()); found || err != nil || !finds(t, b, "a", "Cust1", 1) {
		t.Errorf("all of it can be read: %t, %v", found, err)
	}

	storage.values["holds"] = torn
	inTime := book(t, new(store), new(lease.Memory), storage)
	if _, _, err := inTime.Find(t.Context(), "a", "Cust1", 1); err == nil {
		t.Fatal("a torn copy was read")
	}
	storage.values["holds"] = whole // restored a moment after it was looked at
	if found, err := inTime.GiveUpUnreadable(t.Context()); found || err != nil || !finds(t, inTime, "a", "Cust1", 1) {
		t.Errorf("a copy that was restored is given up: %t, %v", found, err)
	}

	storage.values["holds"] = torn
	away := new(store)
	away.setDown(errDown)
	blind := book(t, away, new(lease.Memory), storage)
	if found, err := blind.GiveUpUnreadable(t.Context()); found || !errors.Is(err, errDown) {
		t.Errorf("while the store is away: %t, %v", found, err)
	}
	if _, _, err := blind.Find(t.Context(), "a", "Cust1", 1); !errors.Is(err, hold.ErrUnknown) {
		t.Errorf("while the store is away it is known what is on hold: %v", err)
	}
}

func TestAGatewayThatKnowsWhatIsOnHoldKeepsItInForceWhereOthersGaveItUp(t *testing.T) {
	t.Parallel()
	kv, locker := new(store), new(lease.Memory)
	knows := book(t, kv, locker, new(disk))
	set(t, knows, hold.Hold{Target: hold.Target{App: "b"}, Reason: "r"})
	set(t, knows, hold.Hold{Target: hold.Target{App: "a"}, Reason: "r"})
	if err := kv.Set(t.Context(), "holds", torn, time.Hour); err != nil {
		t.Fatal(err)
	}
	other := book(t, kv, locker, new(disk))
	if _, _, err := other.Find(t.Context(), "c", "Cust1", 1); err != nil {
		t.Fatal(err) // its copy says that there were none
	}
	if err := other.Refresh(t.Context()); err == nil {
		t.Error("what the store holds was read")
	}
	if found, err := other.GiveUpUnreadable(t.Context()); !found || err != nil {
		t.Fatal(found, err)
	}
	for _, b := range []*hold.Book{knows, other} {
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !finds(t, knows, "a", "Cust1", 1) || !finds(t, other, "a", "Cust1", 1) {
		t.Errorf("released by what could not be read: %t %t", finds(t, knows, "a", "Cust1", 1), finds(t, other, "a", "Cust1", 1))
	}

	if err := kv.Set(t.Context(), "holds", torn, time.Hour); err != nil {
		t.Fatal(err)
	}
	if found, err := knows.GiveUpUnreadable(t.Context()); !found || err != nil || !finds(t, knows, "a", "Cust1", 1) {
		t.Errorf("at the gateway that knows: %t, %v", found, err)
	}
	if err := other.Refresh(t.Context()); err != nil || !finds(t, other, "a", "Cust1", 1) {
		t.Errorf("the store was not told what is known: %v", err)
	}
}
