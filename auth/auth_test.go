package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestASecretShowsInNoFormat(t *testing.T) {
	t.Parallel()
	type holder struct{ Token Secret }
	h := holder{NewSecret("canary")}
	text, _ := h.Token.MarshalText()
	for _, shown := range []string{fmt.Sprint(h), fmt.Sprintf("%+v %#v %s %q %x", h, h, h.Token, h.Token, h.Token), string(text)} {
		if strings.Contains(shown, "canary") || strings.Contains(shown, "63616e617279") {
			t.Error(shown)
		}
	}
	if !h.Token.Equal("canary") || h.Token.Equal("") || (Secret{}).Equal("") {
		t.Error("comparing")
	}
}

func TestATenantsFileIsReadStrictlyAndItsErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	good := `{"tenants":[{"tenant":"cust12345","name":"Uno","connections":[612,"crm"],"system_token":"canary","resync_all":"confirm"},{"tenant":"Cust2","connections":[],"suspended":true},{"tenant":"Cust3"}]}`
	tenants, err := ParseTenants([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	uno := tenants["Cust12345"]
	if !uno.Connections.CRM || !uno.Connections.Admits(612) || uno.Connections.Admits(613) || uno.SystemToken.Reveal() != "canary" || uno.ResyncAll != Confirm {
		t.Errorf("%+v", uno)
	}
	if tenants["Cust2"].Connections.Admits(612) || !tenants["Cust2"].Suspended || !tenants["Cust3"].Connections.Admits(612) {
		t.Error("an empty list allows something, or none does not allow all")
	}
	for raw, want := range map[string]string{
		``: "it is empty", `{}`: `no "tenants"`, `{"tenants":[`: "line 1", "{\n\"tenants\":[{\"tenant\":\"Cust1\",\"system_token\":{\"canary\":1}}]}": "line 2",
		`{"tenants":[{"tenant":"X"}]}`: "Cust12345", `{"tenants":[{"tenant":"Cust1"},{"tenant":"CUST1"}]}`: "twice", `{"tenants":[],"canary":1}`: "there is no property",
		`{"tenants":[{"tenant":"Cust1","connections":[0]}]}`: "positive", `{"tenants":[{"tenant":"Cust1","resync_all":"x"}]}`: "deny, confirm or allow", `{"tenants":[]} x`: "closing brace",
	} {
		_, err := ParseTenants([]byte(raw))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", raw, err, want)
		}
	}
}

func FuzzParseTenants(f *testing.F) {
	f.Add([]byte(`{"tenants":[{"tenant":"Cust1","connections":["crm",1]}]}`))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = ParseTenants(raw) })
}

func TestFetchMetadataAndOriginHaveToAgree(t *testing.T) {
	t.Parallel()
	origins, bad := NewOrigins("https://pages.example", "http://localhost:3000")
	if bad != "" {
		t.Fatal(bad)
	}
	for _, c := range []struct {
		host         string
		tls          bool
		origin, site string
		want         bool
	}{
		{"gate.example", true, "https://gate.example", "same-origin", true},
		{"gate.example", true, "", "same-origin", true},
		{"gate.example", true, "", "", true},
		{"gate.example", true, "http://gate.example", "", false},
		{"gate.example", true, "https://gate.example:8443", "", false},
		{"gate.example", true, "https://gate.example", "cross-site", false},
		{"gate.example", true, "https://gate.example", "same-site", false},
		{"gate.example", true, "", "none", false},
		{"gate.example", true, "null", "", false},
		{"gate.example", true, "https://pages.example", "cross-site", true},
		{"gate.example", true, "https://pages.example.evil", "cross-site", false},
		{"gate.example", false, "https://gate.example", "same-origin", true},
		{"gate.example", false, "http://gate.example", "", false},
		{"gate.example:443", true, "https://gate.example", "same-origin", true},
		{"gate.example:443", false, "https://gate.example", "same-origin", true},
		{"gate.example:8443", true, "https://gate.example:8443", "same-origin", true},
		{"gate.example:8443", true, "https://gate.example", "", false},
		{"gate.example:80", true, "https://gate.example", "", false},
		{"localhost:80", false, "http://localhost", "same-origin", true},
		{"localhost:443", false, "http://localhost", "", false},
		{"localhost:8080", false, "http://localhost:8080", "same-origin", true},
		{"[::1]:8080", false, "http://[::1]:8080", "same-origin", true},
		{"127.evil.example", false, "http://127.evil.example", "", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Host = c.host
		r.TLS = nil
		if c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if got := origins.Admits(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	for _, bad := range []string{"http://pages.example", "*", "https://*.example", "https://A.example", "https://a.example/", "null", "pages.example", "https://a@b", "https://pages.example:443", "http://localhost:80"} {
		if _, found := NewOrigins(bad); found != bad {
			t.Errorf("%s is taken for an origin", bad)
		}
	}
}

func TestACredentialIsMintedOnceForAllWhoWaitAndRenewedAheadOfItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := NewCredentialCache(nil)
		var mints atomic.Int32
		mint := func(context.Context, Credential) (Credential, *Refusal) {
			time.Sleep(15 * time.Second) // a slow provider, in the test's own time
			n := mints.Add(1)
			return Credential{Kind: SOTicket, Value: NewSecret(fmt.Sprint("ticket", n)), Expires: time.Now().Add(time.Hour)}, nil
		}
		var callers sync.WaitGroup
		for range 200 {
			callers.Go(func() {
				if c, refusal := keeper.Get(t.Context(), "k", mint); refusal != nil || c.Value.Reveal() != "ticket1" {
					t.Error(c.Value.Reveal(), refusal)
				}
			})
		}
		callers.Wait()
		time.Sleep(50 * time.Minute)
		began := time.Now()
		if c, refusal := keeper.Get(t.Context(), "k", mint); refusal != nil || c.Value.Reveal() != "ticket1" || time.Since(began) > 0 {
			t.Error("the caller that notices waits for the renewal")
		}
		time.Sleep(time.Minute)
		if c, _ := keeper.Get(t.Context(), "k", mint); c.Value.Reveal() != "ticket2" || mints.Load() != 2 {
			t.Errorf("%s after %d mints", c.Value.Reveal(), mints.Load())
		}
	})
}

