// Package e2e runs the gateway as its users do: the real binary, the vendor's
// own client, a real browser.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

// need names what is missing and skips; in CI nothing is skipped.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed: make setup", program)
	} else if err != nil {
		t.Skipf("%s is not installed: make setup", program)
	}
	return path
}

func needPackages(t *testing.T) {
	t.Helper()
	need(t, "node")
	if _, err := os.Stat("node_modules/@superoffice/webapi"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("e2e/node_modules is not installed: make setup")
		}
		t.Skip("e2e/node_modules is not installed: make setup")
	}
}

// built is the folder of the binary that all tests run.
var built string

func TestMain(m *testing.M) {
	var err error
	if built, err = os.MkdirTemp("", "erpsync"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(built)
	os.Exit(code)
}

// build links the binary once, when the first test wants it: that takes longer than most tests.
var build = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(built, "caddy")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "../cmd/caddy").CombinedOutput() //nolint:gosec // our own arguments
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

func buildCaddy(t *testing.T) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// site is Caddyfile.example served by the real binary before a sandbox.
type site struct {
	url      string
	so       *sandbox.Sandbox
	provider *demo.Provider
	dir      string
	runDir   string // of the admin socket
	audit    string
	caddy    *exec.Cmd
	ended    chan error // gets how Caddy ended
	further  []string   // variables beside those of the examples
	logFile  string
}

// Further arguments are replaced in it, in pairs.
func serveExample(t *testing.T, binary, pages string, changes ...string) *site {
	t.Helper()
	return serve(t, binary, example(t, pages, changes...))
}

// example returns Caddyfile.example with the pages of a test, and changed.
func example(t *testing.T, pages string, changes ...string) string {
	t.Helper()
	raw, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	// The pages of the test stand beside the gateway; nothing else is changed.
	config := strings.Replace(string(raw), "\terror 404\n", pages+"\n\terror 404\n", 1)
	config = strings.Replace(config, "\t\tapp portal {", "\t\tsuperoffice soticket {\n\t\t\tapp portal\n\t\t}\n\t\tapp portal {", 1)
	return strings.NewReplacer(changes...).Replace(config)
}

// serve serves a Caddyfile by the real binary before a sandbox, with the variables of the examples set, and further ones.
func serve(t *testing.T, binary, config string, further ...string) *site {
	t.Helper()
	return serveBefore(t, binary, config, nil, further...)
}

// serveBefore is serve before a sandbox with options.
func serveBefore(t *testing.T, binary, config string, options []sandbox.Option, further ...string) *site {
	t.Helper()
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	so, err := sandbox.New(server.URL, append(options, sandboxtest.Keys())...)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := demo.NewProvider()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := demo.WriteSecrets(dir, so, provider); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://localhost:%d", testport.Take(t))
	s := &site{further: further, runDir: socketDir(t), url: url, so: so, provider: provider, dir: dir, audit: filepath.Join(dir, "audit.log"), logFile: filepath.Join(t.TempDir(), "log")}
	t.Cleanup(func() {
		s.kill()
		if raw, err := os.ReadFile(s.logFile); err == nil && t.Failed() {
			t.Logf("the end of Caddy's log: %s", raw[max(0, len(raw)-6000):])
		}
	})
	s.run(t, binary)
	return s
}

// socketDir is a folder for a socket, whose path may not be long.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "erpsync")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// run starts Caddy and waits until it answers.
func (s *site) run(t *testing.T, binary string) {
	t.Helper()
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	caddy := exec.CommandContext(t.Context(), binary, "run", "--config", filepath.Join(s.dir, "Caddyfile")) //nolint:gosec // just built
	caddy.Stdout, caddy.Stderr = log, log
	caddy.Env = append(os.Environ(), "ERPSYNC_SITE="+s.url, "ERPSYNC_ENVIRONMENT="+s.so.Base(), "ERPSYNC_SECRETS="+s.dir, "ERPSYNC_LOGS="+s.dir, "ERPSYNC_RUN="+s.runDir, "ERPSYNC_ISSUER="+demo.Issuer, "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	caddy.Env = append(caddy.Env, s.further...)
	if err := caddy.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- caddy.Wait(); log.Close() }()
	s.caddy, s.ended = caddy, ended
	eventually(t, func() bool {
		resp, err := http.Get(s.url + "/erpsync/session") //nolint:noctx // loopback
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

func (s *site) kill() {
	_ = s.caddy.Process.Kill()
	<-s.ended
}

// restart ends Caddy at once and starts it again.
func (s *site) restart(t *testing.T, binary string) {
	t.Helper()
	s.kill()
	s.run(t, binary)
}

func node(t *testing.T, script string, environment ...string) map[string]any {
	t.Helper()
	var out, problems bytes.Buffer
	run := exec.CommandContext(t.Context(), "node", script) //nolint:gosec // our own script
	run.Env = append(os.Environ(), environment...)
	run.Stdout, run.Stderr = &out, &problems
	if err := run.Run(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, problems.String())
	}
	var found map[string]any
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatalf("%s printed %q", script, out.String())
	}
	return found
}

func TestTheVendorsClientResyncsThroughTheExample(t *testing.T) {
	t.Parallel()
	needPackages(t)
	s := serveExample(t, buildCaddy(t), "")
	for _, c := range []struct{ kind, credential, connection, status string }{
		{"token", s.provider.Token("Cust12345", time.Hour), "612", "Ok"},
		{"token", s.provider.Token("Cust12345", time.Hour), "613", "Error"},
		{"ticket", s.so.Ticket("portal", "Cust12345", "per"), "612", "Ok"},
	} {
		got := node(t, "node.mjs", "SITE="+s.url, "KIND="+c.kind, "CREDENTIAL="+c.credential, "CONNECTION="+c.connection)
		if got["status"] != c.status {
			t.Errorf("%s, connection %s: %v", c.kind, c.connection, got)
		}
	}
	got := node(t, "node.mjs", "SITE="+s.url, "KIND=token", "CREDENTIAL="+s.provider.Token("Cust99999", time.Hour), "CONNECTION=612")
	if got["reason"] != "tenant_mismatch" {
		t.Errorf("another tenant's token: %v", got)
	}
	eventually(t, func() bool { return s.audited(t, `"msg":"erpsync call"`) == 4 })
	if stat, err := os.Stat(s.audit); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("the audit file's mode: %v %v", stat.Mode(), err)
	}
}

