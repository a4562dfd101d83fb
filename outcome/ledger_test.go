package outcome

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestARefusedCallLeavesNoEntry(t *testing.T) {
	t.Parallel()
	var ledger Ledger
	ledger.Ended(&Record{App: "erp", Tenant: "Cust1", Reason: "tenant_not_granted"})
	if tenants := ledger.Tenants("erp"); len(tenants) != 0 {
		t.Errorf("callers make it grow: %v", tenants)
	}
	ledger.Ended(&Record{App: "erp", Tenant: "Cust1", Granted: true})
	if tenants := ledger.Tenants("erp"); len(tenants) != 1 {
		t.Errorf("a granted call: %v", tenants)
	}
}

func TestALedgerKnowsTheLastCallsAndNothingPersonal(t *testing.T) {
	t.Parallel()
	var ledger Ledger
	began := time.Now()
	end := func(id string, class Class, reason string) {
		began = began.Add(time.Second)
		ledger.Ended(&Record{
			App: "erp", Tenant: "Cust1", RequestID: id, Granted: true, Operation: superoffice.ForceResync, Reason: reason, Started: began, Duration: time.Millisecond,
			Outcome: Outcome{Class: class, ErrorCode: "E1", UserExplanation: "personal", TechExplanation: "personal"},
		})
	}
	end("one", OK, "")
	end("two", Error, "")
	for _, class := range []Class{Contradictory, Masked, Empty, Unreadable, Fault, Unreachable, Unknown} { // none of them is a success
		end(string(class), class, "")
		if got := ledger.TenantHealth("erp", "Cust1"); got.Failed.RequestID != string(class) {
			t.Errorf("%s counts as a success", class)
		}
	}
	for _, class := range []Class{Info, Warning} {
		end(string(class), class, "")
		if got := ledger.TenantHealth("erp", "Cust1"); !got.Succeeded.Equal(began.Add(time.Millisecond)) {
			t.Errorf("%s counts as a failure", class)
		}
	}
	succeeded := began.Add(time.Millisecond)
	end("accepted", Accepted, "")
	got := ledger.TenantHealth("erp", "Cust1")
	if !got.Succeeded.Equal(succeeded) {
		t.Error("accepted counts as a success")
	}
	if got.Last.RequestID != "accepted" || got.Failed.RequestID != "unknown" || got.Failed.Outcome.ErrorCode != "E1" || got.Last.Operation != "ForceResync" {
		t.Errorf("%+v", got)
	}
	if got.Failed.Outcome.UserExplanation+got.Failed.Outcome.TechExplanation+got.Last.Outcome.UserExplanation != "" {
		t.Errorf("something personal is kept: %+v", got)
	}
	if other := ledger.TenantHealth("erp", "Cust2"); other != (TenantHealth{}) {
		t.Errorf("another tenant: %+v", other)
	}
}

func TestAConsentIsForgivenByALaterApprovalAlone(t *testing.T) {
	t.Parallel()
	var ledger Ledger
	before := time.Now().Add(-time.Second)
	if was := ledger.SetConsent("erp", "Cust1", ConsentRequired, "no"); was != ConsentUnknown {
		t.Errorf("%q", was)
	}
	ledger.Ended(&Record{App: "erp", Tenant: "Cust1", Granted: true, Reason: string(ConsentRequired), Started: time.Now()})
	since := ledger.TenantHealth("erp", "Cust1").ConsentSince
	if was := ledger.SetConsent("erp", "Cust1", ConsentRequired, "no, again"); was != ConsentRequired {
		t.Errorf("%q", was)
	}
	if got := ledger.TenantHealth("erp", "Cust1"); !got.ConsentSince.Equal(since) || got.Message != "no, again" || !got.ConsentAsked.After(since) {
		t.Errorf("refused again: %+v", got)
	}
	if ledger.Forgive("erp", "Cust1", before) {
		t.Error("forgiven for an approval from before")
	}
	if tenants := ledger.Required("erp"); len(tenants) != 1 {
		t.Errorf("%v", tenants)
	}
	if !ledger.Forgive("erp", "Cust1", time.Now().Add(time.Second)) || ledger.Forgive("erp", "Cust1", time.Now().Add(time.Second)) {
		t.Error("not forgiven, or twice")
	}
	if got := ledger.TenantHealth("erp", "Cust1"); got.Consent != ConsentUnknown || got.Failed.Reason != "" || got.Message != "" {
		t.Errorf("forgiven: %+v", got)
	}
	ledger.Ended(&Record{App: "erp", Tenant: "Cust1", Granted: true, Reason: string(ConsentRequired), Started: time.Now()})
	ledger.SetConsent("erp", "Cust1", Approved, "")
	if got := ledger.TenantHealth("erp", "Cust1"); got.Failed.Reason != "" || got.Consent != Approved {
		t.Errorf("approved: %+v", got)
	}
	ledger.Forget(func(_, tenant string) bool { return tenant == "Cust1" })
	if tenants := ledger.Tenants("erp"); len(tenants) != 0 {
		t.Errorf("%v", tenants)
	}
}
