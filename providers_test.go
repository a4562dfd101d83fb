package erpsync

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// claimsOf are the claims of a token, beside exp, iat and nbf.
type claimsOf = jwt.MapClaims

// partnerToken is a token in the shape of a provider's, with what becomes of it.
type partnerToken struct {
	kind    string
	change  claimsOf // of the provider's usual claims; nil takes one away
	refused string   // the cause; "" for a token that is taken
}

// partnerProvider is a provider as its public documentation describes its tokens.
type partnerProvider struct {
	discovery string         // where its keys are found, if the block does not say
	jwks      string         // where they are
	header    map[string]any // beside alg and kid
	extra     []string       // further members of its key set
	claims    claimsOf       // of its usual token
	tokens    []partnerToken // beside the usual one
}

const (
	directory = "11111111-2222-3333-4444-555555555555"
	apiClient = "66666666-7777-8888-9999-000000000000"
)

// partnerProviders are by the headings of docs/identity-providers.md.
var partnerProviders = map[string]partnerProvider{
	"Microsoft Entra ID, v2 tokens": {
		discovery: "https://login.microsoftonline.com/" + directory + "/v2.0/.well-known/openid-configuration",
		jwks:      "https://login.microsoftonline.com/" + directory + "/discovery/v2.0/keys",
		header:    map[string]any{"typ": "JWT"},
		claims: claimsOf{
			"iss": "https://login.microsoftonline.com/" + directory + "/v2.0", "aud": apiClient, "aio": "E2ZgYJg", "azp": "aaaaaaaa-0000-0000-0000-000000000001", "azpacr": "1",
			"oid": "bbbbbbbb-0000-0000-0000-000000000002", "rh": "1.AXQA.", "roles": []string{"ErpSync.Run"}, "sub": "bbbbbbbb-0000-0000-0000-000000000002", "tid": directory, "uti": "x", "ver": "2.0",
		},
		tokens: []partnerToken{
			{"an application with several roles", claimsOf{"roles": []string{"Other", "ErpSync.Run"}}, ""},
			{"an application without a role", claimsOf{"roles": nil}, `claim "roles" is missing, want "ErpSync.Run"`},
			{"a person's token with a scope", claimsOf{"roles": nil, "scp": "ErpSync.Run"}, `claim "roles" is missing`},
			{"of another directory", claimsOf{"iss": "https://login.microsoftonline.com/99999999-2222-3333-4444-555555555555/v2.0"}, "iss is"},
			{"for Microsoft Graph", claimsOf{"aud": "00000003-0000-0000-c000-000000000000"}, `aud is "00000003-`},
			{"proof of possession", claimsOf{"cnf": map[string]string{"kid": "x"}}, "cnf"},
		},
	},
	"Microsoft Entra ID, v1 tokens": {
		jwks:   "https://login.microsoftonline.com/" + directory + "/discovery/keys",
		header: map[string]any{"typ": "JWT", "x5t": "one"},
		claims: claimsOf{
			"iss": "https://sts.windows.net/" + directory + "/", "aud": "api://" + apiClient, "appid": "aaaaaaaa-0000-0000-0000-000000000001", "appidacr": "1",
			"idp": "https://sts.windows.net/" + directory + "/", "oid": "bbbbbbbb-0000-0000-0000-000000000002", "roles": []string{"ErpSync.Run"}, "sub": "bbbbbbbb-0000-0000-0000-000000000002", "tid": directory, "ver": "1.0",
		},
		tokens: []partnerToken{
			{"the id in place of the URI", claimsOf{"aud": apiClient}, `aud is "66666666-`},
			{"without the slash", claimsOf{"iss": "https://sts.windows.net/" + directory}, "iss is"},
		},
	},
	"Auth0": {
		discovery: "https://example.eu.auth0.com/.well-known/openid-configuration", jwks: "https://example.eu.auth0.com/.well-known/jwks.json",
		header: map[string]any{"typ": "JWT"},
		claims: claimsOf{
			"iss": "https://example.eu.auth0.com/", "sub": "wY1bC2@clients", "aud": "https://erpsync.example.com", "azp": "wY1bC2", "scope": "sync:run sync:read",
			"gty": "client-credentials", "https://erpsync.example.com/tenant": "Cust12345",
		},
		tokens: []partnerToken{
			{"with the RFC 9068 profile", claimsOf{"client_id": "wY1bC2", "jti": "x"}, ""},
			{"a person's, with two audiences", claimsOf{"aud": []string{"https://erpsync.example.com", "https://example.eu.auth0.com/userinfo"}, "gty": nil}, `claim "gty" is missing`},
			{"another scope", claimsOf{"scope": "sync:runner"}, `claim "scope" holds none of "sync:run"`},
			{"without a tenant", claimsOf{"https://erpsync.example.com/tenant": nil}, `claim "https://erpsync.example.com/tenant" is missing`},
		},
	},
	"Keycloak": {
		discovery: "https://sso.example.com/realms/erp/.well-known/openid-configuration", jwks: "https://sso.example.com/realms/erp/protocol/openid-connect/certs",
		header: map[string]any{"typ": "JWT"},
		extra:  []string{`{"kid":"enc","kty":"RSA","alg":"RSA-OAEP","use":"enc","n":"AQAB","e":"AQAB"}`},
		claims: claimsOf{
			"iss": "https://sso.example.com/realms/erp", "aud": []string{"erpsync", "account"}, "sub": "cccccccc-0000-0000-0000-000000000003", "typ": "Bearer", "azp": "nightly", "acr": "1",
			"realm_access": map[string]any{"roles": []string{"offline_access"}}, "resource_access": map[string]any{"erpsync": map[string]any{"roles": []string{"sync"}}, "account": map[string]any{"roles": []string{"view-profile"}}},
			"scope": "email profile", "clientHost": "10.0.0.1", "client_id": "nightly", "preferred_username": "service-account-nightly", "ext": map[string]any{"tenant": "Cust12345"},
		},
		tokens: []partnerToken{
			{"a multivalued tenant of one", claimsOf{"ext": map[string]any{"tenant": []string{"Cust12345"}}}, ""},
			{"a flat claim", claimsOf{"ext": nil, "ext.tenant": "Cust12345"}, ""},
			{"two tenants", claimsOf{"ext": map[string]any{"tenant": []string{"Cust12345", "Cust54321"}}}, `claim "ext.tenant" has 2 values, want one`},
			{"without the audience mapper", claimsOf{"aud": nil}, `aud is missing, want "erpsync"`},
			{"for the account console", claimsOf{"aud": "account"}, `aud is "account", want "erpsync"`},
			{"without the scope basic", claimsOf{"sub": nil}, "sub is missing"},
			{"the role of another client", claimsOf{"resource_access": map[string]any{"account": map[string]any{"roles": []string{"sync"}}}}, `claim "resource_access.erpsync.roles" is missing`},
			{"bound by DPoP", claimsOf{"cnf": map[string]string{"jkt": "x"}}, "cnf"},
			{"a logout token of old", claimsOf{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "events"},
		},
	},
	"Okta": {
		discovery: "https://example.okta.com/oauth2/default/.well-known/openid-configuration", jwks: "https://example.okta.com/oauth2/default/v1/keys",
		claims: claimsOf{
			"ver": 1, "jti": "AT.x", "iss": "https://example.okta.com/oauth2/default", "aud": "api://default", "cid": "0oa1b2c3", "scp": []string{"erpsync.run"}, "sub": "0oa1b2c3", "tenant": "Cust12345",
		},
		tokens: []partnerToken{
			{"the claim as a list", claimsOf{"tenant": []string{"Cust12345"}}, ""},
			{"of the org server", claimsOf{"iss": "https://example.okta.com", "aud": "https://example.okta.com"}, "iss is"},
			{"another scope", claimsOf{"scp": []string{"erpsync.read"}}, `claim "scp" holds none of "erpsync.run"`},
		},
	},
	"Amazon Cognito": {
		discovery: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example/.well-known/openid-configuration",
		jwks:      "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example/.well-known/jwks.json",
		claims: claimsOf{
			"sub": "1example23456789", "token_use": "access", "scope": "erpsync/run", "auth_time": 1, "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example", "version": 2, "jti": "x", "client_id": "1example23456789",
		},
		tokens: []partnerToken{
			{"an id token", claimsOf{"token_use": "id", "aud": "1example23456789", "client_id": nil}, `aud is "1example23456789", and only tokens without aud are taken`},
			{"with a resource", claimsOf{"aud": "https://erpsync.example.com"}, "only tokens without aud are taken"},
			{"of another client", claimsOf{"client_id": "other"}, `client_id is "other", want "1example23456789"`},
			{"of another pool", claimsOf{"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"}, "iss is"},
		},
	},
	"Google service accounts": {
		discovery: "https://accounts.google.com/.well-known/openid-configuration", jwks: "https://www.googleapis.com/oauth2/v3/certs",
		header: map[string]any{"typ": "JWT"},
		claims: claimsOf{
			"iss": "https://accounts.google.com", "aud": "https://erpsync.example.com", "azp": "112233445566778899001", "sub": "112233445566778899001", "email": "sync@erp.iam.gserviceaccount.com", "email_verified": true,
		},
		tokens: []partnerToken{
			{"of another account", claimsOf{"sub": "998877665544332211009"}, `sub is "998877665544332211009"`},
			{"signed by the account itself", claimsOf{"iss": "sync@erp.iam.gserviceaccount.com"}, "iss is"},
		},
	},
	"GitHub Actions": {
		discovery: "https://token.actions.githubusercontent.com/.well-known/openid-configuration", jwks: "https://token.actions.githubusercontent.com/.well-known/jwks",
		header: map[string]any{"typ": "JWT", "x5t": "one"},
		claims: claimsOf{
			"iss": "https://token.actions.githubusercontent.com", "aud": "https://erpsync.example.com", "sub": "repo:octo-org@123456/erp-sync@456789:environment:production", "environment": "production",
			"repository": "octo-org/erp-sync", "repository_id": "456789", "repository_owner": "octo-org", "repository_owner_id": "123456", "ref": "refs/heads/main", "event_name": "workflow_dispatch", "runner_environment": "github-hosted",
		},
		tokens: []partnerToken{
			{"with the name alone", claimsOf{"sub": "repo:octo-org/erp-sync:environment:production"}, ""},
			{"of a repository that took the name", claimsOf{"sub": "repo:octo-org/erp-sync:environment:production", "repository_id": "999999"}, `claim "repository_id" holds none of "456789"`},
			{"of a pull request", claimsOf{"sub": "repo:octo-org/erp-sync:pull_request"}, `sub is "repo:octo-org/erp-sync:pull_request"`},
			{"for the default audience", claimsOf{"aud": "https://github.com/octo-org"}, "aud is"},
		},
	},
	"Kubernetes service accounts": {
		claims: claimsOf{
			"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{"erpsync"}, "sub": "system:serviceaccount:erp:sync", "jti": "x",
			"kubernetes.io": map[string]any{"namespace": "erp", "pod": map[string]string{"name": "sync-0", "uid": "x"}, "serviceaccount": map[string]string{"name": "sync", "uid": "y"}, "warnafter": 1777640407},
		},
		tokens: []partnerToken{
			{"the token that every pod has", claimsOf{"aud": []string{"https://kubernetes.default.svc.cluster.local"}}, "aud is"},
			{"of another account", claimsOf{"sub": "system:serviceaccount:erp:other"}, "sub is"},
			{"of an old secret", claimsOf{"iss": "kubernetes/serviceaccount", "aud": nil, "exp": nil}, "iss is"},
			{"without an end", claimsOf{"exp": nil}, "exp is missing"},
		},
	},
}

var (
	section = regexp.MustCompile(`(?m)^## (.+)$`)
	fenced  = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
)

// TestEveryBlockOfTheProvidersPageTakesTheTokensOfItsProvider has each block of the page provisioned as it stands there, and
// a service call in with tokens of that provider's shape.
func TestEveryBlockOfTheProvidersPageTakesTheTokensOfItsProvider(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/identity-providers.md")
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	headings := section.FindAllSubmatchIndex(page, -1)
	for i, at := range headings {
		end := len(page)
		if i+1 < len(headings) {
			end = headings[i+1][0]
		}
		name := string(page[at[2]:at[3]])
		for _, block := range fenced.FindAllSubmatch(page[at[0]:end], -1) {
			provider, known := partnerProviders[name]
			if !known || found[name] {
				t.Errorf("%s: a block that no test knows, or a second one", name)
				continue
			}
			found[name] = true
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				provider.try(t, string(block[1]), key)
			})
		}
	}
	for name := range partnerProviders {
		if !found[name] {
			t.Errorf("%s: the page has no block", name)
		}
	}
}

