package superoffice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// stateService is the state service as a transport.
type stateService struct {
	mu     sync.Mutex
	status int
	body   string
	err    error
	asked  int
}

func (s *stateService) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err != nil {
		return nil, s.err
	}
	return &http.Response{StatusCode: s.status, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

func (s *stateService) says(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body, s.err = status, body, nil
}

func (s *stateService) isDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.New("no route")
}

func (s *stateService) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func located(t *testing.T, service *stateService) *superoffice.Locator {
	t.Helper()
	env, err := superoffice.NewEnvironment("online")
	if err != nil {
		t.Fatal(err)
	}
	return superoffice.NewLocator(env, &http.Client{Transport: service}, nil)
}

const sod3 = "https://sod3.superoffice.com/Cust1/api"

// running is a running tenant's state, valid for so long.
func running(api string, valid time.Duration) string {
	return fmt.Sprintf(`{"ContextIdentifier":"Cust1","State":"Running","IsRunning":true,"ValidUntil":%q,"Api":%q}`, time.Now().Add(valid).UTC().Format("2006-01-02T15:04:05.0000000Z"), api)
}

func TestWhatTheStateServiceSaysDecidesWhereACallGoes(t *testing.T) {
	t.Parallel()
	var stopped *superoffice.NotRunningError
	var untrusted *superoffice.HostNotTrustedError
	for name, c := range map[string]struct {
		status int
		body   string
		is     func(error) bool
	}{
		"running":             {200, running(sod3, time.Hour), func(err error) bool { return err == nil }},
		"suspended":           {200, `{"ContextIdentifier":"Cust1","State":"Suspended","IsRunning":false,"Api":"` + sod3 + `"}`, func(err error) bool { return errors.As(err, &stopped) && stopped.State == "Suspended" }},
		"a state of no list":  {200, `{"ContextIdentifier":"Cust1","State":"evil\nline","IsRunning":false}`, func(err error) bool { return errors.As(err, &stopped) && stopped.State == "Unknown" }},
		"elsewhere":           {200, running("https://evil.example/Cust1/api", time.Hour), func(err error) bool { return errors.As(err, &untrusted) }},
		"about another":       {200, strings.ReplaceAll(running("https://sod3.superoffice.com/Cust2/api", time.Hour), `"Cust1"`, `"Cust2"`), func(err error) bool { return errors.As(err, &untrusted) }},
		"another's host":      {200, running("https://sod3.superoffice.com/Cust2/api", time.Hour), func(err error) bool { return errors.As(err, &untrusted) }},
		"unknown":             {404, ``, func(err error) bool { return errors.Is(err, superoffice.ErrTenantUnknown) }},
		"down":                {503, running(sod3, time.Hour), func(err error) bool { return errors.Is(err, superoffice.ErrStateUnavailable) }},
		"a redirect":          {302, running(sod3, time.Hour), func(err error) bool { return errors.Is(err, superoffice.ErrStateUnavailable) }},
		"no JSON":             {200, `<html>`, func(err error) bool { return errors.Is(err, superoffice.ErrStateUnavailable) }},
		"no tenant":           {200, `{"IsRunning":true}`, func(err error) bool { return errors.Is(err, superoffice.ErrStateUnavailable) }},
		"longer than a state": {200, strings.Repeat(" ", 64<<10) + running(sod3, time.Hour), func(err error) bool { return errors.Is(err, superoffice.ErrStateUnavailable) }},
	} {
		service := new(stateService)
		service.says(c.status, c.body)
		api, err := located(t, service).Locate(t.Context(), "Cust1")
		if !c.is(err) || (api == sod3) != (err == nil) {
			t.Errorf("%s: %q %v", name, api, err)
		}
	}
}

func TestALocationIsBelievedForAsLongAsItMayBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		valid, ask time.Duration
		asked      int
	}{
		"within its time":                 {time.Hour, 10 * time.Minute, 1},
		"ahead of its end, beside a call": {time.Hour, 50 * time.Minute, 2},
		"after it":                        {time.Hour, time.Hour + time.Second, 2},
		"one that is over has 10 s":       {-time.Hour, 7 * time.Second, 1},
		"and no more":                     {-time.Hour, 11 * time.Second, 2},
		"a week is a day":                 {7 * 24 * time.Hour, 24*time.Hour + time.Second, 2},
		"and no less":                     {7 * 24 * time.Hour, 18 * time.Hour, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			service := new(stateService)
			service.says(200, running(sod3, c.valid))
			l := located(t, service)
			for range 2 {
				if api, err := l.Locate(t.Context(), "Cust1"); api != sod3 || err != nil {
					t.Errorf("%s: %s %v", name, api, err)
				}
				synctest.Wait()
				time.Sleep(c.ask)
			}
			if n := service.count(); n != c.asked {
				t.Errorf("%s: asked %d times, want %d", name, n, c.asked)
			}
		})
	}
}

func TestAStateServiceThatIsDownIsAskedOnceForAllAndTheLastAnswerHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := new(stateService)
		service.isDown()
		l := located(t, service)
		for range 50 {
			if _, err := l.Locate(t.Context(), "Cust1"); !errors.Is(err, superoffice.ErrStateUnavailable) {
				t.Fatal(err)
			}
		}
		if n := service.count(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(2*time.Second + 1)
		service.says(200, running(sod3, time.Hour))
		if api, err := l.Locate(t.Context(), "Cust1"); api != sod3 || err != nil {
			t.Fatal(api, err)
		}
		service.isDown()
		time.Sleep(2 * time.Hour)
		for range 10 {
			if api, err := l.Locate(t.Context(), "Cust1"); api != sod3 || err != nil {
				t.Fatal(api, err)
			}
		}
		if n := service.count(); n != 3 {
			t.Errorf("asked %d times", n)
		}
		if now := l.Ask(t.Context(), "Cust1"); now.API != sod3 || !now.Stale {
			t.Errorf("what is from before is taken for the state service's word: %+v", now)
		}
		// A host that says that it is not the tenant's any more is believed above that.
		l.Moved("Cust1", "https://sod9.superoffice.com/Cust1/api") // said by another host, it means nothing
		if location, known := l.Known("Cust1"); !known || location.API != sod3 {
			t.Errorf("%+v %v", location, known)
		}
		l.Moved("Cust1", sod3)
		if _, known := l.Known("Cust1"); known {
			t.Error("the host is known still")
		}
		if _, err := l.Locate(t.Context(), "Cust1"); !errors.Is(err, superoffice.ErrStateUnavailable) {
			t.Error(err)
		}
	})
}

func TestATenantThatStartsAgainDoesNotWaitForALongValidUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := new(stateService)
		service.says(200, strings.ReplaceAll(running(sod3, 24*time.Hour), `"IsRunning":true`, `"IsRunning":false`))
		l := located(t, service)
		if _, err := l.Locate(t.Context(), "Cust1"); err == nil {
			t.Fatal("it does not run")
		}
		service.says(200, running(sod3, time.Hour))
		time.Sleep(10*time.Second + 1)
		if api, err := l.Locate(t.Context(), "Cust1"); api != sod3 || err != nil {
			t.Error(api, err)
		}
	})
}

func TestACallerThatLeavesIsNotToldALocation(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	leave()
	synctest.Test(t, func(t *testing.T) {
		hanging := make(chan struct{})
		defer close(hanging)
		env, err := superoffice.NewEnvironment("online")
		if err != nil {
			t.Fatal(err)
		}
		l := superoffice.NewLocator(env, &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			<-hanging
			return nil, errors.New("no route")
		})}, nil)
		if _, err := l.Locate(ctx, "Cust1"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
