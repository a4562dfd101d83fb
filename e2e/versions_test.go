//go:build outage && unix

package e2e

import (
	crand "crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// versionBefore is the last commit whose gateways did not know of each other.
const versionBefore = "aa7620c"

// buildBefore builds that version from the history.
func buildBefore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := exec.CommandContext(t.Context(), "sh", "-c", "git -c safe.directory='*' archive "+versionBefore+" | tar -x -C "+dir)
	source.Dir = ".."
	if out, err := source.CombinedOutput(); err != nil || len(out) > 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("the history lacks %s; check it out whole (fetch-depth: 0): %v %s", versionBefore, err, out)
		}
		t.Skipf("the history lacks %s: %v %s", versionBefore, err, out)
	}
	binary := filepath.Join(dir, "caddy-before")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "./cmd/caddy") //nolint:gosec // our own arguments
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// TestAnUpgradesTwoVersionsAreOneGateway has the version before and this one share a store, as they do during an upgrade.
func TestAnUpgradesTwoVersionsAreOneGateway(t *testing.T) {
	before := buildBefore(t)
	store := redistest.Start(t, "--requirepass", "canary-redis-password")
	c := newClusterOn(t, store.Address, func(example string) string {
		example = strings.Replace(example, "\n\t\tstore redis {", "\n\t\t"+unguarded+"\n\t\tstore redis {\n\t\t\ttimeout 5s", 1)
		return strings.Replace(example, "\t\t\tsentinel erpsync\n", "", 1)
	})
	// It is replaced as the runbook says, so that the others know that it has gone.
	replaced := c.gateways[0]
	_ = replaced.cmd.Process.Signal(syscall.SIGTERM)
	_ = replaced.cmd.Wait()
	c.gateways[0] = c.start(before)
	older, newer := c.gateways[0], c.gateways[1]
	both := [][2]*process{{older, newer}, {newer, older}}
	ask := func(binary string, at *process, args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), binary, append(append([]string{"erpsync"}, args...), "--address", "unix/"+at.dir+"/admin.sock")...).CombinedOutput() //nolint:gosec // just built
		return string(out), err
	}
	for _, pair := range both {
		one, other := pair[0], pair[1]
		// Who signs in at one is known at the other, and so is a kept answer.
		c.gateways = []*process{one, other}
		person := c.signIn("tove")
		c.must(other, person.header(), "signed in at the other version")
		c.so.Forget()
		c.so.Answer(func(string, int) *sandbox.Answer {
			return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok","ErrorCode":"` + crand.Text() + `"}`}
		})
		header, body := c.service(), `{"ErpConnectionId":612,"InternalKeyIds":[386]}`
		header.Set("Idempotency-Key", crand.Text())
		status, first := c.send(one, http.MethodPost, resync, header, body)
		again, kept := c.send(other, http.MethodPost, resync, header, body)
		if status != http.StatusOK || again != http.StatusOK || first != kept || agentCalls(c.so) != 1 {
			t.Errorf("a kept answer: %d %s, then %d %s, after %d sends", status, first, again, kept, agentCalls(c.so))
		}

		// The same call does not run at both.
		held := make(chan struct{})
		c.so.Forget()
		c.so.Answer(func(string, int) *sandbox.Answer {
			return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
		})
		done := make(chan int)
		go func() {
			status, _ := c.send(one, http.MethodPost, resync, c.service(), body)
			done <- status
		}()
		eventually(t, func() bool { return agentCalls(c.so) == 1 })
		if status, answer := c.send(other, http.MethodPost, resync, c.service(), body); status != http.StatusConflict || !strings.Contains(answer, "call_running") {
			t.Errorf("the same call at the other version: %d %s", status, answer)
		}
		close(held)
		if status := <-done; status != http.StatusOK {
			t.Errorf("the first: %d", status)
		}
		c.so.Answer(nil)

		// A hold and a revocation that one is ordered hold at the other; either version's command asks either gateway.
		for i, binary := range []string{before, c.binary} {
			if out, err := ask(binary, one, "hold", "--tenant", "Cust12345", "--reason", "upgrade"); err != nil {
				t.Errorf("hold, command %d: %v %s", i, err, out)
			}
			eventually(t, func() bool {
				status, answer := c.send(other, http.MethodPost, resync, c.service(), body)
				return status == http.StatusServiceUnavailable && strings.Contains(answer, "on_hold")
			})
			if out, err := ask(binary, other, "release", "--tenant", "Cust12345"); err != nil {
				t.Errorf("release, command %d: %v %s", i, err, out)
			}
			eventually(t, func() bool {
				status, _ := c.send(one, http.MethodPost, resync, c.service(), body)
				return status == http.StatusOK
			})
			if out, _ := ask(binary, one, "status"); !strings.Contains(out, "Cust12345") {
				t.Errorf("status, command %d: %s", i, out)
			}
		}
		if out, err := ask(c.binary, one, "revoke", "--tenant", "cust12345", "--user", c.so.User("Cust12345", "tove").UPN); err != nil {
			t.Errorf("revoke: %v %s", err, out)
		}
		for _, g := range []*process{one, other} {
			if status, _ := c.call(g, http.MethodGet, "/erpsync/session", person.header()); status != http.StatusUnauthorized {
				t.Errorf("revoked: %d", status)
			}
		}
	}
}
