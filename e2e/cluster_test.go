package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// cluster is docs/examples/cluster.Caddyfile served by two processes, on one
// Redis that a Sentinel watches.
type cluster struct {
	t        *testing.T
	so       *sandbox.Sandbox
	provider *demo.Provider
	dir      string
	redis    *redistest.Sentinel
	gateways []*process

	// faults is asked of every request to SuperOffice, and may delay or refuse it.
	faults atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

// process is one gateway.
type process struct {
	url string
	dir string
	cmd *exec.Cmd
	log *os.File
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), redis: redistest.StartSentinel(t, "erpsync", "canary-redis-password")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := c.faults.Load(); f != nil && (*f)(w, r) {
			return
		}
		c.so.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var err error
	if c.so, err = sandbox.New(server.URL); err != nil {
		t.Fatal(err)
	}
	if c.provider, err = demo.NewProvider(); err != nil {
		t.Fatal(err)
	}
	if err := demo.WriteSecrets(c.dir, c.so, c.provider); err != nil {
		t.Fatal(err)
	}
	c.write("redis.password", "canary-redis-password")
	c.write("key", strings.Repeat("canary-key-", 4))
	binary := buildCaddy(t)
	for range 2 {
		c.gateways = append(c.gateways, c.start(binary))
	}
	return c
}

func (c *cluster) write(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) fault(f func(http.ResponseWriter, *http.Request) bool) { c.faults.Store(&f) }

func (c *cluster) start(binary string) *process {
	c.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{url: fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port), dir: c.t.TempDir()}
	listener.Close()
	if p.log, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		c.t.Fatal(err)
	}
	p.cmd = exec.Command(binary, "run", "--config", "../docs/examples/cluster.Caddyfile") //nolint:gosec // just built
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = append(os.Environ(), "ERPSYNC_SITE="+p.url, "ERPSYNC_ENVIRONMENT="+c.so.Base(), "ERPSYNC_SECRETS="+c.dir, "ERPSYNC_LOGS="+p.dir, "ERPSYNC_RUN="+p.dir,
		"ERPSYNC_STORAGE="+c.dir+"/storage", "ERPSYNC_ISSUER="+demo.Issuer, "ERPSYNC_JWKS="+c.dir+"/jwks.json", "ERPSYNC_SENTINELS="+c.redis.Address, "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir)
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		p.kill()
		if raw, err := os.ReadFile(p.log.Name()); err == nil && c.t.Failed() {
			c.t.Logf("%s:\n%s", p.url, raw[max(0, len(raw)-4000):])
		}
	})
	eventually(c.t, func() bool {
		resp, err := http.Get(p.url + "/erpsync/session") //nolint:noctx // loopback
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return p
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
		p.log.Close()
	}
}

// person is somebody who is signed in, at every gateway: in production they are one host.
type person struct {
	cookies []*http.Cookie
	xsrf    string
}

func (c *cluster) signIn(name string) person {
	c.t.Helper()
	client, xsrf, err := demo.SignIn(c.t.Context(), c.gateways[0].url, c.so, "Cust12345", name)
	if err != nil {
		c.t.Fatal(err)
	}
	site, err := url.Parse(strings.Replace(c.gateways[0].url, "http://", "https://", 1))
	if err != nil {
		c.t.Fatal(err)
	}
	return person{client.Jar.(*cookiejar.Jar).Cookies(site), xsrf}
}

// service is the header of a service's call.
func (c *cluster) service() http.Header {
	return http.Header{"Authorization": {"Bearer " + c.provider.Token("Cust12345", time.Hour)}}
}

func (p person) header() http.Header {
	header := http.Header{"X-Xsrf-Token": {p.xsrf}}
	for _, cookie := range p.cookies {
		header.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	return header
}

// call makes a call at a gateway; status 0 is a gateway that does not answer.
func (c *cluster) call(p *process, method, path string, header http.Header) (status int, body string) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, p.url+path, strings.NewReader(`{"ErpConnectionId":612,"InternalKeyIds":[386]}`))
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw)
}

const resync = "/Cust12345/api/v1/Agents/ErpSync/ForceResync"

func (c *cluster) must(p *process, header http.Header, what string) {
	c.t.Helper()
	if status, body := c.call(p, http.MethodPost, resync, header); status != http.StatusOK {
		c.t.Errorf("%s: %d %s", what, status, body)
	}
}