func TestAFailedMintKeepsWhatIsValidAndBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := NewCredentialCache(nil)
		var tries int
		down := false
		mint := func(context.Context, Credential) (Credential, *Refusal) {
			tries++
			if down {
				return Credential{}, Refuse(CredentialUnavailable, errors.New("down"))
			}
			return Credential{Value: NewSecret("t"), Expires: time.Now().Add(time.Hour)}, nil
		}
		get := func() *Refusal { _, refusal := keeper.Get(t.Context(), "k", mint); return refusal }
		if get() != nil {
			t.Fatal("first mint")
		}
		down = true
		time.Sleep(55 * time.Minute)
		for range 100 {
			if get() != nil {
				t.Fatal("a valid credential is withheld")
			}
		}
		synctest.Wait()
		if tries > 3 {
			t.Errorf("%d tries at once", tries)
		}
		time.Sleep(10 * time.Minute)
		if refusal := get(); refusal == nil || refusal.Reason != CredentialUnavailable {
			t.Error("an expired credential is given out")
		}
		before := tries
		for range 100 {
			_ = get()
		}
		if tries > before+1 {
			t.Errorf("%d more tries within the back-off", tries-before)
		}
		down = false
		time.Sleep(time.Minute)
		if get() != nil {
			t.Error("not tried again")
		}
	})
}

func TestARefusedCredentialIsReplacedAtOnceAndItsSuccessorsEverLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := NewCredentialCache(nil)
		mints := 0
		mint := func(context.Context, Credential) (Credential, *Refusal) {
			mints++
			return Credential{Value: NewSecret(fmt.Sprint(mints)), Expires: time.Now().Add(time.Hour)}, nil
		}
		get := func() Credential {
			t.Helper()
			credential, refusal := keeper.Get(t.Context(), "k", mint)
			if refusal != nil {
				t.Fatal(refusal)
			}
			return credential
		}
		first := get()
		time.Sleep(30 * time.Second) // SuperOffice forgets it within a minute
		if !keeper.MarkRejected("k", first, false) {
			t.Error("a credential that was used is not replaced")
		}
		second := get()
		if !keeper.MarkRejected("k", first, false) {
			t.Error("a caller with the replaced credential is turned away")
		}
		if again := get(); !again.Same(second) || mints != 2 {
			t.Errorf("%d mints", mints)
		}
		if !keeper.MarkRejected("k", second, false) {
			t.Error("a fresh credential that is refused is not minted again once")
		}
		began := time.Now()
		var last time.Duration
		for refused := get(); time.Since(began) < 10*time.Minute; refused = get() {
			if keeper.MarkRejected("k", refused, false) {
				t.Fatal("a storm")
			}
			_, refusal := keeper.Get(t.Context(), "k", mint)
			if refusal == nil || refusal.Reason != UpstreamCredentialRefused || refusal.RetryAfter <= 0 {
				t.Fatalf("%+v", refusal)
			}
			last = refusal.RetryAfter
			time.Sleep(last)
		}
		if mints > 40 || last > 30*time.Second {
			t.Errorf("%d mints in ten minutes, the last wait was %s", mints, last)
		}
		if !keeper.MarkRejected("k", get(), true) {
			t.Error("with another secret it is not tried at once")
		}
		get()
		time.Sleep(30 * time.Second)
		for range 2 {
			if !keeper.MarkRejected("k", get(), false) {
				t.Error("what was refused before one was used counts still")
			}
		}
	})
}

