package auditlog

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// tell writes what a line says, in words.
func (l *Line) tell(out io.Writer) error {
	var b strings.Builder
	say := func(label string, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", label, command.Printable(text))
		}
	}
	fmt.Fprintf(&b, "%s  request %s\n", l.Time.Local().Format(time.DateTime), command.Printable(l.RequestID))
	say("asked", l.asked())
	say("by", l.by())
	reason, class := auth.Reason(l.Reason), outcome.Class(l.Outcome)
	switch {
	case l.Started:
		say("end", noEndMeans)
	case l.Reason != "":
		say(cmp.Or(map[bool]string{true: "refused"}[l.Decision == "refused"], "failed"), strings.TrimSpace(fmt.Sprintf("%d %s: %s", l.Status, l.Reason, reason.Detail())))
		say("because", l.Check)
		if remedy := reason.Remedy(); remedy != "" && remedy != "nothing" {
			say("to do", remedy)
		}
		say("more", reason.Page())
	case l.Found != nil:
		say("found", fmt.Sprintf("%d after %.3f s", *l.Found, l.Duration))
	case l.TokensRevoked != nil:
		say("ended", l.ended())
		say("but", l.Check)
	default:
		say(cmp.Or(l.Decision, "answered"), fmt.Sprintf("%d after %.3f s", l.Status, l.Duration))
	}
	if l.Outcome != "" {
		say("outcome", joined(l.Outcome, l.Cause, l.ErrorCode, class.Explanation()))
		say("to do", class.Remedy())
	}
	_, err := fmt.Fprintln(out, b.String())
	return err
}

// ended returns what a sign-out ended.
func (l *Line) ended() string {
	sessions := "sessions that the store did not count"
	if n := l.SessionsEnded; n != nil {
		sessions = fmt.Sprintf("%d sessions", *n)
	}
	return fmt.Sprintf("%s; SuperID took back %d refresh tokens", sessions, *l.TokensRevoked)
}

// asked returns what was asked for.
func (l *Line) asked() string {
	text := l.Operation
	if l.Visit {
		text = "the endpoint " + cmp.Or(l.Endpoint, "that there is not")
	}
	for _, part := range []struct{ word, value string }{{"for app", l.App}, {"in", l.Tenant}} {
		if part.value != "" {
			text += " " + part.word + " " + part.value
		}
	}
	switch {
	case l.Question != "" && l.ConnectionID != nil:
		text += fmt.Sprintf(", by %s, connection %d", l.Question, *l.ConnectionID)
	case l.Endpoint == lookupEndpoint:
	case l.ResyncAll:
		text += ", everything"
	case l.ConnectionID != nil:
		text += fmt.Sprintf(", connection %d, %d key", *l.ConnectionID, l.Keys.Count)
		if l.Keys.Count != 1 {
			text += "s"
		}
	}
	return strings.TrimSpace(text)
}

// by returns who asked, as far as it was known.
func (l *Line) by() string {
	who := l.Principal
	if who == "" {
		who = "not named"
	} else if l.Scheme != "" {
		who += " (" + l.Scheme + ")"
	}
	if l.ClientIP != "" {
		who += ", from " + l.ClientIP
	}
	return who
}
