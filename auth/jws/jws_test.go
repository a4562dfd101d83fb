package jws

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAHeaderIsReadByItsExactNames(t *testing.T) {
	t.Parallel()
	token := func(header string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.AA" }
	header, err := ReadHeader(token(`{"alg":"ES256","kid":"k","typ":"JWT","KID":"x","b64":true,"x5t":"y"}`))
	if err != nil || header != (Header{"ES256", "k", "JWT"}) {
		t.Errorf("%+v %v", header, err)
	}
	for given, want := range map[string]string{
		`{"alg":"ES256","crit":null}`:       "crit",
		`{"alg":"ES256","b64":false}`:       "b64",
		`{"alg":"ES256","b64":null}`:        "b64",
		`{"alg":"ES256","\u0061lg":"none"}`: `the name "alg" occurs twice`,
		`{"alg":"ES256","x":{"y":1,"y":2}}`: `the name "y" occurs twice`,
		`{"alg":null}`:                      "alg is not a string",
		`{"alg":""}`:                        "there is no alg",
		`{"ALG":"ES256"}`:                   "there is no alg",
		"{\"alg\":\"ES\xff\"}":              "not valid JSON",
		`{"alg":"ES256"} {}`:                "not valid JSON",
		`"alg"`:                             "not a JSON object",
	} {
		if _, err := ReadHeader(token(given)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
	for _, token := range []string{"a.b", token(`{"alg":"ES256"}`) + ".x", "eyJhbGciOiJFUzI1NiJ9=.e30.AA", "eyJhbGciOiJub25lIn1.e30.AA"} {
		if header, err := ReadHeader(token); err == nil {
			t.Errorf("%s is taken: %+v", token, header)
		}
	}
	if err := ReadPayload("a.b", new(any)); err == nil {
		t.Error("two parts are taken for a token")
	}
}

func TestAnErrorQuotesNamesAndNeverValues(t *testing.T) {
	t.Parallel()
	var into struct {
		Name string `json:"name"`
	}
	for _, raw := range []string{`{"name":["canary"]}`, `{"name":1,"x":"canary"}`, `{"name":"canary","name":"canary"}`, `["canary"]`, `{"name":"canary`, `canary`} {
		if err := Unmarshal([]byte(raw), &into); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if err := Unmarshal([]byte(`{"NAME":"x"}`), &into); err != nil || into.Name == "x" {
		t.Errorf("%q %v", into.Name, err)
	}
}

func TestAnExcerptIsShortOneLineAndASCII(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain", "a\nb\x1b[31m\u202e\u2028", strings.Repeat("é", 100), strings.Repeat("\xff", 1000), strings.Repeat("\U0001F600", 50)} {
		excerpt := Excerpt(s)
		if strings.ContainsAny(excerpt, "\n\x1b\u202e\u2028") || !utf8.ValidString(excerpt) || len(excerpt) > 96*4+8 {
			t.Errorf("%q", excerpt)
		}
	}
	if got := Excerpt(strings.Repeat("é", 60)); got != `"`+strings.Repeat(`\u00e9`, 48)+`"…` {
		t.Error(got)
	}
}
