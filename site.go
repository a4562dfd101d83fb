package erpsync

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"go.uber.org/zap"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// place is where a handler stands in the HTTP app's configuration.
type place struct {
	server *caddyhttp.Server
	host   string // of the site, without wildcards and placeholders; "" if it names none
	// stripped is the path that is taken off before the handler sees a request, as handle_path does.
	stripped string
	// enclosed reports that a matcher other than the site's host leads to the handler, as in handle_path.
	enclosed bool
	// beside counts the handlers of this module in the same list of routes, this one included.
	beside int
}

// placeOf looks for the handler in the HTTP app. found is false if there is no such app, or it has no such handler.
func (s *server) placeOf(h *Handler) (p place, app *caddyhttp.App, found bool) {
	module, err := s.ctx.AppIfConfigured("http")
	if err != nil {
		return place{}, nil, false
	}
	app, ok := module.(*caddyhttp.App)
	if !ok {
		return place{}, nil, false
	}
	for _, server := range app.Servers {
		if p, found := findPlace(h, server.Routes, place{server: server}); found {
			return p, app, true
		}
	}
	return place{}, app, false
}

func findPlace(h *Handler, routes caddyhttp.RouteList, at place) (place, bool) {
	found, where, beside := false, place{}, 0
	for _, route := range routes {
		inner := at
		for _, set := range route.MatcherSets {
			for _, matcher := range set {
				if hosts, ok := matcher.(*caddyhttp.MatchHost); ok {
					inner.host = plainHost(*hosts)
				} else {
					inner.enclosed = true
				}
			}
		}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rewrite.Rewrite:
				inner.stripped += handler.StripPathPrefix
				if len(route.MatcherSets) == 0 { // it holds for the routes that follow as well
					at.stripped += handler.StripPathPrefix
				}
			case *Handler:
				beside++
				if handler == h {
					found, where = true, inner
				}
			case *caddyhttp.Subroute:
				if p, ok := findPlace(h, handler.Routes, inner); ok {
					return p, true
				}
			}
		}
	}
	where.beside = beside
	return where, found
}

// refusesConnect reports whether a route of the site answers CONNECT before the handler's.
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

// checkPlace refuses two directives of which the second never sees a request, and warns of a place in which the
// handler does not see all that it has to refuse.
func (s *server) checkPlace(h *Handler) error {
	p, _, found := s.placeOf(h)
	if !found {
		return nil
	}
	if p.beside > 1 {
		return errors.New("erpsync is configured twice at one level of a site, and the second would never be asked: put every app into one block, or each block into a handle_path of its own")
	}
	if p.enclosed && !refusesConnect(p.server.Routes) {
		s.logger.Warn("erpsync does not see CONNECT requests where a matcher or handle_path leads to it, and a proxy beside it may pass them on; add to the site: "+
			"@connect method CONNECT, and: handle @connect { error 405 }", zap.String("site", p.host))
	}
	return s.checkLinks(h, p, s.publicOrigin(h))
}

// checkLinks refuses a place in which nobody could sign in, and warns of links that lead nowhere. own is the handler's
// public origin.
func (s *server) checkLinks(h *Handler, p place, own string) error {
	if h.PublicURL == "" && p.stripped != "" && h.Browser != nil {
		return fmt.Errorf("browser: %s is taken off the path before erpsync sees it, so that SuperID would send people back to a page that there is not; add public_url %s%[1]s", p.stripped, exampleOrigin(own))
	}
	approves := slices.ContainsFunc(h.Apps, func(a *App) bool { return a.CallAs == string(auth.AsSystem) && a.ClientID != "" })
	if approves && h.PublicURL == "" && (own == "" || p.stripped != "") {
		s.logger.Warn("approve links lead nowhere: the site names no host, or a path is taken off before erpsync sees it; add public_url",
			zap.String("write", "public_url "+exampleOrigin(own)+p.stripped))
	}
	if h.Browser != nil && h.PublicURL == "" && p.isPlain() {
		s.logger.Warn("browser on a plain http site: browsers keep the session's cookie over https alone; end TLS at this site, or in front of it and say so with public_url",
			zap.String("write", "public_url https://"+p.host))
	}
	if b := h.Browser; b != nil && !b.Framed && own != "" {
		for _, origin := range b.Origins {
			if !sameSite(origin, own) {
				s.logger.Warn("origins names a page of another site, which browsers send no session cookie: its calls are answered 401; add framed, and sign in with panel.js",
					zap.String("origin", origin), zap.String("site", own))
			}
		}
	}
	return nil
}

// isPlain reports whether the site has a public name and no TLS of its own.
func (p place) isPlain() bool {
	return p.server != nil && p.host != "" && !auth.Loopback(p.host) && len(p.server.TLSConnPolicies) == 0
}

// exampleOrigin is what an operator is to write who has named no host.
func exampleOrigin(own string) string {
	if own == "" {
		return "https://<host>"
	}
	return own
}

// sameSite reports whether browsers take two URLs for pages of one site: by scheme and registrable domain.
func sameSite(a, b string) bool {
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

// publicOrigin returns where people reach the handler, as the configuration says it: public_url, or the origin of
// the handler's site, "" if it names no host. Requests are not asked, since anybody can
// send a Host.
func (s *server) publicOrigin(h *Handler) string {
	if public, err := h.public(); err == nil && public != nil {
		return public.String()
	}
	p, app, found := s.placeOf(h)
	if !found {
		return ""
	}
	return originOf(p.server, p.host, app.HTTPPort, app.HTTPSPort)
}

// plainHost is the first host without a wildcard or a placeholder.
func plainHost(hosts []string) string {
	if i := slices.IndexFunc(hosts, func(host string) bool { return !strings.ContainsAny(host, "*{") }); i >= 0 {
		return hosts[i]
	}
	return ""
}

func originOf(server *caddyhttp.Server, host string, httpPort, httpsPort int) string {
	if host == "" || len(server.Listen) == 0 {
		return ""
	}
	address, err := caddy.ParseNetworkAddress(server.Listen[0])
	if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() {
		return ""
	}
	if httpPort == 0 {
		httpPort = caddyhttp.DefaultHTTPPort
	}
	port := int(address.StartPort)
	switch tls := len(server.TLSConnPolicies) > 0 && port != httpPort; { // Caddy's own rule
	case tls && (port == caddyhttp.DefaultHTTPSPort || port == httpsPort): // https_port is inside; 443 is published, as Caddy's own redirects have it
		return "https://" + host
	case tls:
		return "https://" + net.JoinHostPort(host, strconv.Itoa(port))
	case auth.Loopback(host) && port != caddyhttp.DefaultHTTPPort:
		return "http://" + net.JoinHostPort(host, strconv.Itoa(port))
	case auth.Loopback(host):
		return "http://" + host
	}
	return "https://" + host // TLS ends in front of the gateway
}
