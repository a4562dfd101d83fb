package e2e

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

// cluster is docs/examples/cluster.Caddyfile served by two processes, on one
// Redis that a Sentinel watches.
type cluster struct {
	t        *testing.T
	so       *sandbox.Sandbox
	provider *demo.Provider
	dir      string
	store    string              // its address, or the Sentinel's
	redis    *redistest.Sentinel // nil where the store is another
	gateways []*process
	config   string
	binary   string
	calls    atomic.Int32
	// elsewhere is another host of SuperOffice's, to which tenants can move.
	elsewhere string

	// faults is asked of every request to SuperOffice, and may delay or refuse it.
	faults atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	// client sends the calls.
	client *http.Client
}

// unguarded lets through what the load of a test needs.
const unguarded = "guard {\n\t\t\trate off\n\t\t\tin_flight connection off\n\t\t\tin_flight tenant off\n\t\t\tin_flight app off\n\t\t}"

// process is one gateway.
type process struct {
	url string
	dir string
	cmd *exec.Cmd
	log *os.File
}

// newCluster starts the gateways with these options in place of the defaults of guard.
func newCluster(t *testing.T, guard string, options ...sandbox.Option) *cluster {
	t.Helper()
	redis := redistest.StartSentinel(t, "erpsync", "canary-redis-password")
	c := newClusterOn(t, redis.Address, func(example string) string {
		// What these tests are about is no slow machine.
		return strings.Replace(example, "\n\t\tstore redis {", "\n\t\t"+guard+"\n\t\tstore redis {\n\t\t\ttimeout 5s", 1)
	}, options...)
	c.redis = redis
	return c
}

