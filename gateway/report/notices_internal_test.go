package report

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/notify"
)

func TestNoticesNeedAttentionWhenTheyAreLateLostOrNotKept(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		health notify.Health
		want   string
	}{
		"well":           {notify.Health{Sends: true}, ""},
		"on its way":     {notify.Health{Queued: 3, Oldest: now.Add(-10 * time.Minute), Cause: "HTTP 500"}, ""},
		"late":           {notify.Health{Queued: 3, Oldest: now.Add(-16 * time.Minute), Cause: "HTTP 500"}, "notices_not_received"},
		"stopped":        {notify.Health{Queued: 3, Oldest: now.Add(-16 * time.Minute), Gone: now}, "notices_stopped"},
		"not kept":       {notify.Health{StoreFails: now, StoreCause: "disk full"}, "notices_not_kept"},
		"lost":           {notify.Health{Lost: 1, LostLast: now.Add(-23 * time.Hour)}, "notices_lost"},
		"lost long ago":  {notify.Health{Lost: 1, LostLast: now.Add(-25 * time.Hour)}, ""},
		"never lost any": {notify.Health{LostLast: now}, ""},
	} {
		got := ""
		for _, trouble := range noticeTrouble(test.health, now) {
			got += trouble.What
			if trouble.Remedy == "" || trouble.Means == "" || trouble.Since == nil {
				t.Errorf("%s: %+v", name, trouble)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
