package notify

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// files is a storage in memory, which can be away.
type files struct {
	mu   sync.Mutex
	kept map[string][]byte
	away error
}

func (f *files) Load(_ context.Context, key string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, ok := f.kept[key]
	if f.away != nil {
		return nil, f.away
	}
	if !ok {
		return nil, fs.ErrNotExist
	}
	return raw, nil
}

func (f *files) Store(_ context.Context, key string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return f.away
	}
	if f.kept == nil {
		f.kept = make(map[string][]byte)
	}
	f.kept[key] = slices.Clone(value)
	return nil
}

// raw is what is kept.
func (f *files) raw() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept["notices"]
}

func (f *files) leave(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
}

// postbox is a receiver within a bubble: it answers in no time, by what it is told for each subject.
type postbox struct {
	mu     sync.Mutex
	answer func(subject string) (*http.Response, error)
	posts  []post
}

// post is a message as it came, or was to come.
type post struct {
	id, subject, kind string
	at                time.Time
	signature         string
}

func (p *postbox) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, _ := io.ReadAll(r.Body)
	var e event.Event
	if err := e.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.posts = append(p.posts, post{written(r.Header, "webhook-id"), e.Subject(), strings.TrimPrefix(e.Type(), typePrefix), time.Now(), written(r.Header, "webhook-signature")})
	if p.answer == nil {
		return says(http.StatusOK), nil
	}
	return p.answer(e.Subject())
}

// written returns a field under the name as it is written.
func written(h http.Header, name string) string { return h[name][0] }

func says(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: http.NoBody}
}

func (p *postbox) set(answer func(string) (*http.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *postbox) all() []post {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.posts)
}

// newKeys returns keys that seal.
func newKeys(t *testing.T, fill string) *session.Keys {
	t.Helper()
	keys, err := session.NewKeys([]byte(strings.Repeat(fill, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// started is a notifier at work in a bubble.
type started struct {
	*Notifier
	stop func()
	box  *postbox
}

func start(t *testing.T, store Store, alone bool, locker lease.Locker, box *postbox, change func(*Settings)) *started {
	t.Helper()
	n := New("sod", alone, locker, zap.NewNop())
	return &started{n, n.Start(settingsTo(store, box, change)), box}
}

func settingsTo(store Store, box *postbox, change func(*Settings)) Settings {
	settings := *testSettings()
	settings.Store = store
	settings.Webhook = &WebhookConfig{URL: "https://hooks.example/secret-path", Secrets: []auth.SecretSource{newSecret('a')}, Transport: box}
	if change != nil {
		change(&settings)
	}
	return settings
}

// end stops everything of a notifier.
func (s *started) end() {
	s.stop()
	s.Close()
}

// fails has a connection of a tenant fail or succeed now.
func (s *started) calls(tenant string, class outcome.Class, times int) {
	for range times {
		r := record(tenant, 1, 0, class)
		r.Started = time.Now()
		s.Ended(r)
	}
}

// told are the kinds and subjects of the posts, in order.
func (p *postbox) told() (told []string) {
	for _, post := range p.all() {
		told = append(told, post.kind+" "+post.subject)
	}
	return told
}

func TestAMessageIsSentAgainLaterAndLaterForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := new(postbox)
		box.set(func(string) (*http.Response, error) { return says(http.StatusInternalServerError), nil })
		n := start(t, FileStore(new(files), "notices", newKeys(t, "k")), true, new(lease.Memory), box, nil)
		defer n.end()
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(27 * time.Hour)
		posts := box.all()
		for i, p := range posts[1:] {
			least := pauses[min(i, len(pauses)-1)]
			if gap := p.at.Sub(posts[i].at); gap < least || gap > least+least/5+2*lookEvery {
				t.Errorf("%s between attempts %d and %d, want %s and a little", gap, i+1, i+2, least)
			}
			if p.id != posts[0].id {
				t.Errorf("attempt %d has another id", i+2)
			}
			if p.signature == posts[0].signature {
				t.Error("a repeat has the first one's time")
			}
		}
		if last := posts[len(posts)-1].at.Sub(posts[0].at); last < 21*time.Hour || last > 24*time.Hour {
			t.Errorf("the last of %d attempts after %s", len(posts), last)
		}
		h := n.Health()
		if h.Queued != 0 || h.Lost != 1 || !strings.Contains(h.LostWhy, "HTTP 500") {
			t.Errorf("%+v", h)
		}
	})
}

func TestWhatAReceiverDoesNotTakeHoldsUpItsOwnConnectionAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := new(postbox)
		box.set(func(subject string) (*http.Response, error) {
			if subject == "erp/Cust1/1" {
				return says(http.StatusBadRequest), nil
			}
			return says(http.StatusOK), nil
		})
		n := start(t, FileStore(new(files), "notices", newKeys(t, "k")), true, new(lease.Memory), box, nil)
		defer n.end()
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(20 * time.Second)
		n.calls("Cust1", outcome.OK, 1)
		n.calls("Cust2", outcome.Error, 3)
		time.Sleep(20 * time.Second)
		n.calls("Cust2", outcome.OK, 1)
		time.Sleep(20 * time.Second)
		told := box.told()
		if slices.Contains(told, "connection.recovered.v1 erp/Cust1/1") || !slices.Contains(told, "connection.recovered.v1 erp/Cust2/1") {
			t.Errorf("%q", told)
		}
		box.set(nil)
		time.Sleep(time.Hour)
		told = slices.DeleteFunc(box.told(), func(s string) bool { return strings.HasSuffix(s, "Cust2/1") })
		if want := "connection.recovered.v1 erp/Cust1/1"; told[len(told)-1] != want || told[len(told)-2] != "connection.failing.v1 erp/Cust1/1" {
			t.Errorf("%q", told)
		}
		if h := n.Health(); h.Queued != 0 || h.Lost != 0 {
			t.Errorf("%+v", h)
		}
	})
}

func TestAReceiverThatDoesNotAnswerIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := new(postbox)
		retry := func(string) (*http.Response, error) {
			resp := says(http.StatusTooManyRequests)
			resp.Header.Set("Retry-After", "3600")
			return resp, nil
		}
		box.set(retry)
		n := start(t, FileStore(new(files), "notices", newKeys(t, "k")), true, new(lease.Memory), box, nil)
		defer n.end()
		for _, tenant := range []string{"Cust1", "Cust2", "Cust3"} {
			n.calls(tenant, outcome.Error, 3)
		}
		time.Sleep(50 * time.Minute)
		if posts := box.all(); len(posts) != 1 {
			t.Errorf("%d attempts within the hour that it asked for", len(posts))
		}
		box.set(nil)
		time.Sleep(15 * time.Minute)
		if posts := box.all(); len(posts) != 4 || n.Health().Queued != 0 {
			t.Errorf("%d attempts, %d wait", len(posts), n.Health().Queued)
		}
	})
}

func TestAReceiverThatIsGoneGetsNothingUntilASampleIsReceived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := new(postbox)
		box.set(func(string) (*http.Response, error) { return says(http.StatusGone), nil })
		n := start(t, FileStore(new(files), "notices", newKeys(t, "k")), true, new(lease.Memory), box, nil)
		defer n.end()
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(time.Minute)
		n.calls("Cust2", outcome.Error, 3)
		time.Sleep(time.Hour)
		if h := n.Health(); len(box.all()) != 1 || h.Gone.IsZero() || h.Lost != 2 || h.Queued != 0 {
			t.Errorf("%d attempts, %+v", len(box.all()), h)
		}
		if s, err := n.Test(t.Context(), Test); err != nil || s.Received || s.Status != http.StatusGone || s.Resumed {
			t.Errorf("%+v %v", s, err)
		}
		box.set(nil)
		if s, err := n.Test(t.Context(), Failing); err != nil || !s.Received || !s.Resumed || s.Receiver != "https://hooks.example" {
			t.Errorf("%+v %v", s, err)
		}
		n.calls("Cust1", outcome.OK, 1)
		time.Sleep(time.Minute)
		if told := box.told(); told[len(told)-1] != "connection.recovered.v1 erp/Cust1/1" || !n.Health().Gone.IsZero() {
			t.Errorf("%q, %+v", told, n.Health())
		}
	})
}

// A process that is killed keeps what was decided and what was not received.
func TestStatesAndMessagesOutliveAProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, storage, keys := new(postbox), new(files), newKeys(t, "k")
		box.set(func(string) (*http.Response, error) { return nil, errors.New("no answer") })
		first := start(t, FileStore(storage, "notices", keys), true, new(lease.Memory), box, nil)
		first.calls("Cust1", outcome.Error, 3)
		time.Sleep(time.Minute)
		kept := storage.raw() // as a kill leaves it
		first.end()
		box.set(nil)
		before := len(box.all())
		_ = storage.Store(t.Context(), "notices", kept)
		second := start(t, FileStore(storage, "notices", keys), true, new(lease.Memory), box, nil)
		time.Sleep(5 * time.Minute)
		posts := box.all()
		if len(posts) != before+1 || posts[before].id != posts[0].id {
			t.Errorf("%d attempts after the restart, the first %+v", len(posts)-before, posts)
		}
		second.calls("Cust1", outcome.OK, 1)
		second.stop() // at once: what was seen last is kept
		second.Close()
		third := start(t, FileStore(storage, "notices", keys), true, new(lease.Memory), box, nil)
		defer third.end()
		time.Sleep(time.Minute)
		if told := box.told(); told[len(told)-1] != "connection.recovered.v1 erp/Cust1/1" || len(told) != before+2 {
			t.Errorf("%q", told)
		}
		if raw := string(storage.raw()); strings.Contains(raw, "Cust1") {
			t.Error("what is kept is not sealed")
		}
	})
}