func TestTheVendorsClientGetsEveryFieldThatItAsksFor(t *testing.T) {
	t.Parallel()
	needPackages(t)
	s := serveExample(t, buildCaddy(t), "", "\t\tbrowser {\n", "\t\tguard {\n\t\t\trate off\n\t\t}\n\t\tbrowser {\n")
	got := node(t, "select.mjs", "SITE="+s.url, "DIRECT="+s.so.Base(), "TICKET="+s.so.Ticket("portal", "Cust12345", "per"), "APP_TOKEN="+s.so.App("portal").ClientSecret)
	if compared, _ := got["compared"].(float64); compared < 40 || fmt.Sprint(got["differing"]) != "[]" {
		t.Errorf("%v", got)
	}
}

// prometheusTool finds the program that make setup brought, or the machine's own.
func prometheusTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := filepath.Abs(filepath.Join("bin", name)); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return need(t, name)
}

func TestTheAlertRulesFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	check := exec.CommandContext(t.Context(), prometheusTool(t, "promtool"), "test", "rules", "alerts_test.yml") //nolint:gosec // our own rules
	check.Dir = "../docs/observability"
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheMetricsAreAsPrometheusWantsThemAndTheDashboardShowsOnlyWhatThereIs(t *testing.T) {
	t.Parallel()
	tool := prometheusTool(t, "promtool")
	s := serveExample(t, buildCaddy(t), "\thandle /metrics {\n\t\tmetrics\n\t}", "\t\toperators ", "\t\thistory sqlite\n\t\tnotify\n\t\toperators ")
	s.call(t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
	s.call(t, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`)
	s.call(t, `{}`)
	resp, err := http.Get(s.url + "/metrics") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "caddy_erpsync_") {
			ours.WriteString(line)
		}
	}
	for _, secret := range s.secrets(t) {
		if strings.Contains(ours.String(), secret) {
			t.Error("a secret is in the metrics")
		}
	}
	check := exec.CommandContext(t.Context(), tool, "check", "metrics") //nolint:gosec // see prometheusTool
	check.Stdin = strings.NewReader(ours.String())
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	for _, file := range []string{"dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("../docs/observability", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`caddy_erpsync_[a-z_]+`).FindAllString(string(text), -1) {
			if !strings.Contains(ours.String(), "\n"+strings.TrimSuffix(name, "_bucket")) && !strings.Contains(ours.String(), "TYPE "+strings.TrimSuffix(name, "_bucket")+" ") {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}

// call has the service make a call, and gives the status.
func (s *site) call(t *testing.T, body string) int {
	t.Helper()
	resp, err := http.DefaultClient.Do(s.request(t.Context(), t, body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (s *site) request(ctx context.Context, t *testing.T, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/Cust12345/api/v1/Agents/ErpSync/ForceResync", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.provider.Token("Cust12345", time.Hour))
	return req
}

// secrets returns what must stand nowhere.
func (s *site) secrets(t *testing.T) (secrets []string) {
	t.Helper()
	for _, name := range []string{"portal.client_secret", "erp.client_secret", "erp.private_key"} {
		raw, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, strings.TrimSpace(string(raw)))
	}
	return append(secrets, s.so.SystemToken("erp", "Cust12345"))
}

// Over HTTP/2 the server forgets a connection that its client closed, while the call goes on:
// there it is the handler that the process waits for.
func TestACallThatItsCallerLeftIsFinishedAndRecordedWhenCaddyStops(t *testing.T) {
	t.Parallel()
	binary := buildCaddy(t)
	for _, name := range []string{"HTTP1", "HTTP2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveExample(t, binary, "", "\tservers {\n", "\tservers {\n\t\tprotocols h1 h2c\n")
			held := s.leftAlone(t, name)
			eventually(t, func() bool {
				if name == "HTTP2" {
					return s.logged(t, "waiting for calls in flight")
				}
				conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.url, "http://"), time.Second)
				if err == nil {
					conn.Close()
				}
				return err != nil
			})
			close(held)
			err := <-s.ended
			s.ended <- err
			raw, readErr := os.ReadFile(s.audit)
			if n := strings.Count(string(raw), `"outcome":"error"`); err != nil || n != 1 {
				t.Errorf("%v, %v: %s", err, readErr, raw)
			}
		})
	}
}

// A call that is not answered is waited for as long as connections are, and then named. Without the wait nothing would be.
func TestACallThatIsNotAnsweredIsWaitedForUntilTheGracePeriodExpires(t *testing.T) {
	t.Parallel()
	s := serveExample(t, buildCaddy(t), "", "\tservers {\n", "\tservers {\n\t\tprotocols h1 h2c\n", "\tgrace_period 16m\n", "\tgrace_period 2s\n")
	held := s.leftAlone(t, "HTTP2")
	defer close(held)
	err := <-s.ended
	s.ended <- err
	if err != nil || !s.logged(t, "grace period expired with 1 calls in flight; their outcome is unknown") {
		t.Errorf("%v, or the call is not named", err)
	}
}

// leftAlone makes a call that its caller leaves, and stops Caddy while it is under way. SuperOffice answers when held is closed.
func (s *site) leftAlone(t *testing.T, protocol string) (held chan struct{}) {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(protocol == "HTTP1")
	transport.Protocols.SetUnencryptedHTTP2(protocol == "HTTP2")
	held = make(chan struct{})
	s.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":false,"Status":"Error"}`}
	})
	ctx, leave := context.WithCancel(t.Context())
	req := s.request(ctx, t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
	gone := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	eventually(t, func() bool { return agentCalls(s.so) == 1 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("the caller did not leave: %v", err)
	}
	transport.CloseIdleConnections()
	if err := s.caddy.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return held
}

// logged reports whether Caddy's log has a message.
func (s *site) logged(t *testing.T, message string) bool {
	t.Helper()
	raw, err := os.ReadFile(s.logFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(raw), message)
}

func agentCalls(so *sandbox.Sandbox) (n int) {
	for _, r := range so.Requests() {
		if strings.Contains(r.URI, "/Agents/ErpSync/") {
			n++
		}
	}
	return n
}

// eventually waits until done, and fails the test if that takes two minutes: a busy machine is given the time.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("what is promised has not come about in two minutes")
		case <-tick.C:
		}
	}
}

