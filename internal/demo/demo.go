package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-erpsync/caddy-erpsync/docs/examples/page"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// seedBody is the sample request of SuperOffice's own page on ForceResync.
const seedBody = `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`

// pagePath is the page with the sample request in its form.
const pagePath = "/?tenant=Cust12345&connection=612&keys=386,230"

const path = "/Cust12345/api/v1/Agents/ErpSync/ForceResync"

// runDemo puts a gateway before a sandbox and does the main job in front of the reader.
func runDemo(ctx context.Context, out io.Writer, once bool) error {
	dir, err := os.MkdirTemp("", "erpsync-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	so, stop, err := startSandbox("127.0.0.1:0", sandbox.WithTenants(1))
	if err != nil {
		return err
	}
	defer stop()
	provider, err := NewProvider()
	if err != nil {
		return err
	}
	if err := WriteSecrets(dir, so, provider); err != nil {
		return err
	}
	if err := errors.Join(writeTenants(dir, so), os.CopyFS(filepath.Join(dir, "page"), page.Files), writePast(ctx, filepath.Join(dir, "history.db"), so.Base(), time.Now())); err != nil {
		return err
	}
	site, console, err := startGateway(dir, so.Base())
	if err != nil {
		return err
	}
	defer func() { _ = caddy.Stop() }()

	d := &demo{out: out, so: so, site: site, audit: filepath.Join(dir, "audit.log")}
	fmt.Fprintf(out, "Gateway:  %s   (Caddy with erpsync)\nSandbox:  %s   (stands in for SuperOffice)\n", site, so.Base())
	if err := d.run(ctx, provider); err != nil {
		return fmt.Errorf("the demo did not go as it should: %w", err)
	}
	if err := d.story(ctx, provider); err != nil {
		return fmt.Errorf("the story for the console did not go as it should: %w", err)
	}
	fmt.Fprintf(out, "\nConsole:  %s/   (for support: did it go through for Uno AS and, if not, why? Its month before today is made up)\n", console)
	if once {
		return nil
	}
	user := so.User("Cust12345", "tove")
	fmt.Fprintf(out, "\nBoth stay up until Ctrl-C. Now you, in a browser:\n\n   %s%s\n\nSign in as %s with the password %s.\n"+
		"Connection 613 fails, 614 is paused. The page is docs/examples/page, to be copied.\n", site, pagePath, user.UPN, user.Password)
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt)
	defer cancel()
	<-ctx.Done()
	return nil
}

// startGateway returns the addresses of the gateway and of its console. Another program can take a free port before Caddy does:
// then there are others.
func startGateway(dir, environment string) (site, console string, err error) {
	for range 3 {
		if site, console, err = loadGateway(dir, environment); err == nil {
			return site, console, nil
		}
	}
	return "", "", err
}

// freeAddress returns an address of this machine that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port), listener.Close()
}

func loadGateway(dir, environment string) (site, console string, err error) {
	if site, err = freeAddress(); err != nil {
		return "", "", err
	}
	if console, err = freeAddress(); err != nil {
		return "", "", err
	}
	config := fmt.Sprintf(`{
	admin off
	persist_config off
	storage file_system %[1]s
	erpsync {
		history sqlite {
			path %[1]s/history.db
		}
	}
	log default {
		level ERROR
		exclude http.handlers.erpsync
	}
	log audit {
		include http.handlers.erpsync.audit
		output file %[1]s/audit.log
	}
}
%[2]s {
	bind 127.0.0.1
	erpsync {
		environment %[3]s
		app portal {
			client_id {file.%[1]s/portal.client_id}
			client_secret {file.%[1]s/portal.client_secret}
			agents ErpSync
			tenant *
			lookups on
		}
		browser {
			app portal
		}
		app erp {
			client_id {file.%[1]s/erp.client_id}
			client_secret {file.%[1]s/erp.client_secret}
			private_key {file.%[1]s/erp.private_key}
			agents ErpSync
			tenants file %[1]s/tenants.json
			call_as system
		}
		jwt %[4]s {
			audience erpsync
			algorithms ES256
			jwks %[1]s/jwks.json
			app erp
			tenant claim tenant
		}
		audit {
			explanations full
		}
	}
	header {
		Content-Security-Policy "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		X-Content-Type-Options nosniff
		Referrer-Policy no-referrer
	}
	@page path / /index.html /page.css /page.js
	handle @page {
		root %[1]s/page
		file_server
	}
	error 404
}
%[5]s {
	bind 127.0.0.1
	erpsync_console {
		audit views
	}
}
`, dir, site, environment, Issuer, console)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		return "", "", err
	}
	return site, console, caddy.Load(adapted, true)
}

