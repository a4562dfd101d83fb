package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// The socket is Caddy's user's alone unless the configuration says more, stays over a reload, and goes with the option.
func TestTheOperatorsSocketOutlivesAReloadAndGoesWithItsOption(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux names the user at the other end of a socket here")
	}
	g := newInProcess(t)
	path := filepath.Join(socketDir(t), "s")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	ask := func(at string) int {
		t.Helper()
		resp, err := client.Get("http://gateway" + at) //nolint:noctx // a socket of ours
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	operators := func(mode string) string { return "erpsync {\n\t\toperators unix/" + path + mode + "\n\t}" }
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	g.load(t, operators(""), "", "")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for range 3 {
		if status := ask("/erpsync/status"); status != http.StatusOK {
			t.Errorf("status: %d", status)
		}
		for _, other := range []string{"/config/", "/stop", "/load", "/"} {
			if status := ask(other); status != http.StatusNotFound {
				t.Errorf("%s of Caddy's admin API: %d", other, status)
			}
		}
		g.load(t, operators(""), "", "keys 0123456789abcdef0123456789abcdef")
	}
	g.load(t, "", "", "")
	eventually(t, func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	g.load(t, operators("|0660"), "", "")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