func (p partnerProvider) try(t *testing.T, block string, key *rsa.PrivateKey) {
	keys := p.keys(key)
	so := newSandbox(t)
	answers := map[string]string{p.jwks: keys}
	if p.discovery != "" {
		raw, err := json.Marshal(map[string]any{"issuer": p.claims["iss"], "jwks_uri": p.jwks, "id_token_signing_alg_values_supported": []string{"RS256"}})
		if err != nil {
			t.Fatal(err)
		}
		answers[p.discovery] = string(raw)
	}
	transport := outcome.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.String(), so.Base()) {
			return http.DefaultTransport.RoundTrip(r)
		}
		body, known := answers[r.URL.String()]
		if !known {
			t.Errorf("asked for %s", r.URL)
			return nil, io.ErrUnexpectedEOF
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	if strings.Contains(block, "trust ") {
		block = p.insideCluster(t, block, keys)
	}
	g := prepare(t, so, newProvider(t), `
	environment {base}
	app erp {
		client_id {file.{dir}/erp.client_id}
		client_secret {file.{dir}/erp.client_secret}
		private_key {file.{dir}/erp.private_key}
		agents ErpSync
		tenants file {dir}/tenants.json
		call_as system
	}
	`+block, zap.NewNop(), transport)
	set, err := idp.NewSet(g.h.runtime.gateway.Config().Issuers, idp.Options{Transport: transport, Client: func(rt http.RoundTripper) *http.Client { return &http.Client{Transport: rt} }})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range append([]partnerToken{{kind: "as it is issued"}}, p.tokens...) {
		signed := p.sign(t, key, token.change)
		principal, refusal := set.Prove(t.Context(), signed, "Cust12345")
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": {"Bearer " + signed}})
		switch {
		case token.refused != "":
			if refusal == nil || refusal.Reason != auth.CredentialInvalid || !strings.Contains(refusal.Cause.Error(), token.refused) {
				t.Errorf("%s: %v, want %s", token.kind, refusal, token.refused)
			}
			if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "credential_invalid") {
				t.Errorf("%s: %d %s", token.kind, got.status, got.body)
			}
		case refusal != nil || principal.App != "erp" || principal.Tenant != superoffice.Tenant("Cust12345"):
			t.Errorf("%s: %+v %v", token.kind, principal, refusal)
		case got.status != http.StatusOK:
			t.Errorf("%s: %d %s", token.kind, got.status, got.body)
		}
		result := "taken as " + principal.ID
		if refusal != nil {
			result = fmt.Sprintf("%d %s", refusal.Status, refusal)
		}
		t.Logf("| %s | %s | %s |", t.Name()[strings.IndexByte(t.Name(), '/')+1:], token.kind, result)
	}
}

