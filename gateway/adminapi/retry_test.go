package adminapi_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/adminapi"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// failing is the admin API of a gateway with a history in which three calls failed. Calls succeed from now on.
func failing(t *testing.T) (*gatewaytest.Fixture, adminapi.API) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	driver := &sqlite.SQLite{Path: filepath.Join(t.TempDir(), "history.db")}
	if err := driver.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	journal := history.New("node", zap.NewNop())
	if err := journal.Open(t.Context(), driver); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(journal.Close)
	f := gatewaytest.New(t, gatewaytest.On(func(p *gateway.Platform) { p.History = journal }))
	answer := func(body string) {
		f.SO.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Body: body} })
	}
	answer(`{"IsOk":false,"Status":"Error"}`)
	for key := range 3 {
		f.Do(nil, http.MethodPost, gatewaytest.TenantPath, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, key+1), f.Service())
	}
	answer(`{"IsOk":true,"Status":"Ok"}`)
	f.SO.Forget()
	sites := new(report.Sites)
	sites.Add(&report.Site{Gateway: f.Gateway, Origin: func() string { return "" }})
	return f, adminapi.API{Sites: sites, Node: func() string { return "node" }, Audit: func() *zap.Logger { return zap.NewNop() }}
}

func retryRoute(t *testing.T, api adminapi.API) adminapi.Route {
	t.Helper()
	for _, route := range api.Routes() {
		if route.Path == report.RetryPath {
			return route
		}
	}
	t.Fatal("no route")
	return adminapi.Route{}
}

func TestWhomNothingShowsMayLookAtAPlanAndNotCarryItOut(t *testing.T) {
	t.Parallel()
	f, api := failing(t)
	w := httptest.NewRecorder()
	status, err := api.Serve(retryRoute(t, api), w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, report.RetryPath, strings.NewReader(`{"all":true}`)))
	if status != http.StatusForbidden || err == nil || !strings.Contains(err.Error(), "operators' socket") || len(f.Sent()) != 0 || w.Body.Len() != 0 {
		t.Errorf("%d %v %s", status, err, w.Body)
	}
	if line := f.Logs.FilterMessage(adminapi.Message).All(); len(line) != 1 || line[0].ContextMap()["act"] != "retry" || line[0].ContextMap()["result"] != "failed" {
		t.Errorf("%v", line)
	}
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	resp, err := server.Client().Post(server.URL+report.RetryPlanPath, "application/json", strings.NewReader(`{"all":true}`)) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var plan report.RetryPlan
	if err := json.NewDecoder(resp.Body).Decode(&plan); err != nil || len(plan.Calls) != 3 {
		t.Errorf("%+v, %v", plan, err)
	}
	if f.Logs.FilterMessage(adminapi.Message).Len() != 1 {
		t.Error("a look is recorded as an act")
	}
}

// socket serves an API at a socket, and returns a client of it.
func socket(t *testing.T, api adminapi.API) *http.Client {
	t.Helper()
	if !adminapi.PeersAreKnown {
		t.Skip("this system names no peers")
	}
	dir, err := os.MkdirTemp("", "erpsync") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.Listen(listener, zap.NewNop())
	t.Cleanup(func() { server.Stop(context.Background()) })
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestASecondTryAnswersALineForEachEventAndIsRecordedWithItsOperator(t *testing.T) {
	t.Parallel()
	f, api := failing(t)
	client := socket(t, api)
	resp, err := client.Post("http://gateway"+report.RetryPath, "application/json", strings.NewReader(`{"all":true,"pause":"0s"}`)) //nolint:noctx // a socket
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %v %s", resp.StatusCode, err, raw)
	}
	var kinds []string
	for line := range strings.Lines(string(raw)) {
		var event report.RetryEvent
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		switch {
		case event.Plan != nil:
			kinds = append(kinds, "plan")
		case event.Call != nil:
			kinds = append(kinds, event.Call.Result)
		case event.Done != nil:
			kinds = append(kinds, "done")
		}
	}
	if strings.Join(kinds, " ") != "plan succeeded succeeded succeeded done" || len(f.Sent()) != 3 {
		t.Errorf("%v, %d sent", kinds, len(f.Sent()))
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	gatewaytest.WaitFor(t, func() bool { return f.Logs.FilterMessage(adminapi.Message).Len() == 1 })
	fields := f.Logs.FilterMessage(adminapi.Message).All()[0].ContextMap()
	if counts := fmt.Sprint(fields["calls"]); fields["act"] != "retry" || fields["actor"] != me.Username || fields["all"] != true || fields["result"] != "done" || !strings.Contains(counts, "sent:3") || !strings.Contains(counts, "succeeded:3") {
		t.Errorf("%v", fields)
	}
	if f.Audited()["principal"] != me.Username || f.Audited()["scheme"] != "operator" {
		t.Errorf("%v", f.Audited())
	}
}

func TestAClientThatLeavesEndsASecondTryAfterTheCallUnderWay(t *testing.T) {
	t.Parallel()
	f, api := failing(t)
	held := make(chan struct{})
	f.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok"}`, Hold: held}
	})
	client := socket(t, api)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway"+report.RetryPath, strings.NewReader(`{"all":true,"pause":"0s"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"plan"`) {
		t.Fatalf("%s, %v", line, err)
	}
	gatewaytest.WaitFor(t, func() bool { return len(f.Sent()) == 1 })
	leave()
	close(held)
	gatewaytest.WaitFor(t, func() bool { return f.Logs.FilterMessage(adminapi.Message).Len() == 1 })
	counts := fmt.Sprint(f.Logs.FilterMessage(adminapi.Message).All()[0].ContextMap()["calls"])
	if !strings.Contains(counts, "succeeded:1") || !strings.Contains(counts, "not_made:2") || len(f.Sent()) != 1 {
		t.Errorf("%s, %d sent", counts, len(f.Sent()))
	}
}

// A server's deadline for reading a request would end it if its body was not read to the end: Caddy's admin endpoint has ten seconds.
func TestASecondTryLastsLongerThanARequestMayTakeToBeRead(t *testing.T) {
	t.Parallel()
	f, api := failing(t)
	route := retryRoute(t, api)
	held := make(chan struct{})
	f.SO.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok"}`, Hold: held}
	})
	const reading = 200 * time.Millisecond
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = verified(&x509.Certificate{Subject: pkix.Name{CommonName: "ops"}})
		if status, err := api.Serve(route, w, r); err != nil {
			http.Error(w, err.Error(), status)
		}
	}))
	server.Config.ReadTimeout = reading
	server.Start()
	t.Cleanup(server.Close)
	resp, err := server.Client().Post(server.URL+report.RetryPath, "application/json", strings.NewReader(`{"all":true,"pause":"0s"}`)) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	gatewaytest.WaitFor(t, func() bool { return len(f.Sent()) == 1 })
	begun := time.Now()
	gatewaytest.WaitFor(t, func() bool { return time.Since(begun) > 2*reading })
	close(held)
	raw, err := io.ReadAll(resp.Body)
	if err != nil || len(f.Sent()) != 3 || !strings.Contains(string(raw), `"succeeded":3`) {
		t.Errorf("%d sent, %v: %s", len(f.Sent()), err, raw)
	}
}
