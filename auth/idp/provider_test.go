package idp

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestATokenIsRefusedWithTheCheckThatFailed(t *testing.T) {
	t.Parallel()
	set, key := newBlock(t, func(c *Config) { c.Subjects = []string{"sync", "repo:octo-org/*"} })
	stranger := newSigner(t, "one")
	header := func(h string) string { return key.sign(t, h, payload(t, "")) }
	claims := func(c string) string { return key.token(t, c) }
	raw := func(p string) string { return key.sign(t, key.header(), p) }
	for name, c := range map[string]struct{ token, cause string }{
		"nothing":                {"", "it has 1 parts, want 3"},
		"two parts":              {"a.b", "it has 2 parts, want 3"},
		"four parts":             {claims("") + ".x", "it has 4 parts, want 3"},
		"padding":                {strings.Replace(claims(""), ".", "=.", 1), "header: not base64url"},
		"a header of text":       {"Zm9v." + strings.SplitN(claims(""), ".", 2)[1], "header: not valid JSON"},
		"a header of a list":     {header(`["ES256"]`), "header: not a JSON object"},
		"a name twice":           {header(`{"alg":"ES256","kid":"two","kid":"one"}`), `header: the name "kid" occurs twice`},
		"a name in another case": {header(`{"ALG":"ES256","kid":"one"}`), "there is no alg"},
		"kid a number":           {header(`{"alg":"ES256","kid":1}`), "kid is not a string"},
		"crit":                   {header(`{"alg":"ES256","kid":"one","crit":["exp"]}`), "crit names extensions"},
		"an empty crit":          {header(`{"alg":"ES256","kid":"one","crit":[]}`), "crit names extensions"},
		"b64 without crit":       {header(`{"alg":"ES256","kid":"one","b64":false}`), "b64 says that the payload is not encoded"},
		"b64 as a string":        {header(`{"alg":"ES256","kid":"one","b64":"false"}`), "b64"},
		"a logout token":         {header(`{"alg":"ES256","kid":"one","typ":"logout+jwt"}`), `typ is "logout+jwt", want JWT or at+jwt`},
		"a DPoP proof":           {header(`{"alg":"ES256","kid":"one","typ":"dpop+jwt"}`), `typ is "dpop+jwt"`},
		"a security event":       {header(`{"alg":"ES256","kid":"one","typ":"application/secevent+jwt"}`), `typ is "application/secevent+jwt"`},
		"typ a number":           {header(`{"alg":"ES256","kid":"one","typ":1}`), "typ is not a string"},
		"no signature":           {header(`{"alg":"none","kid":"one"}`), `alg is "none", want ES256`},
		"HMAC":                   {header(`{"alg":"HS256","kid":"one"}`), `alg is "HS256", want ES256`},
		"another algorithm":      {header(`{"alg":"RS256","kid":"one"}`), `alg is "RS256", want ES256`},
		"an unknown kid":         {header(`{"alg":"ES256","kid":"two"}`), `kid "two" not found among the issuer's 1 keys`},
		"a stranger's signature": {stranger.token(t, ""), `the signature is not of the key that kid "one" names`},
		"a changed payload":      {changed(claims("")), `the signature is not of the key that kid "one" names`},

		"exp twice":                {raw(`{"iss":"https://idp.example","aud":"erpsync","sub":"sync","tenant":"Cust1","exp":1,"exp":9999999999}`), `the name "exp" occurs twice`},
		"exp twice, escaped":       {raw(`{"iss":"https://idp.example","aud":"erpsync","sub":"sync","tenant":"Cust1","exp":1,"\u0065xp":9999999999}`), `the name "exp" occurs twice`},
		"a name twice, deep":       {raw(`{"iss":"https://idp.example","aud":"erpsync","sub":"sync","exp":9999999999,"ext":{"tenant":"Cust1","tenant":"Cust2"}}`), `the name "tenant" occurs twice`},
		"a past exp beside EXP":    {claims(`{"exp":1777636760,"EXP":9999999999}`), "expired 40 s ago"},
		"EXP alone":                {claims(`{"exp":null,"EXP":9999999999}`), "exp is missing"},
		"AUD alone":                {claims(`{"aud":null,"AUD":"erpsync"}`), `aud is missing, want "erpsync"`},
		"ISS alone":                {claims(`{"iss":null,"ISS":"https://idp.example"}`), `iss is "", which no jwt block is for`},
		"a long s in sub":          {claims(`{"sub":null,"ſub":"sync"}`), "sub is missing"},
		"exp a string":             {claims(`{"exp":"9999999999"}`), "exp is not a number of seconds"},
		"exp beyond all dates":     {claims(`{"exp":1e300}`), "exp is not a number of seconds"},
		"exp null":                 {raw(`{"iss":"https://idp.example","aud":"erpsync","sub":"sync","tenant":"Cust1","exp":null}`), "exp is not a number of seconds"},
		"nbf a string":             {claims(`{"nbf":"1"}`), "nbf is not a number of seconds"},
		"iat a list":               {claims(`{"iat":[1]}`), "iat is not a number of seconds"},
		"no exp":                   {claims(`{"exp":null}`), "exp is missing"},
		"expired":                  {claims(`{"exp":1777636760}`), "expired 40 s ago"},
		"expired long ago":         {claims(`{"exp":1767636760}`), "expired 115 days ago"},
		"not yet":                  {claims(`{"nbf":1777636860}`), "not valid for another 60 s (nbf)"},
		"of the future":            {claims(`{"iat":1777640400}`), "issued 60 min in the future (iat)"},
		"another issuer":           {claims(`{"iss":"https://idp.example/"}`), `iss is "https://idp.example/", which no jwt block is for`},
		"iss a list":               {claims(`{"iss":["https://idp.example"]}`), "iss is not a string"},
		"no audience":              {claims(`{"aud":null}`), `aud is missing, want "erpsync"`},
		"another audience":         {claims(`{"aud":"x"}`), `aud is "x", want "erpsync"`},
		"many audiences":           {claims(`{"aud":["a","b","c","d"]}`), `aud is "a" "b" "c" and 1 more, want "erpsync"`},
		"aud a number":             {claims(`{"aud":1}`), "aud is neither a string nor a list of strings"},
		"client_id and no aud":     {claims(`{"aud":null,"client_id":"erpsync"}`), "aud is missing"},
		"no subject":               {claims(`{"sub":null}`), "sub is missing"},
		"sub a number":             {claims(`{"sub":1}`), "sub is not a string"},
		"a long subject":           {claims(`{"sub":"` + strings.Repeat("s", 257) + `"}`), "sub is longer than 256 bytes"},
		"another subject":          {claims(`{"sub":"syncer"}`), `sub is "syncer", want "sync" "repo:octo-org/*"`},
		"another organisation":     {claims(`{"sub":"repo:octo-organisation/x"}`), `sub is "repo:octo-organisation/x"`},
		"bound to a key":           {claims(`{"cnf":{"jkt":"x"}}`), "cnf binds the token to a key"},
		"bound, null":              {raw(`{"iss":"https://idp.example","aud":"erpsync","sub":"sync","tenant":"Cust1","exp":1777640000,"cnf":null}`), "cnf"},
		"an event":                 {claims(`{"events":{}}`), "a security event or logout token"},
		"a signature of more bits": {moreBits(claims("")), "malformed"},
		"a null tenant":            {raw(`{"iss":"https://idp.example","aud":"erpsync","sub":"sync","exp":1777640000,"tenant":null}`), `tenant: claim "tenant" is missing`},
		"no tenant":                {claims(`{"tenant":null}`), `tenant: claim "tenant" is missing`},
		"not a tenant":             {claims(`{"tenant":"Cust1/../Cust2"}`), `tenant: claim "tenant" is "Cust1/../Cust2", want the form Cust12345`},
		"two tenants":              {claims(`{"tenant":["Cust1","Cust2"]}`), `tenant: claim "tenant" has 2 values, want one`},
		"too long a token":         {claims(`{"pad":"` + strings.Repeat("p", 12<<10) + `"}`), "want at most 16384"},
		"a long text is cut":       {claims(`{"iss":"` + strings.Repeat("i", 9000) + `"}`), strings.Repeat("i", 96) + `"…`},
		"a line break is quoted":   {claims(`{"iss":"a\nb\u202e"}`), `iss is "a\nb\u202e"`},
	} {
		principal, refusal := prove(set, c.token)
		t.Log(name)
		refused(t, refusal, auth.CredentialInvalid, c.cause)
		if principal != (auth.Principal{}) {
			t.Errorf("%s: %+v", name, principal)
		}
		if refusal != nil && len(c.token) > 100 && strings.Contains(refusal.Cause.Error(), c.token[len(c.token)-20:]) {
			t.Errorf("%s: the cause holds the signature", name)
		}
	}
	for _, good := range []string{
		claims(""), claims(`{"sub":"repo:octo-org/x"}`), claims(`{"aud":["other","erpsync"]}`), claims(`{"exp":1777636800.5,"nbf":1777636829,"iat":1777636829}`),
		claims(`{"tenant":["Cust1"]}`), claims(`{"exp":1777636771}`), claims(`{"pad":"` + strings.Repeat("p", 11<<10) + `"}`), claims(`{"unknown":null,"AUD":"x"}`),
		header(`{"alg":"ES256","kid":"one"}`), header(`{"alg":"ES256","kid":"one","typ":"at+jwt"}`), header(`{"alg":"ES256","kid":"one","typ":"application/AT+JWT","b64":true}`),
		header(`{"alg":"ES256"}`), header(`{"alg":"ES256","kid":"one","jku":"https://evil.example","x5u":"https://evil.example","jwk":{}}`),
	} {
		principal, refusal := prove(set, good)
		if refusal != nil {
			t.Errorf("%v", refusal)
		}
		want := auth.Principal{Scheme: auth.JWT, App: "erp", Tenant: "Cust1", ID: "https://idp.example#sync"}
		if principal.ID = strings.Replace(principal.ID, "repo:octo-org/x", "sync", 1); principal != want {
			t.Errorf("%+v", principal)
		}
	}
}