func TestABrowserWithCookiesAndXSRFAloneResyncsAndAnotherSiteDoesNot(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	pages := t.TempDir()
	if err := os.WriteFile(filepath.Join(pages, "page.html"), []byte(`<!doctype html><title>page</title><script src="/webapi.js"></script>`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "node", "bundle.mjs", filepath.Join(pages, "webapi.js")).CombinedOutput(); err != nil { //nolint:gosec // our own script
		t.Fatalf("bundle: %v: %s", err, out)
	}
	s := serveExample(t, buildCaddy(t), "\thandle /page {\n\t\trewrite /page.html\n\t\tfile_server {\n\t\t\troot "+pages+"\n\t\t}\n\t}\n\thandle /webapi.js {\n\t\tfile_server {\n\t\t\troot "+pages+"\n\t\t}\n\t}")
	user := s.so.User("Cust12345", "per")
	got := node(t, "browser.mjs", "SITE="+s.url, "USERNAME="+user.UPN, "PASSWORD="+user.Password, "CHROMIUM="+chromium)
	if answer, _ := got["answer"].(map[string]any); answer["isOk"] != true || answer["status"] != "Ok" {
		t.Errorf("the page's call: %v", got["answer"])
	}
	if readable, _ := got["readable"].(string); !strings.HasPrefix(readable, "XSRF-TOKEN=") || strings.Contains(readable, "__Host-") {
		t.Error("scripts read the session's cookie, or cannot read the XSRF token")
	}
	if session, _ := got["session"].(map[string]any); session["user"] != user.UPN || session["tenant"] != "Cust12345" {
		t.Errorf("session: %v", got["session"])
	}
	if got["form"] != 401.0 && got["form"] != 403.0 {
		t.Errorf("another site's form got %v", got["form"])
	}
	if fmt.Sprint(got["signOut"]) != "[200 401]" {
		t.Errorf("sign-out: %v", got["signOut"])
	}
	if runs := s.so.Runs(); len(runs) != 1 || runs[0].Who != "per" {
		t.Errorf("SuperOffice ran %+v, want the page's one call", runs)
	}
}

func TestTheDemoShowsTheMainJobAndExitsCleanly(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), buildCaddy(t), "erpsync", "demo", "--once").CombinedOutput() //nolint:gosec // just built
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`"outcome":"ok"`, `"outcome":"error"`, `"reason":"resync_all_denied"`, "nothing was sent"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in: %s", want, out)
		}
	}
}