type demo struct {
	out   io.Writer
	so    *sandbox.Sandbox
	site  string
	audit string
	lines int
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) run(ctx context.Context, provider *Provider) error {
	d.say("\n1. A person signs in, as a browser would")
	client, xsrf, err := SignIn(ctx, d.site, d.so, "Cust12345", "tove")
	if err != nil {
		return err
	}
	d.say("   %s → SuperID → session cookie __Host-erpsync and XSRF-TOKEN", d.site+"/erpsync/sign-in")

	d.say("\n2. The page sends the sample request, with its cookies and X-XSRF-TOKEN")
	if err := d.call(ctx, client, http.Header{"X-Xsrf-Token": {xsrf}}, seedBody, http.StatusOK, "ok"); err != nil {
		return err
	}
	d.say("\n3. The same through connection 613, whose ERP fails: HTTP says 200, the outcome says error")
	if err := d.call(ctx, client, http.Header{"X-Xsrf-Token": {xsrf}}, `{"ErpConnectionId":613,"InternalKeyIds":[386]}`, http.StatusOK, "error"); err != nil {
		return err
	}
	d.say("\n4. A service brings a JWT of its own identity provider and calls as the tenant's system user")
	service := http.Header{"Authorization": {"Bearer " + provider.Token("Cust12345", time.Hour)}}
	if err := d.call(ctx, http.DefaultClient, service, seedBody, http.StatusOK, "ok"); err != nil {
		return err
	}
	d.say("\n5. The same service names no key, which means everything: refused, and nothing is sent")
	return d.call(ctx, http.DefaultClient, service, `{"ErpConnectionId":612,"InternalKeyIds":[]}`, http.StatusForbidden, "resync_all_denied")
}

// call makes one call, prints its outcome and checks that it went as it should.
func (d *demo) call(ctx context.Context, client *http.Client, header http.Header, body string, status int, outcome string) error {
	d.so.Forget()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.site+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Accept", "application/json; charset=utf-8")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	d.say("   request   POST %s %s", path, body)
	sent := false
	for _, r := range d.so.Requests() {
		if !strings.Contains(strings.ToLower(r.URI), "/agents/erpsync/") {
			continue
		}
		sent = true
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		d.say("   upstream  %s %s  Authorization: %s ••••  SO-AppToken: %s", r.Method, r.URI, scheme, mask(r.Header.Get("SO-AppToken")))
	}
	if !sent {
		d.say("   upstream  nothing was sent")
	}
	d.say("   answer    HTTP %d %s", resp.StatusCode, bytes.TrimSpace(answer))
	line, err := d.auditLine(ctx)
	if err != nil {
		return err
	}
	d.say("   audit     %s", line)
	if resp.StatusCode != status || !strings.Contains(line, `"`+outcome+`"`) {
		return fmt.Errorf("want HTTP %d and %s", status, outcome)
	}
	return nil
}

func mask(s string) string {
	if s == "" {
		return "(none)"
	}
	return "••••"
}

// auditLine waits for the next line of a call that is over.
func (d *demo) auditLine(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		lines, err := finished(d.audit)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if len(lines) > d.lines {
			d.lines = len(lines)
			return lines[len(lines)-1], nil
		}
		select {
		case <-ctx.Done():
			return "", errors.New("no audit line was written")
		case <-tick.C:
		}
	}
}

func finished(file string) (lines []string, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	scanner := bufio.NewScanner(bytes.NewReader(raw))
	for scanner.Scan() {
		var entry map[string]any
		if json.Unmarshal(scanner.Bytes(), &entry) != nil || entry["msg"] != "erpsync call" {
			continue
		}
		for _, noise := range []string{"level", "ts", "logger", "node"} {
			delete(entry, noise)
		}
		line, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		lines = append(lines, string(line))
	}
	return lines, scanner.Err()
}