func (p partnerProvider) keys(key *rsa.PrivateKey) string {
	encode := base64.RawURLEncoding.EncodeToString
	own := fmt.Sprintf(`{"kty":"RSA","use":"sig","kid":"one","n":%q,"e":%q,"x5c":["none"]}`, encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes()))
	return `{"keys":[` + strings.Join(append(slices.Clone(p.extra), own), ",") + `]}`
}

func (p partnerProvider) sign(t *testing.T, key *rsa.PrivateKey, change claimsOf) string {
	t.Helper()
	claims := claimsOf{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, p.claims)
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	delete(token.Header, "typ")
	token.Header["kid"] = "one"
	maps.Copy(token.Header, p.header)
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// insideCluster puts an API server of the test's in the place of a cluster's, with an authority of its own.
func (p partnerProvider) insideCluster(t *testing.T, block, keys string) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openid/v1/jwks" {
			t.Errorf("asked for %s", r.URL)
		}
		_, _ = io.WriteString(w, keys)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	replaced := strings.NewReplacer("https://kubernetes.default.svc/", server.URL+"/", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", file).Replace(block)
	if strings.Count(replaced, server.URL)+strings.Count(replaced, file) != 2 {
		t.Errorf("the block is not inside a cluster: %s", block)
	}
	return replaced
}
