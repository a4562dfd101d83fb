package auth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
)

// Origins are the origins whose pages may call: the gateway's own, which
// follows from the request unless it is configured, and those listed.
type Origins struct {
	listed []string
	own    string // "": as the request has it
}

// NewOrigins takes origins as browsers write them: scheme://host[:port], in
// lower case and without a default port. It returns the first that is not one.
func NewOrigins(origins ...string) (Origins, string) {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme+"://"+u.Host != origin || u.Host == "" || origin != strings.ToLower(origin) || strings.Contains(u.Host, "*") ||
			(u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname()))) || withoutDefaultPort(u.Scheme, u.Host) != u.Host {
			return Origins{}, origin
		}
	}
	return Origins{listed: origins}, ""
}

// At returns the origins with the gateway's own as it is configured; "" leaves it to the request.
func (o Origins) At(own string) Origins {
	o.own = own
	return o
}

// Own returns the gateway's own origin as the caller's browser sees it.
func (o Origins) Own(r *http.Request) string {
	if o.own != "" {
		return o.own
	}
	return OwnOrigin(r)
}

// Lists reports whether the origin was listed; the gateway's own is not.
func (o Origins) Lists(origin string) bool { return slices.Contains(o.listed, origin) }

// Any reports whether at least one origin was listed.
func (o Origins) Any() bool { return len(o.listed) > 0 }

// Admits reports whether a request that a browser may have sent with credentials of its
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
		if origins[0] != o.Own(r) {
			return false
		}
	}
	return len(sites) == 0 || sites[0] == "same-origin"
}

// Refuse refuses a request that Admits does not.
func (o Origins) Refuse(r *http.Request) *Refusal {
	return Refuse(CrossSite, fmt.Errorf("header Origin is %s and Sec-Fetch-Site is %s; this site is %s", sentText(r, "Origin"), sentText(r, "Sec-Fetch-Site"), jws.Excerpt(o.Own(r))))
}

// RefuseXSRF refuses a request whose X-XSRF-TOKEN does not hold for the reason that otherwise says, or is not there.
func RefuseXSRF(r *http.Request, otherwise string) *Refusal {
	switch len(r.Header["X-Xsrf-Token"]) {
	case 0:
		otherwise = "is missing"
	case 1:
	default:
		otherwise = "occurs more than once"
	}
	return Refuse(XSRFInvalid, errors.New("X-XSRF-TOKEN "+otherwise))
}

// sentText quotes what a request sends as a header that holds no secret.
func sentText(r *http.Request, name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return jws.Excerpt(strings.Join(values, ", "))
	}
	return "not sent"
}

// OwnOrigin is the gateway's own origin as the request has it. A plain
// connection from anywhere but loopback means that TLS ends in front of the
// gateway, so the origin is https. No forwarding header is asked: anybody can send one.
func OwnOrigin(r *http.Request) string {
	host := strings.ToLower(r.Host)
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	scheme := "https"
	if r.TLS == nil && Loopback(strings.Trim(name, "[]")) {
		scheme = "http"
	}
	return scheme + "://" + withoutDefaultPort(scheme, host)
}

// withoutDefaultPort returns a host as an origin has it: some clients and proxies write the default port out.
func withoutDefaultPort(scheme, host string) string {
	return strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[scheme])
}

// Loopback reports whether a host name, or an address without brackets, is this machine's own.
func Loopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "::1" || strings.HasPrefix(host, "127.") && net.ParseIP(host) != nil
}
