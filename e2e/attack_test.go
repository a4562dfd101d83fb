package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"golang.org/x/text/unicode/norm"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// front is Caddy with the gateway before an onsite SuperOffice and, as such sites have it, a
// catch-all reverse_proxy to the same SuperOffice behind it.
type front struct {
	address string

	mu      sync.Mutex
	arrived []string // raw request targets
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.arrived = append(f.arrived, r.Method+" "+r.RequestURI)
		w.WriteHeader(http.StatusTeapot) // so that what passed is told from what the gateway answered
	}))
	t.Cleanup(server.Close)
	f.address = testport.Address(t)
	config := strings.NewReplacer("{address}", f.address, "{upstream}", server.URL, "{dir}", t.TempDir()).Replace(`{
	admin off
	persist_config off
	storage file_system {dir}
	log default {
		level ERROR
	}
	servers {
		protocols h1 h2c
	}
}
http://{address}, http://localhost, http://evil.example {
	bind 127.0.0.1
	erpsync {
		upstream {upstream}/crm7
		app office {
			agents ErpSync
			operations ForceResync SyncAll
			resync_all allow
		}
		superoffice session bearer soticket basic
	}
	reverse_proxy {upstream}
}`)
	config = strings.ReplaceAll(config, "http://localhost,", "http://localhost:"+strings.Split(f.address, ":")[1]+",")
	config = strings.ReplaceAll(config, "http://evil.example", "http://evil.example:"+strings.Split(f.address, ":")[1])
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	return f
}

// take returns what has arrived upstream since it was asked last.
func (f *front) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	arrived := f.arrived
	f.arrived = nil
	return arrived
}

// raw sends bytes as they are and gives the status; 0 is a connection that was closed, or an answer that did not come in 5 s.
func (f *front) raw(t *testing.T, request string) int {
	t.Helper()
	return f.patiently(t, 5*time.Second, request)
}

// served is raw for a request that has to be answered, on however busy a machine.
func (f *front) served(t *testing.T, request string) int {
	t.Helper()
	return f.patiently(t, time.Minute, request)
}

func (f *front) patiently(t *testing.T, patience time.Duration, request string) int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", f.address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

const onsitePath = "/crm7/api/v1/Agents/ErpSync/ForceResync"

// request is a whole request of somebody who holds a session that SuperOffice would take.
func request(method, target, extra, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nCookie: ASP.NET_SessionId=abc\r\nX-XSRF-TOKEN: def\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, target, extra, len(body), body)
}

var parameters = regexp.MustCompile(`;[^/]*|\([a-zA-Z]\([^)]*\)\)/?`)

// couldBeErpSync reports whether any server could read a target as a call of the
// agent: decoded as often as one likes, with whatever normalising one has seen.
func couldBeErpSync(target string) bool {
	_, target, _ = strings.Cut(target, " ")
	for range 4 {
		for _, cut := range []string{"?", "#"} {
			read := target
			read, _, _ = strings.Cut(read, cut)
			read = strings.ReplaceAll(read, "\\", "/")
			read = parameters.ReplaceAllString(read, "")
			read = strings.Map(func(r rune) rune {
				if r < ' ' || r == '\u00ad' || r == '\u200b' {
					return -1
				}
				return r
			}, norm.NFKC.String(read))
			read = strings.ToLower(strings.NewReplacer("ſ", "s", " ", "", "./", "/").Replace(path.Clean("/" + read)))
			if strings.Contains(read, "agents/erpsync") || strings.Contains(read, "agents.erpsync") {
				return true
			}
		}
		decoded, err := url.PathUnescape(target)
		if err != nil || decoded == target {
			return false
		}
		target = decoded
	}
	return false
}

