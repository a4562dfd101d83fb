package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// prometheus is a real one that fetches a gateway's metrics every second and judges the shipped rules. It
// listens on loopback and ends with the test.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, gateway string) *prometheus {
	t.Helper()
	program, dir := prometheusTool(t, "prometheus"), t.TempDir()
	rules, err := os.ReadFile("../docs/observability/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	// What has to last for five minutes or an hour lasts for a second here; nothing else is changed.
	rules = regexp.MustCompile(`(?m)^        for: \d+[mh]$`).ReplaceAll(rules, []byte("        for: 1s"))
	address := testport.Address(t)
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\nscrape_configs:\n  - job_name: gateway\n    static_configs: [{targets: [%q]}]\n", strings.TrimPrefix(gateway, "http://"))
	for name, content := range map[string][]byte{"alerts.yml": rules, "prometheus.yml": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log")) //nolint:gosec // the test's own folder
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	run := exec.CommandContext(ctx, program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:gosec // what make setup brought
		"--storage.tsdb.retention.size=64MB", "--web.listen-address="+address)
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = run.Wait()
		log.Close()
		if raw, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("Prometheus: %s", raw[max(0, len(raw)-3000):])
		}
	})
	return &prometheus{"http://" + address}
}

// get reads an answer of Prometheus's API.
func (p *prometheus) get(t *testing.T, path string, into any) bool {
	t.Helper()
	resp, err := http.Get(p.url + "/api/v1/" + path) //nolint:noctx // loopback
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// holds reports whether a query finds anything.
func (p *prometheus) holds(t *testing.T, query string) bool {
	t.Helper()
	var found struct{ Data struct{ Result []any } }
	return p.get(t, "query?query="+query, &found) && len(found.Data.Result) > 0
}

// firing returns the names of the alerts that fire.
func (p *prometheus) firing(t *testing.T) (names []string) {
	t.Helper()
	var found struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	p.get(t, "alerts", &found)
	for _, alert := range found.Data.Alerts {
		if alert.State == "firing" && !slices.Contains(names, alert.Labels["alertname"]) {
			names = append(names, alert.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return names
}

// awaitAlerts waits until exactly these alerts fire.
func (p *prometheus) awaitAlerts(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if got = p.firing(t); slices.Equal(got, want) {
			t.Logf("firing: %s", strings.Join(got, " "))
			return
		}
	}
	t.Fatalf("firing: %v, want %v", got, want)
}

func TestARunningPrometheusSeesTheFirstFailureOfEveryKind(t *testing.T) {
	t.Parallel()
	prometheusTool(t, "prometheus")
	s := serveExample(t, buildCaddy(t), "\thandle /metrics {\n\t\tmetrics\n\t}", "\t\tbrowser {\n", "\t\tguard {\n\t\t\trate off\n\t\t}\n\t\tbrowser {\n")
	p := startPrometheus(t, s.url)
	eventually(t, func() bool { return p.holds(t, "caddy_erpsync_outcomes_total") })
	eventually(t, func() bool { return p.holds(t, `caddy_erpsync_tenant_calls_total{tenant="Cust12345"}==0`) })
	if got := p.firing(t); len(got) > 0 {
		t.Fatalf("before anything failed: %v", got)
	}

	// A person whose approval SuperID takes back, and a SuperID that is down for the next.
	s.so.Switch(func(w *sandbox.Switches) { w.AccessLifetime = 2 * time.Second })
	client, xsrf, err := demo.SignIn(t.Context(), s.url, s.so, "Cust12345", "per")
	if err != nil {
		t.Fatal(err)
	}
	call := func() int {
		req := s.request(t.Context(), t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
		req.Header.Del("Authorization")
		req.Header.Set("X-XSRF-TOKEN", xsrf)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	s.so.Switch(func(w *sandbox.Switches) { w.TokenError, w.TokenErrorAt = "500", "refresh" })
	eventually(t, func() bool { return call() == http.StatusServiceUnavailable })
	p.awaitAlerts(t, "ErpSyncDependencyDown", "ErpSyncRenewalsFail")
	s.so.Switch(func(w *sandbox.Switches) { w.TokenError = "invalid_grant" })
	eventually(t, func() bool { return call() == http.StatusUnauthorized })
	p.awaitAlerts(t, "ErpSyncCredentialRefused", "ErpSyncRenewalsFail")

	// The consents of both tenants have ended before their first call.
	for _, tenant := range []string{"Cust12345", "Cust54321"} {
		s.so.Revoke("erp", tenant)
		req := s.request(t.Context(), t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
		req.URL.Path = strings.Replace(req.URL.Path, "Cust12345", tenant, 1)
		req.Header.Set("Authorization", "Bearer "+s.provider.Token(tenant, time.Hour))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Fatalf("%s: %d", tenant, resp.StatusCode)
		}
	}
	fired := []string{"ErpSyncCredentialRefused", "ErpSyncRenewalsFail", "ErpSyncConsentRequired", "ErpSyncEveryTenantRefused", "ErpSyncTenantWithoutSuccess"}
	p.awaitAlerts(t, fired...)

	// One answer that says nothing, one that breaks off, and six that failed.
	byTicket := func(keys int, answer *sandbox.Answer) (status int) {
		s.so.Answer(func(string, int) *sandbox.Answer { return answer })
		req := s.request(t.Context(), t, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, keys))
		req.Header.Set("Authorization", "SOTicket "+s.so.Ticket("portal", "Cust12345", "per"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	byTicket(1, &sandbox.Answer{Status: http.StatusOK, Body: "null", Header: http.Header{"Content-Type": {"application/json"}}})
	fired = append(fired, "ErpSyncOutcomeNotUnderstood")
	p.awaitAlerts(t, fired...)
	byTicket(2, &sandbox.Answer{Status: http.StatusOK, Body: `{"IsOk":`, Header: http.Header{"Content-Type": {"application/json"}}, Abort: true})
	fired = append(fired, "ErpSyncOutcomeUnknown")
	p.awaitAlerts(t, fired...)
	for i := range 6 {
		if status := byTicket(3+i, &sandbox.Answer{Status: http.StatusOK, Body: `{"IsOk":false,"Status":"Error"}`, Header: http.Header{"Content-Type": {"application/json"}}}); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	fired = append(fired, "ErpSyncErrorsRise")
	p.awaitAlerts(t, fired...)
}

// A store that answers and takes nothing is down all the time, and not by turns; so is an audit log of which no line is kept.
func TestARunningPrometheusSeesAStoreThatTakesNothingAndAnAuditLogThatIsLost(t *testing.T) {
	t.Parallel()
	prometheusTool(t, "prometheus")
	store := redistest.Start(t, "--requirepass", "canary-redis-password")
	c := newClusterOn(t, store.Address, func(example string) string {
		example = strings.Replace(example, "\t\t\tsentinel erpsync\n", "", 1)
		example = strings.Replace(example, "/var/log/erpsync}/audit.log", "/var/log/erpsync}/logs/audit.log", 1)
		return strings.Replace(example, "\n\terror 404", "\n\thandle /metrics {\n\t\tmetrics\n\t}\n\terror 404", 1)
	})
	g := c.gateways[0]
	client := redis.NewClient(&redis.Options{Addr: store.Address, Password: "canary-redis-password"})
	defer client.Close()
	memory := func(most string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), "maxmemory", most).Err(); err != nil {
			t.Fatal(err)
		}
	}
	status := func() string {
		t.Helper()
		out, _ := exec.CommandContext(t.Context(), c.binary, "erpsync", "status", "--attention", "--address", "unix/"+g.dir+"/admin.sock").CombinedOutput() //nolint:gosec // just built
		return string(out)
	}
	c.must(g, c.service(), "with everything")
	p := startPrometheus(t, g.url)
	eventually(t, func() bool { return p.holds(t, `caddy_erpsync_dependency_up{dependency="store_write"}==1`) })
	if got := p.firing(t); len(got) > 0 {
		t.Fatalf("before anything failed: %v", got)
	}
	memory("1")
	for range 3 { // each reads the store, and cannot write it
		c.must(g, c.service(), "a service without the store's writes")
	}
	p.awaitAlerts(t, "ErpSyncDependencyDown")
	if out := status(); !strings.Contains(out, "store_not_written") || !strings.Contains(out, "OOM") {
		t.Errorf("status --attention: %s", out)
	}
	memory("0")
	p.awaitAlerts(t) // it is asked beside the calls
	store.Kill()
	p.awaitAlerts(t, "ErpSyncDependencyDown") // and nobody has called
	if out := status(); !strings.Contains(out, "store_unavailable") {
		t.Errorf("status --attention: %s", out)
	}
	store.Run()
	p.awaitAlerts(t)

	logs := filepath.Join(g.dir, "logs")
	if err := errors.Join(os.Rename(logs, logs+".away"), os.WriteFile(logs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	c.must(g, c.service(), "a call whose line is lost")
	p.awaitAlerts(t, "ErpSyncDependencyDown", "ErpSyncAuditLinesLost")
	if out := status(); !strings.Contains(out, "audit_unavailable") || !strings.Contains(out, "2 lines were lost") {
		t.Errorf("status --attention: %s", out)
	}
	if err := errors.Join(os.Remove(logs), os.Rename(logs+".away", logs)); err != nil {
		t.Fatal(err)
	}
	c.must(g, c.service(), "with its log again")
	p.awaitAlerts(t, "ErpSyncAuditLinesLost")
}
