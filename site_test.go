package erpsync

import (
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

func TestALinkBeginsWithTheSiteThatTheConfigurationNames(t *testing.T) {
	t.Parallel()
	tls := caddytls.ConnectionPolicies{new(caddytls.ConnectionPolicy)}
	for want, c := range map[string]struct {
		listen string
		tls    caddytls.ConnectionPolicies
		host   string
	}{
		"https://erpsync.example.com":      {":443", tls, "erpsync.example.com"},
		"https://erpsync.example.com:8443": {":8443", tls, "erpsync.example.com"},
		"https://behind.example.com":       {":8080", nil, "behind.example.com"}, // TLS ends in front
		"http://localhost:8080":            {"127.0.0.1:8080", nil, "localhost"},
		"http://localhost":                 {":80", tls, "localhost"},
		"":                                 {":443", tls, ""},
	} {
		if got := originOf(&caddyhttp.Server{Listen: []string{c.listen}, TLSConnPolicies: c.tls}, c.host, 0); got != want {
			t.Errorf("%s %s: %q, want %q", c.listen, c.host, got, want)
		}
	}
	h := new(Handler)
	hosts := caddyhttp.MatchHost{"*.example.com", "{env.HOST}", "erpsync.example.com"}
	routes := caddyhttp.RouteList{
		{Handlers: []caddyhttp.MiddlewareHandler{new(Handler)}},
		{MatcherSets: caddyhttp.MatcherSets{{&hosts}}, Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{h}}}}}},
	}
	if host, found := h.hostIn(routes, ""); !found || host != "erpsync.example.com" {
		t.Errorf("%q %v", host, found)
	}
	if host, found := new(Handler).hostIn(routes, ""); found {
		t.Errorf("a handler that is not there was found at %q", host)
	}
}
