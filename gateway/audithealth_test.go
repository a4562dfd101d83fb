package gateway_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// fullDisk writes to a device that is always full, or nowhere while it has space.
type fullDisk struct {
	device *os.File
	space  atomic.Bool
}

func (d *fullDisk) Write(line []byte) (int, error) {
	if d.space.Load() {
		return len(line), nil
	}
	return d.device.Write(line)
}

// onFullDisk has the audit log lie on a disk that is full.
func onFullDisk(t *testing.T) (*fullDisk, gatewaytest.Option) {
	t.Helper()
	device, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	disk := &fullDisk{device: device}
	return disk, gatewaytest.On(func(p *gateway.Platform) {
		p.Audit = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(disk), zap.InfoLevel))
	})
}

func required(c *gateway.Config) { c.AuditRequired = true }

func TestALostAuditLineIsCountedAndSaidOnce(t *testing.T) {
	t.Parallel()
	disk, option := onFullDisk(t)
	g := gatewaytest.New(t, option)
	for range 2 {
		if got := g.Resync(g.Service()); got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	h := g.State().AuditHealth()
	if h.Fails.IsZero() || h.Lost != 4 || !strings.Contains(h.Cause.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("%+v", h)
	}
	check := func(up string) {
		t.Helper()
		want := "# HELP caddy_erpsync_audit_lines_lost_total Audit lines that could not be written.\n# TYPE caddy_erpsync_audit_lines_lost_total counter\ncaddy_erpsync_audit_lines_lost_total 4\n"
		if err := testutil.GatherAndCompare(g.Metrics, strings.NewReader(want), "caddy_erpsync_audit_lines_lost_total"); err != nil {
			t.Error(err)
		}
		page := httptest.NewRecorder()
		promhttp.HandlerFor(g.Metrics, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
		if !strings.Contains(page.Body.String(), `caddy_erpsync_dependency_up{dependency="audit_log"} `+up) {
			t.Errorf("want %s: %s", up, page.Body)
		}
	}
	check("0")
	disk.space.Store(true)
	g.Resync(g.Service())
	check("1")
	if h := g.State().AuditHealth(); !h.Fails.IsZero() || h.Cause != nil || h.Lost != 4 {
		t.Errorf("with space again: %+v", h)
	}
	if lost, again := g.Logs.FilterMessage("audit lines cannot be written").Len(), g.Logs.FilterMessage("audit lines can be written again").Len(); lost != 1 || again != 1 {
		t.Errorf("said %d times, and %d times that it is over", lost, again)
	}
}

func TestACallThatMustBeProvedIsNotSentWhileItsLineCannotBeWritten(t *testing.T) {
	t.Parallel()
	disk, option := onFullDisk(t)
	g := gatewaytest.New(t, option, gatewaytest.Configure(required))
	send := func() gatewaytest.Answer {
		return g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, keyed(g.Service(), "a"))
	}
	for range 2 {
		got := send()
		g.Refused(got, http.StatusServiceUnavailable, "audit_unavailable")
		if got.Header.Get("Retry-After") == "" {
			t.Error("not told when to come again")
		}
	}
	disk.space.Store(true)
	if got := send(); got.Status != http.StatusOK || got.Header.Get("ErpSync-Replayed") != "" || len(g.Sent()) != 1 {
		t.Errorf("with space, and the same key: %d %s, %d sent", got.Status, got.Body, len(g.Sent()))
	}
	nowhere := gatewaytest.New(t, gatewaytest.Configure(required), gatewaytest.On(func(p *gateway.Platform) { p.Audit = zap.NewNop() }))
	nowhere.Refused(nowhere.Resync(nowhere.Service()), http.StatusServiceUnavailable, "audit_unavailable")
}

func TestWhatZapSaysOfALostLineIsItsCause(t *testing.T) {
	t.Parallel()
	_, option := onFullDisk(t)
	g := gatewaytest.New(t, option)
	var told error
	r := outcome.Record{RequestID: "r"}
	outcome.AuditLog{Logger: g.Platform().Audit, Written: func(err error) { told = err }}.Began(&r)
	if told == nil || !errors.Is(told, r.Unwritten) || told.Error() != "write /dev/full: no space left on device" {
		t.Errorf("%v", told)
	}
}
