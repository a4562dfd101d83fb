package demo

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// open starts a sandbox as the command does.
func open(t *testing.T, o sandboxOptions) *runningSandbox {
	t.Helper()
	so, err := openSandbox(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(so.stop)
	return so
}

// files returns a folder's files but for the token of 24 hours.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", entry.Name(), info.Mode(), err)
		}
		if entry.Name() != "service.token" {
			all[entry.Name()] = string(raw)
		}
	}
	return all
}

func TestARestartChangesNoSecretAndTakesBackWhatIsOut(t *testing.T) {
	t.Parallel()
	options := sandboxOptions{listen: "127.0.0.1:0", secrets: filepath.Join(t.TempDir(), "secrets"), behaviours: []string{"outcome=error"}}
	first := open(t, options)
	header := http.Header{"Authorization": {"Bearer " + first.AccessToken("portal", "Cust12345", "tove")}}
	if err := first.save(); err != nil {
		t.Fatal(err)
	}
	before := files(t, options.secrets)
	for _, name := range []string{"sandbox.json", "provider.key", "jwks.json", "erp.client_secret", "tenants.json"} {
		if before[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	first.stop()

	second := open(t, options)
	for name, content := range files(t, options.secrets) {
		if before[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, second.Base()+"/Cust12345/api/v1/User/currentPrincipal", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, raw)
	}
	resp, err = http.Post(second.Base()+sandbox.ControlPath, "application/json", strings.NewReader(`{"actions":[{"do":"rotate_secret","app":"erp"}]}`)) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := files(t, options.secrets)["erp.client_secret"]; got == before["erp.client_secret"] || got != second.App("erp").ClientSecret {
		t.Error("a rotated secret is not written")
	}
}

func TestTheSandboxSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		options sandboxOptions
		want    []string
	}{
		"online": {sandboxOptions{secrets: filepath.Join(dir, "on line")}, []string{
			"ERPSYNC_SECRETS='" + dir + "/on line'", "ERPSYNC_ENVIRONMENT=http://127.0.0.1:", "run --config Caddyfile.example",
			`curl -i http://localhost:8080/Cust12345/api/v1/Agents/ErpSync/ForceResync -H "Authorization: Bearer $(cat '` + dir + `/on line/service.token')"`, "tove@uno.example", sandbox.ControlPath,
		}},
		"onsite": {sandboxOptions{secrets: filepath.Join(dir, "office"), onsite: "/crm7"}, []string{
			"run --config " + dir + "/office/onsite.Caddyfile", "curl -i http://localhost:8080/crm7/api/v1/Agents/ErpSync/ForceResync -u tove:",
		}},
	} {
		c.options.listen = "127.0.0.1:0"
		so := open(t, c.options)
		var out bytes.Buffer
		so.introduce(&out, c.options)
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %s in\n%s", name, want, out.String())
			}
		}
		if strings.Contains(out.String(), so.App("erp").ClientSecret) {
			t.Errorf("%s: a client secret is printed", name)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, "office", "onsite.Caddyfile"))
	if err != nil || !strings.Contains(string(file), "/crm7\n") {
		t.Errorf("%s %v", file, err)
	}
}

func TestASandboxBeginsAsItIsTold(t *testing.T) {
	t.Parallel()
	so := open(t, sandboxOptions{
		listen: "127.0.0.1:0", secrets: t.TempDir(), behaviours: []string{"pkce=ignored", "fault=401"}, tenants: 1,
		control: `{"switches":{"fault":"none"},"actions":[{"do":"withdraw_consent","app":"erp","tenant":"Cust20001"}]}`,
	})
	if got := so.Switches(); got != (sandbox.Switches{PKCE: "ignored"}) || so.SystemToken("erp", "Cust20001") != "" {
		t.Errorf("%+v", got)
	}
}

func TestAMistakeOnTheCommandLineIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken, old, used := t.TempDir(), t.TempDir(), t.TempDir()
	first, err := openSandbox(t.Context(), sandboxOptions{listen: "127.0.0.1:0", secrets: used})
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	for file, content := range map[string]string{filepath.Join(broken, savedFile): "{", filepath.Join(old, providerFile): "x"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, o := range map[string]sandboxOptions{
		"--listen 0.0.0.0:8088: the sandbox is for loopback alone":      {listen: "0.0.0.0:8088"},
		"--listen localhost: the sandbox is for loopback alone":         {listen: "localhost"},
		"--behaviour fault: must be name=value":                         {behaviours: []string{"fault"}},
		`--behaviour fault=x: switch fault: "x" is none of`:             {behaviours: []string{"fault=x"}},
		"--onsite crm7: must be a directory":                            {onsite: "crm7"},
		"--control: the order is not understood":                        {control: "x"},
		"to begin with new secrets, delete " + broken + "/sandbox.json": {secrets: broken},
		"to begin with a new one, delete the file":                      {secrets: old},
		"address already in use; stop what listens there":               {listen: taken.Addr().String(), secrets: used},
		"--listen 127.0.0.1:":                                           {listen: strings.Replace(taken.Addr().String(), "127.0.0.1", "localhost", 1)},
	} {
		if o.listen == "" {
			o.listen = "127.0.0.1:0"
		}
		if o.secrets == "" {
			o.secrets = t.TempDir()
		}
		so, err := openSandbox(t.Context(), o)
		if err == nil {
			so.stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
		if o.secrets == used && strings.Contains(err.Error(), "delete") {
			t.Errorf("secrets that are in order are to be deleted: %v", err)
		}
	}
}
