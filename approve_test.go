package erpsync

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// approvals has services call as the system user of whichever tenant approved.
const approvals = `
	environment {base}
	app erp {
		client_id {file.{dir}/erp.client_id}
		client_secret {file.{dir}/erp.client_secret}
		private_key {file.{dir}/erp.private_key}
		agents ErpSync
		tenant *
		tenant Cust54321 {
			suspended
		}
		call_as system
	}` + services + `
	guard {
		rate off
	}`

func (g *gateway) approve(app, tenant, name string) (int, string) {
	g.t.Helper()
	status, page, err := demo.Approve(g.t.Context(), g.site, g.so, app, tenant, name)
	if err != nil {
		g.t.Fatal(err)
	}
	return status, page
}

func TestAnAdministratorsApprovalIsKeptAndTheNextCallSucceeds(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	g.so.Revoke("erp", "Cust12345")
	got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	g.refused(got, http.StatusForbidden, "no_system_token")
	if !strings.Contains(got.body, `"approve":"/erpsync/approve?app=erp\u0026tenant=Cust12345"`) {
		t.Errorf("no link to approve at: %s", got.body)
	}
	status, page := g.approve("erp", "Cust12345", "tove")
	if status != http.StatusOK || !strings.Contains(page, "<h1>Approved</h1>") || !strings.Contains(page, "nothing more to do") {
		t.Fatalf("%d %s", status, page)
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != http.StatusOK {
		t.Errorf("after the approval: %d %s", got.status, got.body)
	}
	if strings.Contains(page, g.so.SystemToken("erp", "Cust12345")) {
		t.Error("the page holds the system token")
	}
	err := filepath.WalkDir(storage.(*certmagic.FileStorage).Path, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && entry.IsDir() {
			return nil
		}
		raw, err := os.ReadFile(path) //nolint:gosec // the test's own folder
		if strings.Contains(string(raw), g.so.SystemToken("erp", "Cust12345")) {
			t.Errorf("%s holds the system token in clear", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// The approval ends at SuperOffice, and is given again.
	g.so.Forget()
	erp := g.h.apps["erp"]
	kept, _, err := erp.registry.kept.Get(t.Context(), "Cust12345")
	if err != nil {
		t.Fatal(err)
	}
	g.so.Revoke("erp", "Cust12345")
	g.h.common.credentials.Forget(g.h.systemKey(t.Context(), erp, "Cust12345", kept.Token)) // six hours later
	got = g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	g.refused(got, http.StatusForbidden, "consent_required")
	if !strings.Contains(got.body, `"approve":"/erpsync/approve?`) {
		t.Errorf("no way back: %s", got.body)
	}
	if status, page := g.approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != http.StatusOK {
		t.Errorf("after the second approval: %d %s", got.status, got.body)
	}
}

func TestARefusedConsentIsProbedAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	asked := 0
	g := newGatewayWhere(t, approvals, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/Authenticate") {
			asked++
		}
		return false
	})
	if status, page := g.approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	g.so.Revoke("erp", "Cust12345")
	for range 20 {
		g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()), http.StatusForbidden, "consent_required")
	}
	if asked != 1 {
		t.Errorf("SuperOffice was asked %d times", asked)
	}
}

func TestWhoeverCannotApproveIsToldInWordsAndNothingIsKept(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals+"\n"+`app quote {
		client_id {file.{dir}/quote.client_id}
		client_secret {file.{dir}/quote.client_secret}
		private_key {file.{dir}/quote.private_key}
		agents ErpSync
		tenant *
		call_as system
	}`)
	page := func(app, tenant, name string, status int, want ...string) {
		t.Helper()
		got, text := g.approve(app, tenant, name)
		if got != status {
			t.Errorf("%d, want %d: %s", got, status, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("the page does not say %q: %s", w, text)
			}
		}
	}
	g.so.Revoke("erp", "Cust12345")
	page("erp", "Cust12345", "per", http.StatusForbidden, "An administrator has to do this", "General Administrator")
	page("", "Cust12345", "tove", http.StatusBadRequest, "This link is not complete") // two apps take approvals
	page("no-such-app", "Cust12345", "tove", http.StatusBadRequest, "This link is not complete")
	page("erp", "nonsense", "tove", http.StatusBadRequest, "This link is not complete")

	for said, want := range map[string]string{
		"access_denied The person declined.":      "Not approved",
		"1 ":                                      "The approval was taken back",
		"Revoked ":                                "The approval was taken back",
		"invalid_request InvalidRedirectUrl (2)":  "is not among the redirect addresses",
		"Expired ":                                "has expired",
		"Denied ":                                 "Not approved",
		"access_denied NeedsReapproval":           "It has to be approved again",
		"InvalidTimestamp ":                       "their clock may be",
		"InvalidSignature ":                       "private key may be another",
		"unauthorized_client ":                    "(unauthorized_client)",
		"server_error ":                           "cannot be asked now",
		"<script>alert(1)</script> <b>never</b>":  "says “&lt;script&gt;alert(1)&lt;/script&gt;”",
		"consent_required ask your administrator": "An administrator has to do this",
	} {
		g.so.Switch(func(s *sandbox.Switches) { s.ApprovalError = said })
		_, text := g.approve("erp", "Cust12345", "tove")
		if !strings.Contains(text, want) || strings.Contains(text, "<script>") {
			t.Errorf("%s: %s", said, text)
		}
	}
	g.so.Switch(func(s *sandbox.Switches) { s.ApprovalError = "" })
	if kept, err := g.h.apps["erp"].registry.kept.Tenants(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("kept: %v, %v", kept, err)
	}

	// Where SuperOffice sends the token at the approval alone, a later sign-in brings none.
	g.so.Switch(func(s *sandbox.Switches) { s.TokenOnApprovalOnly = true })
	page("quote", "Cust12345", "per", http.StatusForbidden, "An administrator has to do this")
	page("quote", "Cust12345", "tove", http.StatusConflict, "nothing to approve", "not registered with SuperOffice", "approved before")
	page("erp", "Cust54321", "tove", http.StatusConflict, "nothing to approve")
	g.so.Revoke("erp", "Cust54321")
	page("erp", "Cust54321", "tove", http.StatusOK, "have suspended it for Cust54321")
}

