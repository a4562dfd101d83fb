package report_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

func TestAnImportKeepsEveryLineOrNone(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	good := report.ImportTenant{Tenant: "cust12345", SystemToken: " Sandbox erp-1 "}
	for name, wrong := range map[string]report.ImportTenant{
		"not of the form Cust12345": {Tenant: "12345", SystemToken: "x"},
		"want a system_token":       {Tenant: "Cust2"},
		"sealed under a key":        {Tenant: "Cust2", Sealed: "AAAA"},
		"stands in line 1":          {Tenant: "CUST12345", SystemToken: "x"},
		"one printable line":        {Tenant: "Cust2", SystemToken: "a\x00b"},
		"is a signed one":           {Tenant: "Cust2", SystemToken: "App-1.202611250800." + strings.Repeat("A", 344)},
	} {
		done := g.importTokens(false, good, wrong)
		if done.Kept || done.Lines[0].Result != "added" || !strings.Contains(done.Lines[1].Problem, name) {
			t.Errorf("%s: %+v", name, done)
		}
	}
	if s := g.status("Cust12345"); s.Token != "none" {
		t.Errorf("something was kept: %+v", s)
	}
	if done := g.importTokens(true, good); done.Kept || done.Lines[0].Result != "added" {
		t.Errorf("dry run: %+v", done)
	}
	for _, want := range []string{"added", "unchanged"} {
		if done := g.importTokens(false, good); !done.Kept || done.Lines[0].Result != want {
			t.Errorf("want %s: %+v", want, done)
		}
	}
	if done := g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-2"}); !done.Kept || done.Lines[0].Result != "replaced" {
		t.Errorf("%+v", done)
	}

	// What is exported holds no secret and can be imported where the keys are the same.
	exported, err := g.sites.Export(t.Context(), "erp", "")
	text := fmt.Sprint(exported)
	if err != nil || len(exported.Tenants) != 1 || strings.Contains(text, "erp-2") {
		t.Fatalf("%v %s", err, text)
	}
	remove := report.RemoveRequest{App: "erp", Tenant: "Cust12345"}
	if _, err := g.sites.RemoveToken(t.Context(), remove); err != nil {
		t.Fatal(err)
	}
	if s := g.status("Cust12345"); s.Token != "none" {
		t.Errorf("removed: %+v", s)
	}
	if _, err := g.sites.RemoveToken(t.Context(), remove); statusOf(err) != http.StatusNotFound {
		t.Errorf("removed twice: %v", err)
	}
	if done := g.importTokens(false, report.ImportTenant{Tenant: "Cust54321", Sealed: exported.Tenants[0].Sealed}); done.Kept {
		t.Error("one tenant's sealed token was taken for another's")
	}
	if done := g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", Sealed: exported.Tenants[0].Sealed}); !done.Kept {
		t.Errorf("%+v", done)
	}

	// A storage that fails in the middle leaves everything as it was.
	kept := g.App("erp").Registry.Tokens
	g.Storage.FailWrite(2, errDown)
	_, err = g.sites.Import(t.Context(), report.ImportRequest{App: "erp", Tenants: []report.ImportTenant{
		{Line: 1, Tenant: "Cust12345", SystemToken: "Sandbox erp-3"}, {Line: 2, Tenant: "Cust1", SystemToken: "a"}, {Line: 3, Tenant: "Cust2", SystemToken: "b"},
	}})
	if statusOf(err) != http.StatusServiceUnavailable || !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	g.Storage.SetDown(errDown)
	status, err := g.sites.Status(t.Context(), "node", "")
	if err != nil || !strings.Contains(status.Apps[0].Remark, "cannot be listed") || !strings.Contains(status.Apps[0].Remark, "the disk is gone") {
		t.Errorf("status while the storage is down: %v %+v", err, status)
	}
	if list, err := g.sites.Tenants(t.Context(), "erp", ""); err != nil || !strings.Contains(list.Remark, "cannot be listed") {
		t.Errorf("the tenants while the storage is down: %v %+v", err, list)
	}
	g.Storage.SetDown(nil)
	tenants, err := kept.Tenants(t.Context())
	if err != nil || fmt.Sprint(tenants) != "[Cust12345]" {
		t.Errorf("%v %v", tenants, err)
	}
	if found, _, err := kept.Get(t.Context(), "Cust12345"); err != nil || found.Token.Reveal() != "Sandbox erp-2" {
		t.Error("the token is not the one from before")
	}
}

func TestTokensSealedUnderAnOlderKeyAreReadSealedAnewAndMissedWhenTheKeyIsGone(t *testing.T) {
	t.Parallel()
	sealedUnder := func(keys ...string) gatewaytest.Option {
		return gatewaytest.Configure(func(c *gateway.Config) {
			c.Keys = nil
			for _, key := range keys {
				c.Keys = append(c.Keys, []byte(key))
			}
		})
	}
	oldKey, newKey := strings.Repeat("old-key-", 4), strings.Repeat("new-key-", 4)
	g := newDesk(t, gatewaytest.Approvals(), sealedUnder(oldKey))
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: g.SO.SystemToken("erp", "Cust12345")})
	gone := before(t, g.Beside(gatewaytest.Approvals(), sealedUnder(newKey)))
	if got := gone.Resync(gone.Service()); got.Status != http.StatusServiceUnavailable {
		t.Errorf("without the key: %d %s", got.Status, got.Body)
	}
	if s := gone.status("Cust12345"); s.Attention != "token_unreadable" || !strings.Contains(s.Remedy, "keys") {
		t.Errorf("%+v", s)
	}
	both := before(t, g.Beside(gatewaytest.Approvals(), sealedUnder(newKey, oldKey)))
	if got := both.Resync(both.Service()); got.Status != http.StatusOK {
		t.Errorf("with both keys: %d %s", got.Status, got.Body)
	}
	gatewaytest.WaitFor(t, func() bool { // it is sealed anew, and what was not readable is looked at again after a moment
		return gone.Resync(gone.Service()).Status == http.StatusOK
	})
	if n, err := both.App("erp").Registry.Tokens.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

func TestAnImportTakesNoApprovalBack(t *testing.T) {
	t.Parallel()
	g := newDesk(t, gatewaytest.Approvals())
	g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: "Sandbox erp-before"})
	backup, err := g.sites.Export(t.Context(), "erp", "")
	if err != nil {
		t.Fatal(err)
	}
	if status, page := g.Approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatal(status, page)
	}
	// The older one of a backup, and the same one with a name.
	if done := g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", Sealed: backup.Tenants[0].Sealed}); !done.Kept || done.Lines[0].Result != "older" {
		t.Errorf("%+v", done)
	}
	if done := g.importTokens(false, report.ImportTenant{Tenant: "Cust12345", SystemToken: g.SO.SystemToken("erp", "Cust12345"), Name: "Uno AS"}); !done.Kept || done.Lines[0].Result != "replaced" {
		t.Errorf("%+v", done)
	}
	if s := g.status("Cust12345"); s.Token != "approval" || s.ApprovedBy != "tove@uno.example" || s.Name != "Uno AS" {
		t.Errorf("%+v", s)
	}
	if got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, gatewaytest.SeedBody, g.Service()); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