// spellings are targets that another server could read as the agent's.
func spellings() (all []string) {
	segments := strings.Split(onsitePath, "/")[1:]
	join := func(s []string) string { return "/" + strings.Join(s, "/") }
	replace := func(i int, with string) []string {
		changed := append([]string(nil), segments...)
		changed[i] = with
		return changed
	}
	// One letter, written otherwise.
	for i := 1; i < len(segments); i++ {
		for j := range segments[i] {
			head, letter, tail := segments[i][:j], segments[i][j], segments[i][j+1:]
			all = append(all,
				join(replace(i, fmt.Sprintf("%s%%%02x%s", head, letter, tail))),
				join(replace(i, fmt.Sprintf("%s%%%02X%s", head, letter^0x20, tail))),
				join(replace(i, fmt.Sprintf("%s%%25%02x%s", head, letter, tail))),
				join(replace(i, head+string(rune(letter)+0xfee0)+tail)),
				join(replace(i, head+url.PathEscape(string(rune(letter)+0xfee0))+tail)),
			)
		}
	}
	// One slash, written otherwise, and something between two segments.
	for i := 1; i < len(segments); i++ {
		before, after := join(segments[:i]), strings.Join(segments[i:], "/")
		for _, between := range []string{"//", "/./", "/x/../", "%2f", "%2F", "%252f", "/%2f/", "%5c", "%5C", "\\", "/%2e/", "/%2e%2e/" + segments[i-1] + "/", "/.%2e/" + segments[i-1] + "/", "/;x/", ";x/", "/(S(abc))/", "%00/", "%20/", "./", "/%252e%252e/" + segments[i-1] + "/", "%c0%af", "%e2%88%95/", "/%c2%ad", "/%e2%80%8b"} {
			all = append(all, before+between+after)
		}
	}
	// Something behind.
	for _, behind := range []string{"//", "/.", "/..", "/../ForceResync", "/x", ".svc", ";x", "%00", "%20", ".", "%2e", "%3f$select=x", "%23", "\\", "/%2e%2e/SyncAll", "(S(x))", ",x", "%0d%0a", "?$select=IsOk&$select=Status", "?x=1", "?$select=a;b", "?%24select=IsOk%26x", "?_method=DELETE", "?$select=IsOk#x"} {
		all = append(all, onsitePath+behind)
	}
	return append(all,
		"http://evil.example"+onsitePath, "https://evil.example"+onsitePath, "//evil.example"+onsitePath, "/x/.."+onsitePath, "/%2e%2e"+onsitePath, "/crm7/Remote/../api/v1/Agents/ErpSync/SyncAll",
		"/crm7/api/v1/agentſ/ErpSync/ForceResync", "/crm7/api/v1/Agents/Erp%C5%BFync/ForceResync", "/crm7/api/v2/Agents/ErpSync/ForceResync", "/other/api/v1/Agents/ErpSync/ForceResync", "/api/v1/Agents/ErpSync/ForceResync",
		"/crm7/api/v1/Agents/ErpSync", "/crm7/api/v1/Agents/ErpSync/", "/crm7/api/Agents/ErpSync/ForceResync",
	)
}

