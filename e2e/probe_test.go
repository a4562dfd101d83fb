package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// probing is the command at work.
type probing struct {
	cmd     *exec.Cmd
	stdout  bytes.Buffer
	stderr  strings.Builder
	lines   *bufio.Scanner
	address string
}

// beginProbe starts the command and reads the address that it prints.
func (s *site) beginProbe(t *testing.T, binary string, args ...string) *probing {
	t.Helper()
	p := &probing{cmd: exec.CommandContext(t.Context(), binary, append([]string{"erpsync", "probe"}, args...)...)} //nolint:gosec // just built
	p.cmd.Env = append(os.Environ(), "ERPSYNC_RUN="+s.runDir)
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stderr)
	for p.address == "" && p.lines.Scan() {
		p.stderr.WriteString(p.lines.Text() + "\n")
		if line := strings.TrimSpace(p.lines.Text()); strings.HasPrefix(line, s.url+"/erpsync/probe?code=") {
			p.address = line
		}
	}
	if p.address == "" {
		t.Fatalf("no address: %s", p.stderr.String())
	}
	return p
}

// end returns what the command printed and its exit code.
func (p *probing) end(t *testing.T) (stdout, stderr string, code int) {
	t.Helper()
	for p.lines.Scan() {
		p.stderr.WriteString(p.lines.Text() + "\n")
	}
	_ = p.cmd.Wait()
	return p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()
}

// TestAnOperatorProbesWithAPersonWhoSignsInInABrowser runs the command against the real binary, and an administrator in a real Chromium.
func TestAnOperatorProbesWithAPersonWhoSignsInInABrowser(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	binary := buildCaddy(t)
	s := serveExample(t, binary, "")
	s.so.Switch(func(sw *sandbox.Switches) { sw.Refusal, sw.TokenOnApprovalOnly = "aspnet", true })
	admin := s.so.User("Cust12345", "tove")

	p := s.beginProbe(t, binary, "erp", "Cust12345", "--json")
	got := node(t, "probe.mjs", "ADDRESS="+p.address, "USERNAME="+admin.UPN, "PASSWORD="+admin.Password, "CHROMIUM="+chromium, "SHOTS="+os.Getenv("ERPSYNC_SHOTS"))
	stdout, stderr, code := p.end(t)
	var report struct {
		Administrator bool
		Facts         []struct {
			Question, Answer string
			Differs          bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 || !report.Administrator || len(report.Facts) != 9 {
		t.Fatalf("%v, exit code %d: %s %s", err, code, stdout, stderr)
	}
	for _, fact := range report.Facts {
		if want, ok := map[string]string{"pkce": "enforced", "nonce": "present", "system_token": "approval_only", "key_archive": "readable"}[fact.Question]; fact.Differs || ok && fact.Answer != want {
			t.Errorf("%+v", fact)
		}
	}
	for what, want := range map[string]string{"invitation": "the app erp in Cust12345", "end": "Thank you", "again": "This address is not in use"} {
		if text, _ := got[what].(string); !strings.Contains(text, want) {
			t.Errorf("%s: %s", what, text)
		}
	}
	if cookies := got["cookies"].([]any); len(cookies) != 0 {
		t.Errorf("the browser is left with %v", cookies)
	}
	for _, problem := range got["violations"].([]any) {
		if text := problem.(string); strings.Contains(text, "Content Security Policy") {
			t.Error(text)
		}
	}
	audit, err := os.ReadFile(s.audit)
	if err != nil || !strings.Contains(string(audit), `"act":"probe"`) || !strings.Contains(string(audit), `"actor_proof":"unix_peer"`) {
		t.Errorf("%v %s", err, audit)
	}
	secret := strings.TrimPrefix(p.address, s.url+"/erpsync/probe?code=")
	noneInClear(t, filepath.Join(s.dir, "caddy"), secret)
	log, err := os.ReadFile(s.logFile)
	if err != nil || strings.Contains(string(log), secret) || strings.Contains(string(audit), secret) || !strings.Contains(string(log), "/erpsync/probe?code=REDACTED") {
		t.Errorf("a log holds the address's secret, or not the address: %v", err)
	}

	// A reload ends a probe, and its command says so.
	p = s.beginProbe(t, binary, "portal", "Cust12345")
	reload := exec.CommandContext(t.Context(), binary, "reload", "--force", "--config", filepath.Join(s.dir, "Caddyfile"), "--address", "unix/"+s.runDir+"/admin.sock") //nolint:gosec // just built
	reload.Env = s.caddy.Env
	if out, err := reload.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if stdout, stderr, code := p.end(t); code != 1 || stdout != "" || !strings.Contains(stderr, "begin again") {
		t.Errorf("exit code %d: %s %s", code, stdout, stderr)
	}
}
