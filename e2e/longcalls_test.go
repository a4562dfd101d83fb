package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// A resync outlasts the balancer's patience three times: its caller gets a bare 504, and one that does not wait gets the answer.
func TestAResyncThatIsLongerThanTheBalancersTimeOutHasItsAnswerAllTheSame(t *testing.T) {
	t.Parallel()
	const patience, work = "1s", 3 * time.Second
	program := proxy(t, "haproxy")
	s := serveExample(t, buildCaddy(t), "")
	public := s.before(t, "haproxy.cfg", func(address, inner string) []string {
		return []string{
			"bind :443 ssl crt /etc/ssl/erpsync.pem", "bind " + address, "127.0.0.1:8080", "127.0.0.1:" + inner, "hdr Host erpsync.example.com", "hdr Host localhost",
			"timeout server 16m", "timeout server " + patience,
		}
	}, haproxy(program))
	s.so.Answer(func(string, int) *sandbox.Answer {
		held := make(chan struct{})
		time.AfterFunc(work, func() { close(held) })
		return &sandbox.Answer{Hold: held, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"IsOk":true,"Status":"Ok","UserExplanation":"after all"}`}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, public+"/Cust12345/api/v1/Agents/ErpSync/ForceResync", strings.NewReader(`{"ErpConnectionId":612,"InternalKeyIds":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + s.provider.Token("Cust12345", time.Hour)}, "Content-Type": {"application/json"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusGatewayTimeout || resp.Header.Get("ErpSync-Request-Id") != "" {
		t.Errorf("who waits: %d %v", resp.StatusCode, resp.Header)
	}
	for _, name := range []string{"long.mjs", "long.py"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			interpreter := map[string]string{".mjs": "node", ".py": "python3"}[filepath.Ext(name)]
			need(t, interpreter)
			if interpreter == "python3" {
				needRequests(t)
			}
			run := func(tenant, key string) (string, int) {
				client := exec.CommandContext(t.Context(), interpreter, "../docs/examples/clients/"+name) //nolint:gosec // our own examples
				client.Env = append(os.Environ(), "SITE="+public, "TENANT="+tenant, "TOKEN="+s.provider.Token("Cust12345", time.Hour), "CONNECTION=612", "KEYS="+key, "WAIT=wait=0", "no_proxy=*")
				out, _ := client.CombinedOutput()
				return string(out), client.ProcessState.ExitCode()
			}
			key := map[string]string{"long.mjs": "386", "long.py": "230"}[name]
			if out, code := run("Cust12345", key); code != 0 || !strings.Contains(out, "outcome: ok after all") {
				t.Errorf("%d %s", code, out)
			}
			if out, code := run("Cust54321", key); code != 2 || !strings.Contains(out, "outcome: refused") { // not this caller's
				t.Errorf("another tenant: %d %s", code, out)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(s.so.Runs()); n != 3 {
			t.Errorf("%d resyncs ran", n)
		}
	})
}
