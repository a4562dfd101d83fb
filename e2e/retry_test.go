package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// told runs a command of caddy erpsync as a person would, keeps what it printed for the transcript, and returns it with its exit code.
func (s *site) told(t *testing.T, binary, line string) (printed string, code int) {
	t.Helper()
	args := strings.Fields(line)
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"erpsync"}, args...)...) //nolint:gosec // just built
	cmd.Env = append(os.Environ(), "ERPSYNC_RUN="+s.runDir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("$ caddy erpsync %s\n%s(exit code %d)", line, out, cmd.ProcessState.ExitCode())
	return string(out), cmd.ProcessState.ExitCode()
}

// The story of an operator: an ERP system is gone, 60 keys of three customers fail, the ERP system is back, and the calls
// are made once more, with an interruption. Each is sent once.
func TestAnOperatorHasWhatFailedMadeOnceMore(t *testing.T) {
	binary := buildCaddy(t)
	s := serveBefore(t, binary, example(t, "\thandle /metrics {\n\t\tmetrics\n\t}", "\t\toperators ", "\t\thistory sqlite {\n\t\t\tpath {$ERPSYNC_LOGS}/history.db\n\t\t}\n\t\toperators "), []sandbox.Option{sandbox.WithTenants(1)})
	s.so.Switch(func(w *sandbox.Switches) { w.ERP, w.UnknownKey = "gone", "ignored" })
	want := make(map[string]int)
	for _, tenant := range []string{"Cust12345", "Cust54321", sandbox.FurtherTenant(0)} {
		for half := range 2 {
			var keys []int
			for key := range 10 {
				keys = append(keys, 1000+10*half+key)
			}
			raw, err := json.Marshal(keys)
			if err != nil {
				t.Fatal(err)
			}
			body := fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":%s}`, raw)
			req := s.request(t.Context(), t, body)
			req.URL.Path = strings.Replace(req.URL.Path, "Cust12345", tenant, 1)
			req.Header.Set("Authorization", "Bearer "+s.provider.Token(tenant, time.Hour))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if outcome := resp.Header.Get("ErpSync-Outcome"); outcome != "error" {
				t.Fatalf("%s: %s", tenant, outcome)
			}
			want[req.URL.Path+" "+body] = 1
		}
	}
	s.historyWritten(t)
	if out, code := s.told(t, binary, "failures"); code != 2 || strings.Count(out, "CONNECTOR_TIMEOUT") != 3 {
		t.Fatalf("%d", code)
	}

	s.so.Switch(func(w *sandbox.Switches) { w.ERP = "" }) // the ERP system is back
	s.so.Forget()
	if out, code := s.told(t, binary, "retry --all"); code != 2 || !strings.Contains(out, "6 calls, 60 keys, 3 tenants:") || !strings.Contains(out, "Records in the CRM are overwritten") || agentCalls(s.so) != 0 {
		t.Fatalf("%d, %d sent", code, agentCalls(s.so))
	}

	// Ctrl-C after the first call.
	cmd := exec.CommandContext(t.Context(), binary, "erpsync", "retry", "--all", "--yes", "--pause", "1m") //nolint:gosec // just built
	cmd.Env = append(os.Environ(), "ERPSYNC_RUN="+s.runDir)
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = cmd.Stdout
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var interrupted strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&interrupted, lines.Text())
		if strings.HasPrefix(lines.Text(), "1/6 ") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	t.Logf("$ caddy erpsync retry --all --yes\n%s(exit code %d)", interrupted.String(), cmd.ProcessState.ExitCode())
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(interrupted.String(), "The same command goes on there") {
		t.Errorf("%d: %s", cmd.ProcessState.ExitCode(), interrupted.String())
	}
	eventually(t, func() bool { return s.audited(t, `"act":"retry"`) == 1 })

	if out, code := s.told(t, binary, "retry --all --yes --pause 100ms"); code != 0 || !strings.Contains(out, "5 calls, 5 sent: 5 succeeded.") {
		t.Errorf("%d", code)
	}
	s.historyWritten(t)
	if out, code := s.told(t, binary, "failures"); code != 0 || out != "Nothing fails.\n" {
		t.Errorf("%d", code)
	}
	sent := make(map[string]int)
	for _, r := range s.so.Requests() {
		if strings.Contains(r.URI, "/Agents/ErpSync/") {
			sent[r.URI+" "+string(r.Body)]++
		}
	}
	if fmt.Sprint(sent) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
	if n := s.audited(t, `"scheme":"operator"`, `"msg":"erpsync call"`, `"retries":"`); n != 6 {
		t.Errorf("%d lines name the call that they repeat", n)
	}
	s.told(t, binary, "outcomes --acts "+s.audit)
}

// audited returns how many audit lines have all of the texts.
func (s *site) audited(t *testing.T, texts ...string) (n int) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Clean(s.audit))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			n++
		}
	}
	return n
}
