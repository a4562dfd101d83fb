package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
)

// NotifyTestPath has a sample of a notice sent.
const NotifyTestPath = "/erpsync/notify/test"

// NotifyTestRequest says which sample is wanted.
type NotifyTestRequest struct {
	// Kind is what the sample is about; "": a message of its own kind, which says nothing.
	Kind string `json:"kind,omitempty"`
	// Environment says whose notices are meant, where there are several; "": those of the newest site.
	Environment string `json:"environment,omitempty"`
}

// NotifyTest is what came of a sample.
type NotifyTest struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Event is the name of the event that was published in the gateway's process.
	Event string `json:"event"`
	// Receiver is where the sample was posted, without its path; "": no webhook is configured.
	Receiver string `json:"receiver,omitempty"`
	// Received reports that the receiver took it. Status is its answer's; 0: there was none.
	Received bool `json:"received"`
	Status   int  `json:"status,omitempty"`
	// Cause says in words why it was not received.
	Cause        string `json:"cause,omitempty"`
	Milliseconds int64  `json:"milliseconds,omitempty"`
	// Resumed reports that messages are sent again, which an earlier 410 Gone had stopped.
	Resumed bool `json:"resumed,omitempty"`
}

// TestNotices has a sample of a notice published and posted, once.
func (s *Sites) TestNotices(ctx context.Context, request NotifyTestRequest) (NotifyTest, error) {
	kind := notify.Kind(request.Kind)
	if request.Kind == "" {
		kind = notify.Test
	}
	if kind.Type() == "" {
		known := make([]string, 0, len(notify.Kinds()))
		for _, k := range notify.Kinds() {
			known = append(known, string(k))
		}
		return NotifyTest{}, fmt.Errorf("type %q: there is no such notice%s", request.Kind, nearest.Hint(request.Kind, known))
	}
	notifier := s.notifier(request.Environment)
	if notifier == nil {
		return NotifyTest{}, &Error{http.StatusConflict, errors.New("no notices are configured: add notify to the global option erpsync")}
	}
	done, err := notifier.Test(ctx, kind)
	switch {
	case errors.Is(err, notify.ErrNotStarted):
		return NotifyTest{}, &Error{http.StatusConflict, err}
	case err != nil:
		return NotifyTest{}, unavailable(err)
	}
	return NotifyTest{
		ID: done.ID, Type: kind.Type(), Event: kind.Event(), Receiver: done.Receiver, Received: done.Received, Status: done.Status, Cause: done.Cause,
		Milliseconds: done.Took.Milliseconds(), Resumed: done.Resumed,
	}, nil
}

// notifier returns that of an environment, or of the newest site; nil if there is none.
func (s *Sites) notifier(environment string) *notify.Notifier {
	for _, site := range s.list() {
		if n := site.Platform().Notices; n != nil && (environment == "" || environment == site.EnvironmentLabel()) {
			return n
		}
	}
	return nil
}

// noticesLate is how long a message may wait for its receiver until that needs attention, and noticesLostFor how long a
// lost one does.
const (
	noticesLate    = 15 * time.Minute
	noticesLostFor = 24 * time.Hour
)

// noticeTroubles returns what is wrong with the notices of each store.
func (s *Sites) noticeTroubles(now time.Time) (found []Trouble) {
	var seen []*notify.Notifier
	for _, site := range s.list() {
		if n := site.Platform().Notices; n != nil && !slices.Contains(seen, n) {
			seen = append(seen, n)
			found = append(found, noticeTrouble(n.Health(), now)...)
		}
	}
	return found
}

func noticeTrouble(h notify.Health, now time.Time) (found []Trouble) {
	if !h.Gone.IsZero() {
		found = append(found, Trouble{"notices_stopped", when(h.Gone), "the receiver answered 410 Gone", "nothing is posted any more, and notices are lost; events of this gateway go on", "ask who runs the receiver, correct webhook under notify, then: caddy erpsync notify test"})
	} else if h.Queued > 0 && now.Sub(h.Oldest) > noticesLate {
		found = append(found, Trouble{"notices_not_received", when(h.Oldest), h.Cause, fmt.Sprintf("%d messages wait; each is sent again for a day", h.Queued), "look at the receiver; caddy erpsync notify test says what it answers"})
	}
	if !h.StoreFails.IsZero() {
		found = append(found, Trouble{"notices_not_kept", when(h.StoreFails), h.StoreCause, "what is to be told waits in this process, and a restart loses it", "look at the store, or at Caddy's storage"})
	}
	if h.Lost > 0 && now.Sub(h.LostLast) < noticesLostFor {
		found = append(found, Trouble{"notices_lost", when(h.LostLast), h.LostWhy, fmt.Sprintf("%d notices were not told to anybody since they were first kept", h.Lost), "caddy erpsync status --attention shows how the tenants are now"})
	}
	return found
}
