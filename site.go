package erpsync

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// site is the origin at which people reach the handler, as the configuration says it: that of
// the site that the handler stands in, "" where it names no host. No request is asked, since anybody can
// send a Host.
func (h *Handler) site() string {
	module, err := h.ctx.AppIfConfigured("http")
	if err != nil {
		return ""
	}
	app, ok := module.(*caddyhttp.App)
	if !ok {
		return ""
	}
	for _, server := range app.Servers {
		if host, found := h.hostIn(server.Routes, ""); found {
			return originOf(server, host, app.HTTPPort)
		}
	}
	return ""
}

// hostIn looks for the handler among routes and gives the host that leads to it.
func (h *Handler) hostIn(routes caddyhttp.RouteList, outer string) (host string, found bool) {
	for _, route := range routes {
		host := outer
		for _, set := range route.MatcherSets {
			for _, matcher := range set {
				if hosts, ok := matcher.(*caddyhttp.MatchHost); ok {
					host = plainHost(*hosts)
				}
			}
		}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *Handler:
				if handler == h {
					return host, true
				}
			case *caddyhttp.Subroute:
				if inner, ok := h.hostIn(handler.Routes, host); ok {
					return inner, true
				}
			}
		}
	}
	return "", false
}

// plainHost is the first host without a wildcard or a placeholder.
func plainHost(hosts []string) string {
	if i := slices.IndexFunc(hosts, func(host string) bool { return !strings.ContainsAny(host, "*{") }); i >= 0 {
		return hosts[i]
	}
	return ""
}

func originOf(server *caddyhttp.Server, host string, httpPort int) string {
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
	case tls && port == caddyhttp.DefaultHTTPSPort:
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

// approveURL is the link for the tenant's administrator, "" where the app takes no approvals. Where
// the configuration names no host, it begins with the path.
func (h *Handler) approveURL(app *App, tenant superoffice.Tenant) string {
	if !app.takesApprovals() {
		return ""
	}
	return h.site() + h.endpoints.prefix + "/approve?" + url.Values{"app": {app.Name}, "tenant": {string(tenant)}}.Encode()
}