// changed adds a character to the payload.
func changed(token string) string {
	parts := strings.Split(token, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), "Cust1", "Cust2", 1))) + "." + parts[2]
}

// moreBits writes the signature with bits after its end, which a lenient decoder passes over.
func moreBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last+1:last+2]
}

func TestNullIsAsGoodAsAbsent(t *testing.T) {
	t.Parallel()
	set, key := newBlock(t, func(c *Config) { c.Tenant.Claim = "ext.tenant" })
	token := key.sign(t, key.header(), `{"iss":"https://idp.example","aud":"erpsync","sub":"sync","exp":1777640000,"ext.tenant":null,"ext":{"tenant":"Cust7"}}`)
	if principal, refusal := prove(set, token); refusal != nil || principal.Tenant != "Cust7" {
		t.Errorf("%+v %v", principal, refusal)
	}
}

func TestAClaimIsFoundByItsPathInEveryShapeOfOneValue(t *testing.T) {
	t.Parallel()
	const found = "" // no cause
	for _, c := range []struct{ path, claims, cause string }{
		{"t", `{"t":"Cust7"}`, found},
		{"t", `{"t":["Cust7"]}`, found},
		{"ext.t", `{"ext":{"t":"Cust7"}}`, found},
		{"ext.t", `{"ext":{"t":["Cust7"]}}`, found},
		{"ext.t", `{"ext.t":"Cust7"}`, found},
		{"a.b.c", `{"a.b":{"c":"Cust7"}}`, found},
		{"a.b.c", `{"a":{"b.c":"Cust7"},"a.b":{"d":1}}`, found},
		{"https://example.com/t", `{"https://example.com/t":"Cust7"}`, found},
		{"kubernetes.io.namespace", `{"kubernetes.io":{"namespace":"Cust7"}}`, found},
		{"ext.t", `{"ext.t":"Cust7","ext":{"t":"Cust7"}}`, "leads to two claims"},
		{"a.b.c", `{"a.b":{"c":"Cust7"},"a":{"b":{"c":"Cust8"}}}`, "leads to two claims"},
		{"t", `{"T":"Cust7"}`, "is missing"},
		{"ext.t", `{"ext":"t"}`, "is missing"},
		{"ext.t", `{"ext":[{"t":"Cust7"}]}`, "is missing"},
		{"t", `{"t":""}`, "is empty"},
		{"t", `{"t":[]}`, "has 0 values, want one"},
		{"t", `{"t":["Cust7","Cust7"]}`, "has 2 values, want one"},
		{"t", `{"t":[["Cust7"]]}`, "is an object or a list of such"},
		{"t", `{"t":{"x":"Cust7"}}`, "is an object or a list of such"},
		{"t", `{"t":7}`, `is "7", want the form`},
		{"t", `{"t":true}`, `is "true", want the form`},
		{"t", `{"t":"Cust7 Cust8"}`, "want the form"},
	} {
		set, key := newBlock(t, func(config *Config) { config.Tenant.Claim = c.path })
		principal, refusal := prove(set, key.token(t, strings.Replace(c.claims, "{", `{"tenant":null,`, 1)))
		switch {
		case c.cause != found:
			refused(t, refusal, auth.CredentialInvalid, c.cause)
		case refusal != nil || principal.Tenant != "Cust7":
			t.Errorf("%s in %s: %s %v", c.path, c.claims, principal.Tenant, refusal)
		}
	}
}

