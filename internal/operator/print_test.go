package operator

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestNothingThatOthersWroteSteersATerminal(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b[2J\r\u202eb\u0007"
	now := time.Now()
	call := &CallStatus{At: now, RequestID: evil, Operation: evil, Outcome: evil, ErrorCode: evil}
	status := Status{Apps: []AppStatus{{App: "erp", Environment: "online", CallAs: "system", Remark: evil, Tenants: []TenantStatus{
		{Tenant: "Cust1", Name: evil, Host: evil, State: evil, Granted: true, Token: "approval", ApprovedBy: evil, Consent: "consent_required", Message: evil, Attention: "consent_required", Remedy: evil, Approve: evil, Last: call, Failed: call},
	}}}}
	check := Check{App: "erp", Tenant: "Cust1", Name: evil, Steps: []Step{{Name: "state", Found: evil, Remedy: evil}}}
	var out bytes.Buffer
	for _, print := range []func() error{
		func() error { return status.table(&out, now) },
		func() error { return status.details(&out, now) },
		func() error { _, err := printChecks(&out, []Check{check}, false, time.Second); return err },
		func() error {
			_, err := printChecks(&out, []Check{check, {Tenant: "Cust2", Error: evil}}, false, time.Second)
			return err
		},
		func() error { return Import{Lines: []ImportLine{{Tenant: evil, Problem: evil}}}.table(&out, false) },
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
