package operator

import (
	"bytes"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestFailuresAreListedWithWhatToDoOnceForEachCause(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	failure := report.Failure{
		Group: 17, App: "erp", Tenant: "Cust12345", Connection: 612, Kind: "internal", Outcome: "error", ErrorCode: "E1", Keys: 60, Tries: 3,
		First: now.Add(-2 * time.Hour), Last: now.Add(-5 * time.Minute), RequestID: "0190c0de", Remedy: "look into the ERP connection: the error code is its own",
	}
	everything, external, onsite := failure, failure, failure
	everything.Group, everything.Keys, everything.Everything, everything.NoBlankValues, everything.Connection = 18, 0, true, true, 0
	external.Group, external.Kind, external.ActorType, external.Everything = 19, "external", "Customer", true
	onsite.Group, onsite.Tenant, onsite.Kind, onsite.Outcome, onsite.Cause, onsite.Remedy = 20, "", "SyncAll", "unknown", "no_end", "look in SuperOffice"
	var out bytes.Buffer
	if err := printFailures(&out, report.Failures{Failures: []report.Failure{failure, everything, external, onsite}, More: true}, now, true); err != nil {
		t.Fatal(err)
	}
	const want = `GROUP  TENANT     FROM     APP  OUTCOME         CODE  KEYS                        TRIES  FIRST  LAST  REQUEST
17     Cust12345  612      erp  error           E1    60                          3      2h     5m    0190c0de
18     Cust12345  crm      erp  error           E1    everything (no blank)       3      2h     5m    0190c0de
19     Cust12345  612      erp  error           E1    60 and everything Customer  3      2h     5m    0190c0de
20     onsite     SyncAll  erp  unknown no_end  E1    60                          3      2h     5m    0190c0de

error: look into the ERP connection: the error code is its own
unknown no_end: look in SuperOffice
There are more: name a tenant, an app or a connection.
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if err := printFailures(&out, report.Failures{}, now, false); err != nil || out.String() != "Nothing fails.\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