// A reload takes the new settings over and loses nothing.
func TestAReloadKeepsStatesAndTakesNewSettings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, next := new(postbox), new(postbox)
		store := FileStore(new(files), "notices", newKeys(t, "k"))
		n := start(t, store, true, new(lease.Memory), box, nil)
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(time.Minute)
		stop := n.Start(settingsTo(store, next, func(s *Settings) { s.Failures = 1 }))
		n.stop()
		n.stop() // a second time is none
		n.calls("Cust1", outcome.OK, 1)
		n.calls("Cust2", outcome.Error, 1)
		time.Sleep(time.Minute)
		if !slices.Equal(box.told(), []string{"connection.failing.v1 erp/Cust1/1"}) || len(next.told()) != 2 {
			t.Errorf("%q and then %q", box.told(), next.told())
		}
		stop()
		n.Close()
	})
}

func TestOneOfTwoGatewaysSendsForBothAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := new(postbox)
		store, locker := SharedStore(new(auth.MemoryKV), newKeys(t, "k")), new(lease.Memory)
		first := start(t, store, false, locker, box, nil)
		synctest.Wait()
		second := start(t, store, false, locker, box, nil)
		first.calls("Cust1", outcome.Error, 2)
		second.calls("Cust1", outcome.Error, 1)
		time.Sleep(time.Minute)
		if !slices.Equal(box.told(), []string{"connection.failing.v1 erp/Cust1/1"}) || !first.Health().Sends || second.Health().Sends {
			t.Errorf("%q; sends: %t %t", box.told(), first.Health().Sends, second.Health().Sends)
		}
		first.end()
		second.calls("Cust1", outcome.OK, 1)
		time.Sleep(time.Minute)
		if told := box.told(); len(told) != 2 || !second.Health().Sends {
			t.Errorf("%q", told)
		}
		second.end()
	})
}

func TestTroubleWithTheStoreIsSaidAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, storage, keys := new(postbox), new(files), newKeys(t, "k")
		n := start(t, FileStore(storage, "notices", keys), true, new(lease.Memory), box, nil)
		defer n.end()
		time.Sleep(time.Minute)
		storage.leave(errors.New("disk full"))
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(time.Minute)
		if h := n.Health(); h.StoreFails.IsZero() || h.StoreCause != "disk full" || len(box.told()) != 1 {
			t.Errorf("%+v, %q", h, box.told())
		}
		storage.leave(nil)
		time.Sleep(10 * time.Second)
		if h := n.Health(); !h.StoreFails.IsZero() || len(storage.raw()) == 0 {
			t.Errorf("%+v", h)
		}
	})
}

// With several gateways nobody knows more than the store: what a gateway saw waits with it.
func TestWithoutTheSharedStoreObservationsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, storage := new(postbox), new(files)
		n := start(t, FileStore(storage, "notices", newKeys(t, "k")), false, new(lease.Memory), box, nil)
		defer n.end()
		storage.leave(errors.New("away"))
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(time.Minute)
		if len(box.told()) != 0 || n.Health().StoreFails.IsZero() {
			t.Errorf("%q, %+v", box.told(), n.Health())
		}
		storage.leave(nil)
		time.Sleep(time.Minute)
		if told := box.told(); len(told) != 1 {
			t.Errorf("%q", told)
		}
	})
}

func TestWhatCannotBeOpenedIsGivenUpAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage, box := new(files), new(postbox)
		n := start(t, FileStore(storage, "notices", newKeys(t, "k")), true, new(lease.Memory), box, nil)
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(time.Minute)
		n.end()
		n = start(t, FileStore(storage, "notices", newKeys(t, "x")), true, new(lease.Memory), box, nil)
		defer n.end()
		time.Sleep(time.Minute)
		if h := n.Health(); h.Lost != 1 || !strings.Contains(h.LostWhy, "cannot be read") {
			t.Errorf("%+v", h)
		}
	})
}

