package pages

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// judgeReturn judges a return address at https://gate.example, where https://pages.example is listed.
func judgeReturn(t testing.TB, raw string) (string, bool) {
	t.Helper()
	origins, bad := auth.NewOrigins("https://pages.example", "https://other.example:8443")
	if bad != "" {
		t.Fatal(bad)
	}
	r := httptest.NewRequest("GET", "/erpsync/sign-in", nil)
	r.Host = "gate.example"
	return returnAddress(r, origins, raw)
}

func TestAReturnAddressIsAPathOfThisSiteOrAPageOfAListedOrigin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "/", "/": "/", "/a?b=c": "/a?b=c", "/a?b=c#d": "/a?b=c#d", "/a%2Fb": "/a%2Fb", "/søk?q=ø\"<": "/s%C3%B8k?q=%C3%B8%22%3C", "/a b": "/a%20b", "/a?x=%0d%0a": "/a?x=%0d%0a",
		"https://gate.example/a": "/a", "https://GATE.example": "/",
		"https://pages.example": "https://pages.example/", "https://pages.example/a?b=c#d": "https://pages.example/a?b=c#d", "HTTPS://Pages.Example/a": "https://pages.example/a",
		"https://other.example:8443/": "https://other.example:8443/", "https://pages.example//a": "",
		"https://evil.example": "", "https://evil.example/https://pages.example/": "", "https://pages.example.evil.example/": "", "https://pages.example@evil.example/": "",
		"https://evil.example@pages.example/": "", "https://a:b@pages.example/": "", "http://pages.example/": "", "https://pages.example:443/": "", "https://pages.example:8443/": "", "https://other.example/": "",
		"https:pages.example": "", "https:/pages.example": "", "https:///pages.example": "", "https://": "", "//pages.example/a": "", "//evil.example": "", "///evil.example": "", "////evil.example": "",
		"/\\evil.example": "", "\\\\evil.example": "", "https:\\\\pages.example": "", "https://pages.example\\@evil.example": "", "/\t/evil.example": "", "\t//evil.example": "", " //evil.example": "",
		"javascript:alert(1)": "", "JaVaScRiPt://pages.example/%0aalert(1)": "", "data:text/html,x": "", "mailto:a@pages.example": "", "/a\r\nSet-Cookie: x": "", "/a\x00": "", "a": "", "?a": "", "#a": "", "./a": "",
		"/%2f/evil.example": "", "%2f%2fevil.example": "", "https://pages.example%2eevil.example/": "", "https://pages.example%00.evil.example/": "", "/" + strings.Repeat("a", 1024): "",
	} {
		if got, ok := judgeReturn(t, in); got != want || ok != (want != "") {
			t.Errorf("%.60q: %q, %t; want %q", in, got, ok, want)
		}
	}
}

// FuzzReturnAddress holds that what is sent is of an admitted origin as a reader of addresses sees it, and is a header's value.
func FuzzReturnAddress(f *testing.F) {
	for _, seed := range []string{"/a", "https://pages.example/a?b#c", "//evil.example", "/\\evil.example", "https://pages.example@evil.example", "/%2f%2fevil.example", "/..//evil.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, ok := judgeReturn(t, raw)
		if !ok {
			return
		}
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f || c == '\\' {
				t.Fatalf("%q: %q", raw, got)
			}
		}
		base := &url.URL{Scheme: "https", Host: "gate.example", Path: "/erpsync/callback"}
		u, err := base.Parse(got)
		if err != nil {
			t.Fatalf("%q: %q: %v", raw, got, err)
		}
		switch u.Scheme + "://" + u.Host {
		case "https://gate.example":
			if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") {
				t.Fatalf("%q: %q", raw, got)
			}
		case "https://pages.example", "https://other.example:8443":
		default:
			t.Fatalf("%q: %q", raw, got)
		}
		if again, ok := judgeReturn(t, got); !ok && len(got) <= maxReturn || ok && again != got {
			t.Fatalf("%q: %q, and judged again %q, %t", raw, got, again, ok)
		}
	})
}
