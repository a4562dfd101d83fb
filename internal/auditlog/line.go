// Package auditlog reads the audit lines that gateways wrote, and adds the
// command `caddy erpsync outcomes`.
package auditlog

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Line is one line of an audit file.
type Line struct {
	Time    time.Time
	Started bool // the call was about to be sent; another line tells its end
	Raw     json.RawMessage

	RequestID    string  `json:"request_id"`
	App          string  `json:"app"`
	Tenant       string  `json:"tenant"`
	Principal    string  `json:"principal"`
	Operation    string  `json:"operation"`
	ConnectionID *int32  `json:"connection_id"`
	Keys         keys    `json:"keys"`
	ResyncAll    bool    `json:"resync_all"`
	Node         string  `json:"node"`
	Decision     string  `json:"decision"`
	Reason       string  `json:"reason"`
	Status       int     `json:"status"`
	Outcome      string  `json:"outcome"`
	Cause        string  `json:"outcome_cause"`
	ErrorCode    string  `json:"error_code"`
	Duration     float64 `json:"duration"` // seconds
}

type keys struct {
	Count int   `json:"count"`
	First []any `json:"first"`
}

var errNotAudit = errors.New("not an audit line")

// parse reads a line of Caddy's JSON log format, whichever time format it is set to.
func parse(raw []byte) (line Line, err error) {
	var head struct {
		TS  json.RawMessage `json:"ts"`
		Msg string          `json:"msg"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return line, errNotAudit
	}
	switch head.Msg {
	case "erpsync call":
	case "erpsync call started":
		line.Started = true
	default:
		return line, errNotAudit
	}
	if err := json.Unmarshal(raw, &line); err != nil {
		return line, errNotAudit
	}
	line.Raw = slices.Clone(raw)
	line.Time, err = parseTime(head.TS)
	return line, err
}

// timeFormats are those that Caddy's log encoders can be set to write as text.
var timeFormats = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.000Z0700", "2006/01/02 15:04:05.000", "2006/01/02 15:04:05", "2006-01-02 15:04:05.000", "02/Jan/2006:15:04:05 -0700",
}

func parseTime(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 {
		return time.Time{}, errNotAudit
	}
	if raw[0] != '"' {
		stamp, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return time.Time{}, errNotAudit
		}
		// Seconds, milliseconds or nanoseconds: the sizes are a thousandfold apart.
		switch {
		case stamp > 1e17:
			return time.Unix(0, int64(stamp)), nil
		case stamp > 1e11:
			return time.UnixMicro(int64(stamp * 1000)), nil
		}
		return time.UnixMicro(int64(stamp * 1e6)), nil
	}
	text := strings.Trim(string(raw), `"`)
	for _, format := range timeFormats {
		if t, err := time.ParseInLocation(format, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errNotAudit
}
