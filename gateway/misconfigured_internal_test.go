package gateway

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
)

func TestAnAppsOwnFaultIsToldOnceAWhileHoweverManyMeetIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		g := &Gateway{platform: Platform{Logger: zap.New(core)}}
		one, other := &App{App: auth.App{Name: "one"}, gateway: g}, &App{App: auth.App{Name: "other"}, gateway: g}
		wrong, unknown := &superid.Error{Kind: superid.Misconfigured, Code: "invalid_client"}, &superid.Error{Kind: superid.Misconfigured, Code: "unknown"}
		told := func(want ...int64) {
			t.Helper()
			var got []int64
			for _, entry := range logs.TakeAll() {
				got = append(got, entry.ContextMap()["times"].(int64))
			}
			if !slices.Equal(got, want) {
				t.Errorf("told of %v requests, want %v", got, want)
			}
		}
		for range 100 {
			one.SuperIDAnswered(wrong)
		}
		told(1)
		other.SuperIDAnswered(wrong) // each app has a remedy of its own
		told(1)
		time.Sleep(misconfiguredAgain - time.Second)
		one.SuperIDAnswered(wrong)
		told()
		time.Sleep(time.Second)
		one.SuperIDAnswered(wrong)
		told(101)
		one.SuperIDAnswered(unknown) // another fault is news
		told(1)
		one.SuperIDAnswered(&superid.Error{Kind: superid.Outage})
		one.SuperIDAnswered(&superid.Error{Kind: superid.Ended})
		one.SuperIDAnswered(errors.New("no answer"))
		one.SuperIDAnswered(unknown)
		told()
		one.SuperIDAnswered(nil)
		one.SuperIDAnswered(unknown) // it was well meanwhile
		told(1)
	})
}