func TestTheAppCanComeFromAClaim(t *testing.T) {
	t.Parallel()
	set, key := newBlock(t, func(c *Config) { c.App = Fixed{Claim: "ext.app"} })
	if principal, refusal := prove(set, key.token(t, `{"ext":{"app":["erp2"]}}`)); refusal != nil || principal.App != "erp2" {
		t.Errorf("%+v %v", principal, refusal)
	}
	_, refusal := prove(set, key.token(t, ""))
	refused(t, refusal, auth.CredentialInvalid, `app: claim "ext.app" is missing`)
}

func TestEveryRequirementIsMetByOneOfItsValues(t *testing.T) {
	t.Parallel()
	set, key := newBlock(t, func(c *Config) {
		c.Requirements = []Requirement{{"scope", []string{"sync.write", "sync.all"}}, {"realm.roles", []string{"erp sync", "7", "true"}}}
	})
	for claims, cause := range map[string]string{
		`{"scope":"openid sync.write","realm":{"roles":["x","erp sync"]}}`: "",
		`{"scope":["openid","sync.all"],"realm":{"roles":"erp sync"}}`:     "",
		`{"scope":"sync.all","realm":{"roles":7}}`:                         "",
		`{"scope":"sync.all","realm":{"roles":[7,true]}}`:                  "",
		`{"scope":"sync.all","realm":{"roles":true}}`:                      "",
		`{"scope":"sync.all","realm":{"roles":["erp","sync"]}}`:            `claim "realm.roles" holds none of "erp sync" "7" "true"`,
		`{"scope":"sync.all"}`:                                             `claim "realm.roles" is missing, want "erp sync"`,
		`{"scope":"sync","realm":{"roles":7}}`:                             `claim "scope" holds none of "sync.write" "sync.all"`,
		`{"scope":"SYNC.ALL","realm":{"roles":7}}`:                         `claim "scope" holds none of`,
		`{"scope":["openid sync.all"],"realm":{"roles":7}}`:                `claim "scope" holds none of`,
		`{"scope":{"sync.all":true},"realm":{"roles":7}}`:                  `claim "scope" is an object`,
		`{"scope":"sync.all","realm":{"roles":7},"realm.roles":7}`:         "leads to two claims",
	} {
		_, refusal := prove(set, key.token(t, claims))
		if cause != "" {
			refused(t, refusal, auth.CredentialInvalid, cause)
		} else if refusal != nil {
			t.Errorf("%s: %v", claims, refusal)
		}
	}
}

