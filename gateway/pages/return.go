package pages

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// maxReturn bounds a return address, in bytes: it travels in a cookie.
const maxReturn = 1024

// returnAddress judges where a person wants to go after signing in: a path of this origin, or a page on an origin that
// is listed. It returns the address rebuilt from what was judged; "/" for none. ok is false for any other.
func returnAddress(r *http.Request, origins auth.Origins, raw string) (address string, ok bool) {
	if raw == "" {
		return "/", true
	}
	// Browsers drop tabs and line breaks, and read \ as /; Go does neither.
	if len(raw) > maxReturn || strings.ContainsFunc(raw, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Opaque != "" || strings.HasPrefix(u.Path, "//") {
		return "", false
	}
	local := u.Scheme == "" && u.Host == "" && strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//")
	origin := strings.ToLower(u.Scheme + "://" + u.Host)
	switch {
	case local, origin == origins.Own(r):
		origin = ""
	case !origins.Lists(origin):
		return "", false
	}
	address = u.EscapedPath()
	if address == "" {
		address = "/"
	}
	if u.RawQuery != "" {
		address += "?" + escapeQuery(u.RawQuery)
	}
	if u.Fragment != "" {
		address += "#" + u.EscapedFragment()
	}
	return origin + address, true
}

// escapeQuery escapes what may not stand in a header or a URL, and leaves escapes that are there.
func escapeQuery(query string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(query) {
		if c > ' ' && c < 0x7f && !strings.ContainsRune("\"<>`{}|^", rune(c)) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
