package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

	"github.com/golang-jwt/jwt/v5"

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
		``: "line 1", `{}`: `no "tenants"`, `{"tenants":[`: "line 1", "{\n\"tenants\":[{\"tenant\":\"Cust1\",\"system_token\":{\"canary\":1}}]}": "line 2",
		`{"tenants":[{"tenant":"X"}]}`: "Cust12345", `{"tenants":[{"tenant":"Cust1"},{"tenant":"CUST1"}]}`: "twice", `{"tenants":[],"canary":1}`: "unknown field",
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
	for _, bad := range []string{"http://pages.example", "*", "https://*.example", "https://A.example", "https://a.example/", "null", "pages.example", "https://a@b"} {
		if _, found := NewOrigins(bad); found != bad {
			t.Errorf("%s is taken for an origin", bad)
		}
	}
}

func TestACredentialIsMintedOnceForAllWhoWaitAndRenewedAheadOfItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := NewKeeper(nil)
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
		keeper := NewKeeper(nil)
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

func TestARefusedCredentialIsReplacedOnceAndAFreshOneNotAtAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := NewKeeper(nil)
		mints := 0
		mint := func(context.Context, Credential) (Credential, *Refusal) {
			mints++
			return Credential{Value: NewSecret(fmt.Sprint(mints)), Expires: time.Now().Add(time.Hour)}, nil
		}
		first, _ := keeper.Get(t.Context(), "k", mint)
		time.Sleep(10 * time.Minute)
		if !keeper.Refused("k", first, false) {
			t.Error("an old credential that is refused is not replaced")
		}
		second, _ := keeper.Get(t.Context(), "k", mint)
		if !keeper.Refused("k", first, false) {
			t.Error("a caller with the replaced credential is turned away")
		}
		if again, _ := keeper.Get(t.Context(), "k", mint); !again.Same(second) || mints != 2 {
			t.Errorf("%d mints", mints)
		}
		if keeper.Refused("k", second, false) {
			t.Error("a fresh credential that is refused is minted again")
		}
		if _, refusal := keeper.Get(t.Context(), "k", mint); refusal == nil || refusal.Reason != UpstreamCredentialRefused || mints != 2 {
			t.Errorf("%v after %d mints", refusal, mints)
		}
		time.Sleep(2 * time.Minute)
		if _, refusal := keeper.Get(t.Context(), "k", mint); refusal != nil {
			t.Error(refusal)
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

// TestATokenNeedsEveryClaimItsOwnAlgorithmAndItsTime also asks twice: what was proved a moment ago must not outlive its exp.
func TestATokenNeedsEveryClaimItsOwnAlgorithmAndItsTime(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	issuer, err := NewIssuer(IssuerConfig{
		Issuer: "https://idp.example", Audiences: []string{"erpsync"}, Algorithms: []string{"ES256"}, Subjects: []string{"sync"},
		App: Fixed{Value: "erp"}, Tenant: Fixed{Claim: "tenant"}, Leeway: time.Second, Now: func() time.Time { return now },
		Keys: func(context.Context) (jwt.Keyfunc, error) {
			return func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(change func(jwt.MapClaims, map[string]any), with *ecdsa.PrivateKey) string {
		claims := jwt.MapClaims{"iss": "https://idp.example", "aud": "erpsync", "sub": "sync", "iat": now.Unix(), "exp": now.Add(10 * time.Second).Unix(), "tenant": "Cust1"}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		change(claims, token.Header)
		signed, err := token.SignedString(with)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	as := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	for name, token := range map[string]string{
		"no exp":                 sign(as("exp", nil), key),
		"expired":                sign(as("exp", now.Add(-time.Minute).Unix()), key),
		"not yet":                sign(as("nbf", now.Add(time.Minute).Unix()), key),
		"of the future":          sign(as("iat", now.Add(time.Minute).Unix()), key),
		"no issuer":              sign(as("iss", nil), key),
		"another issuer":         sign(as("iss", "https://idp.example/"), key),
		"no audience":            sign(as("aud", nil), key),
		"another audience":       sign(as("aud", "erpsync2"), key),
		"no subject":             sign(as("sub", nil), key),
		"another subject":        sign(as("sub", "somebody"), key),
		"no tenant":              sign(as("tenant", nil), key),
		"not a tenant":           sign(as("tenant", "Cust1/../Cust2"), key),
		"two tenants":            sign(as("tenant", []string{"Cust1", "Cust2"}), key),
		"a critical header":      sign(func(_ jwt.MapClaims, h map[string]any) { h["crit"] = []string{"b64"} }, key),
		"a stranger's signature": sign(func(jwt.MapClaims, map[string]any) {}, stranger),
		"nothing":                "",
	} {
		if principal, refusal := issuer.Prove(t.Context(), token); refusal == nil || refusal.Reason != CredentialInvalid {
			t.Errorf("%s: %+v", name, principal)
		}
	}
	good := sign(func(jwt.MapClaims, map[string]any) {}, key)
	for range 2 {
		if principal, refusal := issuer.Prove(t.Context(), good); refusal != nil || principal.Tenant != "Cust1" || principal.ID != "https://idp.example#sync" {
			t.Fatalf("%+v %v", principal, refusal)
		}
	}
	now = now.Add(15 * time.Second)
	if _, refusal := issuer.Prove(t.Context(), good); refusal == nil {
		t.Error("a token that was proved a moment ago outlives its exp")
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