func TestBlocksOfOneIssuerAreToldApartByTheAudience(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "one")
	s := new(server)
	s.put(issuer+"/jwks", set(t, key))
	all := newSet(t, s, func() time.Time { return issued }, Observer{},
		block(func(c *Config) { c.App.Value, c.Requirements = "one", []Requirement{{"roles", []string{"r"}}} }),
		block(func(c *Config) { c.App.Value, c.Audiences = "two", []string{"other", "another"} }),
		block(func(c *Config) { c.App.Value, c.Audiences, c.ClientIDs = "three", nil, []string{"client"} }))
	for claims, app := range map[string]string{
		`{"roles":["r"]}`:                   "one",
		`{"aud":"another"}`:                 "two",
		`{"aud":["x","other","another"]}`:   "two",
		`{"aud":null,"client_id":"client"}`: "three",
	} {
		if principal, refusal := prove(all, key.token(t, claims)); refusal != nil || principal.App != app {
			t.Errorf("%s: %s %v", claims, principal.App, refusal)
		}
	}
	for claims, cause := range map[string]string{
		`{"aud":["erpsync","other"],"roles":["r"]}`: "aud fits two jwt blocks of its issuer",
		`{"aud":"erpsync","client_id":"client"}`:    `claim "roles" is missing`, // and not the block without requirements
		`{"aud":"x","client_id":"client"}`:          `aud is "x", want "erpsync" "other" "another"`,
		`{"aud":[],"client_id":"client"}`:           `aud is , want`,
		`{"aud":null,"client_id":"x"}`:              `client_id is "x", want "client"`,
		`{"aud":null,"client_id":["client"]}`:       "client_id is not a string",
	} {
		_, refusal := prove(all, key.token(t, claims))
		refused(t, refusal, auth.CredentialInvalid, cause)
	}
	if n := s.count(); n != 1 {
		t.Errorf("the keys of one issuer were fetched %d times", n)
	}
}

