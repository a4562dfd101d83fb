package erpsync

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/internal/site"
)

func TestAStartAtWhichNothingWouldBeAskedIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    site.Place
		want string
	}{
		{site.Place{Beside: 1}, ""},
		{site.Place{Beside: 2}, "configured twice at one level"},
		{site.Place{Beside: 1, Behind: "reverse_proxy"}, "erpsync stands behind reverse_proxy, which answers every request"},
		{site.Place{Beside: 1, Rewritten: "/index.html"}, "every request is rewritten to /index.html"},
		{site.Place{Beside: 1, Paths: [][]string{{"/erpsync/*"}}}, "only paths below /erpsync lead to erpsync"},
		{site.Place{Beside: 1, Paths: [][]string{{"/erpsync/*"}}, Stripped: "/erpsync"}, ""}, // handle_path: calls lie below it too
		{site.Place{Beside: 1, Paths: [][]string{{"/erpsync/*", "/Cust*"}}}, ""},
		{site.Place{Beside: 1, Paths: [][]string{{"/crm/*"}}}, ""},
	} {
		err := (&server{logger: zap.NewNop()}).judgePlace(new(Handler), c.p)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.p, err)
		}
	}
}

func TestTheStartSaysWhatLinksMiss(t *testing.T) {
	t.Parallel()
	system := []*App{{CallAs: "system", ClientID: "x"}}
	for name, c := range map[string]struct {
		h         Handler
		p         site.Place
		own       string
		err, warn string
	}{
		"sign-in below a path":         {Handler{Browser: new(Browser)}, site.Place{Stripped: "/crm"}, "https://a.example", "add public_url https://a.example/crm", ""},
		"said where it is":             {Handler{Browser: new(Browser), PublicURL: "https://a.example/crm"}, site.Place{Stripped: "/crm"}, "https://a.example/crm", "", ""},
		"calls alone below a path":     {Handler{}, site.Place{Stripped: "/crm"}, "https://a.example", "", ""},
		"approvals without a host":     {Handler{Apps: system}, site.Place{}, "", "", "approve links lead nowhere"},
		"approvals below a path":       {Handler{Apps: system}, site.Place{Stripped: "/crm"}, "https://a.example", "", "approve links lead nowhere"},
		"approvals at a host":          {Handler{Apps: system}, site.Place{}, "https://a.example", "", ""},
		"pages of another site":        {Handler{Browser: &Browser{Origins: []string{"https://b.example"}}}, site.Place{}, "https://a.example", "", "a page of another site"},
		"pages over http":              {Handler{Browser: &Browser{Origins: []string{"http://localHost:3000"}}}, site.Place{}, "https://localhost", "", "a page of another site"},
		"framed pages of another site": {Handler{Browser: &Browser{Framed: true, Origins: []string{"https://b.example"}}}, site.Place{}, "https://a.example", "", ""},
		"pages of a sibling":           {Handler{Browser: &Browser{Origins: []string{"https://www.a.example", "https://a.example:8443"}}}, site.Place{}, "https://erpsync.a.example", "", ""},
		"pages of a neighbour":         {Handler{Browser: &Browser{Origins: []string{"https://b.co.uk"}}}, site.Place{}, "https://a.co.uk", "", "a page of another site"},
		"sign-in over plain http":      {Handler{Browser: new(Browser)}, site.Place{Server: new(caddyhttp.Server), Host: "a.example"}, "https://a.example", "", "browser on a plain http site"},
		"TLS ends in front":            {Handler{Browser: new(Browser), PublicURL: "https://a.example"}, site.Place{Server: new(caddyhttp.Server), Host: "a.example"}, "https://a.example", "", ""},
		"plain http on loopback":       {Handler{Browser: new(Browser)}, site.Place{Server: new(caddyhttp.Server), Host: "localhost"}, "http://localhost", "", ""},
		"pages at the same address":    {Handler{Browser: &Browser{Origins: []string{"http://127.0.0.1:3000"}}}, site.Place{}, "http://127.0.0.1:8080", "", ""},
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
