package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// inbox receives pushes.
type inbox struct {
	url    string
	mu     sync.Mutex
	bodies []string
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	in := &inbox{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		in.bodies = append(in.bodies, string(raw))
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "heard")
	}))
	t.Cleanup(server.Close)
	in.url = server.URL
	return in
}

// take returns what came since it was last asked.
func (in *inbox) take() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	bodies := in.bodies
	in.bodies = nil
	return bodies
}

func (o *office) push(p sandbox.Push) (answers []sandbox.PushAnswer) {
	o.t.Helper()
	answers, err := o.Push(o.t.Context(), p)
	if err != nil {
		o.t.Fatal(err)
	}
	return answers
}

func TestAPushIsSignedAndSaysWhatIsDocumented(t *testing.T) {
	t.Parallel()
	o, in := newOffice(t), newInbox(t)
	answers := o.push(sandbox.Push{URL: in.url, Tenant: "cust12345", Change: "Move", PublicEndpoint: "http://localhost:9", Apply: true})
	if len(answers) != 1 || answers[0] != (sandbox.PushAnswer{Status: 202, Body: "heard"}) {
		t.Errorf("%+v", answers)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(in.take()[0]), &body); err != nil {
		t.Fatal(err)
	}
	if body["ChangeType"] != 5.0 || body["ContextIdentifier"] != "Cust12345" || body["PublicEndpoint"] != "http://localhost:9" || body["VersionName"] == "" || body["FileVersion"] == "" {
		t.Errorf("%v", body)
	}
	said := read(t, body["Token"])
	if !verifies(body["Token"], o.published()) || said["iss"] != o.Base() || said["aud"] != o.App("portal").ClientID || said[claims+"ctx"] != "Cust12345" || said["ChangeType"] != 5.0 || said["PublicEndpoint"] != "http://localhost:9" {
		t.Errorf("%v", said)
	}
	if got := o.do(http.MethodGet, "/api/state/Cust12345", "", nil).field("Endpoint"); got != "http://localhost:9" {
		t.Errorf("applied, and the state service says %v", got)
	}
	for change, want := range map[string]string{"Suspend": "Suspended", "Resume": "Running", "Delete": "Deleted"} {
		o.push(sandbox.Push{URL: in.url, Tenant: "Cust54321", Change: change, Apply: true})
		if got := o.do(http.MethodGet, "/api/state/Cust54321", "", nil).field("State"); got != want {
			t.Errorf("%s: %v", change, got)
		}
	}
}

func TestWhatIsOpenAboutPushesIsASwitch(t *testing.T) {
	t.Parallel()
	o, in := newOffice(t), newInbox(t)
	for value, want := range map[string][2]bool{"all": {true, true}, "tenant": {true, false}, "none": {false, false}} {
		o.on("push_claims", value)
		o.push(sandbox.Push{URL: in.url, Tenant: "Cust12345", Change: "Suspend", App: "erp"})
		var body map[string]any
		_ = json.Unmarshal([]byte(in.take()[0]), &body)
		said := read(t, body["Token"])
		if got := [2]bool{said[claims+"ctx"] != nil, said["ChangeType"] != nil}; got != want || said["aud"] != o.App("erp").ClientID {
			t.Errorf("%s: %v", value, said)
		}
	}
	o.on("push_key", "other")
	o.push(sandbox.Push{URL: in.url, Tenant: "Cust12345", Change: "Suspend"})
	var body map[string]any
	_ = json.Unmarshal([]byte(in.take()[0]), &body)
	if verifies(body["Token"], o.published()) {
		t.Error("SuperID's keys signed it")
	}
}

func TestAPushIsWrongAsAsked(t *testing.T) {
	t.Parallel()
	o, in := newOffice(t), newInbox(t)
	token := func(p sandbox.Push) any {
		p.URL, p.Tenant, p.Change = in.url, "Cust12345", "Suspend"
		o.push(p)
		var body map[string]any
		_ = json.Unmarshal([]byte(in.take()[0]), &body)
		return body["Token"]
	}
	if verifies(token(sandbox.Push{Signature: "wrong"}), o.published()) {
		t.Error("a wrong signature verifies")
	}
	if got := token(sandbox.Push{Signature: "none"}).(string); !strings.HasSuffix(got, ".") {
		t.Errorf("it is signed: %s", got)
	}
	if said := read(t, token(sandbox.Push{TokenTenant: "Cust54321", TokenChange: "Resume"})); said[claims+"ctx"] != "Cust54321" || said["ChangeType"] != 3.0 {
		t.Errorf("another tenant: %v", said)
	}
	if said := read(t, token(sandbox.Push{Age: "1h"})); said["exp"].(float64) > float64(o.clock.Now().Unix()) {
		t.Errorf("it has not expired: %v", said)
	}
	o.push(sandbox.Push{URL: in.url, Tenant: "Cust12345", Change: "Upgrade", Times: 2})
	first := in.take()
	if got := o.push(sandbox.Push{URL: in.url, Replay: true}); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if all := append(first, in.take()...); len(all) != 3 || len(slices.Compact(all)) != 1 {
		t.Errorf("a replay is another body: %v", all)
	}
	o.push(sandbox.Push{URL: in.url, Tenant: "Cust12345", Change: "Upgrade", Padding: 1 << 20})
	if got := in.take(); len(got[0]) < 1<<20 {
		t.Errorf("%d bytes", len(got[0]))
	}
}

func TestAPushThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	o, in := newOffice(t), newInbox(t)
	for want, p := range map[string]sandbox.Push{
		"is not on this machine": {URL: "http://192.0.2.1/", Tenant: "Cust12345", Change: "Suspend"},
		"there was none":         {URL: in.url, Replay: true},
		"no tenant":              {URL: in.url, Tenant: "Cust1", Change: "Suspend"},
		"is none of Upgrade":     {URL: in.url, Tenant: "Cust12345", Change: "Sing"},
		"no app":                 {URL: in.url, Tenant: "Cust12345", Change: "Suspend", App: "none"},
		"invalid age":            {URL: in.url, Tenant: "Cust12345", Change: "Suspend", Age: "1"},
		"is none of good":        {URL: in.url, Tenant: "Cust12345", Change: "Suspend", Signature: "bad"},
	} {
		if _, err := o.Push(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	// Whatever a name resolves to.
	if _, err := sandbox.PostLoopback(t.Context(), "http://192.0.2.1:9/", nil); err == nil || !strings.Contains(err.Error(), "is not on this machine") {
		t.Errorf("%v", err)
	}
	if got := in.take(); len(got) != 0 {
		t.Errorf("sent: %v", got)
	}
}
