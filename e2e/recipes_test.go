package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

const recipes = "../docs/examples/recipes/"

// cook serves a recipe by the real binary.
func cook(t *testing.T, name string, further ...string) *site {
	t.Helper()
	raw, err := os.ReadFile(recipes + name)
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := filepath.Abs(recipes + "gateway.caddy")
	if err != nil {
		t.Fatal(err)
	}
	options := "\tadmin off\n\tlog audit {\n\t\tinclude http.handlers.erpsync.audit\n\t\toutput file {$ERPSYNC_LOGS}/audit.log\n\t}\n"
	config, begun := strings.CutPrefix(string(raw), "{\n\tservers")
	if begun {
		config = "{\n" + options + "\tservers" + config
	} else {
		config = "{\n" + options + "}\n" + string(raw)
	}
	return serve(t, buildCaddy(t), strings.Replace(config, "import gateway.caddy", "import "+gateway, 1), further...)
}

// guest is a signed-in person whose connections come from an address of their own.
type guest struct {
	client *http.Client
	xsrf   string
}

const guestAddress = "127.0.0.2"

// enter signs a person in at the address by which people know the site.
func (s *site) enter(t *testing.T, public string) guest {
	t.Helper()
	client, xsrf, err := demo.SignIn(t.Context(), public, s.so, "Cust12345", "per")
	if err != nil {
		t.Fatal(err)
	}
	client.Transport = &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(guestAddress)}}).DialContext}
	t.Cleanup(client.CloseIdleConnections)
	return guest{client, xsrf}
}

func (g guest) do(t *testing.T, method, url, body string, header http.Header) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

// resync calls as a page of the site does, and lies about its address.
func (g guest) resync(t *testing.T, public string) (int, string) {
	t.Helper()
	scheme, rest, _ := strings.Cut(public, "://")
	host, _, _ := strings.Cut(rest, "/")
	status, body, _ := g.do(t, http.MethodPost, public+"/Cust12345/api/v1/Agents/ErpSync/ForceResync", `{"ErpConnectionId":612,"InternalKeyIds":[386]}`, http.Header{
		"Content-Type": {"application/json"}, "X-Xsrf-Token": {g.xsrf}, "Origin": {scheme + "://" + host}, "Sec-Fetch-Site": {"same-origin"}, "X-Forwarded-For": {"203.0.113.7"},
	})
	return status, body
}

// works signs a person in and resyncs, and returns the address that the audit log has for them.
func (s *site) works(t *testing.T, public string) (guest, string) {
	t.Helper()
	g := s.enter(t, public)
	if status, body := g.resync(t, public); status != http.StatusOK || !strings.Contains(body, `"Status":"Ok"`) {
		t.Fatalf("%d %s", status, body)
	}
	raw, err := os.ReadFile(s.audit)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), `"msg":"erpsync call",`) // refused requests to endpoints have lines too
	_, rest, _ = strings.Cut(rest, `"client_ip":"`)
	address, _, _ := strings.Cut(rest, `"`)
	return g, address
}

func TestTheRecipeForASinglePageApp(t *testing.T) {
	t.Parallel()
	page := t.TempDir()
	for name, text := range map[string]string{"index.html": "the app", "app.js": "its script"} {
		if err := os.WriteFile(filepath.Join(page, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := cook(t, "app.Caddyfile", "ERPSYNC_PAGE="+page)
	g, _ := s.works(t, s.url)
	for path, want := range map[string]string{"/": "the app", "/customers/12": "the app", "/app.js": "its script", "/erpsync/ready": "ready\n"} {
		if status, body, _ := g.do(t, http.MethodGet, s.url+path, "", nil); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body, _ := g.do(t, http.MethodGet, s.url+"/erpsync/nothing", "", nil); status != http.StatusNotFound || strings.Contains(body, "the app") {
		t.Errorf("an endpoint that there is not: %d %s", status, body)
	}
}

func TestTheRecipeForHealthChecks(t *testing.T) {
	t.Parallel()
	s := cook(t, "health.Caddyfile")
	g, _ := s.works(t, s.url)
	for _, path := range []string{"/erpsync/live", "/erpsync/ready"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if status, _, header := g.do(t, method, s.url+path, "", nil); status != http.StatusOK || header.Get("ErpSync-Request-Id") == "" {
				t.Errorf("%s %s: %d %v", method, path, status, header)
			}
		}
	}
	if !s.logged(t, `"uri":"/erpsync/session`) || s.logged(t, `"uri":"/erpsync/ready`) || s.logged(t, `"uri":"/erpsync/live`) {
		t.Error("the access log has what balancers ask, or nothing else")
	}
}

func TestTheRecipeForAPathPrefix(t *testing.T) {
	t.Parallel()
	s := cook(t, "prefix.Caddyfile")
	public := s.url + "/crm"
	g, _ := s.works(t, public)
	status, body, _ := g.do(t, http.MethodGet, public+"/erpsync/session", "", nil)
	if status != http.StatusOK || !strings.Contains(body, `"agent":"/crm/Cust12345/api/v1/Agents/ErpSync/"`) {
		t.Errorf("%d %s", status, body)
	}
	stranger := guest{client: new(http.Client)}
	if status, body, _ := stranger.do(t, http.MethodGet, public+"/erpsync/session", "", nil); status != http.StatusUnauthorized || !strings.Contains(body, `"sign_in":"/crm/erpsync/sign-in"`) {
		t.Errorf("%d %s", status, body)
	}
	if _, body, _ := g.do(t, http.MethodGet, s.url+"/", "", nil); body != "the rest of the site" {
		t.Errorf("%s", body)
	}
}

func TestTheRecipeBesideBasicAuth(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("a password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("REPORTS_HASH", string(hash))
	s := cook(t, "basic_auth.Caddyfile")
	g, _ := s.works(t, s.url)
	if status, _, _ := g.do(t, http.MethodGet, s.url+"/reports/1", "", nil); status != http.StatusUnauthorized {
		t.Errorf("the reports without a password: %d", status)
	}
	password := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("reports:a password"))}}
	if status, body, _ := g.do(t, http.MethodGet, s.url+"/reports/1", "", password); status != http.StatusOK || body != "the reports" {
		t.Errorf("the reports with it: %d %s", status, body)
	}
	// Why it cannot stand in front: the browser would send this with every call.
	status, body, _ := g.do(t, http.MethodPost, s.url+"/Cust12345/api/v1/Agents/ErpSync/ForceResync", `{"ErpConnectionId":612,"InternalKeyIds":[386]}`, http.Header{
		"Content-Type": {"application/json"}, "X-Xsrf-Token": {g.xsrf}, "Authorization": password["Authorization"],
	})
	if status != http.StatusUnauthorized || !strings.Contains(body, "credential_invalid") {
		t.Errorf("a session beside a password: %d %s", status, body)
	}
}

// proxy is a server in front of the gateway, which make setup has brought; "" for the recipe's own port.
func proxy(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		return need(t, name)
	}
	return path
}

