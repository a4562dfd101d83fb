package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// TestNoSecretIsInAnythingThatTheProcessWrites pushes every secret through the real binary at DEBUG with traces of
// Caddy's own handlers, over paths that succeed, are refused, fail and end in an error page, and looks for
// them in everything that was written: logs, access logs, audit, metrics, storage, the adapted configuration, answers.
func TestNoSecretIsInAnythingThatTheProcessWrites(t *testing.T) {
	t.Parallel()
	binary := buildCaddy(t)
	s := serveExample(t, binary, "\thandle /metrics {\n\t\tmetrics\n\t}\n\thandle /echo {\n\t\trespond \"{http.request.header.*} {http.erpsync.app} {http.erpsync.reason} {header.Authorization}\"\n\t}",
		"\tgrace_period 16m\n", "\tgrace_period 16m\n\tdebug\n", "\tservers {\n", "\tservers {\n\t\ttrace\n",
		"\n\t# Unmatched paths", "\n\thandle_errors {\n\t\trespond \"{http.error} {http.request.header.X-Nothing}\"\n\t}\n\t# Unmatched paths")
	user := s.so.User("Cust12345", "tove")
	client, xsrf, err := demo.SignIn(t.Context(), s.url, s.so, "Cust12345", "tove")
	if err != nil {
		t.Fatal(err)
	}
	service, ticket, access := s.provider.Token("Cust12345", time.Hour), s.so.Ticket("portal", "Cust12345", "per"), s.so.AccessToken("portal", "Cust12345", "per")
	secrets := append(s.secrets(t), xsrf, service, strings.Split(service, ".")[2], ticket, access, user.Password, "canary-cookie", "canary-xsrf", "canary-bearer", "canary-app-token")
	site, err := url.Parse(strings.Replace(s.url, "http://", "https://", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range client.Jar.(*cookiejar.Jar).Cookies(site) {
		secrets = append(secrets, cookie.Value)
	}
	var answers strings.Builder
	ask := func(method, path string, header http.Header, body string) {
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header.Clone()
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return // SuperOffice broke off, and so did the gateway
		}
		defer resp.Body.Close()
		head, _ := json.Marshal(resp.Header)
		answers.Write(head)
	}
	const good = `{"ErpConnectionId":612,"InternalKeyIds":[1]}`
	headers := []http.Header{
		{"X-Xsrf-Token": {xsrf}},
		{"X-Xsrf-Token": {"canary-xsrf"}},
		{"Authorization": {"Bearer " + service}},
		{"Authorization": {"Bearer " + service}, "Idempotency-Key": {"a"}},
		{"Authorization": {"SOTicket " + ticket}, "So-Apptoken": {s.so.App("portal").ClientSecret}},
		{"Authorization": {"SOTicket " + ticket}, "So-Apptoken": {"canary-app-token"}},
		{"Authorization": {"Bearer canary-bearer"}},
		{"Authorization": {"Bearer 8A:Cust12345.canary-bearer"}},
		{"Authorization": {"Basic Y2FuYXJ5LWJlYXJlcg=="}},
		{"Cookie": {"__Host-erpsync=canary-cookie; ASP.NET_SessionId=canary-cookie"}, "X-Xsrf-Token": {"canary-xsrf"}},
	}
	for _, answer := range []*sandbox.Answer{nil, {Status: 500, Body: `{"Message":"x"}`}, {Abort: true}, {Status: 401}, {Status: 302, Header: http.Header{"Location": {"/x"}, "Set-Cookie": {"a=canary-cookie"}}}} {
		s.so.Answer(func(string, int) *sandbox.Answer { return answer })
		for _, header := range headers {
			ask(http.MethodPost, "/Cust12345/api/v1/Agents/ErpSync/ForceResync", header, good)
			ask(http.MethodPost, "/Cust12345/api/v1/Agents/ErpSync/ForceResync", header, `{"ErpConnectionId":"x"}`)
		}
	}
	for _, header := range headers {
		for _, path := range []string{"/echo", "/erpsync/session", "/erpsync/callback?code=canary-bearer&state=canary-xsrf", "/erpsync/nothing", "/nothing", "/Cust12345/api/v1/Agents/ErpSync/%46orceResync"} {
			if path == "/echo" && header.Get("Authorization") != "" {
				continue // the operator's own configuration asks Caddy to answer it
			}
			ask(http.MethodGet, path, header, "")
		}
	}
	s.so.Answer(nil)
	s.so.Expire("access")
	s.so.Expire("refresh")
	ask(http.MethodPost, "/Cust12345/api/v1/Agents/ErpSync/ForceResync", headers[0], good)
	ask(http.MethodPost, "/erpsync/sign-out", headers[0], "")
	ask(http.MethodGet, "/metrics", http.Header{}, "")

	written := map[string]string{"answers' heads": answers.String()}
	adapted, err := exec.CommandContext(t.Context(), binary, "adapt", "--config", filepath.Join(s.dir, "Caddyfile")).CombinedOutput() //nolint:gosec // just built
	if err != nil {
		t.Fatalf("%v: %s", err, adapted)
	}
	written["caddy adapt"] = string(adapted)
	raw, err := os.ReadFile(s.logFile)
	if err != nil {
		t.Fatal(err)
	}
	written["logs"] = string(raw)
	if !strings.Contains(written["logs"], `"level":"debug"`) || !strings.Contains(written["logs"], "handled request") {
		t.Fatal("there is no DEBUG log, or no access log")
	}
	if !strings.Contains(written["logs"], `"erpsync_outcome":"ok"`) {
		t.Error("the access log does not have the call's fields")
	}
	err = filepath.WalkDir(s.dir, func(path string, entry os.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "portal.") || strings.HasPrefix(name, "erp.") || strings.HasPrefix(name, "quote.") || name == "tenants.json" {
			return err
		}
		raw, err := os.ReadFile(path) //nolint:gosec // the test's own folder
		written[name] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if written["audit.log"] == "" || len(written) < 5 {
		t.Fatalf("not everything was looked at: %d files", len(written))
	}
	for name, text := range written {
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s holds a secret: …%s[%d characters of it]", name, text[max(0, at-160):at], len(secret))
			}
		}
	}
}
