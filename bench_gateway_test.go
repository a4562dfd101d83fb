package erpsync

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// benchVariable has TestMain serve as a gateway of bench in place of running tests.
const benchVariable = "ERPSYNC_BENCH_GATEWAY"

// benchGateway is a gateway with many sessions, which bench runs this test binary for: only the package itself
// reaches the store of a running handler, and a million sign-ins would take an hour.
type benchGateway struct {
	Caddyfile string // its path
	API       string // the origin of every tenant's WebAPI
	Tenants   int    // Cust10000 and those that follow
	Sessions  int    // of as many people, spread over the tenants
	Callers   int    // how many of the sessions are told
	Out       string // the file that they are told in
}

// benchCaller is what one caller sends, as bench reads it.
type benchCaller struct {
	Path   string
	Header http.Header
}

func serveBench(raw string) error {
	var g benchGateway
	if err := json.Unmarshal([]byte(raw), &g); err != nil {
		return err
	}
	text, err := os.ReadFile(g.Caddyfile)
	if err != nil {
		return err
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": g.Caddyfile})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	manager := sites.Newest().Sessions().Manager
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	callers, err := g.fill(manager)
	if err != nil {
		return err
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	told, err := json.Marshal(map[string]any{"Callers": callers, "BytesPerSession": (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(g.Sessions)})
	if err != nil {
		return err
	}
	if err := os.WriteFile(g.Out+".part", told, 0o600); err != nil {
		return err
	}
	if err := os.Rename(g.Out+".part", g.Out); err != nil {
		return err
	}
	select {} // until bench ends the process
}

// fill begins the sessions as the callback of a sign-in does.
func (g *benchGateway) fill(manager *session.Manager) (callers []benchCaller, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= g.Sessions {
					return
				}
				tenant := superoffice.Tenant(fmt.Sprintf("Cust%d", 10000+i%g.Tenants))
				token, _, startErr := manager.Start(context.Background(), session.Session{
					App: "portal", Tenant: tenant, UPN: fmt.Sprintf("person-%d@customer.example", i), AssociateID: i, API: g.API + "/" + string(tenant) + "/api",
					Access: auth.NewSecret("8A:" + string(tenant) + "." + strings.ToLower(rand.Text()+rand.Text()[:14])), Refresh: auth.NewSecret(strings.ToLower(rand.Text() + rand.Text()[:14])),
					AccessIssued: time.Now(), AccessExpires: time.Now().Add(10 * time.Hour),
				})
				mu.Lock()
				err = errors.Join(err, startErr)
				if failed := err != nil; failed {
					mu.Unlock()
					return
				}
				if i%max(g.Sessions/g.Callers, 1) == 0 {
					callers = append(callers, benchCaller{
						"/" + string(tenant) + "/api/v1/Agents/ErpSync/ForceResync", http.Header{"Cookie": {gateway.SessionCookie + "=" + token.Cookie()}, "X-Xsrf-Token": {token.XSRF()}},
					})
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return callers, err
}
