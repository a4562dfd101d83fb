package console_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/console"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func at(r *http.Request, address net.Addr) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, address))
}

func TestWithoutAUserOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	for name, c := range map[string]struct {
		change func(*http.Request) *http.Request
		want   int
	}{
		"loopback":        {func(r *http.Request) *http.Request { return r }, http.StatusOK},
		"loopback's IPv6": {func(r *http.Request) *http.Request { r.Host, r.RemoteAddr = "[::1]:8090", "[::1]:9"; return r }, http.StatusOK},
		"127.0.0.1":       {func(r *http.Request) *http.Request { r.Host = "127.0.0.1:8090"; return r }, http.StatusOK},
		"a unix socket": {func(r *http.Request) *http.Request {
			r.RemoteAddr = "@"
			return at(r, &net.UnixAddr{Name: "/run/x.sock", Net: "unix"})
		}, http.StatusOK},
		"an address that others reach": {func(r *http.Request) *http.Request {
			return at(r, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8090})
		}, http.StatusForbidden},
		"an address that is not known": {func(r *http.Request) *http.Request { return at(r, nil) }, http.StatusForbidden},
		"HTTP/3":                       {func(r *http.Request) *http.Request { return at(r, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) }, http.StatusForbidden},
		"another machine":              {func(r *http.Request) *http.Request { r.RemoteAddr = "192.0.2.7:9"; return r }, http.StatusForbidden},
		"a foreign Host":               {func(r *http.Request) *http.Request { r.Host = "attacker.example"; return r }, http.StatusForbidden},
		"a Host like ours":             {func(r *http.Request) *http.Request { r.Host = "localhost.attacker.example:8090"; return r }, http.StatusForbidden},
		"a foreign Host over a socket": {func(r *http.Request) *http.Request {
			r.Host = "console.example"
			return at(r, &net.UnixAddr{Net: "unix"})
		}, http.StatusForbidden},
		"no Host": {func(r *http.Request) *http.Request { r.Host = ""; return r }, http.StatusForbidden},
	} {
		if resp, page := f.do(c.change(request(http.MethodGet, "/"))); resp.StatusCode != c.want || c.want != http.StatusOK && strings.Contains(page, "Uno AS") {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Anything", "Forwarded", "Via", "X-Real-Ip"} {
		for _, target := range []string{"/", "/live", "/calls?csv=table"} {
			r := request(http.MethodGet, target)
			r.Header.Set(header, "127.0.0.1")
			if resp, page := f.do(r); resp.StatusCode != http.StatusForbidden || strings.Contains(page, uno) {
				t.Errorf("%s with %s: %d", target, header, resp.StatusCode)
			}
		}
	}
}

func TestAUserHasToBeNamedExactlyAndIsNeverEmpty(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld(), console.Operator{Name: "kari", Role: console.Operations})
	for name, want := range map[string]int{"kari": http.StatusOK, "": http.StatusForbidden, "Kari": http.StatusForbidden, "kari,kari": http.StatusForbidden, " kari": http.StatusForbidden, "ola": http.StatusForbidden} {
		for _, target := range pages() {
			if status, page := f.see(name, target); want == http.StatusForbidden && (status != want || strings.Contains(page, uno) || strings.Contains(page, "Uno AS")) || want == http.StatusOK && target == "/" && status != want {
				t.Errorf("%q at %s: %d", name, target, status)
			}
		}
	}
	if status, _ := f.see("", "/live"); status != http.StatusForbidden {
		t.Errorf("nobody follows: %d", status)
	}
	r := request(http.MethodGet, "/")
	r.Host, r.RemoteAddr = "console.example", "192.0.2.7:9"
	r.Header.Set(as, "kari")
	if resp, _ := f.do(r); resp.StatusCode != http.StatusOK {
		t.Errorf("from another machine: %d", resp.StatusCode)
	}
}

func TestItShowsAndTakesNothing(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "CONNECT"} {
		for _, target := range pages() {
			r := request(http.MethodGet, target)
			r.Method = method
			if resp, page := f.do(r); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" || strings.Contains(page, uno) {
				t.Fatalf("%s %s: %d", method, target, resp.StatusCode)
			}
		}
	}
	if resp, page := f.do(request(http.MethodHead, "/")); resp.StatusCode != http.StatusOK || page != "" || resp.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes", resp.StatusCode, len(page))
	}
}

func TestEveryAnswerIsForThisPersonsBrowserAlone(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	for _, target := range append(pages(), "/nowhere", "/tenants/Cust1", "/calls/none") {
		resp, _ := f.do(request(http.MethodGet, target))
		h := resp.Header
		for name, want := range map[string]string{"Cache-Control": "private, no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s %q", target, name, h.Get(name))
			}
		}
		csp := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: %s", target, csp)
		}
		if len(h["Set-Cookie"]) > 0 {
			t.Errorf("%s sets a cookie", target)
		}
	}
}

