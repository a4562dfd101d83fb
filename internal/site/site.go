// Package site finds out where a handler stands in Caddy's HTTP app, and where people reach it there.
package site

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// Place is where a handler is in the HTTP app's configuration. The zero Place names no site.
type Place struct {
	Server *caddyhttp.Server
	// Host is that of the site, without wildcards and placeholders; "" if it names none.
	Host string
	// Stripped is the path that is taken off before the handler sees a request, as handle_path does.
	Stripped string
	// Enclosed reports that a matcher other than the site's host leads to the handler, as in handle_path.
	Enclosed bool
	// Behind is the directive that answers every request before the handler would be asked, as reverse_proxy in front of it in a route; ""
	// if there is none.
	Behind string
	// Rewritten is what every request's URI is replaced by before the handler sees it, as rewrite without a matcher does; "" if by
	// nothing.
	Rewritten string
	// Paths are the patterns of the path matchers that lead to the handler, those of each route on the way in a list.
	Paths [][]string
	// Beside counts the handlers of this type in the same list of routes, this one included.
	Beside int
}

// Handler is a type of handlers that are told apart by identity.
type Handler interface {
	comparable
	caddyhttp.MiddlewareHandler
}

// Find looks for a handler in the HTTP app. found is false if the app has no such handler.
func Find[H Handler](app *caddyhttp.App, handler H) (p Place, found bool) {
	for _, server := range app.Servers {
		if p, found := find(handler, server.Routes, Place{Server: server}); found {
			return p, true
		}
	}
	return Place{}, false
}

func find[H Handler](wanted H, routes caddyhttp.RouteList, at Place) (Place, bool) {
	found, where, beside := false, Place{}, 0
	for _, route := range routes {
		inner := at
		for _, set := range route.MatcherSets {
			for _, matcher := range set {
				if hosts, ok := matcher.(*caddyhttp.MatchHost); ok {
					inner.Host = plainHost(*hosts)
				} else {
					inner.Enclosed = true
				}
			}
		}
		if patterns := pathsOf(route.MatcherSets); patterns != nil {
			inner.Paths = append(slices.Clip(at.Paths), patterns)
		}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rewrite.Rewrite:
				inner.Stripped += handler.StripPathPrefix
				inner.Rewritten = cmp.Or(replaces(handler), inner.Rewritten)
				if len(route.MatcherSets) == 0 { // it holds for the routes that follow as well
					at.Stripped, at.Rewritten = inner.Stripped, inner.Rewritten
				}
			case H:
				beside++
				if handler == wanted {
					found, where = true, inner
				}
			case *caddyhttp.Subroute:
				if p, ok := find(wanted, handler.Routes, inner); ok {
					return p, true
				}
			default:
				if directive := answersAll(handler); directive != "" {
					inner.Behind = directive
					if len(route.MatcherSets) == 0 {
						at.Behind = directive
					}
				}
			}
		}
	}
	where.Beside = beside
	return where, found
}

// answersAll returns the directive of a handler that never hands a request on; "" for any other.
func answersAll(handler caddyhttp.MiddlewareHandler) string {
	module, ok := handler.(caddy.Module)
	if !ok {
		return ""
	}
	return map[caddy.ModuleID]string{
		"http.handlers.reverse_proxy": "reverse_proxy", "http.handlers.static_response": "respond or redir", "http.handlers.error": "error",
	}[module.CaddyModule().ID]
}

// replaces returns the URI that a rewrite gives to every request, whatever its path was; "" if it keeps something of it.
func replaces(r *rewrite.Rewrite) string {
	path, _, _ := strings.Cut(r.URI, "?")
	if strings.Contains(path, "{") {
		return ""
	}
	return path
}

// pathsOf returns the patterns of which a request's path has to match one; nil if a request gets in without.
func pathsOf(sets caddyhttp.MatcherSets) (patterns []string) {
	for _, set := range sets {
		i := slices.IndexFunc(set, func(matcher any) bool { _, ok := matcher.(*caddyhttp.MatchPath); return ok })
		if i < 0 {
			return nil
		}
		patterns = append(patterns, *set[i].(*caddyhttp.MatchPath)...)
	}
	return patterns
}

// OnlyBelow reports whether nothing but paths below the prefix gets to the handler.
func (p Place) OnlyBelow(prefix string) bool {
	return slices.ContainsFunc(p.Paths, func(patterns []string) bool {
		return !slices.ContainsFunc(patterns, func(pattern string) bool {
			pattern = strings.ToLower(pattern)
			return pattern != strings.ToLower(prefix) && !strings.HasPrefix(pattern, strings.ToLower(prefix)+"/") && pattern != strings.ToLower(prefix)+"*"
		})
	})
}

// RefusesConnect reports whether a route of the site's server answers CONNECT before the handler does.
func (p Place) RefusesConnect() bool { return refusesConnect(p.Server.Routes) }

func refusesConnect(routes caddyhttp.RouteList) bool {
	return slices.ContainsFunc(routes, func(route caddyhttp.Route) bool {
		for _, set := range route.MatcherSets {
			for _, matcher := range set {
				if methods, ok := matcher.(*caddyhttp.MatchMethod); ok && slices.Contains(*methods, http.MethodConnect) {
					return true
				}
			}
		}
		return slices.ContainsFunc(route.Handlers, func(handler caddyhttp.MiddlewareHandler) bool {
			subroute, ok := handler.(*caddyhttp.Subroute)
			return ok && refusesConnect(subroute.Routes)
		})
	})
}

// IsPlain reports whether the site has a public name and no TLS of its own.
func (p Place) IsPlain() bool {
	return p.Server != nil && p.Host != "" && !auth.Loopback(p.Host) && len(p.Server.TLSConnPolicies) == 0
}

// Origin returns the origin at which people reach the site, "" if it names no host. httpPort and httpsPort are the HTTP
// app's; zero means Caddy's default.
func (p Place) Origin(httpPort, httpsPort int) string {
	if p.Host == "" || len(p.Server.Listen) == 0 {
		return ""
	}
	address, err := caddy.ParseNetworkAddress(p.Server.Listen[0])
	if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() {
		return ""
	}
	if httpPort == 0 {
		httpPort = caddyhttp.DefaultHTTPPort
	}
	port := int(address.StartPort)
	switch tls := len(p.Server.TLSConnPolicies) > 0 && port != httpPort; { // Caddy's own rule
	case tls && (port == caddyhttp.DefaultHTTPSPort || port == httpsPort): // https_port is inside; 443 is published, as Caddy's own redirects have it
		return "https://" + p.Host
	case tls:
		return "https://" + net.JoinHostPort(p.Host, strconv.Itoa(port))
	case auth.Loopback(p.Host) && port != caddyhttp.DefaultHTTPPort:
		return "http://" + net.JoinHostPort(p.Host, strconv.Itoa(port))
	case auth.Loopback(p.Host):
		return "http://" + p.Host
	}
	return "https://" + p.Host // TLS ends in front of the gateway
}

// plainHost returns the first host without a wildcard or a placeholder.
func plainHost(hosts []string) string {
	if i := slices.IndexFunc(hosts, func(host string) bool { return !strings.ContainsAny(host, "*{") }); i >= 0 {
		return hosts[i]
	}
	return ""
}

// Same reports whether browsers take two URLs for pages of one site: by scheme and registrable domain.
func Same(a, b string) bool {
	site := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			return raw
		}
		domain, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
		if err != nil || net.ParseIP(u.Hostname()) != nil {
			domain = u.Hostname()
		}
		return u.Scheme + "://" + domain
	}
	return site(a) == site(b)
}
