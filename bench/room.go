package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// room is what a bench runs in: a folder, the programs, a sandbox for everything that is asked once, and
// the fixed upstream for everything that is asked at each call.
type room struct {
	options
	ctx      context.Context
	stop     context.CancelFunc
	dir      string
	self     string
	caddy    string // the repository's Caddy
	so       *sandbox.Sandbox
	server   *httptest.Server
	provider *demo.Provider
	// renewalTakes is how long SuperID takes to renew a token.
	renewalTakes atomic.Int64

	upstream, upstreamTLS string
	upstreamProcess       process
	made                  int // names given
}

const (
	plainTenant  = "Cust12345" // its WebAPI is the upstream
	secureTenant = "Cust54321" // its WebAPI is the upstream over TLS
)

func resyncPath(tenant string) string { return "/" + tenant + "/api/v1/Agents/ErpSync/ForceResync" }

func newRoom(ctx context.Context, o options) (r *room, err error) {
	r = &room{options: o}
	r.ctx, r.stop = context.WithCancel(ctx)
	if r.dir, err = os.MkdirTemp("", "erpsync-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.self, err = os.Executable(); err != nil {
		return nil, err
	}
	r.caddy = filepath.Join(r.dir, "caddy")
	if out, err := exec.CommandContext(r.ctx, "go", "build", "-o", r.caddy, "./cmd/caddy").CombinedOutput(); err != nil { //nolint:gosec // our own program
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if takes := r.renewalTakes.Load(); takes > 0 && strings.HasSuffix(req.URL.Path, "/oauth/tokens") {
			time.Sleep(time.Duration(takes))
		}
		r.so.ServeHTTP(w, req)
	}))
	if r.so, err = sandbox.New(r.server.URL); err != nil {
		return nil, err
	}
	if r.provider, err = demo.NewProvider(); err != nil {
		return nil, err
	}
	if err := demo.WriteSecrets(r.dir, r.so, r.provider); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(r.dir, "key"), []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		return nil, err
	}
	if err := writeCertificate(r.dir); err != nil {
		return nil, err
	}
	if r.upstream, err = freeAddr(); err != nil {
		return nil, err
	}
	if r.upstreamTLS, err = freeAddr(); err != nil {
		return nil, err
	}
	job, err := json.Marshal(upstreamJob{r.upstream, r.upstreamTLS, r.dir})
	if err != nil {
		return nil, err
	}
	// It collects its garbage seldom: that would be part of some latencies.
	if r.upstreamProcess, err = start(r.ctx, r.dir, r.upstream, []string{"GOGC=800"}, r.self, "-role", "upstream", string(job)); err != nil {
		return nil, err
	}
	r.so.Move(plainTenant, "http://"+r.upstream)
	r.so.Move(secureTenant, "https://"+r.upstreamTLS)
	return r, nil
}

func (r *room) close() {
	r.stop()
	if r.server != nil {
		r.server.Close()
	}
	// The processes end with the context; what they still write would come back.
	time.Sleep(100 * time.Millisecond)
	_ = os.RemoveAll(r.dir)
}

// name returns a name for files that nothing else has.
func (r *room) name(of string) string {
	r.made++
	return fmt.Sprintf("%s-%d", of, r.made)
}

// write puts a JSON file into the room's folder and gives its path.
func (r *room) write(name string, value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.dir, name+".json")
	return path, os.WriteFile(path, raw, 0o600)
}

// configuration is written for the site that a Caddy serves and for its admin API.
type configuration interface {
	caddyfile(r *room, name, site, admin string) string
}

// serve runs the repository's Caddy with a configuration.
func (r *room) serve(config configuration, env ...string) (p process, err error) {
	return r.serveWith(r.caddy, config, env...)
}

// serveWith runs a Caddy with a configuration.
func (r *room) serveWith(binary string, config configuration, env ...string) (p process, err error) {
	addr, err := freeAddr()
	if err != nil {
		return p, err
	}
	admin, err := freeAddr()
	if err != nil {
		return p, err
	}
	name := r.name("caddy")
	file := filepath.Join(r.dir, name+".Caddyfile")
	if err := os.WriteFile(file, []byte(config.caddyfile(r, name, siteAt(addr), admin)), 0o600); err != nil {
		return p, err
	}
	p, err = start(r.ctx, r.dir, addr, append(r.home(), env...), binary, "run", "--config", file)
	p.admin = admin
	return p, err
}

// home keeps what Caddy stores in the room.
func (r *room) home() []string {
	return []string{"XDG_DATA_HOME=" + r.dir + "/data", "XDG_CONFIG_HOME=" + r.dir + "/config"}
}

// person signs somebody in at a gateway, as a browser would.
func (r *room) person(p process, tenant, name string) (caller, error) {
	client, xsrf, err := demo.SignIn(r.ctx, p.site(), r.so, tenant, name)
	if err != nil {
		return caller{}, err
	}
	u, err := url.Parse(strings.Replace(p.site(), "http://", "https://", 1))
	if err != nil {
		return caller{}, err
	}
	var cookies []string
	for _, c := range client.Jar.(*cookiejar.Jar).Cookies(u) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return caller{resyncPath(tenant), http.Header{"Cookie": {strings.Join(cookies, "; ")}, "X-Xsrf-Token": {xsrf}}}, nil
}

// service calls for a tenant with a JWT of another or, as it should be, of the same tenant.
func (r *room) service(tenant, of string) caller {
	return caller{resyncPath(tenant), http.Header{"Authorization": {"Bearer " + r.provider.Token(of, 10*time.Hour)}}}
}

// ask asks a Caddy's admin API.
func (r *room) ask(p process, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the admin API answers %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}
