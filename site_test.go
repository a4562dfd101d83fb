package erpsync

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
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
		if got := originOf(&caddyhttp.Server{Listen: []string{c.listen}, TLSConnPolicies: c.tls}, c.host, 0, 0); got != want {
			t.Errorf("%s %s: %q, want %q", c.listen, c.host, got, want)
		}
	}
	h := new(Handler)
	hosts := caddyhttp.MatchHost{"*.example.com", "{env.HOST}", "erpsync.example.com"}
	routes := caddyhttp.RouteList{
		{Handlers: []caddyhttp.MiddlewareHandler{new(Handler)}},
		{MatcherSets: caddyhttp.MatcherSets{{&hosts}}, Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{h}}}}}},
	}
	if p, found := findPlace(h, routes, place{}); !found || p.host != "erpsync.example.com" || p.enclosed || p.beside != 1 {
		t.Errorf("%+v %v", p, found)
	}
	if p, found := findPlace(new(Handler), routes, place{}); found {
		t.Errorf("a handler that is not there was found at %q", p.host)
	}
}

func TestThePortOfHttpsPortIsNoPartOfLinks(t *testing.T) {
	t.Parallel()
	tls := caddytls.ConnectionPolicies{new(caddytls.ConnectionPolicy)}
	for listen, want := range map[string]string{":8443": "https://erpsync.example.com", ":443": "https://erpsync.example.com", ":9443": "https://erpsync.example.com:9443"} {
		if got := originOf(&caddyhttp.Server{Listen: []string{listen}, TLSConnPolicies: tls}, "erpsync.example.com", 0, 8443); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestAPathThatIsTakenOffIsSeen(t *testing.T) {
	t.Parallel()
	h := new(Handler)
	path := caddyhttp.MatchPath{"/crm/*"}
	routes := caddyhttp.RouteList{{MatcherSets: caddyhttp.MatcherSets{{&path}}, Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{
		{Handlers: []caddyhttp.MiddlewareHandler{&rewrite.Rewrite{StripPathPrefix: "/crm"}}},
		{Handlers: []caddyhttp.MiddlewareHandler{h}},
	}}}}}
	if p, found := findPlace(h, routes, place{}); !found || p.stripped != "/crm" {
		t.Errorf("%+v %v", p, found)
	}
}

func TestTheStartSaysWhatLinksMiss(t *testing.T) {
	t.Parallel()
	system := []*App{{CallAs: "system", ClientID: "x"}}
	for name, c := range map[string]struct {
		h         Handler
		p         place
		own       string
		err, warn string
	}{
		"sign-in below a path":         {Handler{Browser: new(Browser)}, place{stripped: "/crm"}, "https://a.example", "add public_url https://a.example/crm", ""},
		"said where it is":             {Handler{Browser: new(Browser), PublicURL: "https://a.example/crm"}, place{stripped: "/crm"}, "https://a.example/crm", "", ""},
		"calls alone below a path":     {Handler{}, place{stripped: "/crm"}, "https://a.example", "", ""},
		"approvals without a host":     {Handler{Apps: system}, place{}, "", "", "approve links lead nowhere"},
		"approvals below a path":       {Handler{Apps: system}, place{stripped: "/crm"}, "https://a.example", "", "approve links lead nowhere"},
		"approvals at a host":          {Handler{Apps: system}, place{}, "https://a.example", "", ""},
		"pages of another site":        {Handler{Browser: &Browser{Origins: []string{"https://b.example"}}}, place{}, "https://a.example", "", "a page of another site"},
		"pages over http":              {Handler{Browser: &Browser{Origins: []string{"http://localhost:3000"}}}, place{}, "https://localhost", "", "a page of another site"},
		"framed pages of another site": {Handler{Browser: &Browser{Framed: true, Origins: []string{"https://b.example"}}}, place{}, "https://a.example", "", ""},
		"pages of a sibling":           {Handler{Browser: &Browser{Origins: []string{"https://www.a.example", "https://a.example:8443"}}}, place{}, "https://erpsync.a.example", "", ""},
		"pages of a neighbour":         {Handler{Browser: &Browser{Origins: []string{"https://b.co.uk"}}}, place{}, "https://a.co.uk", "", "a page of another site"},
		"sign-in over plain http":      {Handler{Browser: new(Browser)}, place{server: new(caddyhttp.Server), host: "a.example"}, "https://a.example", "", "browser on a plain http site"},
		"TLS ends in front":            {Handler{Browser: new(Browser), PublicURL: "https://a.example"}, place{server: new(caddyhttp.Server), host: "a.example"}, "https://a.example", "", ""},
		"plain http on loopback":       {Handler{Browser: new(Browser)}, place{server: new(caddyhttp.Server), host: "localhost"}, "http://localhost", "", ""},
		"pages at the same address":    {Handler{Browser: &Browser{Origins: []string{"http://127.0.0.1:3000"}}}, place{}, "http://127.0.0.1:8080", "", ""},
	} {
		core, logs := observer.New(zap.WarnLevel)
		err := (&server{logger: zap.New(core)}).checkLinks(&c.h, c.p, c.own)
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if (logs.Len() > 0) != (c.warn != "") || logs.Len() > 0 && !strings.Contains(logs.All()[0].Message, c.warn) {
			t.Errorf("%s: %v", name, logs.All())
		}
	}
}

func TestTwoDirectivesAtOneLevelAreRefusedAndAMatcherInFrontIsWarnedOf(t *testing.T) {
	t.Parallel()
	one := func() caddyhttp.MiddlewareHandler { return new(Handler) }
	h := one()
	path := caddyhttp.MatchPath{"/crm/*"}
	connect := caddyhttp.MatchMethod{"CONNECT"}
	enclosed := func(inner caddyhttp.MiddlewareHandler) caddyhttp.Route {
		return caddyhttp.Route{MatcherSets: caddyhttp.MatcherSets{{&path}}, Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{inner}}}}}}
	}
	for name, c := range map[string]struct {
		routes   caddyhttp.RouteList
		beside   int
		enclosed bool
	}{
		"alone":                   {caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{h}}}, 1, false},
		"beside another":          {caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{h}}, {Handlers: []caddyhttp.MiddlewareHandler{one()}}}, 2, false},
		"each in its handle_path": {caddyhttp.RouteList{enclosed(h), enclosed(one())}, 1, true},
	} {
		p, found := findPlace(h.(*Handler), c.routes, place{})
		if !found || p.beside != c.beside || p.enclosed != c.enclosed {
			t.Errorf("%s: %+v %v", name, p, found)
		}
		if refusesConnect(c.routes) {
			t.Errorf("%s: takes CONNECT for refused", name)
		}
	}
	if !refusesConnect(caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{{MatcherSets: caddyhttp.MatcherSets{{&connect}}}}}}}}) {
		t.Error("a route for CONNECT is not seen")
	}
}
