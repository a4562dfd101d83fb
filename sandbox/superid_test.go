package sandbox_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func challenge(verifier string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return url.Values{"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
}

func TestPKCEIsCheckedIgnoredRequiredOrRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, c := range []struct {
		pkce      string
		challenge bool
		verifier  string
		want      string // "" is tokens
	}{
		{"checked", true, "right", ""},
		{"checked", true, "wrong", "invalid_grant"},
		{"checked", true, "", "invalid_grant"},
		{"checked", false, "", ""},
		{"ignored", true, "wrong", ""},
		{"required", true, "right", ""},
		{"required", false, "", "invalid_request"},
		{"refused", true, "right", "invalid_request"},
		{"refused", false, "", ""},
	} {
		o.on("pkce", c.pkce)
		var more url.Values
		if c.challenge {
			more = challenge("right")
		}
		back := o.authorize("portal", "per", more)
		got := back.Get("error")
		if got == "" {
			got, _ = o.redeem("portal", back, url.Values{"code_verifier": {c.verifier}}).field("error").(string)
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestTheIDTokenHasWhatItsSwitchesSay(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const absent = "<nil>"
	for _, c := range []struct{ name, value, claim, want string }{
		{"nonce", "present", "nonce", "n"},
		{"nonce", "absent", "nonce", absent},
		{"upn", "present", claims + "upn", "tove@uno.example"},
		{"upn", "present", "sub", "tove@uno.example"},
		{"upn", "absent", claims + "upn", absent},
		{"upn", "absent", "sub", "10"},
		{"api_claims", "present", claims + "webapi_url", o.Base() + "/Cust12345/api/"},
		{"api_claims", "absent", claims + "webapi_url", absent},
		{"api_claims", "absent", claims + "netserver_url", absent},
		{"tenant_path", "lower", claims + "webapi_url", o.Base() + "/cust12345/api/"},
		{"audience_in_list", "true", "aud", "[" + o.App("portal").ClientID + "]"},
	} {
		o.defaults()
		o.on(c.name, c.value)
		got := read(t, o.redeem("portal", o.authorize("portal", "tove", url.Values{"nonce": {"n"}}), nil).field("id_token"))[c.claim]
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s=%s: %s is %v, want %s", c.name, c.value, c.claim, got, c.want)
		}
	}
	o.defaults()
	o.on("nonce", "wrong")
	if got := read(t, o.redeem("portal", o.authorize("portal", "tove", url.Values{"nonce": {"n"}}), nil).field("id_token"))["nonce"]; got == nil || got == "n" {
		t.Errorf("a wrong nonce is %v", got)
	}
	for numeric, want := range map[string]string{"false": "string", "true": "float64"} {
		o.defaults()
		o.on("numeric_iat", numeric)
		if got := read(t, o.redeem("portal", o.authorize("portal", "tove", nil), nil).field("id_token"))["iat"]; fmt.Sprintf("%T", got) != want {
			t.Errorf("numeric_iat=%s: iat is %T", numeric, got)
		}
	}
}

func TestASystemTokenComesAtEveryAdministratorsSignInOrAtTheApprovalAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	has := func(name string) bool {
		return read(t, o.redeem("erp", o.authorize("erp", name, nil), nil).field("id_token"))[claims+"system_token"] != nil
	}
	if !has("tove") || has("per") {
		t.Error("by default every administrator's sign-in brings it, and no other")
	}
	o.on("token_on_approval_only", "true")
	if has("tove") {
		t.Error("it came without an approval")
	}
	o.Revoke("erp", "Cust12345")
	if !has("tove") || has("tove") {
		t.Error("it comes with the approval and never again")
	}
}

func TestAWithdrawnConsentEndsSignInsAndIfAskedToCredentials(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.redeem("portal", o.authorize("portal", "per", nil), nil)
	access, refresh := http.Header{"Authorization": {"Bearer " + first.field("access_token").(string)}}, first.field("refresh_token").(string)
	o.Revoke("portal", "Cust12345")
	if got := o.authorize("portal", "per", nil).Get("error"); got != "consent_required" {
		t.Errorf("a person without the right to approve came back with %q", got)
	}
	for _, c := range []struct {
		tokens  string
		status  int
		refused bool
	}{{"live", 200, false}, {"401", 401, true}, {"403", 403, true}} {
		o.on("withdrawn_tokens", c.tokens)
		if got := o.do(http.MethodGet, api+"User/currentPrincipal", "", access).status; got != c.status {
			t.Errorf("%s: HTTP %d", c.tokens, got)
		}
		if got := o.refresh("portal", refresh, nil).field("error"); (got == "invalid_grant") != c.refused {
			t.Errorf("%s: the refresh came to %v", c.tokens, got)
		}
	}
	if got := o.authorize("portal", "tove", nil); got.Get("code") == "" {
		t.Errorf("an administrator cannot approve again: %v", got)
	}
	if got := o.do(http.MethodGet, api+"User/currentPrincipal", "", access).status; got != 200 {
		t.Errorf("after the approval: HTTP %d", got)
	}
}

func TestATenantIsChosenByPathByAcrValuesOrByThePerson(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for path, want := range map[string]struct {
		status int
		choice bool
	}{
		"common": {200, true}, "Cust12345": {200, false}, "common?acr_values=tenant:cust12345": {200, false}, "Cust1": {400, false}, "common?acr_values=tenant:Cust1": {400, false},
	} {
		realm, more, _ := strings.Cut(path, "?")
		query := url.Values{"client_id": {o.App("portal").ClientID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}}
		got := o.do(http.MethodGet, "/login/"+realm+"/oauth/authorize?"+query.Encode()+"&"+more, "", nil)
		if got.status != want.status || strings.Contains(got.body, "<select") != want.choice {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestTheCallbackNamesItsIssuerIfAskedTo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for value, want := range map[string]string{"absent": "", "present": o.Base(), "wrong": "https://another.example"} {
		o.on("callback_iss", value)
		if got := o.authorize("portal", "per", nil).Get("iss"); got != want {
			t.Errorf("%s: %q", value, got)
		}
		if got := o.do(http.MethodGet, "/login/.well-known/openid-configuration", "", nil).field("authorization_response_iss_parameter_supported"); (got == true) != (want != "") {
			t.Errorf("%s: discovery says %v", value, got)
		}
	}
}

func TestARefreshTokenIsKeptRotatedOrWithheld(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := func() string {
		token, _ := o.redeem("portal", o.authorize("portal", "per", nil), nil).field("refresh_token").(string)
		return token
	}
	kept := first()
	for range 2 {
		if got := o.refresh("portal", kept, nil); got.status != 200 || got.field("refresh_token") != nil {
			t.Errorf("kept: %d %s", got.status, got.body)
		}
	}
	if got := o.refresh("erp", kept, nil); got.field("error") != "invalid_grant" {
		t.Errorf("another app refreshed: %s", got.body)
	}
	o.on("refresh_token", "rotated")
	old := first()
	next, _ := o.refresh("portal", old, nil).field("refresh_token").(string)
	if next == "" || o.refresh("portal", old, nil).field("error") != "invalid_grant" || o.refresh("portal", next, nil).status != 200 {
		t.Error("rotated: the old one must be void and the new one good")
	}
	o.on("refresh_token", "withheld")
	if got := first(); got != "" {
		t.Error("withheld: one came")
	}
	o.defaults()
	o.on("redirect_uri_at_refresh", "required")
	for uri, want := range map[string]any{"": "invalid_request", "http://localhost:1/other": "invalid_request", callback: nil} {
		if got := o.refresh("portal", kept, url.Values{"redirect_uri": {uri}}).field("error"); got != want {
			t.Errorf("redirect_uri %q: %v", uri, got)
		}
	}
	o.defaults()
	o.Expire("refresh")
	if got := o.refresh("portal", kept, nil).field("error"); got != "invalid_grant" {
		t.Errorf("an expired one came to %v", got)
	}
}

func TestARevokedTokenIsVoidForItsOwnAppAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.redeem("portal", o.authorize("portal", "per", nil), nil).field("refresh_token").(string)
	revoke := func(app string) reply {
		return o.form("/login/common/oauth/revoke", url.Values{"token": {token}, "client_id": {o.App(app).ClientID}, "client_secret": {o.App(app).ClientSecret}})
	}
	o.on("revocation", "absent")
	if got := revoke("portal").status; got != 404 || o.refresh("portal", token, nil).status != 200 {
		t.Errorf("without the endpoint: HTTP %d", got)
	}
	o.on("revocation", "present")
	revoke("erp")
	if got := o.refresh("portal", token, nil).status; got != 200 {
		t.Errorf("another app revoked it: HTTP %d", got)
	}
	revoke("portal")
	if got := o.refresh("portal", token, nil).field("error"); got != "invalid_grant" {
		t.Errorf("revoked: %v", got)
	}
}

func TestTheTokenEndpointFailsAsAskedAndAsOften(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	refresh := o.redeem("portal", o.authorize("portal", "per", nil), nil).field("refresh_token").(string)
	for name, status := range map[string]int{"invalid_grant": 400, "invalid_client": 401, "unauthorized_client": 400, "invalid_request": 400, "unknown": 400, "empty": 400, "500": 500, "html": 200} {
		o.on("token_error", name)
		got := o.refresh("portal", refresh, nil)
		if got.status != status || (got.field("error") == name) == (name == "500" || name == "html" || name == "empty") || got.field("access_token") != nil {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	o.defaults()
	o.on("token_error", "invalid_client")
	o.on("token_error_at", "refresh")
	o.on("token_error_times", "2")
	if got := o.redeem("portal", o.authorize("portal", "per", nil), nil).status; got != 200 {
		t.Errorf("a code failed as well: HTTP %d", got)
	}
	var seen []int
	for range 3 {
		seen = append(seen, o.refresh("portal", refresh, nil).status)
	}
	if fmt.Sprint(seen) != "[401 401 200]" {
		t.Errorf("twice, then none: %v", seen)
	}
}

func TestSigningOutGoesOnWhereItMay(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.redeem("portal", o.authorize("portal", "per", nil), nil).field("id_token").(string)
	const back = "http://localhost:1/out?a=b"
	out := func(query url.Values) string {
		return o.do(http.MethodGet, "/login/logout?"+query.Encode(), "", nil).header.Get("Location")
	}
	if got := out(url.Values{"post_logout_redirect_uri": {back}, "state": {"x y"}}); got != back+"&state=x+y" {
		t.Errorf("redirect: %q", got)
	}
	if got := out(url.Values{"post_logout_redirect_uri": {"https://evil.example/"}}); got != "" {
		t.Errorf("redirected to a stranger: %q", got)
	}
	if got := out(nil); got != "" {
		t.Errorf("redirected to %q for nobody", got)
	}
	o.on("logout", "page")
	if got := out(url.Values{"post_logout_redirect_uri": {back}}); got != "" {
		t.Errorf("page: %q", got)
	}
	o.on("logout", "hint")
	o.clock.advance(24 * time.Hour) // a hint may have expired
	if out(url.Values{"post_logout_redirect_uri": {back}}) != "" || out(url.Values{"post_logout_redirect_uri": {back}, "id_token_hint": {token[:len(token)-4] + "AAAA"}}) != "" ||
		out(url.Values{"post_logout_redirect_uri": {back}, "id_token_hint": {token}}) != back {
		t.Error("hint: only one that SuperID signed leads on")
	}
}

// published returns the keys that SuperID publishes.
func (o *office) published() (keys []*rsa.PublicKey) {
	var set struct{ Keys []struct{ N, E string } }
	_ = json.Unmarshal([]byte(o.do(http.MethodGet, "/login/.well-known/jwks", "", nil).body), &set)
	for _, k := range set.Keys {
		n, _ := base64.RawURLEncoding.DecodeString(k.N)
		e, _ := base64.RawURLEncoding.DecodeString(k.E)
		keys = append(keys, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())})
	}
	return keys
}

// verifies reports whether one of the keys signed the token.
func verifies(token any, keys []*rsa.PublicKey) bool {
	text, _ := token.(string)
	for _, key := range keys {
		parsed, err := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"RS256"})).Parse(text, func(*jwt.Token) (any, error) { return key, nil })
		if err == nil && parsed.Valid {
			return true
		}
	}
	return false
}

