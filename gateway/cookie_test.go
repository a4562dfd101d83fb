package gateway

import (
	"net/http"
	"testing"
)

func TestACookieThatOccursTwiceProvesNobodyWhateverItsValues(t *testing.T) {
	t.Parallel()
	for _, other := range []string{
		"b", "", `"b"`, `a"b`, `a\b`, "bø", "b\x7f", "b,c", "b c", " b", "\tb", "b=c", "==",
	} {
		for _, lines := range [][]string{
			{"__Host-erpsync=a; __Host-erpsync=" + other},
			{"__Host-erpsync=" + other + "; __Host-erpsync=a"},
			{"__Host-erpsync=a", "__Host-erpsync=" + other},
			{"x=y;__Host-erpsync=a;z; __Host-erpsync =" + other},
			{"__Host-erpsync=a; __Host-erpsync"},
		} {
			if value, err := OnlyCookie(&http.Request{Header: http.Header{"Cookie": lines}}, SessionCookie); err == nil {
				t.Errorf("%q: %q", lines, value)
			}
		}
	}
}

func TestACookieBesideOthersIsFound(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"__Host-erpsync=a": "a", "__Host-erpsync = a": " a", " __Host-erpsync =a": "a", `__Host-erpsync="a"`: "a", "__Host-erpsync=a-_9Z ": "a-_9Z", "x=__Host-erpsync; __Host-erpsync=a": "a", "__Host-erpsync-attempt=b; __Host-erpsync=a; y": "a", "x__Host-erpsync=b": "", "": "",
	} {
		value, err := OnlyCookie(&http.Request{Header: http.Header{"Cookie": {line}}}, SessionCookie)
		if value != want || err != nil {
			t.Errorf("%q: %q, %v", line, value, err)
		}
	}
}

func FuzzOnlyCookie(f *testing.F) {
	f.Add("a=b; __Host-erpsync=c", "__Host-erpsync=d")
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Header: http.Header{"Cookie": {first, second}}}
		value, err := OnlyCookie(r, SessionCookie)
		cookies := r.CookiesNamed(SessionCookie)
		if n := len(cookies); n > 1 && err == nil || value != "" && (n != 1 || cookies[0].Value != value) {
			t.Fatalf("%q of %q, %v", value, cookies, err)
		}
	})
}
