package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// TestAServiceCallsInTheTenantOfThePathOnlyWhereItIsListed has one token call in several tenants.
func TestAServiceCallsInTheTenantOfThePathOnlyWhereItIsListed(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, func(f *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		c.Issuers = f.Issuers("erp", idp.Fixed{Claim: "tenant"})
		c.Issuers[0].Tenant, c.Issuers[0].TenantFromPath = idp.Fixed{}, true
		c.Apps[1].AnyTenant = &auth.TenantGrant{} // as tenant * does
	})
	const operation = "/api/v1/Agents/ErpSync/ForceResync"
	for range 2 { // the second time nothing is proved again
		for path, c := range map[string]struct {
			status int
			reason string
		}{
			"/Cust12345" + operation: {http.StatusOK, ""},
			"/Cust99999" + operation: {http.StatusForbidden, "tenant_not_granted"},
			operation:                {http.StatusForbidden, "tenant_mismatch"},
		} {
			got := f.Do(nil, http.MethodPost, path, gatewaytest.SeedBody, f.Service())
			if got.Status != c.status || c.reason != "" && !strings.Contains(got.Body, `"reason":"`+c.reason+`"`) {
				t.Errorf("%s: %d %s, want %d %s", path, got.Status, got.Body, c.status, c.reason)
			}
		}
	}
	for _, call := range f.Sent() {
		if !strings.HasPrefix(call.URI, "/Cust12345/") {
			t.Errorf("sent to %s", call.URI)
		}
	}
}

func TestAProviderWhoseKeysCannotBeHadIsToldInAnswerLogAndMetric(t *testing.T) {
	t.Parallel()
	var keys atomic.Pointer[string]
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if set := keys.Load(); set != nil {
			fmt.Fprint(w, *set)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(provider.Close)
	f := gatewaytest.New(t, func(f *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		c.Issuers = f.Issuers("erp", idp.Fixed{Claim: "tenant"})
		c.Issuers[0].JWKS = provider.URL
	})
	got := f.Resync(f.Service())
	f.Refused(got, http.StatusServiceUnavailable, "proof_unavailable")
	if after := got.Header.Get("Retry-After"); after == "" || after == "0" {
		t.Errorf("Retry-After %q", after)
	}
	if n := f.Logs.FilterMessage("no keys of an identity provider can be had; its tokens are refused with 503").FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
		t.Errorf("%d ERRORs", n)
	}
	if got := gauge(t, f, "caddy_erpsync_issuer_keys_stale", demo.Issuer); got != 1 {
		t.Errorf("the metric says %v", got)
	}

	raw, err := os.ReadFile(filepath.Join(f.Dir, "jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	set := strings.Replace(string(raw), `"keys":[`, `"keys":[{"kty":"unknown"},`, 1)
	keys.Store(&set)
	// A second gateway, whose first question is answered.
	f = f.Beside(func(f *gatewaytest.Fixture, c *gateway.Config, _ *gateway.Platform, _ **gateway.SharedState) {
		c.Issuers = f.Issuers("erp", idp.Fixed{Claim: "tenant"})
		c.Issuers[0].JWKS = provider.URL
	})
	if got := f.Resync(f.Service()); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for want, labels := range map[float64][]string{0: {"caddy_erpsync_issuer_keys_stale", demo.Issuer}, 1: {"caddy_erpsync_issuer_keys", demo.Issuer, "skipped"}} {
		if got := gauge(t, f, labels[0], labels[1:]...); got != want {
			t.Errorf("%v is %v", labels, got)
		}
	}
	if got := gauge(t, f, "caddy_erpsync_issuer_keys", demo.Issuer, "usable"); got != 1 {
		t.Errorf("%v usable keys", got)
	}
	if n := f.Logs.FilterMessage("skipped keys of an identity provider that verify no signature here").FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
		t.Errorf("%d WARNs of skipped keys", n)
	}
}

// gauge returns the value of a metric with these labels' values, -1 if it is absent.
func gauge(t testing.TB, f *gatewaytest.Fixture, name string, labels ...string) float64 {
	t.Helper()
	families, err := f.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var values []string
			for _, label := range metric.GetLabel() {
				values = append(values, label.GetValue())
			}
			if slices.Equal(values, labels) {
				return metric.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// TestStaleKeysAreWarnedOf follows a file that breaks: it is looked at each second.
func TestStaleKeysAreWarnedOf(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	if got := f.Resync(f.Service()); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	gatewaytest.WriteFile(t, filepath.Join(f.Dir, "jwks.json"), `{"keys":[]}`)
	const warning = "refreshing keys of an identity provider failed; keeping the last valid set"
	gatewaytest.WaitFor(t, func() bool {
		if got := f.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"Authorization": {"Bearer " + f.Provider.Token("Cust12345", time.Duration(time.Now().UnixNano()%1e9)+time.Hour)}}); got.Status == http.StatusUnauthorized {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		return f.Logs.FilterMessage(warning).FilterLevelExact(zapcore.WarnLevel).Len() == 1
	})
	lines := f.Logs.FilterMessage(warning).All()
	fields := lines[0].ContextMap()
	if fields["issuer"] != demo.Issuer || fields["until"] == nil || !strings.Contains(fmt.Sprint(fields["error"]), "the JWK set is empty") {
		t.Errorf("%v", fields)
	}
}

// TestAGatewayInForceKeepsTheKeysOfProvidersFresh runs without a network, in time of its own.
func TestAGatewayInForceKeepsTheKeysOfProvidersFresh(t *testing.T) {
	t.Parallel()
	provider, err := demo.NewProvider()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		metrics, err := outcome.NewMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		transport := outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			fetches.Add(1)
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(provider.JWKS())), Request: r}, nil
		})
		g, err := gateway.New(gateway.Config{
			Upstream: "https://crm.example/api", Paths: superoffice.OnsitePaths(""), Keys: [][]byte{[]byte(strings.Repeat("test-key", 4))},
			Apps:    []gateway.AppConfig{{Name: "erp", CallAs: auth.AsAccount}},
			Issuers: []idp.Config{{Issuer: demo.Issuer, Audiences: []string{"erpsync"}, Algorithms: []string{"ES256"}, JWKS: "https://idp.example/jwks", App: idp.Fixed{Value: "erp"}}},
		}, gateway.Platform{
			Logger: zap.NewNop(), Audit: zap.NewNop(), Metrics: metrics, Storage: new(gatewaytest.Storage), Transport: transport, Background: context.Background, Emit: func(string, map[string]any) {},
		}, gateway.NewMemoryState())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		g.Start(ctx)
		r := httptest.NewRequest(http.MethodPost, "/api/v1/Agents/ErpSync/ForceResync", nil)
		r.Header.Set("Authorization", "Bearer "+provider.Token("", time.Hour))
		path, verdict := g.Match(r)
		g.ServeCall(httptest.NewRecorder(), r, path, verdict, new(gatewaytest.Visit))
		if n := fetches.Load(); n != 1 {
			t.Fatalf("%d fetches for the first call", n)
		}
		time.Sleep(61 * time.Minute)
		if n := fetches.Load(); n != 2 {
			t.Errorf("%d fetches after an hour", n)
		}
		stop()
		synctest.Wait()
	})
}