// newClusterOn starts the gateways of an example that is changed, on a store that is there.
func newClusterOn(t *testing.T, store string, change func(example string) string, options ...sandbox.Option) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), store: store, client: http.DefaultClient}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := c.faults.Load(); f != nil && (*f)(w, r) {
			return
		}
		c.so.ServeHTTP(w, r)
	})
	server, elsewhere := httptest.NewServer(handler), httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(elsewhere.Close)
	c.elsewhere = elsewhere.URL
	var err error
	if c.so, err = sandbox.New(server.URL, append(options, sandboxtest.Keys())...); err != nil {
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
	raw, err := os.ReadFile("../docs/examples/cluster.Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	c.write("Caddyfile", change(string(raw)))
	c.config = filepath.Join(c.dir, "Caddyfile")
	c.binary = buildCaddy(t)
	for range 2 {
		c.gateways = append(c.gateways, c.start(c.binary))
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
	p := &process{url: fmt.Sprintf("http://localhost:%d", testport.Take(c.t)), dir: socketDir(c.t)}
	var err error
	if p.log, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		c.t.Fatal(err)
	}
	p.cmd = exec.Command(binary, "run", "--config", c.config) //nolint:gosec // just built
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = c.environment(p)
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

// environment is what the example's variables are set to for a gateway.
func (c *cluster) environment(p *process) []string {
	return append(os.Environ(), "ERPSYNC_SITE="+p.url, "ERPSYNC_ENVIRONMENT="+c.so.Base()+" "+c.elsewhere, "ERPSYNC_SECRETS="+c.dir, "ERPSYNC_LOGS="+p.dir, "ERPSYNC_RUN="+p.dir,
		"ERPSYNC_STORAGE="+c.dir+"/storage", "ERPSYNC_ISSUER="+demo.Issuer, "ERPSYNC_JWKS="+c.dir+"/jwks.json", "ERPSYNC_SENTINELS="+c.store, "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir)
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
		p.log.Close()
	}
}

// TestTwoHundredAtOnceAreOneCall presses the same button 200 times on two gateways.
func TestTwoHundredAtOnceAreOneCall(t *testing.T) {
	c := newCluster(t, unguarded)
	c.must(c.gateways[0], c.service(), "the ticket is minted")
	const same = `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`
	for name, key := range map[string]string{"without a key": "", "with one Idempotency-Key": "one"} {
		c.so.Forget()
		held := make(chan struct{})
		c.so.Answer(func(string, int) *sandbox.Answer {
			return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok","ErrorCode":"` + crand.Text() + `"}`}
		})
		header := c.service()
		if key != "" {
			header.Set("Idempotency-Key", key)
		}
		type answer struct {
			status int
			body   string
		}
		answers := make(chan answer, 200)
		for i := range 200 {
			go func() {
				status, body := c.send(c.gateways[i%2], http.MethodPost, resync, header, same)
				answers <- answer{status, body}
			}()
		}
		var first string
		running := regexp.MustCompile(`"running":"([^"]+)"`)
		for i := range 200 {
			if i == 199 {
				close(held) // all the others have been turned away
			}
			a := <-answers
			found := running.FindStringSubmatch(a.body)
			switch {
			case i < 199 && (a.status != http.StatusConflict || !strings.Contains(a.body, "call_running") || found == nil):
				t.Fatalf("%s: answer %d: %d %s", name, i, a.status, a.body)
			case i == 199 && a.status != http.StatusOK:
				t.Fatalf("%s: the first: %d %s", name, a.status, a.body)
			case i < 199 && first != "" && found[1] != first:
				t.Errorf("%s: two calls were said to be running: %s and %s", name, first, found[1])
			case i < 199:
				first = found[1]
			}
			if i < 199 {
				continue
			}
			if n := agentCalls(c.so); n != 1 {
				t.Errorf("%s: %d sends", name, n)
			}
			if key == "" {
				continue
			}
			for _, g := range c.gateways {
				if status, body := c.send(g, http.MethodPost, resync, header, same); status != http.StatusOK || body != a.body {
					t.Errorf("repeated: %d %s, want %s", status, body, a.body)
				}
				if status, body := c.send(g, http.MethodPost, resync, header, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`); status != http.StatusUnprocessableEntity {
					t.Errorf("the key for another call: %d %s", status, body)
				}
			}
			if n := agentCalls(c.so); n != 1 {
				t.Errorf("%d sends after repeats", n)
			}
		}
	}

	// The gateway that sent it is killed: nobody knows, and nobody sends it again.
	c.so.Forget()
	c.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: make(chan struct{})}
	})
	header := c.service()
	header.Set("Idempotency-Key", "killed")
	go c.send(c.gateways[0], http.MethodPost, resync, header, same)
	eventually(t, func() bool { return agentCalls(c.so) == 1 })
	long := c.service()
	long.Set("Prefer", "respond-async")
	var begun struct{ Call string }
	if status, body := c.send(c.gateways[0], http.MethodPost, resync, long, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`); status != http.StatusAccepted || json.Unmarshal([]byte(body), &begun) != nil {
		t.Fatalf("a long call: %d %s", status, body)
	}
	if status, body := c.send(c.gateways[1], http.MethodGet, begun.Call, c.service(), ""); status != http.StatusAccepted {
		t.Errorf("a long call, at the other gateway: %d %s", status, body)
	}
	eventually(t, func() bool { return agentCalls(c.so) == 2 })
	c.gateways[0].kill()
	eventually(t, func() bool {
		status, body := c.send(c.gateways[1], http.MethodGet, begun.Call, c.service(), "")
		if status != http.StatusAccepted && status != http.StatusFailedDependency {
			t.Fatalf("the long call: %d %s", status, body)
		}
		return strings.Contains(body, "outcome_unknown")
	})
	eventually(t, func() bool { // when the dead gateway's lease is over
		status, body := c.send(c.gateways[1], http.MethodPost, resync, header, same)
		if status != http.StatusConflict && status != http.StatusFailedDependency {
			t.Fatalf("repeated: %d %s", status, body)
		}
		return strings.Contains(body, "outcome_unknown")
	})
	if n := agentCalls(c.so); n != 2 {
		t.Errorf("%d sends", n)
	}
	if dump := c.redis.Dump(); strings.Contains(dump, "IsOk") {
		t.Error("a kept answer lies in Redis in clear")
	}
}

// TestOneTenantAtItsLimitStarvesNoOther has 500 callers hammer one tenant, and looks how another fares.
func TestOneTenantAtItsLimitStarvesNoOther(t *testing.T) {
	c := newCluster(t, "guard {\n\t\t\tin_flight connection 100\n\t\t}")
	other := http.Header{"Authorization": {"Bearer " + c.provider.Token("Cust54321", time.Hour)}}
	path := strings.Replace(resync, "Cust12345", "Cust54321", 1)
	measure := func() (took []time.Duration) {
		pace := time.NewTicker(110 * time.Millisecond) // within its own limit
		defer pace.Stop()
		for range 40 {
			<-pace.C
			began := time.Now()
			if status, body := c.call(c.gateways[0], http.MethodPost, path, other); status != http.StatusOK {
				t.Errorf("the quiet tenant: %d %s", status, body)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took
	}
	c.crowd(500)
	c.call(c.gateways[0], http.MethodPost, path, other)
	alone := measure()
	hammered, hammering := c.service(), time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var through, turned atomic.Int32
	for range 500 {
		group.Go(func() {
			pace := time.NewTicker(400 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				switch status, body := c.call(c.gateways[0], http.MethodPost, resync, hammered); status {
				case http.StatusOK:
					through.Add(1)
				case http.StatusTooManyRequests:
					turned.Add(1)
				default:
					t.Errorf("%d %s", status, body)
				}
				<-pace.C
			}
		})
	}
	beside := measure()
	stop()
	group.Wait()
	t.Logf("the quiet tenant alone: median %s, longest %s; beside 500 callers at another's limit: median %s, longest %s. %d of theirs went through, %d were turned away",
		alone[len(alone)/2], alone[len(alone)-1], beside[len(beside)/2], beside[len(beside)-1], through.Load(), turned.Load())
	// Ten calls a second, and as many at once.
	if most := 10 + int32(10*time.Since(hammering).Seconds()); through.Load() > most || turned.Load() == 0 {
		t.Errorf("%d through in %s and %d turned away: the limit does not hold", through.Load(), time.Since(hammering), turned.Load())
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

// call makes a call of its own at a gateway; status 0 is a gateway that does not answer.
func (c *cluster) call(p *process, method, path string, header http.Header) (status int, body string) {
	return c.send(p, method, path, header, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, c.calls.Add(1)))
}

// crowd has the calls of many callers keep their connections, so that they load the gateways and not the machine's table of
// ports. No gateway may end meanwhile: a call on a connection that is just closing is lost.
func (c *cluster) crowd(callers int) {
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	c.t.Cleanup(transport.CloseIdleConnections)
	c.client = &http.Client{Transport: transport}
}

func (c *cluster) send(p *process, method, path string, header http.Header, payload string) (status int, body string) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, p.url+path, strings.NewReader(payload))
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
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
			pace := time.NewTicker(500*time.Millisecond + rand.N(200*time.Millisecond))
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
	c := newCluster(t, unguarded)
	c.crowd(200)
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
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	took, failures := c.load(ctx, shortLived)
	ran := time.Since(began) // the last callers wait for their answers
	if len(failures) > 0 {
		t.Errorf("callers saw failures: %v", failures)
	}
	// A token is renewed when a fifth of its life is left, so there is one each four seconds.
	lifetimes := people * (int(ran/(lifetime*4/5)) + 1)
	most := lifetimes
	for _, p := range c.gateways { // without the store each gateway renews for itself; a machine that stalls can make it so
		if raw, err := os.ReadFile(p.log.Name()); err != nil || strings.Contains(string(raw), "store unavailable") {
			t.Logf("a gateway had no answer of the store in time: %v", err)
			most = 2 * lifetimes
		}
	}
	if n := int(answered.Load()); n > most || n < people {
		t.Errorf("%d renewals in %s, want at most %d: one for each token", n, ran, most)
	}
	t.Logf("%d calls, %d renewals asked, %d answered (at most %d tokens); p50 %s, p99 %s, longest %s; while tokens lived an hour p50 %s, p99 %s", len(took), asked.Load(), answered.Load(), lifetimes,
		took[len(took)/2], took[len(took)*99/100], took[len(took)-1], calm[len(calm)/2], calm[len(calm)*99/100])
}

// TestWhatCallersSeeWhenPartsOfAClusterFail is the table in docs/operations.md, as it was lived through.
func TestWhatCallersSeeWhenPartsOfAClusterFail(t *testing.T) {
	c := newCluster(t, unguarded)
	one, two := c.gateways[0], c.gateways[1]
	person := c.signIn("tove")
	c.must(one, person.header(), "signed in at one")
	c.must(two, person.header(), "and known at two")
	c.must(one, c.service(), "the ticket is minted at one")
	c.must(two, c.service(), "and used at two")
	if n := c.so.Mints("ticket"); n != 1 {
		t.Errorf("%d tickets for two gateways", n)
	}

	// Somebody is signed out through one gateway, and is so at both.
	gone, stays := c.signIn("per"), c.signIn("tove")
	out, err := exec.CommandContext(t.Context(), one.cmd.Path, "erpsync", "revoke", "--tenant", "cust12345", "--user", c.so.User("Cust12345", "per").UPN, "--address", "unix/"+one.dir+"/admin.sock").CombinedOutput() //nolint:gosec // just built
	if err != nil || !strings.Contains(string(out), "revoked: ") {
		t.Errorf("revoke: %v %s", err, out)
	}
	for _, g := range c.gateways {
		if status, _ := c.call(g, http.MethodGet, "/erpsync/session", gone.header()); status != http.StatusUnauthorized {
			t.Errorf("signed out by the operator: %d", status)
		}
		if status, _ := c.call(g, http.MethodGet, "/erpsync/session", stays.header()); status != http.StatusOK {
			t.Errorf("another person: %d", status)
		}
	}
	for _, args := range [][]string{{}, {"--user", "x"}, {"--app", "a", "--tenant", "Cust1"}, {"--tenant", "x"}} {
		if out, err := exec.CommandContext(t.Context(), one.cmd.Path, append([]string{"erpsync", "revoke", "--address", "unix/" + one.dir + "/admin.sock"}, args...)...).CombinedOutput(); err == nil { //nolint:gosec // just built
			t.Errorf("revoke %v: %s", args, out)
		}
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
	c.must(two, person.header(), "while the renewing gateway is dead") // a call that waits for longer than 20 s is refused
	t.Logf("a dead holder blocked for %s", time.Since(began))
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