func TestAnApprovalOfATenantThatTheRegistryDoesNotNameIsKeptAndGrantsNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t, strings.Replace(approvals, "tenant *", "tenant Cust99999", 1))
	status, page := g.approve("erp", "Cust12345", "tove")
	if status != http.StatusOK || !strings.Contains(page, "have to admit Cust12345") {
		t.Fatalf("%d %s", status, page)
	}
	g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()), http.StatusForbidden, "tenant_not_granted")
}

func TestAnApprovalIsTakenFromTheBrowserThatBeganItAndInItsTenantOnly(t *testing.T) {
	t.Parallel()
	g := newGatewayWhere(t, approvals, func(_ http.ResponseWriter, r *http.Request) bool {
		// Whoever goes to Cust54321 ends up in Cust12345.
		r.URL.Path = strings.Replace(r.URL.Path, "/login/Cust54321/", "/login/Cust12345/", 1)
		return false
	})
	g.so.Revoke("erp", "Cust12345")
	link := g.site + "/erpsync/approve?app=erp&tenant=Cust54321"
	if status, page, err := demo.ApproveAs(t.Context(), link, g.so, "Cust12345", "tove"); err != nil || status != http.StatusForbidden || !strings.Contains(page, "The link is for Cust54321") {
		t.Errorf("%v %d %s", err, status, page)
	}
	asPerson := http.Header{"Accept": {"text/html"}}
	if got := g.do(nil, http.MethodGet, "/erpsync/callback?code=x&state=y", "", asPerson); got.status != http.StatusForbidden || !strings.Contains(got.body, "Too late, or in another browser") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := g.do(nil, http.MethodGet, "/erpsync/callback?code=x&state=y", "", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "credential_invalid") {
		t.Errorf("%d %s", got.status, got.body)
	}
	// Without browser the rest below the prefix is the next handler's.
	for _, path := range []string{"/erpsync/session", "/erpsync/sign-in", "/erpsync/other"} {
		if got := g.do(nil, http.MethodGet, path, "", nil); got.body != passedOn {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := g.do(nil, http.MethodPost, "/erpsync/approve?app=erp", "", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.status)
	}
}

func TestWhileTheStorageGivesNoAnswerALastTokenStaysAndAnApprovalSaysSo(t *testing.T) {
	t.Parallel()
	g := newGateway(t, approvals)
	broken := &brokenStorage{Storage: storage}
	g.h.apps["erp"].registry.kept = tokensIn(g.h, broken)
	if status, page := g.approve("erp", "Cust12345", "tove"); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	broken.down.Store(true)
	g.so.Forget()
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != http.StatusOK {
		t.Errorf("with the last token: %d %s", got.status, got.body)
	}
	other := http.Header{"Authorization": {"Bearer " + g.provider.Token("Cust77777", time.Hour)}}
	got := g.do(nil, http.MethodPost, strings.Replace(tenantPath, "Cust12345", "Cust77777", 1), seedBody, other)
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "store_unavailable") {
		t.Errorf("without one: %d %s", got.status, got.body)
	}
	if status, page := g.approve("erp", "Cust12345", "tove"); status != http.StatusServiceUnavailable || !strings.Contains(page, "not noted here") {
		t.Errorf("%d %s", status, page)
	}
}

// brokenStorage gives no answer while it is down.
type brokenStorage struct {
	certmagic.Storage
	down   atomic.Bool
	writes atomic.Int32 // after so many it is down for the next
}

// tokensIn keeps the tokens of the app erp in another storage.
func tokensIn(h *Handler, storage systemuser.Storage) *systemuser.Tokens {
	return systemuser.NewTokens(storage, h.ring, h.environment, h.apps["erp"].clientID)
}

var errDown = errors.New("the disk is gone")

func (b *brokenStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if b.down.Load() {
		return nil, errDown
	}
	return b.Storage.Load(ctx, key)
}

func (b *brokenStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if b.down.Load() {
		return nil, errDown
	}
	return b.Storage.List(ctx, prefix, recursive)
}

func (b *brokenStorage) Store(ctx context.Context, key string, value []byte) error {
	if b.down.Load() || b.writes.Add(-1) == 0 {
		return errDown
	}
	return b.Storage.Store(ctx, key, value)
}
