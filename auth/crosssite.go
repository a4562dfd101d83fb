package auth

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Origins are the origins whose pages may call: the gateway's own, which
// follows from the request, and those listed.
type Origins struct{ listed []string }

// NewOrigins takes origins as browsers write them: scheme://host[:port], in
// lower case. It returns the first that is not one.
func NewOrigins(origins ...string) (Origins, string) {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme+"://"+u.Host != origin || u.Host == "" || origin != strings.ToLower(origin) || strings.Contains(u.Host, "*") ||
			(u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname()))) {
			return Origins{}, origin
		}
	}
	return Origins{origins}, ""
}

// Lists tells whether the origin was listed; the gateway's own is not.
func (o Origins) Lists(origin string) bool { return slices.Contains(o.listed, origin) }

// Any tells whether at least one origin was listed.
func (o Origins) Any() bool { return len(o.listed) > 0 }

// Admits tells whether a request that a browser may have sent with credentials of its
// own accord (cookies, Basic) comes from a page that may call. Fetch metadata and
// Origin have to agree; a client that sends neither is no browser of today and
// is left to the XSRF token.
func (o Origins) Admits(r *http.Request) bool {
	origins, sites := r.Header["Origin"], r.Header["Sec-Fetch-Site"]
	if len(origins) > 1 || len(sites) > 1 {
		return false
	}
	if len(origins) == 1 {
		if o.Lists(origins[0]) {
			return true
		}
		if origins[0] != OwnOrigin(r) {
			return false
		}
	}
	return len(sites) == 0 || sites[0] == "same-origin"
}

// OwnOrigin is the gateway's own origin as the caller's browser sees it. A plain
// connection from anywhere but loopback means that TLS ends in front of the
// gateway, so the origin is https. No forwarding header is asked: anybody can send one.
func OwnOrigin(r *http.Request) string {
	host := strings.ToLower(r.Host)
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if r.TLS == nil && Loopback(strings.Trim(name, "[]")) {
		return "http://" + host
	}
	return "https://" + host
}

// Loopback tells that a host name, or an address without brackets, is this machine's own.
func Loopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "::1" || strings.HasPrefix(host, "127.") && net.ParseIP(host) != nil
}
