// Command bench measures the gateway over loopback beside a plain reverse_proxy of
// the same binary, and writes the table of docs/performance.md:
//
//	go run ./bench [-rounds 6] [-seconds 4] [-only session,jwt]
//
// Upstream and load are processes of their own; what is measured is the CPU time
// of the gateway's process, divided by the requests.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

const resync = "/Cust12345/api/v1/Agents/ErpSync/ForceResync"

func main() {
	role := flag.String("role", "", "upstream or load; empty measures")
	rounds := flag.Int("rounds", 6, "rounds, of which the first is dropped")
	seconds := flag.Float64("seconds", 4, "length of each measurement")
	only := flag.String("only", "", "names of measurements, with commas; empty: all")
	flag.Parse()
	var err error
	switch *role {
	case "upstream":
		err = serveUpstream(flag.Arg(0))
	case "load":
		err = runLoad(os.Stdin, os.Stdout)
	default:
		err = measure(*rounds, time.Duration(*seconds*float64(time.Second)), strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// subject is one way through one process.
type subject struct {
	name   string
	addr   string // where the process listens
	pid    int
	header http.Header
	path   string
	want   int
	h2     bool
}

// figures are what one measurement gave.
type figures struct {
	cpu, rps      float64 // microseconds and requests per second at 32 connections
	p50, p99      float64 // microseconds at a fixed 1000 requests per second
	requests, bad int
}

func measure(rounds int, long time.Duration, only []string) error {
	dir, err := os.MkdirTemp("", "erpsync-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := &bench{ctx: ctx, dir: dir}
	subjects, err := b.prepare()
	if err != nil {
		return err
	}
	if len(only) > 0 {
		subjects = slices.DeleteFunc(subjects, func(s subject) bool {
			return !strings.HasPrefix(s.name, "plain") && !slices.ContainsFunc(only, func(o string) bool { return strings.Contains(s.name, o) })
		})
	}
	all := make(map[string][]figures)
	for round := range rounds {
		for _, s := range subjects {
			f, err := b.run(s, long)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if f.bad > 0 {
				return fmt.Errorf("%s: %d of %d answers were not %d", s.name, f.bad, f.requests, s.want)
			}
			if round > 0 || rounds == 1 {
				all[s.name] = append(all[s.name], f)
			}
			fmt.Fprintf(os.Stderr, "round %d  %-44s %6.1f µs  %6.0f rps  p99 %6.0f µs\n", round, s.name, f.cpu, f.rps, f.p99)
		}
	}
	fmt.Println("| way | CPU µs/request | × plain with a log | requests/s at 32 connections | p50 / p99 µs at 1000/s | p99 × plain |")
	fmt.Println("|---|---|---|---|---|---|")
	plain := all["plain reverse_proxy, access log"]
	for _, s := range subjects {
		mine := all[s.name]
		fmt.Printf("| %s | %.0f | %.2f | %.0f | %.0f / %.0f | %.2f |\n", s.name,
			median(mine, func(f figures) float64 { return f.cpu }), ratio(mine, plain, func(f figures) float64 { return f.cpu }),
			median(mine, func(f figures) float64 { return f.rps }), median(mine, func(f figures) float64 { return f.p50 }), median(mine, func(f figures) float64 { return f.p99 }),
			ratio(mine, plain, func(f figures) float64 { return f.p99 }))
	}
	return nil
}

func median(all []figures, of func(figures) float64) float64 {
	values := make([]float64, 0, len(all))
	for _, f := range all {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// ratio is the median of the rounds' own ratios: what the machine does to one round it does to both.
func ratio(mine, plain []figures, of func(figures) float64) float64 {
	var ratios []float64
	for i := range mine {
		ratios = append(ratios, of(mine[i])/of(plain[i]))
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

type bench struct {
	ctx context.Context
	dir string
}

// start runs a program of ours until the bench ends and waits until it listens.
func (b *bench) start(addr string, env []string, name string, args ...string) (int, error) {
	cmd := exec.CommandContext(b.ctx, name, args...) //nolint:gosec // our own programs
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(b.dir, strings.ReplaceAll(addr, ":", "_")+".log"))
	if err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() { _ = cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return cmd.Process.Pid, nil
		}
	}
	raw, _ := os.ReadFile(log.Name())
	return 0, fmt.Errorf("%s does not listen: %s", name, raw)
}

func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func (b *bench) prepare() ([]subject, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	caddy := filepath.Join(b.dir, "caddy")
	if out, err := exec.CommandContext(b.ctx, "go", "build", "-o", caddy, "./cmd/caddy").CombinedOutput(); err != nil { //nolint:gosec // our own program
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var so *sandbox.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { so.ServeHTTP(w, r) }))
	if so, err = sandbox.New(server.URL); err != nil {
		return nil, err
	}
	provider, err := demo.NewProvider()
	if err != nil {
		return nil, err
	}
	if err := demo.WriteSecrets(b.dir, so, provider); err != nil {
		return nil, err
	}
	upstream, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if _, err := b.start(upstream, nil, self, "-role", "upstream", upstream); err != nil {
		return nil, err
	}
	// The tenant's WebAPI is the fixed upstream; everything else is asked of the sandbox.
	so.Move("Cust12345", "http://"+upstream)

	run := func(name, config string) (string, int, error) {
		addr, err := freeAddr()
		if err != nil {
			return "", 0, err
		}
		file := filepath.Join(b.dir, name+".Caddyfile")
		text := strings.NewReplacer("{site}", "http://localhost:"+strings.Split(addr, ":")[1], "{dir}", b.dir, "{base}", so.Base(), "{upstream}", upstream, "{name}", name, "{secret}", so.App("portal").ClientSecret).Replace(config)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", 0, err
		}
		pid, err := b.start(addr, []string{"XDG_DATA_HOME=" + b.dir + "/data", "XDG_CONFIG_HOME=" + b.dir + "/config"}, caddy, "run", "--config", file)
		return addr, pid, err
	}
	gateway := func(name, log, audit string) (string, int, error) {
		return run(name, strings.NewReplacer("{log}", log, "{audit}", audit).Replace(gatewayConfig))
	}
	plain, plainPID, err := run("plain", strings.ReplaceAll(plainConfig, "{log}", accessLog))
	if err != nil {
		return nil, err
	}
	quietPlain, quietPlainPID, err := run("quietplain", strings.ReplaceAll(plainConfig, "{log}", ""))
	if err != nil {
		return nil, err
	}
	ours, oursPID, err := gateway("ours", "", "output file {dir}/audit.log")
	if err != nil {
		return nil, err
	}
	quiet, quietPID, err := gateway("quiet", "", "output discard\n\t\tlevel ERROR")
	if err != nil {
		return nil, err
	}
	session, err := b.signIn(so, ours)
	if err != nil {
		return nil, err
	}
	quietSession, err := b.signIn(so, quiet)
	if err != nil {
		return nil, err
	}
	service := http.Header{"Authorization": {"Bearer " + provider.Token("Cust12345", 10*time.Hour)}}
	stranger := http.Header{"Authorization": {"Bearer " + provider.Token("Cust99999", 10*time.Hour)}}
	ticket := http.Header{"Authorization": {"SOTicket " + so.Ticket("portal", "Cust12345", "per")}}
	none := http.Header{}
	return []subject{
		{name: "plain reverse_proxy, access log", addr: plain, pid: plainPID, header: none, path: resync, want: 200},
		{name: "session, audit log", addr: ours, pid: oursPID, header: session, path: resync, want: 200},
		{name: "JWT, audit log", addr: ours, pid: oursPID, header: service, path: resync, want: 200},
		{name: "the caller's own ticket, audit log", addr: ours, pid: oursPID, header: ticket, path: resync, want: 200},
		{name: "refused (another tenant), audit log", addr: ours, pid: oursPID, header: stranger, path: resync, want: 403},
		{name: "plain reverse_proxy, no log", addr: quietPlain, pid: quietPlainPID, header: none, path: resync, want: 200},
		{name: "session, no log", addr: quiet, pid: quietPID, header: quietSession, path: resync, want: 200},
		{name: "session over HTTP/2, audit log", addr: ours, pid: oursPID, header: session, path: resync, want: 200, h2: true},
		{name: "plain reverse_proxy over HTTP/2, access log", addr: plain, pid: plainPID, header: none, path: resync, want: 200, h2: true},
		{name: "not ours, behind the gateway", addr: ours, pid: oursPID, header: none, path: "/other", want: 204},
		{name: "not ours, without the gateway", addr: quietPlain, pid: quietPlainPID, header: none, path: "/other", want: 204},
	}, nil
}

func (b *bench) signIn(so *sandbox.Sandbox, addr string) (http.Header, error) {
	site := "http://localhost:" + strings.Split(addr, ":")[1]
	client, xsrf, err := demo.SignIn(b.ctx, site, so, "Cust12345", "tove")
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.Replace(site, "http://", "https://", 1))
	if err != nil {
		return nil, err
	}
	header := http.Header{"X-Xsrf-Token": {xsrf}}
	var cookies []string
	for _, c := range client.Jar.(*cookiejar.Jar).Cookies(u) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	header.Set("Cookie", strings.Join(cookies, "; "))
	return header, nil
}

const accessLog = "log {\n\t\toutput file {dir}/{name}-access.log\n\t}"

const plainConfig = `{
	admin off
	persist_config off
	servers {
		protocols h1 h2c
	}
	log default {
		level ERROR
		exclude http.log.access
	}
}
{site} {
	bind 127.0.0.1
	{log}
	handle /other {
		respond 204
	}
	reverse_proxy {upstream} {
		header_up Authorization "Bearer 8A:Cust12345.x"
		header_up SO-AppToken "{secret}"
	}
}
`

const gatewayConfig = `{
	admin off
	persist_config off
	servers {
		protocols h1 h2c
	}
	log audit {
		include http.handlers.erpsync.audit
		{audit}
	}
	log default {
		level ERROR
		exclude http.handlers.erpsync.audit
	}
}
{site} {
	bind 127.0.0.1
	{log}
	erpsync {
		environment {base} http://{upstream}
		app portal {
			client_id {file.{dir}/portal.client_id}
			client_secret {file.{dir}/portal.client_secret}
			agents ErpSync
			tenant *
		}
		browser {
			app portal
		}
		app erp {
			client_id {file.{dir}/erp.client_id}
			client_secret {file.{dir}/erp.client_secret}
			private_key {file.{dir}/erp.private_key}
			agents ErpSync
			tenants file {dir}/tenants.json
			call_as system
		}
		jwt https://idp.example {
			audience erpsync
			algorithms ES256
			jwks {dir}/jwks.json
			app erp
			tenant claim tenant
		}
		superoffice soticket {
			app portal
		}
		guard {
			rate off
			in_flight connection off
			in_flight tenant off
			in_flight app off
		}
	}
	handle /other {
		respond 204
	}
	error 404
}
`

// run measures one subject: saturated for CPU, then at a fixed rate for latencies.
func (b *bench) run(s subject, long time.Duration) (figures, error) {
	var f figures
	// Connections are opened and caches filled before the clock starts.
	if _, err := b.load(s, loadJob{Connections: 32, Seconds: 0.3}); err != nil {
		return f, err
	}
	before, err := cpuTime(s.pid)
	if err != nil {
		return f, err
	}
	result, err := b.load(s, loadJob{Connections: 32, Seconds: long.Seconds()})
	if err != nil {
		return f, err
	}
	after, err := cpuTime(s.pid)
	if err != nil {
		return f, err
	}
	f.requests, f.bad = result.Requests, result.Bad
	f.cpu = float64((after - before).Microseconds()) / float64(result.Requests)
	f.rps = float64(result.Requests) / result.Seconds
	paced, err := b.load(s, loadJob{Connections: 32, Seconds: long.Seconds() / 2, Rate: 1000})
	f.p50, f.p99, f.bad = paced.P50, paced.P99, f.bad+paced.Bad
	return f, err
}

func (b *bench) load(s subject, job loadJob) (result loadResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	job.URL, job.Header, job.Want, job.HTTP2 = "http://"+s.addr+s.path, s.header, s.want, s.h2
	job.Host = "localhost:" + strings.Split(s.addr, ":")[1]
	in, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	cmd := exec.CommandContext(b.ctx, self, "-role", "load") //nolint:gosec // this program
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(out, &result)
}

// clockTick is Linux's unit of process times.
const clockTick = 10 * time.Millisecond

// cpuTime is what the process has used of the CPU, in user and system mode.
func cpuTime(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has another form", pid)
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat has another form", pid)
	}
	return time.Duration(user+system) * clockTick, nil
}
