package outcome

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
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
	AuditLog{Logger: zap.New(core)}.Began(&r)
	want := map[string]any{
		"request_id": "one", "app": "portal", "tenant": "Cust1", "principal": "tove@uno.example", "scheme": "session", "node": "n", "operation": "ForceResync",
		"connection_id": int32(612), "resync_all": false, "keys": map[string]any{"count": 2, "digest": "0123456789abcdef", "first": []any{int32(386), int32(230)}},
	}
	if diff := cmp.Diff(want, logs.All()[0].ContextMap()); diff != "" {
		t.Error(diff)
	}
	AuditLog{Logger: zap.New(core)}.Ended(&r)
	for key := range logs.All()[1].ContextMap() {
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("the line of its end leaves out %v", want)
	}
}

func TestALineIsBoundedAndHarmlessWhateverOthersWrote(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	r := Record{
		App: "erp", Tenant: "Cust1", Principal: "tove@uno.example", Operation: superoffice.ForceResyncExternal, Understood: true, KeysSum: "0123456789abcdef0123",
		Outcome: Outcome{ErrorCode: "a\u202eb\x1b[2J", UserExplanation: "Tove's own", TechExplanation: "hers"},
	}
	for range 101 {
		r.Arguments.ExternalKeys = append(r.Arguments.ExternalKeys, "\x1b[2J"+strings.Repeat("x", 600))
		r.Arguments.Keys = append(r.Arguments.Keys, 1)
	}
	AuditLog{Logger: zap.New(core)}.Began(&r)
	AuditLog{Logger: zap.New(core)}.Ended(&r)
	for _, entry := range logs.All() {
		fields := entry.ContextMap()
		if _, told := fields["principal"]; told || fields["user_explanation"] != nil || fields["tech_explanation"] != nil {
			t.Errorf("%s: something personal is told by default: %v", entry.Message, fields)
		}
		keys := fields["keys"].(map[string]any)
		first := keys["first"].([]any)
		if keys["count"] != 202 || len(first) != 2*maxAuditKeys {
			t.Errorf("%s: %v keys, %d named", entry.Message, keys["count"], len(first))
		}
		if name := first[len(first)-1].(string); len(name) > MaxText+16 || strings.ContainsRune(name, '\x1b') {
			t.Errorf("%s: a key of %d bytes: %.20q", entry.Message, len(name), name)
		}
		if code, _ := fields["error_code"].(string); strings.ContainsAny(code, "\u202e\x1b") {
			t.Errorf("%s: %q", entry.Message, code)
		}
	}
}

func TestAHashTellsPeopleApartByItsKeyAlone(t *testing.T) {
	t.Parallel()
	one, other := Privacy{Principals: Hashed, Key: []byte("one")}, Privacy{Principals: Hashed, Key: []byte("other")}
	hash := one.Principal("tove")
	if hash == other.Principal("tove") || hash == one.Principal("per") || hash != one.Principal("tove") || len(hash) != len("hmac:")+32 || one.Principal("") != "" {
		t.Errorf("%s %s", hash, other.Principal("tove"))
	}
	// The key does other things too: an audit line must give none of them away.
	mac := hmac.New(sha256.New, one.Key)
	mac.Write([]byte("tove"))
	if hash == "hmac:"+hex.EncodeToString(mac.Sum(nil)[:16]) {
		t.Error("the hash is the plain MAC of the name")
	}
}

func TestARefusedLineSaysWhatAHistoryHasToKnow(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	log := AuditLog{Logger: zap.New(core)}
	external := superoffice.Arguments{Connection: 612, ActorType: "Customer", ExternalKeys: []string{"K1"}}
	log.Ended(&Record{Decision: "refused", Scheme: "jwt", DryRun: true, Proved: true})
	log.Ended(&Record{Decision: "refused", Scheme: "jwt"})
	log.Ended(&Record{Decision: "allowed", Scheme: "jwt", Proved: true, Operation: superoffice.ForceResyncExternal, Understood: true, Arguments: external, KeysSum: external.KeysSum()})
	for i, want := range []map[string]any{{"dry_run": true, "unproved": nil}, {"dry_run": nil, "unproved": true}, {"dry_run": nil, "unproved": nil, "actor_type": "Customer"}} {
		fields := logs.All()[i].ContextMap()
		for name, value := range want {
			if fields[name] != value {
				t.Errorf("%d: %s is %v, want %v", i, name, fields[name], value)
			}
		}
	}
}
