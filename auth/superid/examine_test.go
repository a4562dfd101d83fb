package superid_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// provider is a SuperID whose id_tokens lack one claim.
type provider struct {
	key   *rsa.PrivateKey
	env   superoffice.Environment
	lacks string
	asked int        // for its keys
	form  url.Values // that it got last
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	encode := base64.RawURLEncoding.EncodeToString
	if strings.HasSuffix(r.URL.Path, "/jwks") {
		p.asked++
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{"kty": "RSA", "use": "sig", "kid": "k", "n": encode(p.key.N.Bytes()), "e": encode(big.NewInt(int64(p.key.E)).Bytes())}}})
		return w.Result(), nil
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if p.form, err = url.ParseQuery(string(raw)); err != nil {
		return nil, err
	}
	const prefix = "http://schemes.superoffice.net/identity/"
	claims := jwt.MapClaims{
		"iss": p.env.Base(), "aud": "app", "exp": time.Now().Add(time.Minute).Unix(), "nonce": "n",
		prefix + "ctx": "Cust12345", prefix + "associateid": "7", prefix + "upn": "per@uno.example", prefix + "webapi_url": "https://sod.superoffice.com/Cust12345/api/",
	}
	maps.DeleteFunc(claims, func(name string, _ any) bool { return p.lacks != "" && strings.HasSuffix(name, p.lacks) })
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = "k"
	signed, err := token.SignedString(p.key)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "8A:Cust12345.x", "token_type": "Bearer", "expires_in": "600", "refresh_token": "r", "id_token": signed})
	return w.Result(), nil
}

// A probe tells operators what to change by these: they are no word but what the client does. A change of what
// Exchange, AuthorizeURL or Refresh ask of SuperID changes Assumes, and the table of docs/probe.md, with it.
func TestAssumesIsWhatTheClientDoes(t *testing.T) {
	t.Parallel()
	env, err := superoffice.NewEnvironment("sod")
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, env: env}
	client := &http.Client{Transport: p}
	c := superid.New(superid.Config{Environment: env, ClientID: "app", ClientSecret: func() auth.Secret { return auth.NewSecret("s") }, Client: client, Keys: superid.NewKeySet(env, client, idp.Observer{}, nil)})
	assumed := c.Assumes()
	attempt := superid.SignIn{Tenant: "Cust12345", RedirectURI: "https://gateway.example/callback", State: "s", Nonce: "n", Verifier: strings.Repeat("v", 43)}
	if _, _, err := c.Exchange(t.Context(), attempt, "code"); err != nil {
		t.Fatal(err)
	}
	for claim, required := range map[string]bool{"nonce": assumed.NonceRequired, "/upn": assumed.UPNRequired, "/webapi_url": assumed.APIClaimRequired} {
		p.lacks = claim
		if _, _, err := c.Exchange(t.Context(), attempt, "code"); (err != nil) != required {
			t.Errorf("without %s: %v, and Assumes says that it is required: %t", claim, err, required)
		}
		seen, err := c.Examine(t.Context(), attempt, "code")
		if err != nil || (seen.Nonce == "") != (claim == "nonce") || seen.UPN == (claim == "/upn") || seen.APIClaim == (claim == "/webapi_url") || seen.Tenant != "Cust12345" || seen.Administrator || seen.SystemToken {
			t.Errorf("without %s: %+v %v", claim, seen, err)
		}
		if left := time.Until(seen.Tokens.Expires); left < 9*time.Minute || left > 10*time.Minute {
			t.Errorf("an expires_in of 600 in text is %v", left)
		}
	}
	if target, err := url.Parse(c.AuthorizeURL(attempt)); err != nil || target.Query().Has("code_challenge") != assumed.PKCE {
		t.Errorf("%v %v", target, err)
	}
	if _, err := c.Refresh(t.Context(), auth.NewSecret("r"), attempt.RedirectURI); err != nil || p.form.Has("redirect_uri") != assumed.RedirectURIAtRefresh {
		t.Errorf("a refresh sends redirect_uri: %t, %v", p.form.Has("redirect_uri"), err)
	}
	for _, redirect := range []string{"", attempt.RedirectURI} {
		if _, err := c.ExamineRefresh(t.Context(), auth.NewSecret("r"), redirect); err != nil || p.form.Get("redirect_uri") != redirect || p.form.Has("redirect_uri") != (redirect != "") || p.form.Get("client_secret") != "s" {
			t.Errorf("%v %v", p.form, err)
		}
	}
}

func TestAnAnswerOfAnotherIssuerOrForAnotherAppIsNotExamined(t *testing.T) {
	t.Parallel()
	env, err := superoffice.NewEnvironment("sod")
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &provider{key: key, env: env}}
	config := superid.Config{Environment: env, ClientID: "another app", ClientSecret: func() auth.Secret { return auth.NewSecret("s") }, Client: client, Keys: superid.NewKeySet(env, client, idp.Observer{}, nil)}
	seen, err := superid.New(config).Examine(t.Context(), superid.SignIn{RedirectURI: "https://gateway.example/callback"}, "code")
	if err == nil || seen.Tenant != "" || seen.Tokens.Refresh.IsZero() {
		t.Errorf("%+v %v", seen, err)
	}
}

func TestASignatureThatFitsNoKeyHasTheKeysFetchedOnceAgainBeforeItIsRefused(t *testing.T) {
	t.Parallel()
	env, err := superoffice.NewEnvironment("sod")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{env: env}
	rotate := func() {
		if p.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	rotate()
	client := &http.Client{Transport: p}
	now := time.Now()
	c := superid.New(superid.Config{
		Environment: env, ClientID: "app", ClientSecret: func() auth.Secret { return auth.NewSecret("s") }, Client: client,
		Keys: superid.NewKeySet(env, client, idp.Observer{}, func() time.Time { return now }),
	})
	attempt := superid.SignIn{Tenant: "Cust12345", RedirectURI: "https://gateway.example/callback", State: "s", Nonce: "n", Verifier: strings.Repeat("v", 43)}
	exchange := func() error {
		_, _, err := c.Exchange(t.Context(), attempt, "code")
		return err
	}
	if err := exchange(); err != nil || p.asked != 1 {
		t.Fatalf("%v after %d fetches", err, p.asked)
	}
	rotate() // under the same kid
	if err := exchange(); err == nil || p.asked != 1 {
		t.Errorf("%v after %d fetches: keys are fetched at most once in 10 s", err, p.asked)
	}
	now = now.Add(11 * time.Second)
	if err := exchange(); err != nil || p.asked != 2 {
		t.Errorf("%v after %d fetches", err, p.asked)
	}
}
