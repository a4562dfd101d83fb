// Package adminapi is the HTTP form of package report: the routes that operators' commands speak to, who
// asks over them, and the audit line of what was done. The routes stand at Caddy's admin endpoint and at
// the operators' socket.
package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// maxBody bounds what a route reads: an import of ten thousand tenants fits.
const maxBody = 32 << 20

// API is the admin API over the sites in force.
type API struct {
	Sites *report.Sites
	// Node names this process.
	Node func() string
	// Audit is where acts are recorded while no site is in force; otherwise the site's own audit log is.
	Audit func() *zap.Logger
}

// Route is one endpoint: exactly one path with exactly one method.
type Route struct {
	Method, Path string
	serve        func(*http.Request, *act) (any, error)
	act          string // what is recorded; "" for what only looks
	// stream serves in serve's place what answers with a line for each thing that happens.
	stream func(r *http.Request, done *act, emit func(line any) error) error
}

// Routes returns the endpoints:
//
//	GET  /erpsync/status?tenant=           how the tenants are, as far as this gateway knows
//	POST /erpsync/check                    {"app", "tenant"}: try out whether the app can do its work there
//	POST /erpsync/find                     {"app", "tenant", "connection", "erp" | "key" | "contact" | "person" | "project" | "name"}: which internal key belongs to what
//	POST /erpsync/probe                    {"app", "tenant"}: begin to find out what SuperOffice does where nothing is documented
//	GET  /erpsync/probe/result?id=         how that probe is
//	GET  /erpsync/tenants?app=             the tenants, and where their system tokens are from
//	GET  /erpsync/tenants/export?app=      the kept system tokens, sealed
//	POST /erpsync/tenants/import           {"app", "tenants": […]}: keep system tokens, all or none
//	POST /erpsync/tenants/remove           {"app", "tenant"}: forget a system token
//	POST /erpsync/hold                     {"app", "tenant", "connection", "all", "reason", "for"}: refuse new calls
//	POST /erpsync/release                  {"app", "tenant", "connection", "all", "unreadable"}: end a hold
//	POST /erpsync/history/import           {"environment", "calls": […]}: fill gaps of the history from audit lines
//	GET  /erpsync/failures?tenant=         keys whose last call failed; also connection=, app=, since=
//	POST /erpsync/failures/close           {"group", "reason"}: take a group of them for settled
//	POST /erpsync/retry/plan               {"group"} | {"tenant", "app", "connection", "since"} | {"all"}, "older_than", …: what a second try would do
//	POST /erpsync/retry                    the same, "plan", "max_failures", "pause": make a second try; answers with a line of JSON for each event
//	GET  /erpsync/history?tenant=          calls, the newest first; also connection=, app=, environment=, key=, everything=, outcome=, decision=, reason=, principal=, request_id=, since=, until=, keys=, before=, limit=
//	GET  /erpsync/month?month=2026-11      what was called in a month, by tenant and connection; also tenant=, app=, environment=
//	POST /erpsync/forget                   {"tenant", "environment", "app", "dry_run"}: remove all that the history keeps of a tenant
//	POST /erpsync/notify/test              {"kind", "environment"}: have a sample of a notice sent
//	POST /erpsync/revoke                   {"app"} | {"tenant"} | {"tenant", "user"}: end sessions, tickets, kept answers
//
// Where an app stands in several environments, "environment" says which is meant. Answers are JSON and hold no
// secret but the address of a probe, which begins that probe's sign-ins once; an export's tokens are sealed under the
// gateway's keys. Nothing is changed by GET. Whatever changes
// something, asks SuperOffice or hands tokens out is recorded in the audit log, with who did it.
func (a API) Routes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: report.StatusPath, serve: func(r *http.Request, _ *act) (any, error) {
			return a.Sites.Status(r.Context(), a.Node(), r.URL.Query().Get("tenant"))
		}},
		{Method: http.MethodGet, Path: report.TenantsPath, serve: func(r *http.Request, _ *act) (any, error) {
			return a.Sites.Tenants(r.Context(), r.URL.Query().Get("app"), r.URL.Query().Get("environment"))
		}},
		{Method: http.MethodPost, Path: report.CheckPath, act: "check", serve: ordered(func(ctx context.Context, q report.CheckRequest, done *act) (report.Check, error) {
			done.App, done.Environment, done.Tenant = q.App, q.Environment, q.Tenant
			return a.Sites.Check(ctx, q)
		})},
		{Method: http.MethodPost, Path: report.FindPath, act: "find", serve: ordered(func(ctx context.Context, q report.FindRequest, done *act) (report.Found, error) {
			done.App, done.Environment, done.Tenant = q.App, q.Environment, q.Tenant
			found, err := a.Sites.Find(ctx, q)
			done.find(q, found, err)
			return found, err
		})},
		{Method: http.MethodPost, Path: report.ProbePath, act: "probe", serve: ordered(func(_ context.Context, q report.ProbeRequest, done *act) (report.Probe, error) {
			done.App, done.Environment, done.Tenant = q.App, q.Environment, q.Tenant
			return a.Sites.Probe(q)
		})},
		{Method: http.MethodGet, Path: report.ProbedPath, serve: func(r *http.Request, _ *act) (any, error) {
			return a.Sites.Probed(r.Context(), r.URL.Query().Get("id"))
		}},
		{Method: http.MethodGet, Path: report.ExportPath, act: "tenants_export", serve: func(r *http.Request, done *act) (any, error) {
			done.App, done.Environment = r.URL.Query().Get("app"), r.URL.Query().Get("environment")
			exported, err := a.Sites.Export(r.Context(), done.App, done.Environment)
			for _, t := range exported.Tenants {
				done.Tenants = append(done.Tenants, t.Tenant)
			}
			return exported, err
		}},
		{Method: http.MethodPost, Path: report.ImportPath, act: "tenants_import", serve: ordered(func(ctx context.Context, q report.ImportRequest, done *act) (report.Import, error) {
			done.App, done.Environment, done.DryRun = q.App, q.Environment, q.DryRun
			imported, err := a.Sites.Import(ctx, q)
			for _, line := range imported.Lines {
				if imported.Kept && line.Changes() {
					done.Tenants = append(done.Tenants, line.Tenant)
				}
			}
			done.Nothing = err == nil && !imported.Kept
			return imported, err
		})},
		{Method: http.MethodPost, Path: report.RemovePath, act: "tenants_remove", serve: ordered(func(ctx context.Context, q report.RemoveRequest, done *act) (report.Removed, error) {
			done.App, done.Environment, done.Tenant = q.App, q.Environment, q.Tenant
			tenant, err := a.Sites.RemoveToken(ctx, q)
			return report.Removed{Removed: string(tenant)}, err
		})},
		{Method: http.MethodPost, Path: report.HoldPath, act: "hold", serve: ordered(func(ctx context.Context, q report.HoldRequest, done *act) (report.Held, error) {
			done.hold(q.HoldTarget)
			done.Reason, done.For = q.Reason, q.For
			held, err := a.Sites.Hold(ctx, q, report.By{Name: done.Actor.Name, Proof: string(done.Actor.Proof)})
			done.Unknown = held.Unknown != ""
			return held, err
		})},
		{Method: http.MethodPost, Path: report.ReleasePath, act: "release", serve: ordered(func(ctx context.Context, q report.ReleaseRequest, done *act) (report.Released, error) {
			done.hold(q.HoldTarget)
			done.Unreadable = q.Unreadable
			released, err := a.Sites.Release(ctx, q)
			done.Nothing = err == nil && !released.Found
			return released, err
		})},
		{Method: http.MethodPost, Path: report.ImportHistoryPath, act: "history_import", serve: ordered(func(ctx context.Context, q report.HistoryImportRequest, done *act) (report.HistoryImport, error) {
			done.Environment = q.Environment
			imported, err := a.Sites.ImportHistory(ctx, q)
			done.Nothing = err == nil && imported.Taken == 0
			return imported, err
		})},
		{Method: http.MethodGet, Path: report.FailuresPath, serve: func(r *http.Request, _ *act) (any, error) {
			return a.failures(r)
		}},
		{Method: http.MethodPost, Path: report.CloseFailurePath, act: "failures_close", serve: ordered(func(ctx context.Context, q report.CloseFailureRequest, done *act) (report.FailureClosed, error) {
			done.Group, done.Reason = q.Group, q.Reason
			closed, err := a.Sites.CloseFailure(ctx, q, report.By{Name: done.Actor.Name, Proof: string(done.Actor.Proof)})
			if f := closed.Closed; err == nil {
				done.App, done.Environment, done.Tenant, done.Connection = f.App, f.Environment, f.Tenant, &f.Connection
			}
			return closed, err
		})},
		{Method: http.MethodPost, Path: report.RetryPlanPath, serve: ordered(func(ctx context.Context, q report.RetryRequest, _ *act) (report.RetryPlan, error) {
			return a.Sites.PlanRetry(ctx, q)
		})},
		{Method: http.MethodPost, Path: report.RetryPath, act: "retry", stream: a.retry},
		{Method: http.MethodGet, Path: report.HistoryPath, serve: func(r *http.Request, _ *act) (any, error) {
			return a.history(r)
		}},
		{Method: http.MethodGet, Path: report.MonthPath, serve: func(r *http.Request, _ *act) (any, error) {
			query := r.URL.Query()
			return a.Sites.Month(r.Context(), report.MonthRequest{Month: query.Get("month"), Environment: query.Get("environment"), App: query.Get("app"), Tenant: query.Get("tenant")}, time.Now())
		}},
		{Method: http.MethodPost, Path: report.ForgetPath, act: "history_forget", serve: ordered(func(ctx context.Context, q report.ForgetRequest, done *act) (report.Forgotten, error) {
			done.App, done.Environment, done.Tenant, done.DryRun = q.App, q.Environment, q.Tenant, q.DryRun
			forgotten, err := a.Sites.Forget(ctx, q)
			calls := int(forgotten.Calls)
			done.Removed, done.Nothing = &calls, err == nil && (!forgotten.Removed || forgotten.Nothing())
			return forgotten, err
		})},
		{Method: http.MethodPost, Path: report.NotifyTestPath, act: "notify_test", serve: ordered(func(ctx context.Context, q report.NotifyTestRequest, done *act) (report.NotifyTest, error) {
			done.Environment, done.Kind = q.Environment, q.Kind
			if err := done.Actor.identified(); err != nil {
				return report.NotifyTest{}, err
			}
			tested, err := a.Sites.TestNotices(ctx, q)
			if err == nil && tested.Receiver != "" && !tested.Received {
				done.Failed = tested.Cause
			}
			return tested, err
		})},
		{Method: http.MethodPost, Path: report.RevokePath, act: "revoke", serve: ordered(func(ctx context.Context, q report.Revocation, done *act) (report.Revoked, error) {
			done.App, done.Tenant, done.User = said(q.App), said(q.Tenant), said(q.User)
			revoked, err := a.Sites.Revoke(ctx, q)
			done.Sessions, done.Unknown = revoked.Sessions, revoked.Unknown != ""
			return revoked, err
		})},
	}
}

