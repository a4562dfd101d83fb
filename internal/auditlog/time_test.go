package auditlog

import (
	"testing"
	"time"
)

// The time formats are the names that Caddy's log encoders know.
func TestTheTimeOfALineIsReadInEveryFormatThatCaddyWrites(t *testing.T) {
	t.Parallel()
	whole := time.Date(2026, 11, 24, 18, 17, 25, 0, time.UTC)
	local := time.Date(2026, 11, 24, 18, 17, 25, 0, time.Local)
	for name, c := range map[string]struct {
		written string
		want    time.Time
	}{
		"unix_seconds_float": {"1795544245.25", whole.Add(250 * time.Millisecond)},
		"unix_milli_float":   {"1795544245250", whole.Add(250 * time.Millisecond)},
		"unix_nano":          {"1795544245250000128", whole.Add(250*time.Millisecond + 128)},
		"rfc3339":            {`"2026-11-24T18:17:25Z"`, whole},
		"rfc3339_nano":       {`"2026-11-24T18:17:25.25Z"`, whole.Add(250 * time.Millisecond)},
		"iso8601":            {`"2026-11-24T18:17:25.250Z"`, whole.Add(250 * time.Millisecond)},
		"wall":               {`"2026/11/24 18:17:25"`, local},
		"wall_milli":         {`"2026/11/24 18:17:25.250"`, local.Add(250 * time.Millisecond)},
		"common_log":         {`"24/Nov/2026:18:17:25 +0000"`, whole},
	} {
		got, err := parseTime([]byte(c.written))
		if err != nil || got.Sub(c.want).Abs() > time.Microsecond {
			t.Errorf("%s: %v %v, want %v", name, got, err, c.want)
		}
	}
	for _, written := range []string{"", "true", `"yesterday"`} {
		if got, err := parseTime([]byte(written)); err == nil {
			t.Errorf("%s is read as %v", written, got)
		}
	}
}