func TestAnEventOfTheProcessIsPublishedOnceByTheSender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []string
		emit := func(s *Settings) {
			s.Webhook = nil
			s.Emit = func(name string, data map[string]any) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, name+" "+data["subject"].(string))
			}
		}
		store, locker := SharedStore(new(auth.MemoryKV), newKeys(t, "k")), new(lease.Memory)
		first := start(t, store, false, locker, new(postbox), emit)
		second := start(t, store, false, locker, new(postbox), emit)
		first.calls("Cust1", outcome.Error, 1)
		second.calls("Cust1", outcome.Error, 2)
		time.Sleep(time.Minute)
		if s, err := second.Test(t.Context(), OnHold); err != nil || s.Receiver != "" || s.Received {
			t.Errorf("%+v %v", s, err)
		}
		first.end()
		second.end()
		if want := []string{"erpsync_notice_failing erp/Cust1/1", "erpsync_notice_on_hold hold/app sample, tenant Cust00000"}; !slices.Equal(events, want) {
			t.Errorf("%q", events)
		}
	})
}

func TestNoSecretAndNoAddressIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zapcore.DebugLevel)
		box := new(postbox)
		n := New("sod", true, new(lease.Memory), zap.New(core))
		answers := []func(string) (*http.Response, error){
			func(string) (*http.Response, error) { return nil, errors.New("no answer") },
			func(string) (*http.Response, error) { return says(http.StatusInternalServerError), nil },
			func(string) (*http.Response, error) { return says(http.StatusGone), nil },
			nil,
		}
		stop := n.Start(settingsTo(FileStore(new(files), "notices", newKeys(t, "k")), box, nil))
		s := &started{n, stop, box}
		for _, answer := range answers {
			box.set(answer)
			s.calls("Cust1", outcome.Error, 3)
			time.Sleep(time.Minute)
			s.calls("Cust1", outcome.OK, 3)
			time.Sleep(20 * time.Minute)
			_, _ = n.Test(t.Context(), Test)
		}
		s.end()
		if lines.Len() < 4 {
			t.Errorf("%d lines", lines.Len())
		}
		secret := strings.TrimPrefix(string(newSecret('a')), "whsec_")
		for _, line := range lines.All() {
			enc := zapcore.NewMapObjectEncoder()
			for _, f := range line.Context {
				f.AddTo(enc)
			}
			for _, value := range enc.Fields {
				if text, _ := value.(string); strings.Contains(text, secret) || strings.Contains(text, "secret-path") || strings.Contains(text, "v1,") {
					t.Errorf("%s shows %q", line.Message, text)
				}
			}
		}
	})
}

func TestNoticesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := new(postbox)
		box.set(func(string) (*http.Response, error) { return says(http.StatusBadRequest), nil })
		n := start(t, FileStore(new(files), "notices", newKeys(t, "k")), true, new(lease.Memory), box, nil)
		defer n.end()
		synctest.Wait()
		time.Sleep(time.Second / 2) // between two looks
		if unread := New("sod", true, new(lease.Memory), zap.NewNop()); testutil.CollectAndCount(unread, "caddy_erpsync_notices_lost_total") != 0 {
			t.Error("what was not read yet is counted")
		}
		n.calls("Cust1", outcome.Error, 3)
		time.Sleep(8 * time.Second)
		want := `
# HELP caddy_erpsync_notices_lost_total Notices that nobody will receive, of all gateways of the store.
# TYPE caddy_erpsync_notices_lost_total counter
caddy_erpsync_notices_lost_total{environment="sod"} 0
# HELP caddy_erpsync_notices_oldest_seconds How long the first of the messages that wait has waited; 0 if none does.
# TYPE caddy_erpsync_notices_oldest_seconds gauge
caddy_erpsync_notices_oldest_seconds{environment="sod"} 7.5
# HELP caddy_erpsync_notices_queued Messages that wait for the receiver, of all gateways of the store.
# TYPE caddy_erpsync_notices_queued gauge
caddy_erpsync_notices_queued{environment="sod"} 1
# HELP caddy_erpsync_notices_sent_total Attempts of this gateway at sending a message, by whether the receiver took it.
# TYPE caddy_erpsync_notices_sent_total counter
caddy_erpsync_notices_sent_total{environment="sod",result="failed"} 1
caddy_erpsync_notices_sent_total{environment="sod",result="received"} 0
`
		if err := testutil.CollectAndCompare(n, strings.NewReader(want), "caddy_erpsync_notices_lost_total", "caddy_erpsync_notices_oldest_seconds", "caddy_erpsync_notices_queued", "caddy_erpsync_notices_sent_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestASampleNeedsAConfigurationInForce(t *testing.T) {
	t.Parallel()
	if _, err := New("sod", true, new(lease.Memory), zap.NewNop()).Test(t.Context(), Test); !errors.Is(err, ErrNotStarted) {
		t.Error(err)
	}
}
