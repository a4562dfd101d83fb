package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// runbook returns the commands under a heading of docs/operations.md, a text for each block.
func runbook(t *testing.T, heading string) (blocks []string) {
	t.Helper()
	raw, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(raw), "\n### "+heading+"\n")
	text, _, _ := strings.Cut(rest, "\n### ")
	for i, part := range strings.Split(text, "```") {
		if commands, sh := strings.CutPrefix(part, "sh\n"); i%2 == 1 && sh {
			blocks = append(blocks, commands)
		}
	}
	if !found || len(blocks) == 0 {
		t.Fatalf("docs/operations.md has no commands under %q", heading)
	}
	return blocks
}

// at runs commands as an operator of one gateway would, in a folder of the operator's own.
func (c *cluster) at(p *process, dir, commands string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "sh", "-eu", "-c", commands) //nolint:gosec // our own documentation
	cmd.Dir = dir
	cmd.Env = append(c.environment(p), "PATH="+filepath.Dir(c.binary)+":"+os.Getenv("PATH"), "CADDY_ADMIN=unix/"+p.dir+"/admin.sock", "ERPSYNC_CONFIG="+c.config)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Errorf("%s: %v\n%s", commands, err, out)
	}
	return string(out)
}

func TestTheRunbooksAsTheyAreWritten(t *testing.T) {
	c := newCluster(t, unguarded)
	one, two := c.gateways[0], c.gateways[1]
	desk := t.TempDir()
	lay := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(desk, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	everywhere := func(commands string) (out string) {
		for _, p := range []*process{one, two} {
			out += c.at(p, desk, commands)
		}
		return out
	}
	well := func(what string) {
		t.Helper()
		for _, p := range []*process{one, two} {
			c.must(p, c.service(), what)
		}
	}
	// The tokens are kept by the gateways, and not in the tenants file.
	lay("tenants.csv", []byte("tenant,system_token\nCust12345,"+c.so.SystemToken("erp", "Cust12345")+"\nCust54321,"+c.so.SystemToken("erp", "Cust54321")+"\n"))
	c.at(one, desk, "caddy erpsync tenants import erp < tenants.csv")
	tenants := func(text string) {
		t.Helper()
		c.write("tenants.json", text)
		for _, p := range []*process{one, two} {
			eventually(t, func() bool {
				out, _ := erpsync(t, c.binary, "", "status", "--json", "--address=unix/"+p.dir+"/admin.sock")
				return strings.Contains(out, `"suspended": true`) == strings.Contains(text, "suspended") && strings.Contains(out, `"token": "import"`)
			})
		}
	}
	tenants(`{"tenants": [{"tenant": "Cust12345"}, {"tenant": "Cust54321"}]}`)
	well("before anything happens")

	lay("new.secret", []byte(c.so.RotateSecret("erp")))
	if out := everywhere(runbook(t, "Leaked client secret")[0]); strings.Count(out, "2 well, 0 failed") != 2 {
		t.Errorf("after the secret was replaced: %s", out)
	}
	well("with the new secret")

	if err := c.so.RotateKey("erp"); err != nil {
		t.Fatal(err)
	}
	lay("new.key", c.so.App("erp").KeyPEM())
	if out := everywhere(runbook(t, "Leaked private key")[0]); strings.Count(out, "2 well, 0 failed") != 2 {
		t.Errorf("after the key was replaced: %s", out)
	}
	well("with the new private key")

	person := c.signIn("tove")
	c.redis.Flush()
	if status, _ := c.call(two, http.MethodGet, "/erpsync/session", person.header()); status != http.StatusUnauthorized {
		t.Errorf("a session of a store that was lost: %d", status)
	}
	well("after the store was lost")
	if out := c.at(one, desk, runbook(t, "Lost store")[0]); strings.Count(out, "ForceResync") < 3 {
		t.Errorf("what ran: %s", out)
	}

	books := runbook(t, "Lost keys")
	key, err := os.ReadFile(filepath.Join(c.dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	lay("key.backup", key)
	c.write("key", strings.Repeat("another-key-", 4))
	everywhere(`caddy reload --force --config "$ERPSYNC_CONFIG"`)
	if status, body := c.call(one, http.MethodPost, resync, c.service()); status != http.StatusServiceUnavailable {
		t.Errorf("without the key: %d %s", status, body)
	}
	if out := c.at(one, desk, books[0]); strings.Count(out, "token_unreadable") < 2 || !strings.Contains(out, one.url+"/erpsync/approve?app=erp&tenant=Cust12345") {
		t.Errorf("%s", out)
	}
	if out := everywhere(books[1]); strings.Count(out, "2 well, 0 failed") != 2 {
		t.Errorf("after the key was put back: %s", out)
	}
	well("with the key that was lost")

	c.fault(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/Agents/ErpSync/") {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if status, body := c.call(one, http.MethodPost, resync, c.service()); status != http.StatusFailedDependency || !strings.Contains(body, "outcome_unknown") {
		t.Errorf("while SuperOffice is down: %d %s", status, body)
	}
	c.fault(func(http.ResponseWriter, *http.Request) bool { return false })
	well("after SuperOffice came back")
	if out := c.at(one, desk, runbook(t, "SuperOffice is down")[0]); !strings.Contains(out, "outcome_unknown") {
		t.Errorf("what nobody knows: %s", out)
	}

	c.so.Move("Cust12345", c.elsewhere)
	well("after the tenant moved")
	if out := c.at(one, desk, runbook(t, "A tenant that moved")[0]); !strings.Contains(out, "Running at "+strings.TrimPrefix(c.elsewhere, "http://")) {
		t.Errorf("%s", out)
	}

	books = runbook(t, "Backup, and restore from it")
	c.at(one, desk, books[0])
	if err := os.RemoveAll(filepath.Join(c.dir, "storage", "erpsync")); err != nil {
		t.Fatal(err)
	}
	if out := c.at(two, desk, books[1]); !strings.Contains(out, "2 system tokens kept") || !strings.Contains(out, "2 well, 0 failed") {
		t.Errorf("restored: %s", out)
	}
	well("restored from the backup")

	tenants(`{"tenants": [{"tenant": "Cust12345", "suspended": true}, {"tenant": "Cust54321"}]}`)
	c.at(one, desk, runbook(t, "A tenant that left")[0])
	for _, p := range []*process{one, two} {
		if status, body := c.call(p, http.MethodPost, resync, c.service()); status != http.StatusForbidden || !strings.Contains(body, "tenant_suspended") {
			t.Errorf("a tenant that left: %d %s", status, body)
		}
	}
}

// TestTwoGatewaysAreUpgradedWithoutAFailedCall follows the runbook under load, with a long call under way at the gateway that is stopped.
func TestTwoGatewaysAreUpgradedWithoutAFailedCall(t *testing.T) {
	c := newCluster(t, unguarded)
	books := runbook(t, "Upgrading two gateways without a failed call")
	// A load balancer that an operator can take gateways out of.
	var turn atomic.Int32
	var mu sync.Mutex
	behind, sent := []*process{c.gateways[0], c.gateways[1]}, make(map[*process]int)
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		to := behind[int(turn.Add(1))%len(behind)]
		sent[to]++
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			sent[to]--
		}()
		target, err := url.Parse(to.url)
		if err != nil {
			t.Error(err)
			return
		}
		(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}).ServeHTTP(w, r)
	}))
	defer balancer.Close()
	take := func(now ...*process) {
		mu.Lock()
		defer mu.Unlock()
		behind = now
	}
	answered := func(p *process) bool {
		mu.Lock()
		defer mu.Unlock()
		return sent[p] == 0
	}
	entrance := &process{url: balancer.URL}
	person := c.signIn("tove")

	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var calls atomic.Int32
	for i := range 20 {
		header := c.service()
		if i%2 == 0 {
			header = person.header()
		}
		group.Go(func() {
			pace := time.NewTicker(100 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				if status, body := c.call(entrance, http.MethodPost, resync, header); status != http.StatusOK {
					t.Errorf("a call failed: %d %s", status, body)
				}
				calls.Add(1)
				<-pace.C
			}
		})
	}
	held := make(chan struct{})
	c.so.Answer(func(_ string, connection int) *sandbox.Answer {
		if connection == 777 {
			return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
		}
		return nil
	})
	for i, old := range []*process{c.gateways[0], c.gateways[1]} {
		long := make(chan int, 1)
		if i == 0 {
			go func() {
				status, _ := c.send(old, http.MethodPost, resync, c.service(), `{"ErpConnectionId":777,"InternalKeyIds":[1]}`)
				long <- status
			}()
			eventually(t, func() bool {
				for _, run := range c.so.Runs() {
					if run.Connection == 777 {
						return true
					}
				}
				return false
			})
		}
		take(c.gateways[1-i])
		eventually(t, func() bool { return answered(old) }) // what the balancer had sent
		stopped := make(chan error, 1)
		go func() {
			c.at(old, t.TempDir(), books[0])
			stopped <- old.cmd.Wait()
		}()
		if i == 0 {
			select {
			case err := <-stopped:
				t.Fatalf("it did not wait for the call under way: %v", err)
			case <-time.After(500 * time.Millisecond): // it waits
			}
			close(held)
			if status := <-long; status != http.StatusOK {
				t.Errorf("the call under way: %d", status)
			}
		}
		if err := <-stopped; err != nil {
			t.Errorf("the old gateway ended with %v", err)
		}
		old.cmd = nil
		c.gateways[i] = c.start(c.binary)
		if out := c.at(c.gateways[i], t.TempDir(), books[1]); !strings.Contains(out, "all is well") {
			t.Errorf("%s", out)
		}
		take(c.gateways[0], c.gateways[1])
		before := calls.Load()
		eventually(t, func() bool { return calls.Load() > before+40 })
	}
	stop()
	group.Wait()
	t.Logf("%d calls while two gateways were replaced, none failed", calls.Load())
	if _, code := erpsync(t, c.binary, "", "status", "--address=unix/"+c.gateways[0].dir+"/admin.sock"); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
