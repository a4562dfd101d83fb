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

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Line is one line of an audit file.
type Line struct {
	Time    time.Time
	Started bool // the call was about to be sent; another line tells its end
	Act     *Act // what an operator did, or SuperOffice's notice; nil for a call
	Visit   bool // a request to an endpoint (sign-in, session, approval) that was refused, a sign-out or a look-up, and no call
	Raw     json.RawMessage

	RequestID       string  `json:"request_id"`
	App             string  `json:"app"`
	Tenant          string  `json:"tenant"`
	Principal       string  `json:"principal"`
	Operation       string  `json:"operation"`
	ConnectionID    *int32  `json:"connection_id"`
	Keys            keys    `json:"keys"`
	ResyncAll       bool    `json:"resync_all"`
	Node            string  `json:"node"`
	Decision        string  `json:"decision"`
	Reason          string  `json:"reason"`
	Check           string  `json:"cause"` // why it was refused
	Endpoint        string  `json:"endpoint"`
	ClientIP        string  `json:"client_ip"`
	Scheme          string  `json:"scheme"`
	Credential      string  `json:"credential"`
	Environment     string  `json:"environment"`
	ActorType       string  `json:"actor_type"` // of external keys
	Replays         string  `json:"replays"`
	Retries         string  `json:"retries"`
	DryRun          bool    `json:"dry_run"`  // of a refused call: it was to be a dry run
	Unproved        bool    `json:"unproved"` // of a refused call: its caller did not prove itself
	Sends           int     `json:"sends"`
	UserExplanation string  `json:"user_explanation"`
	TechExplanation string  `json:"tech_explanation"`
	Status          int     `json:"status"`
	Outcome         string  `json:"outcome"`
	Cause           string  `json:"outcome_cause"`
	ErrorCode       string  `json:"error_code"`
	Duration        float64 `json:"duration"` // seconds
	// SessionsEnded and TokensRevoked are a sign-out's; nil: not told.
	SessionsEnded *int `json:"sessions_ended"`
	TokensRevoked *int `json:"refresh_tokens_revoked"`
	// Question is a look-up's kind, Found how many matches it had; nil: it was refused.
	Question string `json:"question"`
	Found    *int   `json:"found"`
}

// Act is what an operator did over the admin API, or what SuperOffice said of a tenant and what followed.
type Act struct {
	Act    string `json:"act"`
	Actor  string `json:"actor"`
	Proof  string `json:"actor_proof"`
	User   string `json:"user"`
	Result string `json:"result"`
	Cause  string `json:"cause"`
	Reason string `json:"reason"` // of a hold
	For    string `json:"for"`
	All    bool   `json:"all"`
	// Unreadable is a release's, of what could not be read.
	Unreadable bool `json:"unreadable"`
	// Connection is a hold's; nil: none.
	Connection *int32 `json:"connection"`
	// Calls are a second try's; nil: there was none.
	Calls *Retried `json:"calls"`
	// Tenants are those whose system tokens were imported or exported, the first of them by name.
	Tenants struct {
		Count int      `json:"count"`
		First []string `json:"first"`
	} `json:"tenants"`
}

// tenants returns the first tenants by name and how many more there are.
func (a *Act) tenants() string {
	const named = 3
	text := strings.Join(a.Tenants.First[:min(len(a.Tenants.First), named)], " ")
	if more := a.Tenants.Count - named; more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

// held says what a hold is about beside app and tenant, and why.
func (a *Act) held() string {
	var parts []string
	switch {
	case a.Unreadable:
		parts = append(parts, "unreadable holds")
	case a.All && a.Act == "retry":
		parts = append(parts, "all that fails")
	case a.All:
		parts = append(parts, "everything")
	}
	if a.Connection != nil {
		parts = append(parts, "connection "+strconv.Itoa(int(*a.Connection)))
	}
	if a.Calls != nil {
		parts = append(parts, a.Calls.String())
	}
	if a.For != "" {
		parts = append(parts, "for "+a.For)
	}
	if a.Reason != "" {
		parts = append(parts, a.Reason)
	}
	return strings.Join(parts, ", ")
}

// parseAct reads the line of an act: app, tenant and node as a call's.
func parseAct(raw []byte, ts json.RawMessage) (line Line, err error) {
	var common struct {
		App    string `json:"app"`
		Tenant string `json:"tenant"`
		Node   string `json:"node"`
	}
	line.Act = new(Act)
	if json.Unmarshal(raw, line.Act) != nil || json.Unmarshal(raw, &common) != nil {
		return line, errNotAudit
	}
	line.App, line.Tenant, line.Node, line.Raw = common.App, common.Tenant, common.Node, slices.Clone(raw)
	line.Time, err = parseTime(ts)
	return line, err
}

type keys struct {
	Count int   `json:"count"`
	First []any `json:"first"`
}

// The messages of audit lines.
const (
	startedMessage = outcome.StartedMessage
	endedMessage   = outcome.EndedMessage
	actMessage     = "erpsync admin act"
	visitMessage   = "erpsync endpoint refused"
	lookupMessage  = "erpsync lookup"
	signOutMessage = "erpsync signed out"
	noticeMessage  = outcome.NoticeMessage // SuperOffice's, which has the fields of an act
)

// lookupEndpoint is what a look-up's line is of.
const lookupEndpoint = "/lookup"

var errNotAudit = errors.New("not an audit line")

// parse reads a line of Caddy's JSON or console log format, whatever time format it is set to.
func parse(raw []byte) (line Line, err error) {
	if len(raw) > 0 && raw[0] != '{' {
		inner, ok := behindPrefix(raw)
		if made, isConsole := console(raw); isConsole {
			inner, ok = made, true
		}
		if !ok {
			return line, errNotAudit
		}
		raw = inner
	}
	var head struct {
		TS  json.RawMessage `json:"ts"`
		Msg string          `json:"msg"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return line, errNotAudit
	}
	switch head.Msg {
	case endedMessage:
	case startedMessage:
		line.Started = true
	case visitMessage, signOutMessage:
		line.Visit = true
	case lookupMessage:
		line.Visit, line.Endpoint = true, lookupEndpoint
	case actMessage, noticeMessage:
		return parseAct(raw, head.TS)
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
