package superid

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const claimPrefix = "http://schemes.superoffice.net/identity/"

var pushedAt = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// pusher signs pushes as SuperOffice does.
type pusher struct {
	t       testing.TB
	env     superoffice.Environment
	private *rsa.PrivateKey
	keys    *idp.KeySet
	fetched int
}

func newPusher(t testing.TB, bits int) *pusher {
	t.Helper()
	env, err := superoffice.NewEnvironment("sod")
	if err != nil {
		t.Fatal(err)
	}
	p := &pusher{t: t, env: env}
	if p.private, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	jwks := answering(fmt.Sprintf(`{"keys":[{"kty":"RSA","use":"sig","kid":"k","n":%q,"e":%q}]}`,
		encode(p.private.N.Bytes()), encode(big.NewInt(int64(p.private.E)).Bytes())))
	counted := func(r *http.Request) (*http.Response, error) { p.fetched++; return jwks.RoundTrip(r) }
	p.keys = NewKeySet(env, &http.Client{Transport: roundTripper(counted)}, idp.Observer{}, func() time.Time { return pushedAt })
	return p
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// claims are those of a token that says everything, with changes; a nil value takes a claim out.
func (p *pusher) claims(changes map[string]any) jwt.MapClaims {
	claims := jwt.MapClaims{
		"iss": p.env.Base(), "aud": "app", "iat": fmt.Sprint(pushedAt.Unix()), "exp": pushedAt.Unix() + 300, "jti": "1",
		claimPrefix + "ctx": "Cust12345", "ChangeType": 2,
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func (p *pusher) sign(claims jwt.MapClaims) string {
	p.t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(p.private)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

func bodyOf(fields map[string]any) []byte {
	body := map[string]any{"ChangeType": 2, "ContextIdentifier": "Cust12345", "VersionName": "12.4", "FileVersion": "12.4.1.0"}
	maps.Copy(body, fields)
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return raw
}

// verify is what a receiver does.
func (p *pusher) verify(raw []byte) (Push, error) {
	body, err := ParsePush(raw)
	if err != nil {
		return Push{}, err
	}
	return VerifyPush(p.t.Context(), p.env, p.keys, body, func() time.Time { return pushedAt })
}

func TestAPushSaysWhatItsTokenSaysAndHintsAtTheRest(t *testing.T) {
	t.Parallel()
	p := newPusher(t, 2048)
	for name, c := range map[string]struct {
		claims, body map[string]any
		want         Push
	}{
		"everything":           {nil, nil, Push{Tenant: "Cust12345", Change: superoffice.Suspend, TenantBound: true, ChangeBound: true, Audience: []string{"app"}}},
		"the tenant":           {map[string]any{"ChangeType": nil}, nil, Push{Tenant: "Cust12345", Change: superoffice.Suspend, TenantBound: true, Audience: []string{"app"}}},
		"by another name":      {map[string]any{claimPrefix + "ctx": nil, "ContextIdentifier": "cust12345"}, nil, Push{Tenant: "Cust12345", Change: superoffice.Suspend, TenantBound: true, ChangeBound: true, Audience: []string{"app"}}},
		"nothing":              {map[string]any{"ChangeType": nil, claimPrefix + "ctx": nil, "aud": nil, "iss": nil}, nil, Push{Tenant: "Cust12345", Change: superoffice.Suspend}},
		"the change as a name": {map[string]any{"ChangeType": "Suspend"}, map[string]any{"ChangeType": "suspend"}, Push{Tenant: "Cust12345", Change: superoffice.Suspend, TenantBound: true, ChangeBound: true, Audience: []string{"app"}}},
		"the first change":     {map[string]any{"ChangeType": 0}, map[string]any{"ChangeType": 0}, Push{Tenant: "Cust12345", Change: superoffice.Upgrade, TenantBound: true, ChangeBound: true, Audience: []string{"app"}}},
		"one that nobody knows": {
			map[string]any{"ChangeType": 9},
			map[string]any{"ChangeType": 9},
			Push{Tenant: "Cust12345", Change: superoffice.UnknownChange, TenantBound: true, ChangeBound: true, Audience: []string{"app"}},
		},
		"a field more": {nil, map[string]any{"Padding": "x"}, Push{Tenant: "Cust12345", Change: superoffice.Suspend, TenantBound: true, ChangeBound: true, Audience: []string{"app"}}},
	} {
		body := bodyOf(c.body)
		var fields map[string]any
		_ = json.Unmarshal(body, &fields)
		fields["Token"] = p.sign(p.claims(c.claims))
		raw, _ := json.Marshal(fields)
		got, err := p.verify(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.ID == "" || !got.Until.Equal(pushedAt.Add(6*time.Minute)) || got.VersionName != "12.4" {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Tenant != c.want.Tenant || got.Change != c.want.Change || got.TenantBound != c.want.TenantBound || got.ChangeBound != c.want.ChangeBound || !slices.Equal(got.Audience, c.want.Audience) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if p.fetched != 1 {
		t.Errorf("keys were fetched %d times", p.fetched)
	}
}

func TestAPushIsRefusedIfItsTokenIsNotGoodOrSaysOtherwise(t *testing.T) {
	t.Parallel()
	p := newPusher(t, 2048)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forged, _ := jwt.NewWithClaims(jwt.SigningMethodRS256, p.claims(nil)).SignedString(other)
	unsigned, _ := jwt.NewWithClaims(jwt.SigningMethodNone, p.claims(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	hmac, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, p.claims(nil)).SignedString(p.private.N.Bytes())
	token := func(changes map[string]any) string { return p.sign(p.claims(changes)) }
	at := func(d time.Duration) int64 { return pushedAt.Add(d).Unix() }
	for name, c := range map[string]struct {
		token string
		body  map[string]any
		says  string
	}{
		"another's key":                {token: forged, says: "signature"},
		"no signature":                 {token: unsigned, says: "signature"},
		"a shared key":                 {token: hmac, says: "signature"},
		"another tenant":               {token: token(map[string]any{claimPrefix + "ctx": "Cust54321"}), says: "another tenant"},
		"two tenants":                  {token: token(map[string]any{"ContextIdentifier": "Cust54321"}), says: "another tenant"},
		"no tenant's name":             {token: token(map[string]any{claimPrefix + "ctx": "Custard"}), says: "another tenant"},
		"another change":               {token: token(map[string]any{"ChangeType": 3}), says: "the token says resume, the body suspend"},
		"another endpoint":             {token: token(map[string]any{"PublicEndpoint": "https://sod2.superoffice.com"}), body: map[string]any{"PublicEndpoint": "https://sod3.superoffice.com"}, says: "PublicEndpoint"},
		"an endpoint that is left out": {token: token(map[string]any{"PublicEndpoint": "https://sod2.superoffice.com"}), says: "PublicEndpoint"},
		"expired":                      {token: token(map[string]any{"exp": at(-2 * time.Minute)}), says: "expired"},
		"without a time":               {token: token(map[string]any{"exp": nil, "iat": nil}), says: "neither"},
		"signed long ago":              {token: token(map[string]any{"exp": at(time.Hour), "iat": at(-25 * time.Hour)}), says: "more than 24h"},
		"signed in the future":         {token: token(map[string]any{"exp": at(time.Hour), "iat": at(10 * time.Minute)}), says: "future"},
		"good for long":                {token: token(map[string]any{"exp": at(48 * time.Hour), "iat": nil}), says: "expires in more than"},
		"another issuer":               {token: token(map[string]any{"iss": "https://online.superoffice.com"}), says: "iss"},
		"a person's id token":          {token: token(map[string]any{"nonce": "n"}), says: "nonce"},
		"a person's, without nonce":    {token: token(map[string]any{claimPrefix + "associateid": "7"}), says: "associateid"},
		"a system user's":              {token: token(map[string]any{claimPrefix + "ticket": "7T:x"}), says: "ticket"},
		"too long":                     {token: strings.Repeat("x", maxIDToken+1), says: "larger"},
		"no token":                     {token: "x", says: "parts"},
	} {
		fields := map[string]any{"Token": c.token}
		maps.Copy(fields, c.body)
		_, err := p.verify(bodyOf(fields))
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Kind != Ended || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the error holds the token", name)
		}
	}
	if p.fetched > 1 { // the clock stands: once, and once in ten seconds for a signature of nobody's
		t.Errorf("strangers had keys fetched %d times", p.fetched)
	}
}

func TestABodyThatIsNoPushIsNotRead(t *testing.T) {
	t.Parallel()
	for says, raw := range map[string]string{
		"no Token":             `{"ChangeType":2,"ContextIdentifier":"Cust12345"}`,
		"no ChangeType":        `{"Token":"x","ContextIdentifier":"Cust12345"}`,
		"is no tenant":         `{"Token":"x","ChangeType":2,"ContextIdentifier":"../state"}`,
		"occurs twice":         `{"Token":"x","ChangeType":2,"ChangeType":3,"ContextIdentifier":"Cust12345"}`,
		"not valid JSON":       `{"Token":`,
		"not a JSON object":    `[]`,
		"of another type":      `{"Token":{},"ChangeType":2,"ContextIdentifier":"Cust12345"}`,
		"larger than 65536 by": `{"Token":"` + strings.Repeat("x", MaxPush) + `"}`,
	} {
		if _, err := ParsePush([]byte(raw)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %s", raw, err, says)
		}
	}
}

// One token is one push, whatever stands beside it.
func TestAPushIsNamedByItsTokenAlone(t *testing.T) {
	t.Parallel()
	p := newPusher(t, 2048)
	claims := p.claims(map[string]any{"ChangeType": nil, claimPrefix + "ctx": nil})
	token := p.sign(claims)
	claims["jti"] = "2"
	another := p.sign(claims)
	var ids []string
	for _, fields := range []map[string]any{{"Token": token}, {"Token": token, "ChangeType": 3, "ContextIdentifier": "Cust54321", "VersionName": "x"}, {"Token": another}} {
		push, err := p.verify(bodyOf(fields))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, push.ID)
	}
	if ids[0] != ids[1] || ids[0] == ids[2] {
		t.Errorf("%v", ids)
	}
}

func TestKeysThatCannotBeHadAreAnOutage(t *testing.T) {
	t.Parallel()
	p := newPusher(t, 2048)
	p.keys = NewKeySet(p.env, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })}, idp.Observer{}, nil)
	_, err := p.verify(bodyOf(map[string]any{"Token": p.sign(p.claims(nil))}))
	var outage *Error
	if !errors.As(err, &outage) || outage.Kind != Outage {
		t.Errorf("%v", err)
	}
}

func FuzzVerifyPush(f *testing.F) {
	p := newPusher(f, 1024)
	token := p.sign(p.claims(nil))
	f.Add(bodyOf(map[string]any{"Token": token}), `{"exp":1777637100,"ChangeType":2,"`+claimPrefix+`ctx":"Cust12345"}`)
	f.Add(bodyOf(map[string]any{"Token": token, "ChangeType": 3}), `{"iat":"1777636790"}`)
	f.Add([]byte(`{"Token":"x","ChangeType":"move","ContextIdentifier":"Cust1","PublicEndpoint":"https://x"}`), `{"exp":1777637100,"PublicEndpoint":"https://y"}`)
	f.Add([]byte(`{"Token":"x","ChangeType":5,"ContextIdentifier":"Cust1"}`), `{"exp":1777637100,"ChangeType":[],"aud":["a","b"]}`)
	f.Fuzz(func(t *testing.T, raw []byte, payload string) {
		body, err := ParsePush(raw)
		if err != nil {
			return
		}
		// What SuperOffice signed must not be contradicted, whatever it is.
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		signature, err := jwt.SigningMethodRS256.Sign(text, p.private)
		if err != nil {
			t.Fatal(err)
		}
		body.Token = text + "." + base64.RawURLEncoding.EncodeToString(signature)
		push, err := VerifyPush(t.Context(), p.env, p.keys, body, func() time.Time { return pushedAt })
		if err != nil {
			if errors.As(err, new(*Error)) {
				return
			}
			t.Fatalf("another kind of error: %v", err)
		}
		var said map[string]any
		if err := json.Unmarshal([]byte(payload), &said); err != nil {
			t.Fatalf("taken: %s", payload)
		}
		tenant, ok := superoffice.ParseTenant(body.Context)
		if !ok || push.Tenant != tenant || !slices.Contains(superoffice.Changes(), push.Change) || push.ID == "" || push.Until.Before(pushedAt) || push.Until.Sub(pushedAt) > longestPush+leeway {
			t.Errorf("%+v of %s", push, raw)
		}
		if ctx, _ := said[claimPrefix+"ctx"].(string); ctx != "" && !strings.EqualFold(ctx, string(tenant)) {
			t.Errorf("the token is about %s, taken for %s", ctx, tenant)
		}
		if _, ok := said["ChangeType"]; push.ChangeBound != (ok && said["ChangeType"] != nil) {
			t.Errorf("bound %v by %s", push.ChangeBound, payload)
		}
		if _, names := said["nonce"]; names {
			t.Errorf("a person's token is taken: %s", payload)
		}
	})
}
