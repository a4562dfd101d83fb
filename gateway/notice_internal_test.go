package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestWhatTheStateServiceSaysEndsAHoldOrBeginsIt(t *testing.T) {
	t.Parallel()
	running := superoffice.Location{API: "https://sod3.superoffice.com/Cust1/api", State: "Running"}
	down := superoffice.Location{State: "OfflineMaintenance", Err: &superoffice.NotRunningError{State: "OfflineMaintenance"}}
	gone := superoffice.Location{Err: superoffice.ErrTenantUnknown}
	before, beforeDown := running, down
	before.Stale, beforeDown.Stale = true, true
	nothing := superoffice.Location{Err: superoffice.ErrStateUnavailable}
	foreign := superoffice.Location{State: "Running", Err: new(superoffice.HostNotTrustedError)}
	const soon, late = time.Minute, 11 * time.Minute
	for name, c := range map[string]struct {
		notice           hold.Notice
		watched, stopped bool
		said             superoffice.Location
		after            time.Duration
		want             outcome.NoticeResult
	}{
		"an upgrade that has not begun":                 {hold.Upgrade, false, false, running, late, ""},
		"an upgrade under way":                          {hold.Upgrade, false, false, down, soon, outcome.NoticeUnchanged},
		"an upgrade that goes on":                       {hold.Upgrade, false, true, down, soon, ""},
		"an upgrade that is over":                       {hold.Upgrade, false, true, running, soon, outcome.NoticeReleased},
		"an upgrade of which nothing is known now":      {hold.Upgrade, false, true, before, soon, ""},
		"a hint of an upgrade":                          {hold.Upgrade, true, false, running, late, ""},
		"a hint of an upgrade that proves true":         {hold.Upgrade, true, false, down, soon, outcome.NoticeHeld},
		"a hint, and the state of before":               {hold.Upgrade, true, false, beforeDown, soon, ""},
		"a suspension that the state does not show yet": {hold.Suspend, false, false, running, soon, ""},
		"a suspension that the state never showed":      {hold.Suspend, false, false, running, late, outcome.NoticeReleased},
		"a suspension":                                  {hold.Suspend, false, false, down, late, outcome.NoticeUnchanged},
		"a suspension that has ended":                   {hold.Suspend, false, true, running, soon, outcome.NoticeReleased},
		"a suspension while nothing is known":           {hold.Suspend, false, true, nothing, late, ""},
		"a suspension, and the state of before":         {hold.Suspend, false, false, before, late, ""},
		"a suspension, and a host that is not trusted":  {hold.Suspend, false, true, foreign, late, ""},
		"a hint of a suspension":                        {hold.Suspend, true, false, running, late, ""},
		"a hint of a suspension that proves true":       {hold.Suspend, true, false, down, soon, outcome.NoticeHeld},
		"a deletion":                              {hold.Delete, false, false, gone, late, outcome.NoticeUnchanged},
		"a deletion that was taken back":          {hold.Delete, false, true, running, soon, outcome.NoticeReleased},
		"a restored backup, which no state shows": {hold.BackupRestored, false, false, down, late, ""},
		"a restored backup of a tenant that runs": {hold.BackupRestored, false, false, running, late, ""},
		"a move": {hold.Move, true, false, down, late, ""},
	} {
		since := time.Date(2026, 5, 1, 4, 0, 0, 0, time.UTC)
		until := since.Add(time.Hour)
		got, result := followUp(hold.Hold{Notice: c.notice, Watched: c.watched, Stopped: c.stopped, Since: since, Until: until}, c.said, since.Add(c.after))
		if result != c.want {
			t.Errorf("%s: %q, want %q", name, result, c.want)
		}
		if result == outcome.NoticeHeld && (got.Watched || !got.Stopped || got.Until.IsZero() != (c.notice == hold.Suspend)) {
			t.Errorf("%s: %+v", name, got)
		}
		if result == outcome.NoticeUnchanged && (!got.Stopped || got.Until != until) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestATenantIsAskedAboutOftenWhileItMattersAndSeldomAfterwards(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		notice hold.Notice
		age    time.Duration
		want   time.Duration
	}{
		{hold.Upgrade, time.Minute, askAgain},
		{hold.Upgrade, time.Hour, askAgain},
		{hold.Suspend, time.Minute, askAgain},
		{hold.Suspend, time.Hour, askSeldom},
	} {
		if got := pause(hold.Hold{Notice: c.notice, Since: now.Add(-c.age)}, now); got != c.want {
			t.Errorf("%s after %s: %s", c.notice, c.age, got)
		}
	}
}

func TestAPushThatIsRefusedSaysWhetherItMayComeAgain(t *testing.T) {
	t.Parallel()
	if refusal := pushRefusal(errors.New("x")); refusal.RetryAfter != 0 || refusal.Status != 401 {
		t.Errorf("%+v", refusal)
	}
}
