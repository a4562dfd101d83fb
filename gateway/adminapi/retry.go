package adminapi

import (
	"errors"
	"net/http"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// errUnidentified refuses to make calls in the name of nobody. What was planned may be looked at.
var errUnidentified = &report.Error{Status: http.StatusForbidden, Err: errors.New("nothing shows who asks, and calls are made in an operator's name: use the operators' socket, or a client certificate at the admin endpoint")}

// retry makes a second try in the name of the actor.
func (a API) retry(r *http.Request, done *act, emit func(any) error) error {
	var request report.RetryRequest
	if err := readBody(r, &request); err != nil {
		return err
	}
	done.Group, done.App, done.Tenant, done.Connection, done.All = request.Group, request.App, request.Tenant, request.Connection, request.All
	if !done.Actor.Identified() {
		return errUnidentified
	}
	summary, err := a.Sites.Retry(r.Context(), request, report.By{Name: done.Actor.Name, Proof: string(done.Actor.Proof)}, func(event report.RetryEvent) error { return emit(event) })
	if err == nil {
		done.Retried, done.Nothing = &summary, summary.Sent == 0
	}
	return err
}

// actRetried is what came of a second try.
type actRetried report.RetrySummary

func (s *actRetried) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, n := range []struct {
		name  string
		count int
	}{{"planned", s.Planned}, {"sent", s.Sent}, {"succeeded", s.Succeeded}, {"accepted", s.Accepted}, {"failed", s.Failed}, {"not_made", s.NotMade}, {"left_out", s.LeftOut}} {
		enc.AddInt(n.name, n.count)
	}
	if s.Stopped != "" {
		enc.AddString("stopped", s.Stopped)
	}
	return nil
}
