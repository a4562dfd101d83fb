//go:build measure && unix

package console_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	manyTenants = 10_000
	manyRows    = 1_000_000
)

// many has the history beside the gateways.
type many struct {
	console.Sites
	store history.Store
}

func (m many) History() (console.History, error) { return console.NewHistory(m.store), nil }

func (m many) Failures(ctx context.Context, _ report.FailuresRequest) (report.Failures, error) {
	found, err := m.store.Failures(ctx, history.Filter{})
	var all report.Failures
	for _, f := range found {
		all.Failures = append(all.Failures, report.Failure{Group: f.ID, Environment: f.Environment, App: f.App, Tenant: f.Tenant, Connection: f.Connection, Outcome: string(f.Outcome), ErrorCode: f.ErrorCode, Keys: f.Keys, Tries: f.Tries, First: f.First, Last: f.Last, RequestID: f.RequestID})
	}
	return all, err
}

// TestWeightsAndTimes prints the table of docs/console.md:
//
//	go test -tags measure -run WeightsAndTimes -v -timeout 30m ./console
func TestWeightsAndTimes(t *testing.T) {
	dir := t.TempDir()
	name := func(i int) string { return fmt.Sprintf("Cust%d", 30000+i) }
	var tenants []map[string]any
	for i := range manyTenants {
		tenants = append(tenants, map[string]any{"tenant": name(i), "name": fmt.Sprintf("Customer number %d AS", i), "system_token": fmt.Sprintf("Token-%d", i)})
	}
	tenantsFile, err := json.Marshal(map[string]any{"tenants": tenants})
	if err != nil {
		t.Fatal(err)
	}
	gatewaytest.WriteFile(t, filepath.Join(dir, "tenants.json"), string(tenantsFile))
	environment, err := superoffice.NewEnvironment("http://127.0.0.1:9") // nobody is asked
	if err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Environment = environment
		c.Apps[1].TenantsFile = filepath.Join(dir, "tenants.json")
	}))
	sites := new(report.Sites)
	sites.Add(&report.Site{Gateway: g.Gateway, Origin: func() string { return "https://gw.example" }})

	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	file, rowsToWrite := filepath.Join(dir, "history.db"), manyRows
	if kept := os.Getenv("MEASURE_HISTORY"); kept != "" { // that of an earlier run
		file, rowsToWrite = kept, 0
	}
	driver := &sqlite.SQLite{Path: file, MaxSize: 8 << 30}
	if err := driver.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	store, err := driver.Open(t.Context(), history.Gateway{Node: "node", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	random, now, began := rand.New(rand.NewPCG(1, 2)), time.Now(), time.Now()
	rows := make([]history.Row, 0, 5000)
	last := os.Getenv("MEASURE_CALL")
	for i := range rowsToWrite {
		keys := superoffice.Arguments{Connection: 612, Keys: []int32{int32(i % 1_000_003), int32(random.IntN(1 << 20))}}
		started := now.Add(-time.Duration(manyRows-i) * (30 * 24 * time.Hour / manyRows)) // the product of all three overflows
		row := history.Row{
			RequestID: uuid.NewString(), Node: "node", Environment: g.EnvironmentLabel(), App: "erp", Tenant: name(random.IntN(manyTenants)), Principal: "nightly", Scheme: "jwt", Operation: superoffice.ForceResync, Understood: true, Connection: 612,
			Keys: history.PackKeys(&keys), KeyCount: 2, Decision: "allowed", Outcome: outcome.OK, Status: 200, Sends: 1, Started: started, Sent: started, Ended: started.Add(time.Second),
		}
		if i%200 == 0 {
			row.Outcome, row.ErrorCode = outcome.Error, "CONNECTOR_TIMEOUT"
		}
		last = row.RequestID
		if rows = append(rows, row); len(rows) == cap(rows) {
			if _, err := store.Import(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			rows = rows[:0]
		}
	}
	t.Logf("%d rows in %s", manyRows, time.Since(began).Round(time.Second))

	c := console.New(console.Config{Source: many{console.Sites{Sites: sites, Node: "node"}, store}, Node: "node", Logger: zap.NewNop(), Record: func(*outcome.View) error { return nil }})
	defer c.Close()
	server := httptest.NewServer(c)
	defer server.Close()
	cpu := func() time.Duration { // of this process, which says more than time on a machine that does other work
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			t.Fatal(err)
		}
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	get := func(path string) (took, spent time.Duration, size, packed int) {
		began, before := time.Now(), cpu()
		req, _ := http.NewRequest(http.MethodGet, server.URL+path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		took, spent = time.Since(began), cpu()-before
		var b strings.Builder
		if resp.StatusCode != http.StatusOK || err != nil {
			t.Errorf("%s: %d %.300s", path, resp.StatusCode, body)
		}
		zip := gzip.NewWriter(&b)
		_, _ = zip.Write(body)
		_ = zip.Close()
		return took, spent, len(body), b.Len()
	}
	for _, path := range []string{"/", "/?q=number+77&sort=success&dir=desc", "/?csv=table", "/failures", "/tenants/" + name(7), "/calls", "/calls?tenant=" + name(7), "/calls/" + last, "/search?q=number+777", "/search?q=" + last, "/search?q=424242", "/report", "/configuration"} {
		if only := os.Getenv("MEASURE_PAGES"); only != "" && !slices.Contains(strings.Fields(only), path) {
			continue
		}
		var all, spent []time.Duration
		var size, packed int
		for range 3 {
			time.Sleep(10500 * time.Millisecond) // what is kept is asked for anew
			var took, cpu time.Duration
			took, cpu, size, packed = get(path)
			all, spent = append(all, took), append(spent, cpu)
		}
		again, againSpent, _, _ := get(path)
		slices.Sort(all)
		slices.Sort(spent)
		t.Logf("| `%s` | %.1f KB | %.1f KB | %d ms, CPU %d ms | %d ms, CPU %d ms |", strings.ReplaceAll(path, last, "<id>"), float64(size)/1000, float64(packed)/1000, all[1].Milliseconds(), spent[1].Milliseconds(), again.Milliseconds(), againSpent.Milliseconds())
	}
}
