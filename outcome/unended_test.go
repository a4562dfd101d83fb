package outcome

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func resync(op superoffice.Operation, connection int32, keys ...int32) Record {
	a := superoffice.Arguments{Connection: connection, Keys: keys, Everything: len(keys) == 0}
	return Record{App: "erp", Tenant: "Cust1", Granted: true, Sends: 1, Operation: op, Arguments: a, KeysSum: a.KeysSum()}
}

func TestACallWhoseEndIsNotKnownStaysUntilOneThatCoversItSucceeds(t *testing.T) {
	t.Parallel()
	many := make([]int32, maxAuditKeys+1)
	for i := range many {
		many[i] = int32(i + 1)
	}
	const op = superoffice.ForceResync
	for name, c := range map[string]struct {
		unknown, next Record
		class         Class
		covered       bool
	}{
		"the next failure":             {resync(op, 1, 1, 2), resync(op, 1, 1, 2), Error, false},
		"another that is unknown":      {resync(op, 1, 1, 2), resync(op, 1, 1, 2), Unknown, false},
		"the same":                     {resync(op, 1, 1, 2), resync(op, 1, 2, 1), OK, true},
		"the same, with a warning":     {resync(op, 1, 1, 2), resync(op, 1, 2, 1), Warning, true},
		"more":                         {resync(op, 1, 1, 2), resync(op, 1, 3, 2, 1), OK, true},
		"less":                         {resync(op, 1, 1, 2), resync(op, 1, 1), OK, false},
		"everything":                   {resync(op, 1, 1, 2), resync(op, 1), OK, true},
		"some of everything":           {resync(op, 1), resync(op, 1, 1), OK, false},
		"everything again":             {resync(op, 1), resync(op, 1), OK, true},
		"another connection":           {resync(op, 1, 1), resync(op, 2, 1), OK, false},
		"another operation":            {resync(op, 1, 1), resync(superoffice.ForceResyncNoBlankValues, 1, 1), OK, false},
		"after a batch task":           {resync(superoffice.ForceResyncBatchTask, 1, 1), resync(op, 1, 1), OK, true},
		"a batch task, accepted":       {resync(op, 1, 1), resync(superoffice.ForceResyncBatchTask, 1, 1), Accepted, false},
		"one that reads":               {resync(op, 1, 1), resync(superoffice.GetEngineStatus, 0), OK, false},
		"the same, of many":            {resync(op, 1, many...), resync(op, 1, many...), OK, true},
		"some, of many":                {resync(op, 1, many...), resync(op, 1, 1), OK, false},
		"everything, of many":          {resync(op, 1, many...), resync(op, 1), OK, true},
		"one that began before it":     {resync(op, 1, 1), resync(op, 1, 1), OK, false},
		"the same in another tenant":   {resync(op, 1, 1), resync(op, 1, 1), OK, false},
		"one that was not sent at all": {resync(op, 1, 1), resync(op, 1, 1), Unreachable, false},
	} {
		var ledger Ledger
		then := time.Now()
		first, next := c.unknown, c.next
		first.RequestID, first.Started, first.Duration, first.Outcome.Class = "first", then, time.Second, Unknown
		next.RequestID, next.Started, next.Outcome.Class = "next", then.Add(2*time.Second), c.class
		switch name {
		case "one that began before it":
			next.Started = then
		case "the same in another tenant":
			next.Tenant = "Cust2"
		case "one that was not sent at all":
			next.Sends = 0
		}
		ledger.Ended(&first)
		ledger.Ended(&next)
		got := ledger.TenantHealth("erp", "Cust1")
		if covered := got.Unknown == (Call{}) && got.Unknowns == 0; covered != c.covered {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestOnlyWhatMovesDataAndWasSentIsLookedAfter(t *testing.T) {
	t.Parallel()
	var ledger Ledger
	reads, unsent := resync(superoffice.GetEngineStatus, 0), resync(superoffice.ForceResync, 1, 1)
	reads.Outcome.Class, unsent.Sends = Unknown, 0
	ledger.Ended(&reads)
	ledger.Ended(&unsent)
	if got := ledger.TenantHealth("erp", "Cust1"); got.Unknowns != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTheNewestCallsWhoseEndIsNotKnownAreRemembered(t *testing.T) {
	t.Parallel()
	var ledger Ledger
	for i := range int32(maxUnended + 5) {
		r := resync(superoffice.ForceResync, 1, i+1)
		r.RequestID, r.Outcome.Class = fmt.Sprint(i), Unknown
		ledger.Ended(&r)
	}
	if got := ledger.TenantHealth("erp", "Cust1"); got.Unknowns != maxUnended || got.Unknown.RequestID != fmt.Sprint(maxUnended+4) {
		t.Errorf("%+v", got)
	}
}