// before runs a program in front of the site with a configuration that is a recipe but for its ports, and returns
// the address by which people know the site then.
func (s *site) before(t *testing.T, file string, changes func(port, inner string) []string, run func(config string) *exec.Cmd) string {
	t.Helper()
	raw, err := os.ReadFile(recipes + file)
	if err != nil {
		t.Fatal(err)
	}
	address := testport.Address(t)
	_, port, _ := net.SplitHostPort(address)
	config := string(raw)
	pairs := changes(address, strings.TrimPrefix(s.url, "http://localhost:"))
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config, pairs[i]) {
			t.Fatalf("%s has no %q", file, pairs[i])
		}
		config = strings.Replace(config, pairs[i], pairs[i+1], 1)
	}
	path := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	program := run(path)
	log := new(strings.Builder)
	program.Stdout, program.Stderr = log, log
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
		if t.Failed() {
			t.Logf("%s: %s", file, log)
		}
	})
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "http://localhost:" + port
}

func TestTheRecipeBehindNginx(t *testing.T) {
	t.Parallel()
	nginx := proxy(t, "nginx")
	s := cook(t, "behind.Caddyfile", "ERPSYNC_PROXY=127.0.0.1/32")
	dir := t.TempDir()
	public := s.before(t, "nginx.conf", func(address, inner string) []string {
		return []string{
			"server 127.0.0.1:8080", "server 127.0.0.1:" + inner, "listen 443 ssl", "listen " + address, "erpsync.example.com", "localhost",
			"\tssl_certificate /etc/ssl/erpsync.pem;\n", "", "\tssl_certificate_key /etc/ssl/erpsync.key;\n", "",
		}
	}, func(config string) *exec.Cmd {
		main := filepath.Join(dir, "main.conf")
		text := fmt.Sprintf("daemon off;\nmaster_process off;\npid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path %[1]s/a;\nproxy_temp_path %[1]s/b;\nfastcgi_temp_path %[1]s/c;\nuwsgi_temp_path %[1]s/d;\nscgi_temp_path %[1]s/e;\ninclude %[2]s;\n}\n", dir, config)
		if err := os.WriteFile(main, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(context.Background(), nginx, "-p", dir, "-c", main) //nolint:gosec // what make setup brought
	})
	if _, address := s.works(t, public); address != guestAddress {
		t.Errorf("the audit log has %s for a caller from %s", address, guestAddress)
	}
}

// haproxy runs with the libraries that make setup brought beside it.
func haproxy(program string) func(string) *exec.Cmd {
	return func(config string) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), program, "-db", "-f", config) //nolint:gosec // what make setup brought
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(filepath.Dir(program), "lib"))
		return cmd
	}
}

func TestTheRecipeBehindHAProxy(t *testing.T) {
	t.Parallel()
	program := proxy(t, "haproxy")
	s := cook(t, "behind.Caddyfile", "ERPSYNC_PROXY=127.0.0.1/32")
	public := s.before(t, "haproxy.cfg", func(address, inner string) []string {
		return []string{"bind :443 ssl crt /etc/ssl/erpsync.pem", "bind " + address, "127.0.0.1:8080", "127.0.0.1:" + inner, "hdr Host erpsync.example.com", "hdr Host localhost"}
	}, haproxy(program))
	if _, address := s.works(t, public); address != guestAddress {
		t.Errorf("the audit log has %s for a caller from %s", address, guestAddress)
	}
}

func TestTheRecipeBehindABalancerWithTheProxyProtocol(t *testing.T) {
	t.Parallel()
	program := proxy(t, "haproxy")
	s := cook(t, "proxy_protocol.Caddyfile", "ERPSYNC_PROXY=127.0.0.1/32")
	public := s.before(t, "haproxy-tcp.cfg", func(address, inner string) []string {
		return []string{"bind :443", "bind " + address, "127.0.0.1:8443", "127.0.0.1:" + inner}
	}, haproxy(program))
	if _, address := s.works(t, public); address != guestAddress {
		t.Errorf("the audit log has %s for a caller from %s", address, guestAddress)
	}
}