// ordered serves what is asked with a body.
func ordered[Q, A any](do func(context.Context, Q, *act) (A, error)) func(*http.Request, *act) (any, error) {
	return func(r *http.Request, done *act) (any, error) {
		var request Q
		if err := readBody(r, &request); err != nil {
			return nil, err
		}
		return do(r.Context(), request, done)
	}
}

// Serve answers a request. An error is for the caller to write, with its status; an act is recorded either way.
func (a API) Serve(route Route, w http.ResponseWriter, r *http.Request) (status int, err error) {
	if r.URL.EscapedPath() != route.Path {
		return http.StatusNotFound, errors.New("no such endpoint")
	}
	if r.Method != route.Method {
		w.Header().Set("Allow", route.Method)
		return http.StatusMethodNotAllowed, errors.New("want " + route.Method)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	done := act{Act: route.act, Actor: ActorOf(r), Node: a.Node()}
	if route.stream != nil {
		return a.serveStream(route, w, r, &done)
	}
	answer, err := route.serve(r, &done)
	if route.act != "" {
		a.record(done, err)
	}
	if err != nil {
		return statusOf(err), err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // who left gets no other answer either
	return http.StatusOK, nil
}

// statusOf returns the HTTP status of an error; what is not said to be another's fault is the request's.
func statusOf(err error) int {
	var own *report.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own.Status
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// failures reads what is asked for.
func (a API) failures(r *http.Request) (report.Failures, error) {
	query := r.URL.Query()
	wanted := report.FailuresRequest{Tenant: query.Get("tenant"), App: query.Get("app")}
	if raw := query.Get("connection"); raw != "" {
		connection, err := strconv.ParseInt(raw, 10, 32)
		if err != nil {
			return report.Failures{}, errors.New("connection: want a number")
		}
		only := int32(connection)
		wanted.Connection = &only
	}
	if raw := query.Get("since"); raw != "" {
		var err error
		if wanted.Since, err = time.Parse(time.RFC3339, raw); err != nil {
			return report.Failures{}, errors.New("since: want a time such as 2026-11-24T08:00:00Z")
		}
	}
	return a.Sites.Failures(r.Context(), wanted)
}

// readBody reads a request's body; what it does not know is an error.
func readBody(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) { // its text quotes the value
			return fmt.Errorf("%s has the wrong type", kind.Field)
		}
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the closing brace")
	}
	return nil
}

// find notes what kind of question was asked, and how many matches were found. What was searched for may name a person.
func (a *act) find(q report.FindRequest, found report.Found, err error) {
	lookup, _ := q.Lookup()
	a.Question = string(lookup.Question)
	if q.Connection > 0 {
		a.Connection = &q.Connection
	}
	if err == nil {
		n := len(found.Matches)
		a.Found = &n
	}
}

// hold notes which calls a hold is about.
func (a *act) hold(target report.HoldTarget) {
	a.App, a.Tenant, a.Connection, a.All = said(target.App), said(target.Tenant), target.Connection, target.All
}

// said is a word of a request; "": left out.
func said(word *string) string {
	if word == nil {
		return ""
	}
	return *word
}