func TestOriginOrFetchMetadataThatStandsTwiceIsRefused(t *testing.T) {
	t.Parallel()
	origins, _ := NewOrigins("https://pages.example")
	for _, header := range []http.Header{
		{"Origin": {"https://gate.example", "https://evil.example"}},
		{"Origin": {"https://pages.example", "https://evil.example"}},
		{"Sec-Fetch-Site": {"same-origin", "cross-site"}},
		{"Origin": {"https://gate.example"}, "Sec-Fetch-Site": {"same-origin", "same-origin"}},
	} {
		r := httptest.NewRequest(http.MethodPost, "https://gate.example/", nil)
		r.Header = header
		if origins.Admits(r) {
			t.Errorf("%v is let in", header)
		}
	}
}

func TestATenantThatOnlyThePathNamesMustBeListedByName(t *testing.T) {
	t.Parallel()
	grant := func(superoffice.Tenant) (TenantGrant, bool) { return TenantGrant{}, true } // as tenant * does
	app := App{Agents: []string{"ErpSync"}, Operations: []superoffice.Operation{superoffice.ForceResync}, CallAs: AsAccount, Tenant: grant}
	call := func(fromPath bool) *Refusal {
		_, refusal := app.AuthoriseCall(t.Context(), Principal{Scheme: JWT, Tenant: "Cust1", TenantFromPath: fromPath}, Request{Operation: superoffice.ForceResync, PathTenant: "Cust1"})
		return refusal
	}
	for _, lists := range []func(superoffice.Tenant) bool{nil, func(superoffice.Tenant) bool { return false }} {
		app.Lists = lists
		if refusal := call(true); refusal == nil || refusal.Reason != TenantNotGranted {
			t.Errorf("%v", refusal)
		}
		if refusal := call(false); refusal != nil {
			t.Error(refusal)
		}
	}
	app.Lists = func(tenant superoffice.Tenant) bool { return tenant == "Cust1" }
	if refusal := call(true); refusal != nil {
		t.Error(refusal)
	}
}

// BenchmarkTenants shows that a grant among ten thousand costs what the only one does, and what each takes of memory.
func BenchmarkTenants(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var file strings.Builder
			file.WriteString(`{"tenants":[`)
			for i := range n {
				if i > 0 {
					file.WriteString(",")
				}
				fmt.Fprintf(&file, `{"tenant":"Cust%d","name":"Customer %d","connections":[612,"crm"],"system_token":"App-%020d"}`, 10000+i, i, i)
			}
			file.WriteString("]}")
			raw := []byte(file.String())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			tenants, err := ParseTenants(raw)
			if err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			last := superoffice.Tenant(fmt.Sprintf("Cust%d", 10000+n-1))
			app := App{Agents: []string{"ErpSync"}, Operations: []superoffice.Operation{superoffice.ForceResync}, CallAs: AsSystem, Tenant: func(t superoffice.Tenant) (TenantGrant, bool) { g, ok := tenants[t]; return g, ok }}
			for b.Loop() {
				if _, refusal := app.AuthoriseCall(b.Context(), Principal{Scheme: JWT, Tenant: last}, Request{Operation: superoffice.ForceResync, PathTenant: last}); refusal != nil {
					b.Fatal(refusal)
				}
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/tenant")
			runtime.KeepAlive(tenants)
			runtime.KeepAlive(raw)
		})
	}
}

func TestAnAppThatDemandsAnIdempotencyKeyTakesNoResyncWithout(t *testing.T) {
	t.Parallel()
	app := App{KeyRequired: true}
	request := Request{Operation: superoffice.ForceResync, Arguments: superoffice.Arguments{Connection: 1, Keys: []int32{1}}}
	if refusal := app.AuthoriseArguments(TenantGrant{}, request); refusal == nil || refusal.Reason != IdempotencyKeyMissing {
		t.Errorf("without a key: %v", refusal)
	}
	request.Keyed = true
	if refusal := app.AuthoriseArguments(TenantGrant{}, request); refusal != nil {
		t.Errorf("with a key: %v", refusal)
	}
	if refusal := app.AuthoriseArguments(TenantGrant{}, Request{Operation: superoffice.GetEngineStatus}); refusal != nil {
		t.Errorf("an operation that moves nothing: %v", refusal)
	}
}

func TestAConfiguredOriginHoldsWhateverTheHostIs(t *testing.T) {
	t.Parallel()
	origins, _ := NewOrigins("https://pages.example")
	origins = origins.At("https://public.example:8443")
	for origin, want := range map[string]bool{"https://public.example:8443": true, "https://pages.example": true, "https://inner.example": false} {
		r := httptest.NewRequest(http.MethodPost, "https://inner.example/", nil)
		r.Header.Set("Origin", origin)
		if origins.Admits(r) != want || origins.Own(r) != "https://public.example:8443" {
			t.Errorf("%s: %t; own %s", origin, !want, origins.Own(r))
		}
	}
}
