package site

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// handler is one whose place is asked. It is not empty, so that two have two addresses.
type handler struct{ _ byte }

func (*handler) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

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
		if got := (Place{Server: &caddyhttp.Server{Listen: []string{c.listen}, TLSConnPolicies: c.tls}, Host: c.host}).Origin(0, 0); got != want {
			t.Errorf("%s %s: %q, want %q", c.listen, c.host, got, want)
		}
	}
	h := new(handler)
	hosts := caddyhttp.MatchHost{"*.example.com", "{env.HOST}", "erpsync.example.com"}
	routes := caddyhttp.RouteList{
		{Handlers: []caddyhttp.MiddlewareHandler{new(handler)}},
		{MatcherSets: caddyhttp.MatcherSets{{&hosts}}, Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{h}}}}}},
	}
	if p, found := find(h, routes, Place{}); !found || p.Host != "erpsync.example.com" || p.Enclosed || p.Beside != 1 {
		t.Errorf("%+v %v", p, found)
	}
	if p, found := find(new(handler), routes, Place{}); found {
		t.Errorf("a handler that is not there was found at %q", p.Host)
	}
}

func TestWhatAnswersInFrontOfAHandlerIsNamed(t *testing.T) {
	t.Parallel()
	h := new(handler)
	paths := caddyhttp.MatchPath{"/x"}
	route := func(handlers ...caddyhttp.MiddlewareHandler) caddyhttp.Route {
		return caddyhttp.Route{Handlers: handlers}
	}
	some := caddyhttp.Route{MatcherSets: caddyhttp.MatcherSets{{&paths}}, Handlers: []caddyhttp.MiddlewareHandler{new(reverseproxy.Handler)}}
	inside := route(&caddyhttp.Subroute{Routes: caddyhttp.RouteList{route(h)}})
	for name, c := range map[string]struct {
		routes caddyhttp.RouteList
		want   string
	}{
		"a proxy":              {caddyhttp.RouteList{route(new(reverseproxy.Handler)), route(h)}, "reverse_proxy"},
		"in one route":         {caddyhttp.RouteList{route(new(caddyhttp.StaticResponse), h)}, "respond or redir"},
		"around it":            {caddyhttp.RouteList{route(new(caddyhttp.StaticError)), inside}, "error"},
		"for some paths":       {caddyhttp.RouteList{some, route(h)}, ""},
		"what hands on":        {caddyhttp.RouteList{route(new(rewrite.Rewrite)), route(h)}, ""},
		"behind it":            {caddyhttp.RouteList{route(h), route(new(reverseproxy.Handler))}, ""},
		"in a route of others": {caddyhttp.RouteList{route(&caddyhttp.Subroute{Routes: caddyhttp.RouteList{route(new(reverseproxy.Handler))}}), inside}, ""},
	} {
		if p, found := find(h, c.routes, Place{}); !found || p.Behind != c.want {
			t.Errorf("%s: %q %t, want %q", name, p.Behind, found, c.want)
		}
	}
}