// load has callers call at the gateways in turns until ctx ends, and gives how long
// each call took and the first failures.
func (c *cluster) load(ctx context.Context, callers []http.Header) (took []time.Duration, failures []string) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for i, header := range callers {
		group.Go(func() {
			pace := time.NewTicker(250*time.Millisecond + rand.N(100*time.Millisecond))
			defer pace.Stop()
			for n := i; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
				}
				began := time.Now()
				status, body := c.call(c.gateways[n%2], http.MethodPost, resync, header)
				mu.Lock()
				took = append(took, time.Since(began))
				if status != http.StatusOK && len(failures) < 5 {
					failures = append(failures, fmt.Sprintf("%d %s", status, body))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(took)
	return took, failures
}

// TestTwoGatewaysRenewOnceForAllWhileTheProviderIsSlowAndFails lets 200 callers share five people's
// sessions, whose tokens live five seconds, over two gateways. ERPSYNC_SOAK makes it longer than 15 s.
func TestTwoGatewaysRenewOnceForAllWhileTheProviderIsSlowAndFails(t *testing.T) {
	c := newCluster(t)
	long := 15 * time.Second
	if soak, err := time.ParseDuration(os.Getenv("ERPSYNC_SOAK")); err == nil {
		long = soak
	}
	const lifetime, people = 5 * time.Second, 5
	callers := func() (callers []http.Header) {
		for range people {
			p := c.signIn("per")
			for range 40 {
				callers = append(callers, p.header())
			}
		}
		return callers
	}
	steady, done := context.WithTimeout(t.Context(), long/3)
	defer done()
	calm, failures := c.load(steady, callers())
	if len(failures) > 0 {
		t.Fatalf("callers saw failures while nothing happened: %v", failures)
	}
	c.so.Switch(func(s *sandbox.Switches) { s.AccessLifetime = lifetime })
	shortLived := callers()
	var asked, answered atomic.Int32
	c.fault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
			return false
		}
		if asked.Add(1)%4 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		time.Sleep(200*time.Millisecond + rand.N(800*time.Millisecond)) // a slow provider is the point
		answered.Add(1)
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	took, failures := c.load(ctx, shortLived)
	if len(failures) > 0 {
		t.Errorf("callers saw failures: %v", failures)
	}
	// A token is renewed when a fifth of its life is left, so there is one each four seconds.
	lifetimes := people * (int(long/(lifetime*4/5)) + 1)
	if n := int(answered.Load()); n > lifetimes || n < people {
		t.Errorf("%d renewals in %s, want at most %d: one for each token", n, long, lifetimes)
	}
	t.Logf("%d calls, %d renewals asked, %d answered (at most %d tokens); p50 %s, p99 %s, longest %s; while tokens lived an hour p50 %s, p99 %s", len(took), asked.Load(), answered.Load(), lifetimes,
		took[len(took)/2], took[len(took)*99/100], took[len(took)-1], calm[len(calm)/2], calm[len(calm)*99/100])
}

// TestWhatCallersSeeWhenPartsOfAClusterFail is the table in docs/operations.md, as it was lived through.
func TestWhatCallersSeeWhenPartsOfAClusterFail(t *testing.T) {
	c := newCluster(t)
	one, two := c.gateways[0], c.gateways[1]
	person := c.signIn("tove")
	c.must(one, person.header(), "signed in at one")
	c.must(two, person.header(), "and known at two")
	c.must(one, c.service(), "the ticket is minted at one")
	c.must(two, c.service(), "and used at two")
	if n := c.so.Mints("ticket"); n != 1 {
		t.Errorf("%d tickets for two gateways", n)
	}

	// A gateway is killed in the middle of a renewal: the other one goes on when its lease is over.
	inRenewal := make(chan struct{})
	var once sync.Once
	stuck := make(chan struct{})
	c.fault(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
			first := false
			once.Do(func() { first = true; close(inRenewal) })
			if first {
				select {
				case <-stuck:
				case <-r.Context().Done():
				}
				return true
			}
		}
		return false
	})
	c.so.Expire("access")
	go c.call(one, http.MethodPost, resync, person.header())
	<-inRenewal
	one.kill()
	began := time.Now()
	c.must(two, person.header(), "while the renewing gateway is dead")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a dead holder blocked for %s", took)
	}
	close(stuck)

	// Redis fails over: sessions are there, on the new master.
	c.redis.WaitForReplica()
	c.redis.KillMaster()
	status, body := c.call(two, http.MethodGet, "/erpsync/session", person.header())
	if status != http.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("while Redis fails over: %d %s", status, body)
	}
	c.must(two, c.service(), "a service, which needs no session, while Redis fails over")
	eventually(t, func() bool {
		status, body = c.call(two, http.MethodGet, "/erpsync/session", person.header())
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Fatalf("while Redis fails over: %d %s", status, body)
		}
		return status == http.StatusOK
	})

	// The state service stops: the last known host is used.
	c.fault(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/api/state/") {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	c.must(two, c.service(), "without the state service")
	c.must(two, person.header(), "without the state service, a person")
	if dump := c.redis.Dump(); strings.Contains(dump, "canary") || strings.Contains(dump, "8A:") || strings.Contains(dump, "tove") {
		t.Error("something lies in Redis in clear")
	}
}
