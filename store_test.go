package erpsync

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

func TestAStoreThatIsDownSignsNobodyOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "canary")
	dir := t.TempDir()
	write(t, dir+"/password", "canary")
	write(t, dir+"/key", strings.Repeat("k", 32))
	g := newGateway(t, apps+"\nstore redis {\naddress "+server.Address+"\npassword {file."+dir+"/password}\n}\nkeys {file."+dir+"/key}")
	client, xsrf := g.signIn("tove")
	header := http.Header{"X-XSRF-TOKEN": {xsrf}}
	server.Kill()
	for method, path := range map[string]string{http.MethodPost: tenantPath, http.MethodGet: "/erpsync/session"} {
		got := g.do(client, method, path, seedBody, header)
		if got.status != 503 || !strings.Contains(got.body, "session_store_unavailable") || got.header.Get("Retry-After") == "" || len(got.header["Set-Cookie"]) != 0 {
			t.Errorf("%s without the store: %d %v %s", path, got.status, got.header, got.body)
		}
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 {
		t.Errorf("a service without the store: %d %s", got.status, got.body)
	}
	server.Run()
	waitFor(t, func() bool {
		return g.do(client, http.MethodPost, tenantPath, seedBody, header).status == 200
	})
	for _, entry := range g.logs.All() {
		if strings.Contains(entry.Message+entry.Entry.Caller.String(), "canary") {
			t.Error("the password is in the log")
		}
	}
}
