package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func TestAServiceResyncsAsTheSystemUser(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	got := f.Resync(f.Service())
	if got.Status != http.StatusOK || got.Header.Get("ErpSync-Outcome") != "ok" || got.Header.Get("ErpSync-Request-Id") == "" {
		t.Fatalf("%d %v %s", got.Status, got.Header, got.Body)
	}
	sent := f.Sent()
	if len(sent) != 1 || !strings.HasPrefix(sent[0].Header.Get("Authorization"), "SOTicket ") || sent[0].Header.Get("SO-AppToken") == "" {
		t.Errorf("%+v", sent)
	}
	if line := f.Audited(); line["credential"] != "system SOTicket" || line["outcome"] != "ok" {
		t.Errorf("%v", line)
	}
}

func TestAPersonResyncsAsThemselves(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	client, xsrf := f.SignIn("per")
	got := f.Do(client, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, http.Header{"X-XSRF-TOKEN": {xsrf}})
	if got.Status != http.StatusOK || f.Audited()["credential"] != "user Bearer" {
		t.Fatalf("%d %s %v", got.Status, got.Body, f.Audited())
	}
}
