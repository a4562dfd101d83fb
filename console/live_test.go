package console_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// follower is a browser that follows.
type follower struct {
	mu     sync.Mutex
	header http.Header
	status int
	text   strings.Builder
	leave  context.CancelFunc
	over   chan struct{}
}

func (f *follower) Header() http.Header { return f.header }
func (f *follower) WriteHeader(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = status
}

func (f *follower) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.Write(b)
}
func (f *follower) FlushError() error { return nil }

func (f *follower) told() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Count(f.text.String(), "event: change\ndata: {}\n\n")
}

func (f *follower) ended() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}

func (f *fixture) follow(who string) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	follower := &follower{header: make(http.Header), leave: cancel, over: make(chan struct{})}
	r := request(http.MethodGet, "/live")
	r.Header.Set(as, who)
	r = r.WithContext(mergedContext{ctx, r.Context()})
	go func() {
		defer close(follower.over)
		f.ServeHTTP(follower, r)
	}()
	synctest.Wait()
	return follower
}

// mergedContext ends with the first, and has the values of the second.
type mergedContext struct {
	context.Context
	values context.Context
}

func (m mergedContext) Value(key any) any {
	if value := m.values.Value(key); value != nil {
		return value
	}
	return m.Context.Value(key)
}

func (w *world) change(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func TestAPageIsToldOfWhatItsViewerSeesAndOfNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		f := newConsole(t, w, console.Operator{Name: "kari", Role: console.Operations}, console.Operator{Name: "ola", Role: console.Support, Tenants: []superoffice.Tenant{uno}})
		all, one := f.follow("kari"), f.follow("ola")
		if all.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || all.header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%v", all.header)
		}
		wait := func() { time.Sleep(10 * time.Second); synctest.Wait() }
		wait()
		if all.told() != 0 || one.told() != 0 {
			t.Fatalf("nothing changed: %d, %d", all.told(), one.told())
		}
		w.change(func() { w.statuses.Apps[0].Tenants[2].InFlight++ })
		wait()
		if all.told() != 1 || one.told() != 0 {
			t.Errorf("another tenant's call: %d, %d", all.told(), one.told())
		}
		w.change(func() { w.fails.Failures[0].Keys = 1 })
		wait()
		if all.told() != 2 || one.told() != 1 {
			t.Errorf("a record was cured: %d, %d", all.told(), one.told())
		}
		w.change(func() { w.statuses.Holds[0].Tenant = "" })
		wait()
		if all.told() != 3 || one.told() != 2 {
			t.Errorf("everything is on hold: %d, %d", all.told(), one.told())
		}
		for text := range strings.SplitSeq(one.text.String()+all.text.String(), "\n") {
			if strings.Contains(text, "Cust") || strings.HasPrefix(text, "data: ") && text != "data: {}" {
				t.Errorf("an event holds %q", text)
			}
		}
		all.leave()
		one.leave()
		synctest.Wait()
		if !all.ended() || !one.ended() {
			t.Error("they left and are served")
		}
	})
}

func TestClosingEndsEveryStreamAndTakesNoFurther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newConsole(t, newWorld())
		var followers []*follower
		for range 10 {
			followers = append(followers, f.follow(""))
		}
		f.Close()
		synctest.Wait()
		for _, follower := range followers {
			if !follower.ended() {
				t.Error("a stream goes on")
			}
		}
		if late := f.follow(""); !late.ended() || late.status != http.StatusServiceUnavailable {
			t.Errorf("one more: %d", late.status)
		}
		if status, _ := f.see("", "/"); status != http.StatusOK {
			t.Errorf("pages go on to be answered: %d", status)
		}
	})
}

func TestStreamsAreBoundedAndEndByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newConsole(t, newWorld())
		followers := make([]*follower, 200)
		for i := range followers {
			followers[i] = f.follow("")
		}
		if one := f.follow(""); one.status != http.StatusServiceUnavailable {
			t.Errorf("one too many: %d", one.status)
		}
		time.Sleep(15*time.Minute + time.Second)
		synctest.Wait()
		for _, follower := range followers {
			if !follower.ended() {
				t.Fatal("a stream is endless: who no longer may look goes on")
			}
		}
		if again := f.follow(""); again.status == http.StatusServiceUnavailable {
			t.Error("nobody follows, and one more is too many")
		}
		f.Close()
		synctest.Wait()
	})
}
