//go:build outage && unix

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// wire is what lies between the gateways and their store.
type wire struct {
	address string
	target  string
	mode    atomic.Int32 // a wireMode
	delay   atomic.Int64 // of each part of an answer, in nanoseconds
	mu      sync.Mutex
	open    []net.Conn
}

type wireMode = int32

const (
	passing wireMode = iota
	refusing
	dropping
)

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	w := &wire{address: listener.Addr().String(), target: target}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
	return w
}

// set breaks the wire, or mends it. What is open is cut where connections are refused.
func (w *wire) set(mode wireMode, delay time.Duration) {
	w.mode.Store(mode)
	w.delay.Store(int64(delay))
	w.mu.Lock()
	defer w.mu.Unlock()
	if mode != dropping {
		for _, conn := range w.open {
			conn.Close()
		}
		w.open = nil
	}
}

func (w *wire) serve(client net.Conn) {
	defer client.Close()
	if w.mode.Load() == refusing {
		_ = client.(*net.TCPConn).SetLinger(0)
		return
	}
	server, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	w.open = append(w.open, client, server)
	w.mu.Unlock()
	go w.pump(client, server, false)
	w.pump(server, client, true)
}

func (w *wire) pump(from, to net.Conn, answers bool) {
	defer to.Close()
	part := make([]byte, 32<<10)
	for {
		n, err := from.Read(part)
		if err != nil {
			return
		}
		if w.mode.Load() == dropping {
			continue
		}
		if delay := time.Duration(w.delay.Load()); answers && delay > 0 {
			time.Sleep(delay) // the slow wire is the point
		}
		if _, err := to.Write(part[:n]); err != nil {
			return
		}
	}
}

// runs are the calls as SuperOffice has seen them, by their key.
type runs struct {
	mu      sync.Mutex
	begun   map[string][]time.Time
	ended   map[string][]time.Time
	pattern *regexp.Regexp
}

func newRuns() *runs {
	return &runs{begun: map[string][]time.Time{}, ended: map[string][]time.Time{}, pattern: regexp.MustCompile(`InternalKeyIds":\[(\d+)\]`)}
}

// working is how long SuperOffice works at a call here, so that two of the same meet.
const working = 300 * time.Millisecond

// watch lets SuperOffice take its time, and notes what it does.
func (r *runs) watch(so *sandbox.Sandbox) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/Agents/ErpSync/") {
			return false
		}
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		found := r.pattern.FindSubmatch(body)
		if found == nil {
			return false
		}
		key, answer := string(found[1]), &answered{ResponseWriter: w}
		begun := time.Now()
		so.ServeHTTP(answer, req)
		if answer.status == http.StatusOK { // else it was refused, and did not run
			r.mu.Lock()
			r.begun[key] = append(r.begun[key], begun)
			r.mu.Unlock()
			time.Sleep(working)
			r.mu.Lock()
			r.ended[key] = append(r.ended[key], time.Now())
			r.mu.Unlock()
		}
		return true
	}
}

// answered holds an answer back until SuperOffice has worked.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// count returns how often a call ran, and whether two runs of it met.
func (r *runs) count(key int) (n int, met bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	begun := slices.Clone(r.begun[fmt.Sprint(key)])
	slices.SortFunc(begun, time.Time.Compare)
	for i := 1; i < len(begun); i++ {
		met = met || begun[i].Sub(begun[i-1]) < working
	}
	return len(begun), met
}

// row is what callers lived through while something was broken.
type row struct {
	name                           string
	calls, services, people, keyed int // the last three were felt by those
	doubled, lost                  int
	slowest, well                  time.Duration
}

// tally counts calls.
type tally struct {
	mu sync.Mutex
	row
	ok   []int // keys that were answered 200
	once []int // keys of calls that carry an Idempotency-Key
	all  []int
}

func (c *tally) add(key, status int, took time.Duration, felt *int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.slowest = max(c.slowest, took)
	switch {
	case status == http.StatusOK:
		c.ok = append(c.ok, key)
	case status == http.StatusConflict && strings.Contains(body, "call_running"): // the other of a pair
	default:
		*felt++
	}
}

// outage has callers call for some seconds while something is broken.
type outage struct {
	*cluster
	runs   *runs
	person person
	key    atomic.Int64
	rows   []row
}

const (
	pace   = 200 * time.Millisecond
	broken = 4 * time.Second
)

func (o *outage) next() (int, string) {
	key := int(o.key.Add(1))
	return key, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, key)
}

