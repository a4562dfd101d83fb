package superid

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader([]byte(a))), Request: r}, nil
}

// A claim in another case, or one that occurs twice, must not be what another reader of the token sees.
func TestClaimsOfSuperIDHaveTheirExactNamesAndStandThereOnce(t *testing.T) {
	t.Parallel()
	env, err := superoffice.NewEnvironment("sod")
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	keys := NewKeySet(env, &http.Client{Transport: answering(fmt.Sprintf(`{"keys":[{"kty":"RSA","use":"sig","kid":"k","n":%q,"e":%q}]}`,
		encode(private.N.Bytes()), encode(big.NewInt(int64(private.E)).Bytes())))}, idp.Observer{}, nil)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	sign := func(header, payload string) string {
		text := encode([]byte(header)) + "." + encode([]byte(payload))
		signature, err := jwt.SigningMethodRS256.Sign(text, private)
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + encode(signature)
	}
	const (
		header = `{"alg":"RS256","kid":"k","typ":"JWT"}`
		prefix = `http://schemes.superoffice.net/identity/`
		// iat is a string, as SuperID writes it.
		common = `"iss":"SuperOffice AS","aud":"spn:1234","` + prefix + `serial":"1234","iat":"1777636790","` + prefix + `webapi_url":"https://sod.superoffice.com/Cust12345/api/","` + prefix + `ticket":"7T:x"`
	)
	tenant, exp := `,"`+prefix+`ctx":"Cust12345"`, `,"exp":1777640400`
	verify := func(token string) error {
		_, err := VerifySystemTicket(t.Context(), env, keys, token, "Cust12345", func() time.Time { return now })
		return err
	}
	if err := verify(sign(header, "{"+common+tenant+exp+"}")); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"a past exp beside EXP":    sign(header, "{"+common+tenant+`,"exp":1,"EXP":1777640400}`),
		"EXP alone":                sign(header, "{"+common+tenant+`,"EXP":1777640400}`),
		"exp twice":                sign(header, "{"+common+tenant+`,"exp":1`+exp+"}"),
		"a tenant in another case": sign(header, "{"+common+`,"`+strings.ToUpper(prefix)+`CTX":"Cust12345"`+exp+"}"),
		"two tenants":              sign(header, "{"+common+`,"`+prefix+`ctx":"Cust99999"`+tenant+exp+"}"),
		"a header name twice":      sign(`{"alg":"RS256","kid":"x","kid":"k"}`, "{"+common+tenant+exp+"}"),
		"crit":                     sign(`{"alg":"RS256","kid":"k","crit":["exp"]}`, "{"+common+tenant+exp+"}"),
		"b64":                      sign(`{"alg":"RS256","kid":"k","b64":false}`, "{"+common+tenant+exp+"}"),
	} {
		if err := verify(token); err == nil {
			t.Errorf("%s: taken", name)
		}
	}

	// The id token of a person goes the same way.
	client := &Client{config: Config{Environment: env, ClientID: "app", Keys: keys, Now: func() time.Time { return now }}}
	person := func(more string) string {
		return sign(header, fmt.Sprintf(`{"iss":%q,"aud":"app","iat":"1777636790","nonce":"n","%supn":"per@uno.example","%[2]swebapi_url":"https://sod.superoffice.com/Cust12345/api/"%s}`, env.Base(), prefix, more))
	}
	identify := func(token string) error {
		_, err := client.identify(t.Context(), token, SignIn{Nonce: "n", Verifier: "v"}, auth.NewSecret("8A:Cust12345.x"))
		return err
	}
	if err := identify(person(tenant + exp)); err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]string{
		"a nonce in another case": tenant + exp + `,"NONCE":"n","nonce":"x"`,
		"AUD":                     tenant + exp + `,"aud":"app2"`,
		"an administrator twice":  tenant + exp + `,"` + prefix + `is_administrator":"False","` + prefix + `is_administrator":"True"`,
	} {
		if err := identify(person(more)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// What binds a token to its attempt, its tenant and its person: each is refused on its own.
	for name, c := range map[string]struct {
		more   string
		signIn SignIn
		access string
	}{
		"an access token of another tenant": {tenant + exp, SignIn{Nonce: "n", Verifier: "v"}, "8A:Cust99999.x"},
		"an access token of no tenant":      {tenant + exp, SignIn{Nonce: "n", Verifier: "v"}, "opaque"},
		"another attempt's nonce":           {tenant + exp, SignIn{Nonce: "m", Verifier: "v"}, "8A:Cust12345.x"},
		"a nonce that nobody sent":          {tenant + exp, SignIn{Verifier: "v"}, "8A:Cust12345.x"},
		"no tenant":                         {exp, SignIn{Nonce: "n", Verifier: "v"}, "8A:Cust12345.x"},
	} {
		if _, err := client.identify(t.Context(), person(c.more), c.signIn, auth.NewSecret(c.access)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	anybody := func(claims string, s SignIn) error {
		token := sign(header, fmt.Sprintf(`{"iss":%q,"aud":"app","iat":"1777636790","%swebapi_url":"https://sod.superoffice.com/Cust12345/api/"%s}`, env.Base(), prefix, claims+tenant+exp))
		_, err := client.identify(t.Context(), token, s, auth.NewSecret("8A:Cust12345.x"))
		return err
	}
	byUPN, byID := `,"`+prefix+`upn":"per@uno.example"`, `,"`+prefix+`associateid":"7"`
	for name, c := range map[string]struct {
		claims string
		signIn SignIn
		taken  bool
	}{
		"no nonce with PKCE":             {byUPN, SignIn{Nonce: "n", Verifier: "v"}, true},
		"no nonce without PKCE":          {byUPN, SignIn{Nonce: "n"}, false},
		"an associate id alone":          {byID, SignIn{Nonce: "n", Verifier: "v"}, true},
		"nobody":                         {"", SignIn{Nonce: "n", Verifier: "v"}, false},
		"associate 0":                    {`,"` + prefix + `associateid":"0"`, SignIn{Nonce: "n", Verifier: "v"}, false},
		"a UPN that reads as somebody's": {`,"` + prefix + `upn":"associate:7"`, SignIn{Nonce: "n", Verifier: "v"}, false},
	} {
		if err := anybody(c.claims, c.signIn); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, system := range map[string]string{
		"another serial":    strings.Replace(common, `serial":"1234"`, `serial":"1235"`, 1),
		"an empty serial":   strings.Replace(strings.Replace(common, `serial":"1234"`, `serial":""`, 1), "spn:1234", "spn:", 1),
		"a second audience": strings.Replace(common, `"spn:1234"`, `["spn:1234","x"]`, 1),
		"no ticket":         strings.Replace(common, "7T:x", "", 1),
	} {
		if err := verify(sign(header, "{"+system+tenant+exp+"}")); err == nil || system == common {
			t.Errorf("%s: taken", name)
		}
	}

	var claims vendorClaims
	if err := claims.UnmarshalJSON([]byte(`{"NONCE":"n","IAT":1,"Exp":1,"` + strings.ToUpper(prefix) + `SYSTEM_TOKEN":"x"}`)); err != nil || claims.Nonce != "" || claims.ExpiresAt != nil || claims.SystemToken != "" {
		t.Errorf("%+v %v", claims, err)
	}
}

// A refusal of the app's own request must sign nobody out, and an outage must end nothing.
func TestOnlyInvalidGrantSaysThatATokenIsNoGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
		want   Kind
	}{
		{400, "invalid_grant", Ended},
		{401, "invalid_grant", Ended},
		{400, "invalid_client", Misconfigured},
		{401, "invalid_client", Misconfigured},
		{400, "invalid_request", Misconfigured},
		{400, "", Misconfigured},
		{403, "", Misconfigured},
		{200, "access_denied", Misconfigured},
		{400, "temporarily_unavailable", Outage},
		{400, "server_error", Outage},
		{400, "slow_down", Outage},
		{408, "", Outage},
		{425, "", Outage},
		{429, "invalid_grant", Outage},
		{500, "invalid_grant", Outage},
		{503, "", Outage},
		{200, "", Outage},
	} {
		if got := kindOf(c.status, c.code); got != c.want {
			t.Errorf("%d %q: %d, want %d", c.status, c.code, got, c.want)
		}
	}
}
