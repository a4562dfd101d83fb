package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"go.uber.org/goleak"

	_ "github.com/caddy-erpsync/caddy-erpsync"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// TestAReloadLosesNothingAndAStopLeavesNothingBehind has Caddy itself load configurations one
// after the other, with a call under way, and looks for goroutines when it has stopped.
func TestAReloadLosesNothingAndAStopLeavesNothingBehind(t *testing.T) {
	for _, store := range []string{"memory", "redis"} {
		t.Run(store, func(t *testing.T) { reload(t, store) })
	}
}

func reload(t *testing.T, store string) {
	options := "store memory"
	if store == "redis" {
		options = "store redis {\n\taddress " + redistest.Start(t).Address + "\n}\nkeys 0123456789abcdef0123456789abcdef"
	}
	before := goleak.IgnoreCurrent()
	g := newInProcess(t)
	so := g.so
	load := func(durations string) { t.Helper(); g.load(t, "", durations, options) }
	load("idle 1h")
	client, xsrf, err := demo.SignIn(t.Context(), g.site, so, "Cust12345", "tove")
	if err != nil {
		t.Fatal(err)
	}
	g.client = client
	call := func(header http.Header) int { t.Helper(); return g.call(t, header) }
	person := http.Header{"X-Xsrf-Token": {xsrf}}
	service := http.Header{"Authorization": {"Bearer " + g.provider.Token("Cust12345", time.Hour)}}
	if person, service := call(person), call(service); person != 200 || service != 200 {
		t.Fatal(person, service)
	}
	held := make(chan struct{})
	so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	so.Forget()
	during := make(chan int, 1)
	go func() { during <- call(person) }()
	eventually(t, func() bool { return agentCalls(so) == 1 })
	for _, durations := range []string{"idle 2h", "idle 30m\n\t\t\tlifetime 12h", "idle 1h\n\t\t\tsessions 3"} {
		load(durations)
	}
	so.Answer(nil)
	mints := so.Mints("ticket")
	if person, service := g.callAfterReload(t, person), g.callAfterReload(t, service); person != 200 || service != 200 {
		t.Errorf("after three reloads: %d for the person, %d for the service", person, service)
	}
	if n := agentCalls(so); n != 3 { // a call whose connection was reset was not sent
		t.Errorf("%d calls were sent of the one under way and the two after it", n)
	}
	if n := so.Mints("ticket"); n != mints {
		t.Errorf("%d tickets, %d before the reloads", n, mints)
	}
	close(held)
	if status := <-during; status != 200 {
		t.Errorf("the call that went on over the reloads: %d", status)
	}
	client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.server.Close()
	// Caddy's own: its certificate cache and event loops live as long as the process.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*Cache).maintainAssets"), goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}
