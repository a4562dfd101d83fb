package operator

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestNothingThatOthersWroteSteersATerminal(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b[2J\r\u202eb\u0007"
	now := time.Now()
	call := &report.CallStatus{At: now, RequestID: evil, Operation: evil, Outcome: evil, ErrorCode: evil}
	status := report.Status{Apps: []report.AppStatus{{App: "erp", Environment: "online", CallAs: "system", Remark: evil, Tenants: []report.TenantStatus{
		{Tenant: "Cust1", Name: evil, Host: evil, State: evil, Granted: true, Token: "approval", ApprovedBy: evil, Consent: "consent_required", Message: evil, Attention: "consent_required", Remedy: evil, Approve: evil, Last: call, Failed: call},
	}}}}
	check := report.Check{App: "erp", Tenant: "Cust1", Name: evil, Steps: []report.Step{{Name: "state", Found: evil, Remedy: evil}}}
	var out bytes.Buffer
	for _, print := range []func() error{
		func() error { return printTable(&out, &status, now, false) },
		func() error { return printDetails(&out, &status, now) },
		func() error {
			_, err := printChecks(&out, []report.Check{check}, false, false, time.Second)
			return err
		},
		func() error {
			_, err := printChecks(&out, []report.Check{check, {Tenant: "Cust2", Error: evil}}, false, false, time.Second)
			return err
		},
		func() error {
			f := report.Failure{Group: 1, App: evil, Tenant: evil, Kind: evil, ActorType: evil, Outcome: evil, Cause: evil, ErrorCode: evil, RequestID: evil, Remedy: evil}
			external := f
			external.Kind = "external"
			return printFailures(&out, report.Failures{Failures: []report.Failure{f, external}, More: true}, now, true)
		},
		func() error {
			call := report.PlannedCall{App: evil, Tenant: evil, Operation: evil, Outcome: evil, ErrorCode: evil, Overwrites: report.OverwritesBoth}
			left := report.LeftOut{App: evil, Tenant: evil, Outcome: evil, Why: []report.Obstacle{{Says: evil, Flag: evil}}}
			return printPlan(&out, report.RetryPlan{Calls: []report.PlannedCall{call}, LeftOut: []report.LeftOut{left}, Remark: evil}, now, true)
		},
		func() error {
			progress := retryProgress{out: &out}
			progress.done = &report.RetrySummary{Stopped: evil}
			return errors.Join(
				progress.print(report.RetryEvent{Call: &report.RetriedCall{Tenant: evil, Outcome: evil, Cause: evil, Code: evil, Reason: evil, Says: evil, Result: evil, RequestID: evil}}, now),
				progress.print(report.RetryEvent{Waiting: &report.RetryWait{Tenant: evil, Reason: evil, Until: evil}}, now),
				progress.print(report.RetryEvent{Stopped: &report.RetryStop{Tenant: evil, Says: evil}}, now),
				progress.print(report.RetryEvent{Done: progress.done}, now),
			)
		},
		func() error {
			list := callList{out: &out, now: now, wide: true, calls: []report.HistoryCall{{RequestID: evil, App: evil, Tenant: evil, Operation: evil, Reason: evil, ErrorCode: evil, Principal: evil, Ended: &now}}}
			return list.close()
		},
		func() error {
			return printCall(&out, &report.HistoryCall{RequestID: evil, App: evil, Tenant: evil, Operation: evil, Reason: evil, Cause: evil, ErrorCode: evil, Principal: evil, Scheme: evil, UserExplanation: evil, TechExplanation: evil, ActorType: evil, ExternalKeys: []string{evil}})
		},
		func() error {
			return printMonth(&out, &report.Month{Month: evil, Partial: true, ToDate: true, Lines: []report.MonthLine{{Tenant: evil, Name: evil, App: evil, Environment: evil}}}, true)
		},
		func() error {
			return printImport(&out, report.Import{Lines: []report.ImportLine{{Tenant: evil, Problem: evil}}}, false, false)
		},
	} {
		if err := print(); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range strings.ReplaceAll(out.String(), "\n", "") {
		if !unicode.IsPrint(r) {
			t.Fatalf("%q reaches the terminal in:\n%q", r, out.String())
		}
	}
	if !strings.Contains(out.String(), "not checked") || !strings.Contains(out.String(), "1 not checked") {
		t.Errorf("what was not checked is not told: %s", out.String())
	}
}