// live breaks something, lets callers call, mends it, and waits until everybody is served again.
func (o *outage) live(name string, breakIt, mend func()) row {
	o.t.Helper()
	o.wellAgain()
	service, person := o.service(), o.person.header()
	c := &tally{row: row{name: name}}
	ctx, stop := context.WithTimeout(o.t.Context(), broken)
	defer stop()
	breakIt()
	var group sync.WaitGroup
	timed := func(g *process, header http.Header, key int, body string, felt *int) (int, string) {
		began := time.Now()
		status, answer := o.send(g, http.MethodPost, resync, header, body)
		c.add(key, status, time.Since(began), felt, answer)
		return status, answer
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		key, body := o.next()
		c.all = append(c.all, key)
		for _, g := range o.gateways { // the same call at both
			group.Go(func() { timed(g, service, key, body, &c.services) })
		}
		mine, personal := o.next()
		c.all = append(c.all, mine)
		group.Go(func() { timed(o.gateways[n%2], person, mine, personal, &c.people) })
		once, kept := o.next()
		c.all, c.once = append(c.all, once), append(c.once, once)
		keyed := service.Clone()
		keyed.Set("Idempotency-Key", fmt.Sprint("outage ", once))
		group.Go(func() { // its client repeats it until it has an answer, at any gateway
			for i := n; i < n+100; i++ {
				status, _ := timed(o.gateways[i%2], keyed, once, kept, &c.keyed)
				if status == http.StatusOK {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		<-tick.C
	}
	mended := time.Now()
	mend()
	o.wellAgain()
	c.well = time.Since(mended)
	group.Wait()
	for _, key := range c.all {
		n, met := o.runs.count(key)
		if met || n > 1 && slices.Contains(c.once, key) {
			c.doubled++
		}
		if n == 0 && slices.Contains(c.ok, key) {
			c.lost++
		}
	}
	o.rows = append(o.rows, c.row)
	return c.row
}

// wellAgain waits until each gateway serves each kind of caller.
func (o *outage) wellAgain() {
	o.t.Helper()
	keyed := o.service()
	for _, g := range o.gateways {
		for _, header := range []http.Header{o.service(), o.person.header(), keyed} {
			eventually(o.t, func() bool {
				key, body := o.next()
				if header.Get("Cookie") == "" {
					keyed.Set("Idempotency-Key", fmt.Sprint("well ", key))
				}
				status, _ := o.send(g, http.MethodPost, resync, header, body)
				return status == http.StatusOK
			})
		}
	}
}

// print prints the table.
func (o *outage) print() {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "broken\tcalls\tservices felt\tpeople felt\twith a key felt\tdoubled\tlost\tslowest\twell after\t")
	for _, r := range o.rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f s\t%.2f s\t\n", r.name, r.calls, r.services, r.people, r.keyed, r.doubled, r.lost, r.slowest.Seconds(), r.well.Seconds())
	}
	_ = w.Flush()
	o.t.Logf("each row %s long, at two gateways; a call takes SuperOffice %s\n%s", broken, working, text.String())
}

// newOutage starts two gateways on a store behind a wire.
func newOutage(t *testing.T, strict string, audit func(dir string) string) (*outage, *wire, *redistest.Server) {
	t.Helper()
	store := redistest.Start(t, "--requirepass", "canary-redis-password")
	w := newWire(t, store.Address)
	o := &outage{runs: newRuns()}
	o.cluster = newClusterOn(t, w.address, func(example string) string {
		example = strings.Replace(example, "\n\t\tstore redis {", "\n\t\t"+unguarded+"\n\t\tstore redis {\n\t\t\t"+strict, 1)
		example = strings.Replace(example, "\t\t\tsentinel erpsync\n", "", 1)
		if audit != nil {
			example = strings.Replace(example, "\n\t\tstore redis {", "\n\t\taudit {\n\t\t\trequired\n\t\t}\n\t\tstore redis {", 1)
			example = strings.Replace(example, "{$ERPSYNC_LOGS:/var/log/erpsync}/audit.log", audit(t.TempDir()), 1)
		}
		return example
	})
	o.fault(o.runs.watch(o.so))
	o.person = o.signIn("tove")
	return o, w, store
}

// TestWhatFailsAroundTheGatewaysIsNeitherLostNorDoubledNorEndless breaks the store in every way that there is.
func TestWhatFailsAroundTheGatewaysIsNeitherLostNorDoubledNorEndless(t *testing.T) {
	o, w, store := newOutage(t, "", nil)
	defer o.print()
	client := redis.NewClient(&redis.Options{Addr: store.Address, Password: "canary-redis-password"})
	defer client.Close()
	memory := func(most string) func() {
		return func() {
			if err := client.ConfigSet(context.Background(), "maxmemory", most).Err(); err != nil {
				t.Error(err)
			}
		}
	}
	over := func(mode wireMode, delay time.Duration) func() { return func() { w.set(mode, delay) } }
	mend := over(passing, 0)
	check := func(r row, alone, served, people, keyed bool) {
		t.Helper()
		if r.lost > 0 || r.doubled > 0 && !alone || r.services > 0 && served || r.people > 0 && people || r.keyed > 0 && keyed || r.slowest > 10*time.Second { // a bound for any machine
			t.Errorf("%+v", r)
		}
	}
	// Each gateway goes on for itself while the store is away: the same call may run once on each.
	check(o.live("nothing", func() {}, func() {}), false, true, true, true)
	check(o.live("store: connections refused", over(refusing, 0), mend), true, true, false, false)
	check(o.live("store: packets dropped", over(dropping, 0), mend), true, true, false, false)
	check(o.live("store: process frozen", store.Freeze, store.Thaw), true, true, false, false)
	check(o.live("store: +2 s", over(passing, 2*time.Second), mend), true, true, false, false)
	check(o.live("store: +200 ms", over(passing, 200*time.Millisecond), mend), false, true, true, true)
	check(o.live("store: memory full", memory("1"), memory("0")), true, true, true, false)
	check(o.live("SuperOffice forgets every ticket", func() { o.so.Expire("ticket") }, func() { o.so.Expire("ticket") }), false, true, true, true)
	check(o.live("SuperOffice forgets tickets after 1 s", func() { o.so.Switch(func(s *sandbox.Switches) { s.TicketForgotten = time.Second }) },
		func() { o.so.Switch(func(s *sandbox.Switches) { s.TicketForgotten = 0 }) }), false, false, true, false)
	check(o.live("the tenant moves", func() { o.so.Move("Cust12345", o.elsewhere) }, func() {}), false, true, true, true)
	check(o.live("store: came back empty", func() {
		if err := client.FlushAll(context.Background()).Err(); err != nil {
			t.Error(err)
		}
	}, func() { o.person = o.signIn("tove") }), false, true, false, true)
}

// TestAStrictStoreDoublesNothing breaks the store of gateways that refuse without it.
func TestAStrictStoreDoublesNothing(t *testing.T) {
	o, w, store := newOutage(t, "strict", nil)
	defer o.print()
	for name, c := range map[string]struct{ breakIt, mend func() }{
		"strict: connections refused": {func() { w.set(refusing, 0) }, func() { w.set(passing, 0) }},
		"strict: packets dropped":     {func() { w.set(dropping, 0) }, func() { w.set(passing, 0) }},
		"strict: process frozen":      {store.Freeze, store.Thaw},
	} {
		if r := o.live(name, c.breakIt, c.mend); r.lost > 0 || r.doubled > 0 || r.slowest > 10*time.Second {
			t.Errorf("%+v", r)
		}
	}
}

// TestARequiredAuditLogOnAFullDiskRunsNothingUnproved fills the disk of an audit log, and moves its file away.
func TestARequiredAuditLogOnAFullDiskRunsNothingUnproved(t *testing.T) {
	var dir string
	o, _, _ := newOutage(t, "", func(of string) string {
		dir = of
		if err := mountSmallDisk(t, dir); err != nil {
			t.Skipf("a disk of its own needs root: %v", err) // gateway's tests have /dev/full
		}
		return filepath.Join(dir, "{env.ERPSYNC_RUN}.log")
	})
	defer o.print()
	ballast := filepath.Join(dir, "ballast")
	r := o.live("the audit log's disk is full (audit required)", func() {
		file, err := os.Create(filepath.Clean(ballast))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for part := make([]byte, 4<<10); ; {
			if _, err := file.Write(part); err != nil {
				return
			}
		}
	}, func() { _ = os.Remove(ballast) })
	if r.lost > 0 || r.doubled > 0 || r.services == 0 {
		t.Errorf("%+v", r)
	}
	moved := 0
	r = o.live("the audit log's files are moved away", func() {
		for _, g := range o.gateways {
			path := filepath.Join(dir, g.dir+".log")
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			moved++
		}
	}, func() {})
	if r.lost+r.doubled+r.services+r.people+r.keyed > 0 || moved != 2 {
		t.Errorf("%+v", r)
	}
	// Every call that ran has a line from before it was sent.
	lines := ""
	for _, g := range o.gateways {
		for _, name := range []string{".log", ".log.1"} {
			raw, err := os.ReadFile(filepath.Join(dir, g.dir+name))
			if err != nil {
				t.Fatal(err)
			}
			lines += string(raw)
		}
	}
	started := strings.Count(lines, `"msg":"erpsync call started"`)
	ran := 0
	o.runs.mu.Lock()
	for _, times := range o.runs.begun {
		ran += len(times)
	}
	o.runs.mu.Unlock()
	t.Logf("%d calls ran, %d lines say that one was about to be sent", ran, started)
	if started < ran {
		t.Errorf("%d of %d calls that ran left no line", ran-started, ran)
	}
}