func TestAPlaceThatNoCallReachesIsSeen(t *testing.T) {
	t.Parallel()
	h := new(handler)
	matched := func(patterns []string, handlers ...caddyhttp.MiddlewareHandler) caddyhttp.Route {
		paths := caddyhttp.MatchPath(patterns)
		return caddyhttp.Route{MatcherSets: caddyhttp.MatcherSets{{&paths}}, Handlers: handlers}
	}
	all := func(handlers ...caddyhttp.MiddlewareHandler) caddyhttp.Route {
		return caddyhttp.Route{Handlers: handlers}
	}
	posts := caddyhttp.MatchMethod{"POST"}
	pages := []string{"/ErpSync/*", "/erpsync"}
	either := matched(pages, h)
	either.MatcherSets = append(either.MatcherSets, caddyhttp.MatcherSet{&posts})
	for name, c := range map[string]struct {
		routes    caddyhttp.RouteList
		rewritten string
		onlyBelow bool
	}{
		"everywhere":                     {caddyhttp.RouteList{all(h)}, "", false},
		"its pages alone":                {caddyhttp.RouteList{matched(pages, h)}, "", true},
		"its pages, in a route of all":   {caddyhttp.RouteList{all(&caddyhttp.Subroute{Routes: caddyhttp.RouteList{matched(pages, h)}})}, "", true},
		"all, in a route of its pages":   {caddyhttp.RouteList{matched([]string{"/erpsync*"}, &caddyhttp.Subroute{Routes: caddyhttp.RouteList{all(h)}})}, "", true},
		"its pages and more":             {caddyhttp.RouteList{matched([]string{"/erpsync/*", "/Cust*"}, h)}, "", false},
		"its pages, or whatever is sent": {caddyhttp.RouteList{either}, "", false},
		"a longer word":                  {caddyhttp.RouteList{matched([]string{"/erpsyncs/*"}, h)}, "", false},
		"its pages beside it":            {caddyhttp.RouteList{matched(pages, new(handler)), all(h)}, "", false},
		"everything rewritten":           {caddyhttp.RouteList{all(&rewrite.Rewrite{URI: "/index.html?{query}"}), all(h)}, "/index.html", false},
		"rewritten in its own route":     {caddyhttp.RouteList{matched([]string{"/x/*"}, &rewrite.Rewrite{URI: "/y"}, h)}, "/y", false},
		"some paths rewritten":           {caddyhttp.RouteList{matched([]string{"/x/*"}, &rewrite.Rewrite{URI: "/y"}), all(h)}, "", false},
		"rewritten to what it was":       {caddyhttp.RouteList{all(&rewrite.Rewrite{URI: "/crm{http.request.uri}"}), all(h)}, "", false},
		"the query alone":                {caddyhttp.RouteList{all(&rewrite.Rewrite{URI: "?a=b"}), all(h)}, "", false},
	} {
		p, found := find(h, c.routes, Place{})
		if !found || p.Rewritten != c.rewritten || p.OnlyBelow("/erpsync") != c.onlyBelow {
			t.Errorf("%s: %+v %t", name, p, found)
		}
	}
}

func TestThePortOfHttpsPortIsNoPartOfLinks(t *testing.T) {
	t.Parallel()
	tls := caddytls.ConnectionPolicies{new(caddytls.ConnectionPolicy)}
	for listen, want := range map[string]string{":8443": "https://erpsync.example.com", ":443": "https://erpsync.example.com", ":9443": "https://erpsync.example.com:9443"} {
		if got := (Place{Server: &caddyhttp.Server{Listen: []string{listen}, TLSConnPolicies: tls}, Host: "erpsync.example.com"}).Origin(0, 8443); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestAPathThatIsTakenOffIsSeen(t *testing.T) {
	t.Parallel()
	h := new(handler)
	path := caddyhttp.MatchPath{"/crm/*"}
	routes := caddyhttp.RouteList{{MatcherSets: caddyhttp.MatcherSets{{&path}}, Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.Subroute{Routes: caddyhttp.RouteList{
		{Handlers: []caddyhttp.MiddlewareHandler{&rewrite.Rewrite{StripPathPrefix: "/crm"}}},
		{Handlers: []caddyhttp.MiddlewareHandler{h}},
	}}}}}
	if p, found := find(h, routes, Place{}); !found || p.Stripped != "/crm" {
		t.Errorf("%+v %v", p, found)
	}
}

func TestTwoDirectivesAtOneLevelAreRefusedAndAMatcherInFrontIsWarnedOf(t *testing.T) {
	t.Parallel()
	one := func() caddyhttp.MiddlewareHandler { return new(handler) }
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
		p, found := find(h.(*handler), c.routes, Place{})
		if !found || p.Beside != c.beside || p.Enclosed != c.enclosed {
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
