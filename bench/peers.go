package main

import (
	"crypto/rand"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

//go:embed peerconfig
var peerConfigs embed.FS

// peersFolder is where bench/setup puts the programs of Debian's packages, below the folder that bench is run in.
const peersFolder = "bench/bin"

// What the peers' JWTs say beside their tenant.
const (
	peerIssuer   = "idp.example"
	peerAudience = "erpsync"
)

// peer is another system that could be in the gateway's place.
type peer struct {
	name     string
	program  string
	needs    string // a file below Debian's /usr/lib, without which it is left out; "": none
	config   string // of peerconfig
	args     []string
	version  string // the argument that has it say its version
	checks   string
	presents bool // callers present a JWT
}

var peers = []peer{
	{name: "nginx", program: "nginx", config: "nginx.conf", args: []string{"-p", "{dir}", "-e", "stderr", "-c", "{config}"}, version: "-v", checks: "nothing; sets two headers"},
	{name: "HAProxy", program: "haproxy", config: "haproxy.cfg", args: []string{"-db", "-f", "{config}"}, version: "-v", checks: "a JWT (HS256): signature, iss, aud, exp, its tenant against the path", presents: true},
	{name: "nginx with Lua", program: "nginx", needs: "nginx/modules/ngx_http_lua_module.so", config: "nginx-lua.conf", args: []string{"-p", "{dir}", "-e", "stderr", "-c", "{config}"}, version: "-v", checks: "a JWT (HS256): signature, iss, aud, exp, its tenant against the path", presents: true},
	{name: "Apache with mod_auth_openidc", program: "apache2", needs: "apache2/modules/mod_auth_openidc.so", config: "apache.conf", args: []string{"-D", "FOREGROUND", "-f", "{config}"}, version: "-v", checks: "a JWT (HS256), as an OAuth 2.0 resource server: signature, exp, iss, aud and one tenant", presents: true},
}

const (
	goFloor         = "Go's server and transport alone"
	gatewaySession  = "this gateway, session"
	gatewayJWT      = "this gateway, JWT"
	peersRoundsOver = 2 // rounds of the other parts for each of this one
)

// measurePeers measures other systems beside a plain proxy of Caddy's and the gateway.
func measurePeers(r *room) (s section, err error) {
	var running processes
	defer running.stop()
	secret := rand.Text() + rand.Text()
	token, err := peerToken(secret, plainTenant, time.Now().Add(10*time.Hour))
	if err != nil {
		return s, err
	}
	proxy, err := r.serve(proxyConfig{upstream: "http://" + r.upstream, log: true})
	if err != nil {
		return s, err
	}
	running.add(proxy)
	gateway, err := r.serve(gatewayConfig{})
	if err != nil {
		return s, err
	}
	running.add(gateway)
	session, err := r.person(gateway, plainTenant, "tove")
	if err != nil {
		return s, err
	}
	floor, err := r.startFloor()
	if err != nil {
		return s, err
	}
	running.add(floor)
	nobody := caller{Path: resyncPath(plainTenant)}
	withToken := caller{resyncPath(plainTenant), http.Header{"Authorization": {"Bearer " + token}}}
	versions, checks := make(map[string]string), make(map[string]string)
	caddyVersion := "Caddy " + caddyVersion()
	ways := []way{r.upstreamAlone()}
	checks[alone], versions[alone] = "that both headers arrive", runtime.Version()
	add := func(w way, version, what string) {
		w.want, versions[w.name], checks[w.name] = http.StatusOK, version, what
		ways = append(ways, w)
	}
	add(way{name: plain, process: proxy, callers: []caller{nobody}}, caddyVersion, "nothing; sets two headers")
	for _, p := range peers {
		program, libraries, missing := findPeer(p)
		if missing != "" {
			fmt.Fprintf(os.Stderr, "%s is left out, for want of %s: bash bench/setup\n", p.name, missing)
			continue
		}
		started, err := r.startPeer(p, program, libraries, secret)
		if err != nil {
			return s, fmt.Errorf("%s: %w", p.name, err)
		}
		running.add(started)
		w := way{name: p.name, beside: plain, process: started, callers: []caller{nobody}}
		if p.presents {
			w.callers = []caller{withToken}
			if err := r.refusesStrangers(started, secret); err != nil {
				return s, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		add(w, peerVersion(r, p, program, libraries), p.checks)
	}
	add(way{name: goFloor, beside: plain, process: floor, callers: []caller{nobody}}, runtime.Version(), "nothing; sets two headers")
	add(way{name: gatewaySession, beside: plain, process: gateway, callers: []caller{session}}, caddyVersion, "the whole job: session, XSRF, grants, the call's body, its outcome")
	add(way{name: gatewayJWT, beside: plain, process: gateway, callers: []caller{r.service(plainTenant, plainTenant)}}, caddyVersion, "the whole job with a JWT (ES256)")
	ways[0].judged = false
	rounds := r.rounds
	r.rounds = max(rounds/peersRoundsOver, 2)
	defer func() { r.rounds = rounds }()
	all, ways, err := r.measureWays(ways)
	if err != nil {
		return s, err
	}
	s.head = []string{"system", "version", "what it checks", "CPU µs/request", "× plain Caddy with a log", "half of the rounds", "requests/s, 32 connections", "p50 / p99 µs at 1000/s"}
	for _, w := range ways {
		s = s.row(w.name, versions[w.name], checks[w.name], all.number(w, cpu), all.times(w, cpu), all.half(w, cpu), all.number(w, rps), all.number(w, p50)+" / "+all.number(w, p99))
	}
	return s, nil
}

// peerToken signs a token that the peers take.
func peerToken(secret, tenant string, expires time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": peerIssuer, "aud": peerAudience, "sub": "nightly-sync", "iat": time.Now().Add(-time.Minute).Unix(), "exp": expires.Unix(), "tenant": tenant}).SignedString([]byte(secret))
}

// refusesStrangers checks that a peer checks what the table says: a system that lets anything through would be fast.
func (r *room) refusesStrangers(p process, secret string) error {
	for what, with := range map[string]struct {
		secret, tenant string
		expires        time.Time
	}{
		"a token that is signed with another secret": {rand.Text() + rand.Text(), plainTenant, time.Now().Add(time.Hour)},
		"a token that is over":                       {secret, plainTenant, time.Now().Add(-time.Hour)},
		"a token of another tenant":                  {secret, secureTenant, time.Now().Add(time.Hour)},
	} {
		token, err := peerToken(with.secret, with.tenant, with.expires)
		if err != nil {
			return err
		}
		w := way{process: p, callers: []caller{{resyncPath(plainTenant), http.Header{"Authorization": {"Bearer " + token}}}}, want: http.StatusOK}
		if w.file, err = r.write(r.name("callers"), w.callers); err != nil {
			return err
		}
		result, err := r.tryLoad(w, loadJob{Connections: 1, Each: true})
		if err != nil {
			return err
		}
		if result.Bad != result.Requests || !strings.HasPrefix(result.FirstBad, "HTTP 40") {
			return fmt.Errorf("%s is answered %q", what, result.FirstBad)
		}
	}
	return nil
}

// findPeer returns a peer's program and the folder of its /usr/lib, or what is missing of it. What bench/setup brought comes
// before what is installed.
func findPeer(p peer) (program, libraries, missing string) {
	folder, err := filepath.Abs(peersFolder)
	if err != nil {
		return "", "", err.Error()
	}
	for _, root := range []string{folder + "/usr", "/usr"} {
		program, libraries = root+"/sbin/"+p.program, root+"/lib"
		if _, err := os.Stat(program); err != nil {
			missing = p.program
			continue
		}
		if _, err := os.Stat(libraries + "/" + p.needs); err != nil {
			missing = p.needs
			continue
		}
		return program, libraries, ""
	}
	return "", "", missing
}

// peerEnvironment has a program find the libraries that were unpacked beside it.
func peerEnvironment(libraries string) []string {
	if libraries == "/usr/lib" {
		return nil
	}
	folders, _ := filepath.Glob(libraries + "/*-linux-gnu*")
	more, _ := filepath.Glob(filepath.Dir(filepath.Dir(libraries)) + "/lib/*-linux-gnu*") // the packages' own /lib
	return []string{"LD_LIBRARY_PATH=" + strings.Join(append(folders, more...), ":")}
}

func (r *room) startPeer(p peer, program, libraries, secret string) (process, error) {
	addr, err := freeAddr()
	if err != nil {
		return process{}, err
	}
	name := r.name("peer")
	config := filepath.Join(r.dir, name+".conf")
	values := r.peerValues(name, addr, libraries, secret)
	for from, to := range map[string]string{p.config: config, "jwt.lua": filepath.Join(r.dir, name+".lua")} {
		text, err := peerConfigs.ReadFile("peerconfig/" + from)
		if err != nil {
			return process{}, err
		}
		if err := os.WriteFile(to, []byte(values.Replace(string(text))), 0o600); err != nil {
			return process{}, err
		}
	}
	var args []string
	for _, arg := range p.args {
		args = append(args, values.Replace(arg))
	}
	return start(r.ctx, r.dir, addr, peerEnvironment(libraries), program, args...)
}

// peerValues fills in a peer's configuration.
func (r *room) peerValues(name, addr, libraries, secret string) *strings.Replacer {
	luaLibraries, _ := filepath.Glob(libraries + "/*-linux-gnu*/lua/5.1")
	return strings.NewReplacer(
		"{dir}", r.dir, "{name}", name, "{config}", filepath.Join(r.dir, name+".conf"), "{listen}", addr, "{upstream}", r.upstream,
		"{workers}", fmt.Sprint(runtime.NumCPU()), "{threads}", fmt.Sprint(64*runtime.NumCPU()),
		"{modules}", libraries+"/nginx/modules", "{apache_modules}", libraries+"/apache2/modules",
		"{lua}", filepath.Dir(libraries)+"/share/lua/5.1", "{lua_libraries}", strings.Join(luaLibraries, ""),
		"{secret}", secret, "{tenant}", plainTenant, "{issuer}", peerIssuer, "{audience}", peerAudience,
		"{authorization}", peerAuthorization, "{app_token}", peerAppToken,
	)
}

// What the peers put in a caller's credential's place.
const (
	peerAuthorization = "Bearer 8A:Cust12345.x"
	peerAppToken      = "0123456789abcdef0123456789abcdef"
)

// startFloor runs bench itself as what any gateway in Go costs at least.
func (r *room) startFloor() (process, error) {
	addr, err := freeAddr()
	if err != nil {
		return process{}, err
	}
	job, err := json.Marshal(floorJob{addr, r.upstream, peerAuthorization, peerAppToken, filepath.Join(r.dir, r.name("floor")+"-access.log")})
	if err != nil {
		return process{}, err
	}
	return start(r.ctx, r.dir, addr, nil, r.self, "-role", "floor", string(job))
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// peerVersion returns the version that a program reports; "unknown" if it cannot be asked.
func peerVersion(r *room, p peer, program, libraries string) string {
	cmd := exec.CommandContext(r.ctx, program, p.version) //nolint:gosec // one of ours
	cmd.Env = append(os.Environ(), peerEnvironment(libraries)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "unknown"
	}
	return versionNumber.FindString(string(out))
}
