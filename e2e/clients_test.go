package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// breaking stands before a gateway and breaks the connection of the first real call while SuperOffice works on it. The
// answer is let go when that call has been asked about, and found running.
type breaking struct {
	*httptest.Server
	site *site
	hold chan struct{}

	mu      sync.Mutex
	dry     int
	keys    []string
	running int
}

func newBreaking(t *testing.T, s *site) *breaking {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	b := &breaking{site: s, hold: make(chan struct{})}
	release := sync.OnceFunc(func() { close(b.hold) })
	s.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: b.hold, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusConflict {
				b.mu.Lock()
				b.running++
				b.mu.Unlock()
				release()
			}
			return nil
		},
	}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := strings.HasSuffix(r.URL.Path, "/ForceResync")
		b.mu.Lock()
		first := false
		switch {
		case call && r.Header.Get("ErpSync-Dry-Run") != "":
			b.dry++
		case call:
			b.keys = append(b.keys, r.Header.Get("Idempotency-Key"))
			first = len(b.keys) == 1
		}
		b.mu.Unlock()
		if !first {
			proxy.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		sent := r.Clone(context.WithoutCancel(r.Context()))
		sent.Body = io.NopCloser(bytes.NewReader(body))
		go proxy.ServeHTTP(httptest.NewRecorder(), sent)
		deadline := time.Now().Add(2 * time.Minute)
		for len(s.so.Runs()) == 0 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(func() { release(); b.Close() })
	return b
}

// at returns the address that browsers and programs use.
func (b *breaking) at() string { return strings.Replace(b.URL, "127.0.0.1", "localhost", 1) }

// judge checks what a client did whose connection broke.
func (b *breaking) judge(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dry != 1 || len(b.keys) < 3 || len(slices.Compact(slices.Clone(b.keys))) != 1 || b.keys[0] == "" || b.running == 0 {
		t.Errorf("%d dry runs, keys %q, told %d times that it runs", b.dry, b.keys, b.running)
	}
	if runs := b.site.so.Runs(); len(runs) != 1 {
		t.Errorf("SuperOffice ran %+v", runs)
	}
}

// clients are the examples that are programs.
func clients(t *testing.T) map[string][]string {
	t.Helper()
	needPackages(t)
	// Node finds packages from the file's own folder.
	dir := t.TempDir()
	modules, err := filepath.Abs("node_modules")
	if err == nil {
		err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
	}
	for _, name := range []string{"axios.mjs", "webapi.cjs"} {
		var raw []byte
		if err == nil {
			raw, err = os.ReadFile(filepath.Join("../docs/examples/clients", name))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"axios": {"node", filepath.Join(dir, "axios.mjs")}, "webapi": {"node", filepath.Join(dir, "webapi.cjs")},
		"requests": {"python3", "../docs/examples/clients/resync.py"}, "curl": {"bash", "../docs/examples/clients/resync.sh"},
	}
}

// needRequests skips a test where Python has no requests, and fails it in CI.
func needRequests(t *testing.T) {
	t.Helper()
	if exec.CommandContext(t.Context(), "python3", "-c", "import requests").Run() == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("python3-requests is not installed: make setup")
	}
	t.Skip("python3-requests is not installed: make setup")
}

func TestEveryExampleClientRunsACallOnceAndTellsItsOutcome(t *testing.T) {
	t.Parallel()
	binary := buildCaddy(t)
	for name, command := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, command[0])
			if name == "requests" {
				needRequests(t)
			}
			s := serveExample(t, binary, "")
			run := func(site, connection, keys string) (string, int) {
				client := exec.CommandContext(t.Context(), command[0], command[1:]...) //nolint:gosec // our own examples
				client.Env = append(os.Environ(), "SITE="+site, "TENANT=Cust12345", "TOKEN="+s.provider.Token("Cust12345", time.Hour), "CONNECTION="+connection, "KEYS="+keys, "no_proxy=*")
				out, _ := client.CombinedOutput()
				return string(out), client.ProcessState.ExitCode()
			}
			for _, c := range []struct {
				connection, keys, says string
				code                   int
			}{{"612", "386,230", "outcome: ok", 0}, {"613", "386", "outcome: error", 2}, {"612", "", "outcome: refused", 2}} {
				if c.keys == "" && name != "curl" {
					continue // the others read numbers
				}
				if out, code := run(s.url, c.connection, c.keys); code != c.code || !strings.Contains(out, c.says) {
					t.Errorf("connection %s, keys %q: %d %s", c.connection, c.keys, code, out)
				}
			}
			s.so.Forget()
			b := newBreaking(t, s)
			if out, code := run(b.at(), "612", "386"); code != 0 || !strings.Contains(out, "outcome: ok") {
				t.Errorf("after the connection broke: %d %s", code, out)
			}
			b.judge(t)
		})
	}
}

func TestTheExampleForBrowsersRunsACallOnceAndTellsItsOutcome(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	files, err := filepath.Abs("../docs/examples/clients")
	if err != nil {
		t.Fatal(err)
	}
	s := serveExample(t, buildCaddy(t), "\thandle /fetch.js {\n\t\tfile_server {\n\t\t\troot "+files+"\n\t\t}\n\t}")
	b := newBreaking(t, s)
	user := s.so.User("Cust12345", "per")
	got := node(t, "fetch.mjs", "SITE="+b.at(), "USERNAME="+user.UPN, "PASSWORD="+user.Password, "CHROMIUM="+chromium)
	if ok, _ := got["ok"].(map[string]any); ok["outcome"] != "ok" {
		t.Errorf("after the connection broke: %v", got)
	}
	b.judge(t)
}

// There is no .NET here: what HttpClient sends is a file, written by hand from its documentation.
func TestWhatHttpClientSendsIsUnderstood(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/examples/clients/HttpClient.http")
	if err != nil {
		t.Fatal(err)
	}
	s := serveExample(t, buildCaddy(t), "")
	host := strings.TrimPrefix(s.url, "http://")
	for header, want := range map[string]string{"ErpSync-Dry-Run: true": `"dry_run":true`, "Idempotency-Key: 6f1e2a0c": `"IsOk":true`} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		request := strings.NewReplacer("\n", "\r\n", "{HOST}", host, "{TOKEN}", s.provider.Token("Cust12345", time.Hour), "{HEADER}", header).Replace(string(raw))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		conn.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %v %d %s", header, err, resp.StatusCode, body)
		}
	}
	if fmt.Sprint(s.so.Runs()[0].Keys) != "[386]" {
		t.Errorf("ran %v", s.so.Runs())
	}
}