func TestARotatedSigningKeyLeavesTheOldOnePublishedOnlyIfKept(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		o := newOffice(t)
		token := func() any { return o.redeem("portal", o.authorize("portal", "per", nil), nil).field("id_token") }
		before, known := token(), o.published()
		if err := o.RotateSigningKey(keep); err != nil {
			t.Fatal(err)
		}
		after := token()
		if verifies(after, known) || !verifies(after, o.published()) || verifies(before, o.published()) != keep {
			t.Errorf("keep %v: new by old keys %v, new by new %v, old by new %v", keep, verifies(after, known), verifies(after, o.published()), verifies(before, o.published()))
		}
	}
}

func TestSuperIDsKeysFailAsAsked(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for value, want := range map[string]string{"none": `"kid":`, "empty": `{"keys":[]}`, "html": "<!doctype html>", "500": "An error has occurred"} {
		o.on("jwks_fault", value)
		if got := o.do(http.MethodGet, "/login/.well-known/jwks", "", nil); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", value, got.body)
		}
	}
}

// systemUser asks for a ticket with a system token that was signed some time ago.
func (o *office) systemUser(ago time.Duration, systemToken string) reply {
	o.t.Helper()
	app := o.App("erp")
	text := systemToken + "." + o.clock.Now().Add(-ago).UTC().Format("200601021504")
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, app.Key, crypto.SHA256, sum[:])
	if err != nil {
		o.t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{
		"SignedSystemToken": text + "." + base64.StdEncoding.EncodeToString(signature), "ApplicationToken": app.ClientSecret, "ContextIdentifier": "Cust12345", "ReturnTokenType": "JWT",
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return o.do(http.MethodPost, "/Login/api/PartnerSystemUser/Authenticate", string(body), nil)
}

func TestTheSystemUsersLoginIsAsItsSwitchesSay(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.SystemToken("erp", "Cust12345")
	for _, c := range []struct{ name, value, claim, want string }{
		{"system_jwt", "good", "iss", "SuperOffice AS"},
		{"system_jwt", "wrong_issuer", "iss", "Somebody Else"},
		{"system_jwt", "wrong_audience", "aud", "spn:1"},
		{"system_jwt", "wrong_tenant", claims + "ctx", "Cust99999"},
		{"system_api_claims", "present", claims + "webapi_url", o.Base() + "/Cust12345/api/"},
		{"system_api_claims", "absent", claims + "webapi_url", "<nil>"},
	} {
		o.defaults()
		o.on(c.name, c.value)
		if got := read(t, o.systemUser(0, token).field("Token"))[c.claim]; fmt.Sprint(got) != c.want {
			t.Errorf("%s=%s: %v", c.name, c.value, got)
		}
	}
	o.defaults()
	good := read(t, o.systemUser(0, token).field("Token"))
	if good["aud"] != "spn:"+fmt.Sprint(good[claims+"serial"]) {
		t.Errorf("aud is %v, serial %v", good["aud"], good[claims+"serial"])
	}
	o.on("system_jwt", "wrong_signature")
	if verifies(o.systemUser(0, token).field("Token"), o.published()) {
		t.Error("a wrong signature verifies")
	}
	o.defaults()
	for _, c := range []struct {
		skew string
		ago  time.Duration
		want bool
	}{{"", 3 * time.Minute, true}, {"", 7 * time.Minute, false}, {"", -7 * time.Minute, false}, {"10m", 7 * time.Minute, true}, {"1m", 3 * time.Minute, false}} {
		o.on("system_token_skew", c.skew)
		if got := o.systemUser(c.ago, token).field("IsSuccessful"); got != c.want {
			t.Errorf("skew %q, signed %v ago: %v", c.skew, c.ago, got)
		}
	}
	o.defaults()
	for one, want := range map[string]string{"false": "The system token is not valid.", "true": "The consent has expired."} {
		o.on("one_refusal", one)
		if got := o.systemUser(0, "Sandbox erp-wrong").field("ErrorMessage"); got != want {
			t.Errorf("one_refusal=%s: %v", one, got)
		}
	}
	o.on("system_user_fault", "500")
	if got := o.systemUser(0, token).status; got != 500 {
		t.Errorf("system_user_fault: HTTP %d", got)
	}
}