// TestNoSpellingReachesTheAgentAroundTheGateway sends what a server behind could read as the agent's.
// All of it has to be refused; nothing that could be the agent's may arrive.
func TestNoSpellingReachesTheAgentAroundTheGateway(t *testing.T) {
	f := newFront(t)
	if status := f.served(t, request("POST", "/crm7/api/v1/Contact", "", "{}")); status != http.StatusTeapot || len(f.take()) != 1 {
		t.Fatalf("what is not ours does not pass: %d", status)
	}
	variants := spellings()
	for _, target := range variants {
		status := f.raw(t, request("POST", target, "", `{"ErpConnectionId":612,"InternalKeyIds":[1]}`))
		for _, arrived := range f.take() {
			if strings.HasSuffix(arrived, "/api/v1/User/currentPrincipal") {
				continue // the gateway's own question, whose credential it is
			}
			if couldBeErpSync(arrived) {
				t.Errorf("%q arrived as %q", target, arrived)
			} else if couldBeErpSync("POST " + target) {
				t.Errorf("%q was passed on, as %q", target, arrived)
			}
		}
		if status != 0 && (status < 400 || status > 499 || status == http.StatusTeapot) {
			t.Errorf("%q: %d", target, status)
		}
	}
	if len(variants) < 300 {
		t.Errorf("only %d variants", len(variants))
	}
	t.Logf("%d spellings over HTTP/1.1", len(variants))

	// The same targets over HTTP/2, where the client's library does not mend them.
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	sent := 0
	for _, target := range variants {
		if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.ContainsAny(target, "#\\") {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.address, strings.NewReader(`{"ErpConnectionId":612,"InternalKeyIds":[1]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = target
		req.Header.Set("Cookie", "ASP.NET_SessionId=abc")
		req.Header.Set("X-XSRF-TOKEN", "def")
		resp, err := transport.RoundTrip(req)
		if err != nil {
			continue // not a target that HTTP/2 can carry
		}
		resp.Body.Close()
		sent++
		for _, arrived := range f.take() {
			t.Errorf("HTTP/2: %q arrived as %q", target, arrived)
		}
		if resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("HTTP/2: %q: %d", target, resp.StatusCode)
		}
	}
	if sent < 200 {
		t.Errorf("only %d over HTTP/2", sent)
	}
}

// TestNoMethodFramingOrHeaderReachesTheAgentAroundTheGateway uses the right path and everything else wrong.
func TestNoMethodFramingOrHeaderReachesTheAgentAroundTheGateway(t *testing.T) {
	f := newFront(t)
	const body = `{"ErpConnectionId":612,"InternalKeyIds":[1]}`
	var raw []string
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LOCK", "post", "Post", "SEARCH", "MERGE"} {
		raw = append(raw, request(method, onsitePath, "", body), request(method, onsitePath, "X-HTTP-Method-Override: POST\r\n", body))
	}
	for _, extra := range []string{
		"Upgrade: websocket\r\nConnection: Upgrade\r\n", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Early-Data: 1\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: x, chunked\r\n", "Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n", "Transfer-Encoding : chunked\r\n",
		"Content-Length: 4\r\n", "Host: evil.example\r\n", "Authorization: Negotiate abc\r\n", "Authorization: NTLM TlRMTVNTUAABAAAA\r\n", "Authorization: Junk\r\n", "Authorization:\r\n",
		"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", "Content-Type: text/plain\r\n", "Content-Encoding: gzip\r\n", "X-XSRF-TOKEN: other\r\n", "Cookie: ASP.NET_SessionId=other\r\n",
		"Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n", "Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
		"\tX-Folded: x\r\n", "Bad Header: x\r\n", "X-Nul: a\x00b\r\n",
	} {
		raw = append(raw, request("POST", onsitePath, extra, body))
	}
	raw = append(raw,
		"POST "+onsitePath+" HTTP/1.0\r\nHost: localhost\r\n\r\n", "POST "+onsitePath+" HTTP/2.0\r\nHost: localhost\r\n\r\n", "POST "+onsitePath+"\r\n\r\n", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST "+onsitePath+" HTTP/1.1\r\n\r\n", "POST  "+onsitePath+" HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST * HTTP/1.1\r\nHost: localhost\r\n\r\n",
		// One request hidden in another's body, as a front that counts otherwise would pass it on.
		request("POST", "/crm7/api/v1/Contact", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+request("POST", onsitePath, "", body)),
	)
	for _, r := range raw {
		status := f.raw(t, r)
		for _, arrived := range f.take() {
			// What the gateway asks by itself, of a caller that brings what SuperOffice could know, is no call.
			if couldBeErpSync(arrived) {
				t.Errorf("%.200q: %q arrived", r, arrived)
			}
		}
		if status != 0 && status < 400 {
			t.Errorf("%.200q: %d", r, status)
		}
	}
}

// TestMaliceIsBoundedAndOthersAreServed has many clients do what is slow, large or broken,
// and looks whether another is answered meanwhile.
func TestMaliceIsBoundedAndOthersAreServed(t *testing.T) {
	f := newFront(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	hold := func(n int, head string) {
		for range n {
			group.Go(func() {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.address)
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, head)
				<-ctx.Done()
			})
		}
	}
	hold(500, "POST "+onsitePath+" HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")                                                                                                             // a head that does not end
	hold(500, "POST "+onsitePath+" HTTP/1.1\r\nHost: localhost\r\nCookie: ASP.NET_SessionId=a\r\nX-XSRF-TOKEN: b\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{") // a body that does not come
	hold(200, "")
	for name, extra := range map[string]string{
		"thousands of cookies": "Cookie: " + strings.Repeat("a=b; ", 5000) + "\r\n",
		"thousands of lines":   strings.Repeat("Cookie: a=b\r\n", 5000),
		"a giant header":       "X-Giant: " + strings.Repeat("x", 2<<20) + "\r\n",
		"a giant token":        "Authorization: Bearer " + strings.Repeat("a.", 100_000) + "\r\n",
	} {
		if status := f.raw(t, request("POST", onsitePath, extra, "{}")); status != 0 && status < 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := f.served(t, request("POST", onsitePath, "", `{"InternalKeyIds":[`+strings.Repeat("1,", 1<<20)+`1]}`)); status != 0 && status < 400 { // 0: closed while it was still being written
		t.Errorf("two million keys: %d", status)
	}
	// HTTP/2 streams that are reset as soon as they are opened.
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	for range 2000 {
		reset, cancel := context.WithCancel(ctx)
		req, err := http.NewRequestWithContext(reset, http.MethodPost, "http://"+f.address+onsitePath, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			if resp, err := transport.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
		})
		cancel()
	}
	var longest time.Duration
	for range 20 {
		began := time.Now()
		if status := f.served(t, request("POST", "/crm7/api/v1/Contact", "", "{}")); status != http.StatusTeapot {
			t.Errorf("another caller: %d after %s", status, time.Since(began))
		}
		longest = max(longest, time.Since(began))
	}
	t.Logf("another caller waits %s at most", longest)
	stop()
	transport.CloseIdleConnections()
	group.Wait()
}