func TestATokenWithAnAudienceIsNotTakenForItsClient(t *testing.T) {
	t.Parallel()
	set, key := newBlock(t, func(c *Config) { c.Audiences, c.ClientIDs = nil, []string{"client"} })
	if _, refusal := prove(set, key.token(t, `{"aud":null,"client_id":"client"}`)); refusal != nil {
		t.Error(refusal)
	}
	_, refusal := prove(set, key.token(t, `{"client_id":"client"}`))
	refused(t, refusal, auth.CredentialInvalid, `aud is "erpsync", and only tokens without aud are taken (client_id)`)
}

func TestTheTenantOfThePathIsNeverKeptForAnotherPath(t *testing.T) {
	t.Parallel()
	set, key := newBlock(t, func(c *Config) { c.Tenant, c.TenantFromPath = Fixed{}, true })
	token := key.token(t, "")
	for range 2 {
		for _, tenant := range []superoffice.Tenant{"Cust1", "Cust2"} {
			principal, refusal := set.Prove(t.Context(), token, tenant)
			if refusal != nil || principal.Tenant != tenant || !principal.TenantFromPath {
				t.Errorf("%s: %+v %v", tenant, principal, refusal)
			}
		}
		_, refusal := set.Prove(t.Context(), token, superoffice.Onsite)
		refused(t, refusal, auth.TenantMismatch, "the path names no tenant")
	}
	fixed, key := newBlock(t)
	token = key.token(t, "")
	if principal, _ := fixed.Prove(t.Context(), token, "Cust2"); principal.Tenant != "Cust1" || principal.TenantFromPath {
		t.Errorf("the path overrules a claim: %+v", principal)
	}
}

