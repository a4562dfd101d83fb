package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
	"golang.org/x/net/http/httpguts"
)

// Match reports whether a request is a call of the agent: not ours, ours in the one
// canonical spelling, or ours in a spelling that is refused.
//
// A request that names no path is ours to refuse as well, since a proxy behind may send it on in a form that
// nobody judged: CONNECT, but for a websocket's; targets such as scheme:opaque; methods that are no token.
func (g *Gateway) Match(r *http.Request) (superoffice.Call, superoffice.Verdict) {
	if !hasPath(r) {
		return superoffice.Call{}, superoffice.NonCanonical
	}
	return g.config.Paths.Read(r.URL.EscapedPath())
}

// hasPath reports whether a request is for a path, with a method that every server reads alike.
func hasPath(r *http.Request) bool {
	switch path := r.URL.Path; {
	case r.Method == http.MethodConnect:
		return connectProtocol(r) == "websocket" && strings.HasPrefix(path, "/")
	case !httpguts.ValidHeaderFieldName(r.Method), r.URL.Opaque != "":
		return false
	case path == "*":
		return r.Method == http.MethodOptions
	default:
		return path == "" || path[0] == '/'
	}
}

// connectProtocol returns the :protocol of an extended CONNECT (RFC 8441, RFC 9220); "" for a plain one.
// Go's HTTP/2 server keeps it among the headers, quic-go in Proto.
func connectProtocol(r *http.Request) string {
	if protocols := r.Header[":protocol"]; len(protocols) == 1 {
		return protocols[0]
	}
	if !strings.HasPrefix(r.Proto, "HTTP/") {
		return r.Proto
	}
	return ""
}

// match refuses what is ours and not sent as a call must be.
func match(r *http.Request, verdict superoffice.Verdict) *auth.Refusal {
	switch {
	case r.Method == http.MethodConnect:
		return auth.Refuse(auth.MethodNotAllowed, errors.New("the method is CONNECT"))
	case verdict == superoffice.NonCanonical:
		return auth.Refuse(auth.PathNotCanonical, errors.New("the path can be read as an operation's and is not its one spelling"))
	case r.URL.Host != "" && r.URL.Scheme != "", len(r.RequestURI) > 0 && r.RequestURI[0] != '/':
		return auth.Refuse(auth.PathNotCanonical, errors.New("the request target is no plain path"))
	case upgrades(r.Header["Upgrade"]):
		return auth.Refuse(auth.UpgradeRefused, fmt.Errorf("header Upgrade is %s", jws.Excerpt(strings.Join(r.Header["Upgrade"], ", "))))
	case r.Method != http.MethodPost:
		return auth.Refuse(auth.MethodNotAllowed, fmt.Errorf("the method is %s", jws.Excerpt(r.Method)))
	case r.TLS != nil && !r.TLS.HandshakeComplete, r.Header.Get("Early-Data") != "":
		return auth.Refuse(auth.EarlyData, errors.New("the TLS handshake is not over, or Early-Data is sent"))
	}
	return nil
}

// upgrades reports whether a request wants another protocol than HTTP. An offer of h2c is no such wish: clients make it
// with every request, and a server may ignore it (RFC 9110, section 7.8).
func upgrades(offers []string) bool {
	return slices.ContainsFunc(offers, func(offer string) bool { return !strings.EqualFold(strings.TrimSpace(offer), "h2c") })
}