func TestAnotherSitesPageEmbedsNothing(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld())
	for name, c := range map[string]struct {
		site, mode, dest string
		want             int
	}{
		"a link":              {"cross-site", "navigate", "document", http.StatusOK},
		"its own":             {"same-origin", "cors", "empty", http.StatusOK},
		"a frame":             {"cross-site", "navigate", "iframe", http.StatusForbidden},
		"a frame of its own":  {"same-origin", "navigate", "iframe", http.StatusForbidden},
		"a script":            {"cross-site", "no-cors", "script", http.StatusForbidden},
		"a fetch":             {"cross-site", "cors", "empty", http.StatusForbidden},
		"a sibling's image":   {"same-site", "no-cors", "image", http.StatusForbidden},
		"an older browser":    {"", "", "", http.StatusOK},
		"an object elsewhere": {"cross-site", "navigate", "object", http.StatusForbidden},
	} {
		r := request(http.MethodGet, "/calls?csv=table")
		for header, value := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Sec-Fetch-Dest": c.dest} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		if resp, page := f.do(r); resp.StatusCode != c.want || c.want != http.StatusOK && strings.Contains(page, uno) {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// What names the other tenants on any page: identifiers, names, people, calls, holds.
var others = []string{due, tre, "Due GmbH", "Tre ApS", "per@due.example", dueRefused, "33333333", "their ERP is moved", "one of all tenants"}

func TestALimitedOperatorSeesNothingOfAnotherTenantOnAnyPage(t *testing.T) {
	t.Parallel()
	f := newConsole(t, newWorld(), console.Operator{Name: "ola", Role: console.Operations, Tenants: []superoffice.Tenant{uno}}, console.Operator{Name: "kari", Role: console.Operations})
	whole := ""
	for _, target := range append(pages(), "/tenants/"+due, "/calls/"+dueRefused, "/calls?tenant="+due, "/search?q=due", "/search?q=7", "/search?q="+dueRefused, "/failures?tenant="+due, "/report?tenant="+due, "/tenants/"+due+"?find=1&find-connection=9") {
		_, all := f.see("kari", target)
		whole += all
		status, page := f.see("ola", target)
		for _, text := range others {
			if strings.Contains(page, text) && !strings.Contains(target, text) {
				t.Errorf("%s: %d, shows %s", target, status, text)
			}
		}
	}
	for _, text := range others { // or the loop above proves nothing
		if !strings.Contains(whole, text) {
			t.Errorf("no page shows %s to somebody who may see it", text)
		}
	}
	for _, target := range []string{"/tenants/" + due, "/calls/" + dueRefused, "/tenants/onsite"} {
		if status, _ := f.see("ola", target); status != http.StatusNotFound {
			t.Errorf("%s: %d", target, status)
		}
	}
	if len(f.asked) == 0 {
		t.Error("nothing was looked up")
	}
	for _, request := range f.asked {
		if request.Tenant != uno && request.Tenant != due { // due: by kari
			t.Errorf("looked up in %s", request.Tenant)
		}
	}
	f.asked = nil
	f.see("ola", "/tenants/"+due+"?find=1&find-connection=9")
	if len(f.asked) != 0 {
		t.Errorf("ola looked up in another tenant: %+v", f.asked)
	}
	_, page := f.see("ola", "/")
	f.want(page, "Uno AS", "You see some customers only")
}

func TestSupportSeesNoPersonsWhereTheAuditLogHidesThem(t *testing.T) {
	t.Parallel()
	persons := []string{person, "per@due.example", "kari the holder"}
	w := newWorld()
	w.statuses.Holds[0].By = "kari the holder"
	f := newConsole(t, w, console.Operator{Name: "sue", Role: console.Support}, console.Operator{Name: "kari", Role: console.Operations})
	targets := append(pages(), "/tenants/"+due, "/calls/"+dueRefused, "/calls?person="+person, "/search?q="+person)
	for _, hidden := range []bool{true, false} {
		w.hidden = hidden
		whole := ""
		for _, target := range targets {
			_, page := f.see("sue", target)
			whole += page
			for _, text := range persons {
				if hidden && strings.Contains(page, text) && !strings.Contains(target, text) {
					t.Errorf("%s shows %s", target, text)
				}
			}
			_, page = f.see("kari", target)
			for _, text := range persons {
				whole += page
				if hidden && text == person && target == "/calls/"+unoFailed && !strings.Contains(page, text) {
					t.Errorf("%s hides %s from an operator", target, text)
				}
			}
		}
		for _, text := range persons {
			if !hidden && !strings.Contains(whole, text) {
				t.Errorf("no page shows %s at all", text)
			}
		}
	}
	w.hidden = true
	if status, _ := f.see("sue", "/calls?person="+person); status != http.StatusForbidden {
		t.Errorf("support searches by person: %d", status)
	}
	if status, page := f.see("kari", "/calls?person="+person); status != http.StatusOK || !strings.Contains(page, unoFailed) {
		t.Errorf("an operator searches by person: %d", status)
	}
}