func TestWhatWasProvedAMomentAgoOutlivesNeitherItsExpNorHalfAMinute(t *testing.T) {
	t.Parallel()
	key, now := newSigner(t, "one"), issued
	s := new(server)
	s.put(issuer+"/jwks", set(t, key))
	all := newSet(t, s, func() time.Time { return now }, Observer{}, block(func(c *Config) { c.Leeway = time.Second }))
	short, long := key.token(t, `{"exp":1777636810}`), key.token(t, "")
	for _, token := range []string{short, long, short} {
		if _, refusal := prove(all, token); refusal != nil {
			t.Fatal(refusal)
		}
	}
	now = issued.Add(15 * time.Second)
	_, refusal := prove(all, short)
	refused(t, refusal, auth.CredentialInvalid, "expired 5 s ago")
	all.keys[0].keys = nil // as if it had been withdrawn
	if _, refusal := prove(all, long); refusal != nil {
		t.Errorf("verified again after 15 s: %v", refusal)
	}
	now = issued.Add(31 * time.Second)
	if _, refusal := prove(all, long); refusal != nil { // fetched again by now
		t.Error(refusal)
	}
	if n := s.count(); n != 2 {
		t.Errorf("%d fetches, want 2: what was proved is believed for ever", n)
	}
}

func TestProofsAreBounded(t *testing.T) {
	t.Parallel()
	set, _ := newBlock(t)
	for i := range maxProofs + 10 {
		set.remember(proofKey{digest: [32]byte{byte(i), byte(i >> 8)}}, auth.Principal{}, issued.Add(time.Hour))
	}
	if n := len(set.proofs); n > maxProofs {
		t.Errorf("%d proofs are kept", n)
	}
}

func TestEachAlgorithmVerifiesWithItsOwnKindOfKeyOnly(t *testing.T) {
	t.Parallel()
	// A key of P-256 under an algorithm that the operator takes and the key does not fit.
	set, key := newBlock(t, func(c *Config) { c.Algorithms = []string{"ES256", "ES384", "EdDSA"} })
	for _, algorithm := range []string{"ES384", "EdDSA"} {
		token := key.sign(t, `{"alg":"`+algorithm+`","kid":"one"}`, payload(t, ""))
		_, refusal := prove(set, token)
		refused(t, refusal, auth.CredentialInvalid, `kid "one" is a key for another algorithm than `+algorithm)
		_, refusal = prove(set, key.sign(t, `{"alg":"`+algorithm+`"}`, payload(t, "")))
		refused(t, refusal, auth.CredentialInvalid, "no key of the issuer's 1 is for "+algorithm)
	}
}

// FuzzProve has strangers' tokens read, with and without a good signature: nothing is let in but the subject
// that the signer wrote, and nothing panics.
func FuzzProve(f *testing.F) {
	all, key := newBlock(f, func(c *Config) {
		c.Tenant.Claim, c.Requirements = "ext.tenant", []Requirement{{"scope", []string{"w"}}}
	})
	f.Add(key.header(), payload(f, `{"ext":{"tenant":"Cust1"},"scope":"r w"}`))
	f.Add(`{"alg":"ES256","kid":"one","crit":["b64"],"b64":false}`, `{"exp":1,"EXP":2,"exp":3}`)
	f.Add(`{}`, `{"iss":"https://idp.example","aud":["erpsync"],"ext.tenant":[["a"]]}`)
	f.Add(key.header(), `{"iss":"https://idp.example","aud":"erpsync","sub":"s","exp":1777640000,"ext":{"tenant":["Cust1"]},"scope":["w"]}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		for _, token := range []string{header, claims, header + "." + claims + "." + header, key.sign(t, header, claims)} {
			principal, refusal := prove(all, token)
			if refusal != nil {
				if refusal.Cause == nil || len(refusal.Cause.Error()) > maxCause || strings.ContainsAny(refusal.Cause.Error(), "\n\r\x1b") {
					t.Errorf("cause %v", refusal.Cause)
				}
				continue
			}
			var read jwt.MapClaims
			if _, _, err := jwt.NewParser().ParseUnverified(token, &read); err != nil || principal.ID != issuer+"#"+read["sub"].(string) {
				t.Errorf("%+v of %s: %v", principal, claims, err)
			}
		}
	})
}
