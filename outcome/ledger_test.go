package outcome

import "testing"

func TestARefusedCallLeavesNoEntry(t *testing.T) {
	t.Parallel()
	var ledger Ledger
	ledger.Enter(&Record{App: "erp", Tenant: "Cust1", Reason: "tenant_not_granted"})
	if tenants := ledger.Tenants("erp"); len(tenants) != 0 {
		t.Errorf("callers make it grow: %v", tenants)
	}
	ledger.Enter(&Record{App: "erp", Tenant: "Cust1", Granted: true})
	if tenants := ledger.Tenants("erp"); len(tenants) != 1 {
		t.Errorf("a granted call: %v", tenants)
	}
}
