package outcome

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestWhatWasUnderWayInAKilledProcessIsToldByTheLineBefore(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	r := Record{
		RequestID: "one", ClientIP: "192.0.2.1", App: "portal", Tenant: "Cust1", Principal: "tove@uno.example", Scheme: "session", Operation: superoffice.ForceResync,
		Arguments: superoffice.Arguments{Connection: 612, Keys: []int32{386, 230}}, KeysSum: "0123456789abcdef0123", Understood: true, Decision: "allowed", Node: "n", Started: time.Now(),
		Privacy: Privacy{Principals: Full},
	}
	r.Begin(zap.New(core))
	want := map[string]any{
		"request_id": "one", "app": "portal", "tenant": "Cust1", "principal": "tove@uno.example", "scheme": "session", "node": "n", "operation": "ForceResync",
		"connection_id": int32(612), "resync_all": false, "keys": map[string]any{"count": 2, "digest": "0123456789abcdef", "first": []any{int32(386), int32(230)}},
	}
	if diff := cmp.Diff(want, logs.All()[0].ContextMap()); diff != "" {
		t.Error(diff)
	}
	r.End(zap.New(core))
	for key := range logs.All()[1].ContextMap() {
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("the line of its end leaves out %v", want)
	}
}
